//! The lane kind `acp` against an agent of the protocol's own library, `host/cli/tests/acp-agent`: what the host sends is
//! what the library takes, and what the library sends is understood.

use host_agents::{HostProgram, LaneKind, Protection, Session, create_lane};
use host_model::{AgentSettings, FaultClass, SessionEventKind};
use host_testing::{
    host_binary,
    session::{Attempt, all_events, within},
};

async fn start(attempt: &Attempt, prompt: &str) -> Box<dyn Session> {
    let agent = std::env::var("HOST_TEST_ACP_AGENT").expect("HOST_TEST_ACP_AGENT names the built agent");
    let mut settings = AgentSettings::new(LaneKind::Acp);
    settings.command = Some(agent);
    let mut spec = attempt.spec();
    spec.prompt = prompt.into();
    let lane = create_lane(&settings, HostProgram::at(host_binary()), Protection::default());
    within(30, lane.start(spec)).await.unwrap_or_else(|fault| panic!("{prompt}: {fault}"))
}

fn message(text: &str) -> SessionEventKind {
    SessionEventKind::Message { text: text.into() }
}

#[tokio::test]
#[ignore = "needs the agent built: run `make test-agents`"]
async fn a_conversation_of_several_turns() {
    let attempt = Attempt::new("");
    let mut session = start(&attempt, "one").await;
    let (events, fault) = within(30, all_events(&mut *session)).await;
    assert_eq!(fault, None, "{events:?}");
    assert!(matches!(&events[0], SessionEventKind::Started { session_id, .. } if session_id == "s-1"), "{events:?}");
    assert!(events.contains(&message("heard one, told all")), "{events:?}");
    within(30, session.send("tool".into())).await.unwrap();
    let (events, fault) = within(30, all_events(&mut *session)).await;
    assert_eq!(fault, None, "{events:?}");
    let told: Vec<_> = events.iter().filter(|event| !matches!(event, SessionEventKind::Raw { .. })).collect();
    let call = SessionEventKind::ToolCall {
        id: "c-1".into(),
        name: "Run a command".into(),
        input: serde_json::json!({ "command": "true" }),
    };
    let output = "option yes, files false".into();
    let result = SessionEventKind::ToolResult { id: "c-1".into(), is_error: false, output };
    assert_eq!(told, [&message("heard tool"), &call, &result, &message("used it")]);
    let conclusion = within(30, session.conclude()).await.unwrap();
    assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("used it", 2));
    assert!(conclusion.usage.is_unknown(), "the size of the context is no usage: {:?}", conclusion.usage);
    assert_eq!(attempt.read("record/stderr.txt"), "mode bypassPermissions\n");
    assert_eq!(attempt.living(), [0; 0]);
}

#[tokio::test]
#[ignore = "needs the agent built: run `make test-agents`"]
async fn every_stop_reason_has_its_end() {
    for reason in ["end_turn", "max_tokens", "refusal"] {
        let attempt = Attempt::new("");
        let mut session = start(&attempt, reason).await;
        let conclusion = within(30, session.conclude()).await.unwrap_or_else(|fault| panic!("{reason}: {fault}"));
        assert_eq!(conclusion.stop_reason, reason);
    }
    for (prompt, class) in
        [("max_turn_requests", FaultClass::Limit), ("cancelled", FaultClass::Crash), ("fail", FaultClass::Launch)]
    {
        let attempt = Attempt::new("");
        let mut session = start(&attempt, prompt).await;
        let fault = within(30, session.conclude()).await.unwrap_err();
        assert_eq!(fault.class, class, "{prompt}: {fault}");
    }
}

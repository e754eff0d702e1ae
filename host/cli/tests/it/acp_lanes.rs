//! Agents that speak ACP and misbehave, each made up for its test.

use std::time::Duration;

use host_agents::{HostProgram, LaneKind, Protection, Session, SessionLimits, create_lane};
use host_model::{AgentSettings, FaultClass, SessionEventKind};
use host_testing::{
    host_binary,
    session::{Attempt, all_events, within},
    write_program,
};

/// What answers to `session/new` and to `session/prompt`, in a shell, and what comes after the end of its input.
struct Agent {
    new: &'static str,
    prompt: &'static str,
    end: &'static str,
}

const NEW: &str = r#"say '{"id":1,"result":{"sessionId":"s"}}'"#;

impl Agent {
    fn of(prompt: &'static str) -> Self {
        Self { new: NEW, prompt, end: "" }
    }

    async fn start(&self, attempt: &Attempt) -> Box<dyn Session> {
        self.start_with(attempt, SessionLimits::default().exit_grace).await
    }

    async fn start_with(&self, attempt: &Attempt, exit_grace: Duration) -> Box<dyn Session> {
        let Self { new, prompt, end } = self;
        let script = format!(
            r#"#!/bin/sh
say() {{ printf '%s\n' "$1"; }}
update() {{ say '{{"method":"session/update","params":{{"sessionId":"s","update":'"$1"'}}}}'; }}
word() {{ update '{{"sessionUpdate":"agent_message_chunk","messageId":"m","content":{{"text":"'"$1"'"}}}}'; }}
stop() {{ say '{{"id":2,"result":{{"stopReason":"'"$1"'"}}}}'; }}
while read -r line; do
  case $line in
    *'"initialize"'*) say '{{"id":0,"result":{{"protocolVersion":1}}}}' ;;
    *'"session/new"'*) {new} ;;
    *'"session/prompt"'*) {prompt} ;;
  esac
done
{end}
"#
        );
        let path = attempt.path("agent");
        write_program(&path, &script);
        let mut settings = AgentSettings::new(LaneKind::Acp);
        settings.command = Some(path.display().to_string());
        let host = HostProgram::at(host_binary());
        let mut spec = attempt.spec();
        spec.limits.exit_grace = exit_grace;
        within(30, create_lane(&settings, host, Protection::default()).start(spec)).await.unwrap()
    }
}

#[tokio::test]
async fn how_an_acp_agent_breaks_decides_the_class() {
    for (agent, class, says) in [
        (Agent::of("exit 0"), FaultClass::Crash, "without finishing its turn: exit code 0"),
        (Agent::of("echo why >&2; exit 3"), FaultClass::Launch, "exit code 3; why"),
        (Agent::of("word half; word ' of it'; echo why >&2; exit 3"), FaultClass::Crash, "exit code 3"),
        (
            Agent::of(r#"update '{"sessionUpdate":"tool_call","toolCallId":"c"}'; exit 3"#),
            FaultClass::Crash,
            "exit code 3",
        ),
        (Agent::of("word x; kill -9 $$"), FaultClass::Crash, "SIGKILL"),
        (Agent::of(r#"printf '{"id":2,"result":{"stopRea'; exit 0"#), FaultClass::Crash, "without finishing"),
        (
            Agent::of(r#"say '{"id":2,"error":{"code":-32603,"message":"API Error: 529 Overloaded"}}'"#),
            FaultClass::Overload,
            "529 Overloaded",
        ),
        (
            Agent::of(r#"say '{"id":2,"error":{"code":-32000,"message":"log in","data":"401"}}'"#),
            FaultClass::Launch,
            "log in",
        ),
        (Agent::of("word x; stop cancelled"), FaultClass::Crash, "cancelled"),
        (Agent { new: r#"say '{"id":1,"result":{}}'"#, ..Agent::of("") }, FaultClass::Protocol, "session/new"),
        (
            Agent { new: r#"say '{"id":1,"error":{"code":-32602,"message":"no such folder"}}'"#, ..Agent::of("") },
            FaultClass::Launch,
            "did not start its session: no such folder",
        ),
    ] {
        let attempt = Attempt::new("");
        let mut session = agent.start(&attempt).await;
        let fault = within(60, session.conclude()).await.unwrap_err();
        assert!(fault.class == class && fault.message.contains(says), "{} {}: {fault}", agent.new, agent.prompt);
        within(60, session.end(Duration::ZERO)).await.unwrap();
        assert_eq!(attempt.living(), [0; 0], "{}", agent.prompt);
    }
}

#[tokio::test]
async fn a_partial_message_is_reported_when_the_agent_dies() {
    let attempt = Attempt::new("");
    let mut session = Agent::of("word half; word ' of it'; exit 0").start(&attempt).await;
    let (events, fault) = within(60, all_events(&mut *session)).await;
    assert_eq!(fault.map(|fault| fault.class), Some(FaultClass::Crash));
    assert_eq!(events.last(), Some(&SessionEventKind::Message { text: "half of it".into() }));
}

#[tokio::test]
async fn unknown_messages_are_recorded_and_harmless() {
    let agent = Agent::of(
        r#"head -c 3000000 /dev/zero | tr '\0' x; echo
        say '}] garbage {['; say ''; say 'null'; say '[]'; say '{"method":7,"id":{}}'
        say '{"id":99,"result":{"stopReason":"end_turn"}}'; say '{"id":null,"error":{"code":-32700}}'
        update '{"sessionUpdate":"a_kind_of_the_future","x":1}'
        word 'I '; stop refusal
        update '{"sessionUpdate":"session_info_update","title":"late"}'; word refuse; stop end_turn"#,
    );
    let attempt = Attempt::new("");
    let mut session = agent.start(&attempt).await;
    let (events, fault) = within(60, all_events(&mut *session)).await;
    assert_eq!(fault, None);
    let raw =
        |part: &str| events.iter().any(|event| matches!(event, SessionEventKind::Raw { line } if line.contains(part)));
    for part in ["[cut: 3000000 bytes in all]", "}] garbage {[", "\"id\":99", "a_kind_of_the_future"] {
        assert!(raw(part), "{part}");
    }
    let conclusion = within(60, session.conclude()).await.unwrap();
    // What comes right behind the end belongs to the turn.
    assert_eq!((conclusion.final_message.as_str(), conclusion.stop_reason.as_str()), ("I refuse", "refusal"));
    assert!(conclusion.usage.is_unknown(), "nothing is known, which is not zero");
    let stream = attempt.read("record/stream.jsonl");
    assert!(stream.ends_with("{\"stopReason\":\"end_turn\"}}\n") && stream.len() > 3_000_000, "every line is kept");
}

#[tokio::test]
async fn words_behind_the_answer_to_the_prompt_belong_to_the_turn() {
    for prompt in [
        "stop end_turn; word 'the answer'",
        "stop end_turn; word the; word ' answer'; exit 0",
        "word the; stop end_turn; word ' answer'",
    ] {
        let attempt = Attempt::new("");
        let mut session = Agent::of(prompt).start(&attempt).await;
        let (events, fault) = within(60, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{prompt}");
        let message = SessionEventKind::Message { text: "the answer".into() };
        assert_eq!(events.last(), Some(&message), "{prompt}");
        assert_eq!(within(60, session.conclude()).await.unwrap().final_message, "the answer", "{prompt}");
    }
}

#[tokio::test]
async fn a_turn_without_a_word_is_no_fault_unless_the_provider_made_it_wait() {
    let attempt = Attempt::new("");
    let mut session = Agent::of("stop end_turn").start(&attempt).await;
    let conclusion = within(60, session.conclude()).await.unwrap();
    assert_eq!((conclusion.final_message.as_str(), conclusion.stop_reason.as_str()), ("", "end_turn"));
    let notes = session.remarks().notes;
    assert!(
        notes.len() == 1 && notes[0].starts_with("turn 1: the agent ended its turn without a message"),
        "{notes:?}"
    );
    assert_eq!(session.remarks().notes, [""; 0], "each is told once");

    let attempt = Attempt::new("");
    let waits = r#"update '{"sessionUpdate":"agent_message_chunk","content":{"text":"Retrying (attempt 1, waiting 1s)"}}'
                   stop end_turn"#;
    let fault = within(60, Agent::of(waits).start(&attempt).await.conclude()).await.unwrap_err();
    assert!(fault.class == FaultClass::Overload && fault.message.contains("without a message"), "{fault}");
}

#[tokio::test]
async fn a_request_of_any_length_is_answered() {
    let agent = Agent::of(
        r#"printf '{"id":"ask","method":"session/request_permission","params":{"toolCall":{"content":[{"newText":"'
        head -c 9000000 /dev/zero | tr '\0' x
        say '"}]},"options":[{"optionId":"no","kind":"reject_once"},{"optionId":"yes","kind":"allow_once"}]}}'
        read -r line; echo "$line" > answer
        say '{"method":"fs/read_text_file","params":{"path":oh},"id":"odd"}'; read -r line; echo "$line" >> answer
        word done; stop end_turn"#,
    );
    let attempt = Attempt::new("");
    let mut session = agent.start(&attempt).await;
    assert_eq!(within(60, session.conclude()).await.unwrap().final_message, "done");
    let answers = attempt.read("root/answer");
    let [permission, odd] = answers.lines().collect::<Vec<_>>()[..] else { panic!("{answers}") };
    assert!(permission.contains(r#""id":"ask""#) && permission.contains(r#""optionId":"yes""#), "{permission}");
    assert!(odd.contains(r#""id":"odd""#) && odd.contains("-32700"), "{odd}");
    let cut = session.remarks().cut.unwrap();
    assert!(
        cut.contains("1 long lines") && attempt.read("record/session.json").contains("\"shortened-lines\": 1"),
        "{cut}"
    );
}

#[tokio::test]
async fn an_agent_that_ignores_the_end_of_input_is_terminated() {
    let mut agent = Agent::of("trap 'echo asked > asked; exit 0' TERM; word done; stop end_turn");
    agent.end = "while :; do sleep 0.1; done";
    let attempt = Attempt::new("");
    let mut session = agent.start(&attempt).await;
    let conclusion = within(60, session.conclude()).await.unwrap();
    assert_eq!(conclusion.final_message, "done");
    assert_eq!(attempt.read("root/asked"), "asked\n");
    assert_eq!(attempt.living(), [0; 0]);
}

/// As adapters do that leave before the agent behind them.
#[tokio::test]
async fn processes_of_an_adapter_may_exit_by_themselves() {
    let mut agent = Agent::of("word done; stop end_turn");
    agent.end = "(trap 'echo interrupted > interrupted; exit' TERM; sleep 0.3; echo whole > transcript) & exit 0";
    let attempt = Attempt::new("");
    // It has a fourth of it, which must do on a busy machine.
    let mut session = agent.start_with(&attempt, Duration::from_secs(80)).await;
    within(60, session.conclude()).await.unwrap();
    assert_eq!(attempt.read("root/transcript"), "whole\n");
    assert!(!attempt.path("root/interrupted").exists());
}

use super::*;
use crate::kinds::tests::{arguments, parse_stream, recorded, render};
use host_model::Provider;

const VERSION: &str = "0.169.0";

fn parsed(case: &str) -> Vec<ParsedLine> {
    parse_stream(&Codex, &Conversation::default(), &recorded("codex", VERSION, case))
}

#[test]
fn recorded_streams_are_parsed() {
    for case in [
        "turn",
        "tool-fails",
        "retried",
        "http-400",
        "http-401",
        "http-404",
        "http-429",
        "http-500",
        "http-529",
        "dropped",
        "bad-json",
        "quota",
        "at-capacity",
        "no-key",
    ] {
        insta::assert_snapshot!(case, render(&parsed(case)));
    }
}

#[test]
fn usage_of_a_second_turn_includes_the_first() {
    let conversation = Conversation::default();
    for case in ["turn", "turn-2"] {
        parse_stream(&Codex, &conversation, &recorded("codex", VERSION, case));
    }
    let usage = conversation.usage();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_micro_usd), (Some(400), Some(80), None));
}

#[test]
fn usage_of_zeros_is_unknown() {
    let completed = |usage: &str| {
        let line = format!(r#"{{"type":"turn.completed","usage":{usage}}}"#);
        parse_stream(&Codex, &Conversation::default(), &line)
    };
    let idle = ParsedLine::Idle { stop_reason: "completed".into() };
    for usage in [r#"{"input_tokens":0,"cached_input_tokens":0,"output_tokens":0}"#, "{}", "null"] {
        assert_eq!(completed(usage), std::slice::from_ref(&idle), "{usage}");
    }
    assert_eq!(completed(r#"{"input_tokens":1,"output_tokens":0}"#).len(), 2);
}

#[test]
fn a_single_dash_is_a_message() {
    let settings = AgentSettings::new(LaneKind::Codex);
    let request = TurnRequest {
        settings: &settings,
        turn: 1,
        message: "-",
        conversation_id: None,
        tmp_dir: Path::new("/nowhere"),
        session_id: "s",
    };
    assert_eq!(Codex.invocation(&request).unwrap().args.last().unwrap(), " -");
}

#[test]
fn worker_calls_have_the_expected_shape() {
    let parsed = parsed("workers");
    let calls: Vec<(&str, &Value)> = parsed
        .iter()
        .filter_map(|parsed| match parsed {
            ParsedLine::Event(SessionEventKind::ToolCall { name, input, .. }) if name != "command_execution" => {
                Some((name.as_str(), input))
            }
            _ => None,
        })
        .collect();
    let names: Vec<&str> = calls.iter().map(|(name, _)| *name).collect();
    assert_eq!(names[..6], ["spawn_agent", "wait", "spawn_agent", "wait", "send_input", "wait"], "{names:?}");
    assert!(text(calls[0].1, "prompt").starts_with("Stage: implementation."), "{calls:?}");
    let receiver = calls[4].1["receiver_thread_ids"][0].as_str().unwrap();
    let answered = parsed.iter().find_map(|parsed| match parsed {
        ParsedLine::Event(SessionEventKind::ToolResult { id, output, .. }) if id == "item_1" => Some(output),
        _ => None,
    });
    assert!(answered.unwrap().contains(receiver), "the result of its start names the worker");
}

#[test]
fn every_tool_has_one_call_and_one_result() {
    let read = |lines: &str| render(&parse_stream(&Codex, &Conversation::default(), lines));
    insta::assert_snapshot!(
        "tools",
        read(concat!(
            r#"{"type":"item.completed","item":{"id":"1","type":"file_change","changes":[{"path":"a","kind":"add"}],"status":"completed"}}"#,
            "\n",
            r#"{"type":"item.started","item":{"id":"2","type":"mcp_tool_call","server":"s","tool":"t","arguments":{"x":1},"status":"in_progress"}}"#,
            "\n",
            r#"{"type":"item.updated","item":{"id":"2","type":"mcp_tool_call"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"id":"2","type":"mcp_tool_call","server":"s","tool":"t","result":{"content":[{"type":"text","text":"found"}]},"status":"completed"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"id":"3","type":"mcp_tool_call","server":"s","tool":"t","error":{"message":"no"},"status":"failed"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"id":"4","type":"web_search","query":"q"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"id":"5","type":"a_later_tool","what":"x","status":"completed"}}"#,
            "\n",
            r#"{"type":"item.completed","item":{"id":"6","type":"reasoning","text":"hm"}}"#,
        ))
    );
}

/// Output of 0.39.0.
#[test]
fn an_older_output_format_is_reported() {
    let mut dialect = Codex.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Codex));
    for line in [
        r#"{"provider":"host","sandbox":"danger-full-access","workdir":"/attempt/root","approval":"never","model":"m"}"#,
        r#"{"id":"0","msg":{"type":"task_started","model_context_window":null}}"#,
        r#"{"id":"0","msg":{"type":"agent_message","message":"All is done."}}"#,
    ] {
        assert_eq!(dialect.parse(line), []);
    }
    let parsed = dialect.process_exited(&AgentExit::Code(0), "");
    assert!(matches!(&parsed[..], [ParsedLine::Failed(fault)] if fault.message.contains("older format")), "{parsed:?}");
}

#[test]
fn an_exit_after_an_error_reports_the_error() {
    let mut dialect = Codex.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Codex));
    dialect.parse(r#"{"type":"error","message":"unexpected status 401 Unauthorized"}"#);
    let parsed = dialect.process_exited(&AgentExit::Code(1), "");
    assert!(matches!(&parsed[..], [ParsedLine::Failed(fault)] if fault.message.contains("401")), "{parsed:?}");
    assert_eq!(dialect.process_exited(&AgentExit::Signal(9), ""), []);
}

#[test]
fn the_command_line_has_provider_and_prompt() {
    let mut settings = AgentSettings::new(LaneKind::Codex);
    let start = "exec --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox";
    let quiet = "-c check_for_update_on_startup=false -c analytics.enabled=false -c feedback.enabled=false \
                 -c features.plugins=false";
    assert_eq!(arguments(&Codex, &settings, None), format!("{start} {quiet} -- --do it"));
    settings.model = Some("m".into());
    settings.args = vec!["--search".into()];
    settings.provider = Some(Provider {
        base_url: Some("http://127.0.0.1:1/".into()),
        key_variable: Some("KEY".into()),
        ..Provider::default()
    });
    assert_eq!(
        arguments(&Codex, &settings, Some("id")),
        format!(
            "{} --model m {quiet} -c model_provider=\"host\" -c model_providers.host.name=\"host\" \
             -c model_providers.host.base_url=\"http://127.0.0.1:1/v1\" -c model_providers.host.wire_api=\"responses\" \
             -c model_providers.host.env_key=\"KEY\" --search id -- --do it",
            start.replace("exec", "exec resume")
        )
    );
}

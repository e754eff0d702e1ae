use super::*;
use crate::kinds::tests::{arguments, parse_stream, recorded, render};
use host_model::Provider;

const VERSION: &str = "2.1.330";

fn parsed(case: &str) -> Vec<ParsedLine> {
    parse_stream(&Claude, &Conversation::default(), &recorded("claude", VERSION, case))
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
        "no-key",
        "max-turns",
    ] {
        insta::assert_snapshot!(case, render(&parsed(case)));
    }
}

#[test]
fn usage_of_turns_is_added_up() {
    let conversation = Conversation::default();
    for case in ["turn", "turn-2"] {
        parse_stream(&Claude, &conversation, &recorded("claude", VERSION, case));
    }
    let usage = conversation.usage();
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(400), Some(80)));
    assert_eq!(conversation.id().as_deref(), Some("42c117b9-bb54-4e5b-8a83-6fd3e29e52ec"));
}

#[test]
fn a_cost_needs_every_price() {
    let result = |models: &str| {
        let line = format!(r#"{{"type":"result","is_error":false,"total_cost_usd":9,"modelUsage":{{{models}}}}}"#);
        match &parse_stream(&Claude, &Conversation::default(), &line)[0] {
            ParsedLine::Event(SessionEventKind::Usage(usage)) => usage.clone(),
            other => panic!("{other:?}"),
        }
    };
    let model = |name: &str, basis: &str| {
        format!(r#""{name}":{{"inputTokens":10,"cacheReadInputTokens":5,"outputTokens":1,"costUSD":0.25{basis}}}"#)
    };
    let known = model("a", r#","costBasis":"list""#);
    let older = model("b", "");
    let unknown = model("c", r#","costBasis":"unknown""#);
    let both = result(&format!("{known},{older}"));
    assert_eq!((both.cost_micro_usd, both.input_tokens, both.cached_input_tokens), (Some(500_000), Some(30), Some(10)));
    let usage = result(&format!("{known},{unknown}"));
    assert_eq!((usage.cost_micro_usd, usage.output_tokens), (None, Some(2)));
}

#[test]
fn a_result_without_models_has_usage() {
    let line = r#"{"type":"result","subtype":"success","total_cost_usd":0.5,"usage":{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":3}}"#;
    let parsed = parse_stream(&Claude, &Conversation::default(), line);
    let expected = Usage {
        input_tokens: Some(3),
        cached_input_tokens: Some(2),
        output_tokens: Some(3),
        cost_micro_usd: Some(500_000),
    };
    assert_eq!(
        parsed,
        [ParsedLine::Event(SessionEventKind::Usage(expected)), ParsedLine::Idle { stop_reason: "success".into() },]
    );
}

#[test]
fn sub_agent_messages_are_not_shown() {
    let line = |parent: &str| {
        format!(
            r#"{{"type":"assistant","parent_tool_use_id":{parent},"message":{{"content":[{{"type":"thinking","thinking":"hm"}},
            {{"type":"text","text":"hello"}},{{"type":"tool_use","id":"t","name":"Read","input":{{}}}}]}}}}"#
        )
        .replace('\n', "")
    };
    let kinds = |line: String| -> Vec<String> {
        parse_stream(&Claude, &Conversation::default(), &line)
            .iter()
            .map(|parsed| render(std::slice::from_ref(parsed)))
            .collect()
    };
    assert_eq!(
        kinds(line("null")),
        [r#"{"type":"message","text":"hello"}"#, r#"{"type":"tool-call","id":"t","name":"Read","input":{}}"#,]
    );
    assert_eq!(kinds(line("\"toolu_1\"")), [r#"{"type":"tool-call","id":"t","name":"Read","input":{}}"#]);
    let thinking = r#"{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"hm"}]}}"#;
    assert!(kinds(thinking.into())[0].contains(r#""type":"raw""#));
}

#[test]
fn flag_and_subtype_both_mark_errors() {
    let class = |fields: &str| {
        let line = format!(r#"{{"type":"result",{fields}}}"#);
        match parse_stream(&Claude, &Conversation::default(), &line).pop().unwrap() {
            ParsedLine::Failed(fault) => Some(fault.class),
            ParsedLine::Idle { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    use FaultClass::{Crash, Limit};
    for (fields, expected) in [
        (r#""subtype":"error_max_turns","is_error":false"#, Some(Limit)),
        (r#""subtype":"error_max_turns""#, Some(Limit)),
        (r#""subtype":"error_max_budget_usd","is_error":"false""#, Some(Limit)),
        (r#""subtype":"error_max_structured_output_retries","is_error":true"#, Some(Limit)),
        (r#""subtype":"error_during_execution","is_error":false"#, Some(Crash)),
        (r#""subtype":"error_of_the_future","is_error":false"#, Some(Crash)),
        (r#""subtype":"success","is_error":"true""#, Some(Crash)),
        (r#""subtype":"success","is_error":null"#, None),
        (r#""subtype":"success","is_error":0"#, None),
        (r#""subtype":"later_word","is_error":false"#, None),
        (r#""subtype":null"#, Some(Crash)),
    ] {
        assert_eq!(class(fields), expected, "{fields}");
    }
}

#[test]
fn a_result_may_hold_the_only_message() {
    let result =
        |words: &str| format!(r#"{{"type":"result","subtype":"success","is_error":false,"result":"{words}"}}"#);
    let block = |block: &str| format!(r#"{{"type":"assistant","message":{{"content":[{block}]}}}}"#);
    let text = |words: &str| block(&format!(r#"{{"type":"text","text":"{words}"}}"#));
    let call = block(r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#);
    let messages = |lines: &[&str]| -> Vec<String> {
        let parsed = parse_stream(&Claude, &Conversation::default(), &lines.join("\n"));
        parsed
            .into_iter()
            .filter_map(|parsed| match parsed {
                ParsedLine::Event(SessionEventKind::Message { text }) => Some(text),
                _ => None,
            })
            .collect()
    };
    assert_eq!(messages(&[&result("done")]), ["done"]);
    assert_eq!(messages(&[&text("begin"), &call, &result("done")]), ["begin", "done"]);
    assert_eq!(messages(&[&text("done"), &result("done")]), ["done"]);
    assert_eq!(messages(&[&text("done"), &result("all of it: done")]), ["done"], "it was reported already");
    assert_eq!(messages(&[&text("done"), &call, &result("done")]), ["done"]);
    assert_eq!(messages(&[&result(" ")]), [""; 0]);
    assert_eq!(messages(&[&result("one"), &result("two")]), ["one", "two"]);
    let whole = r#"{"type":"assistant","message":{"content":"words in one piece"}}"#;
    assert_eq!(messages(&[whole, &result("x")]), ["words in one piece"]);
}

#[test]
fn only_damaged_messages_are_lost() {
    let read = |line: &str| Claude.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Claude)).parse(line);
    assert_eq!(
        read(r#"{"type":"assistant","message":{"content":[{"type":"text","text":"a" b}]}}"#),
        [ParsedLine::LostMessage]
    );
    assert_eq!(read(r#"{"type":"system","subtype":?}"#), []);
    assert_eq!(read("{words in braces}"), []);
}

#[test]
fn a_tool_result_may_have_blocks() {
    let line = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}}"#;
    let expected = SessionEventKind::ToolResult { id: "t".into(), is_error: true, output: "a\nb".into() };
    assert_eq!(parse_stream(&Claude, &Conversation::default(), line), [ParsedLine::Event(expected)]);
}

#[test]
fn the_command_line_ends_with_the_prompt() {
    let mut settings = AgentSettings::new(LaneKind::Claude);
    let start = "-p --output-format stream-json --verbose --permission-mode bypassPermissions";
    assert_eq!(arguments(&Claude, &settings, None), format!("{start} -- --do it"));
    settings.model = Some("opus".into());
    settings.args = vec!["--max-turns".into(), "3".into()];
    assert_eq!(
        arguments(&Claude, &settings, Some("id")),
        format!("{start} --model opus --resume id --max-turns 3 -- --do it")
    );
}

#[test]
fn the_provider_is_set_in_the_environment() {
    let mut settings = AgentSettings::new(LaneKind::Claude);
    settings.provider = Some(Provider { base_url: Some("http://127.0.0.1:1".into()), ..Provider::default() });
    let variables = Claude.variables(&settings, Path::new("/c"));
    assert!(variables.contains(&("ANTHROPIC_BASE_URL", "http://127.0.0.1:1".into())));
    let as_root = variables.contains(&("IS_SANDBOX", "1".into()));
    assert_eq!(as_root, rustix::process::geteuid().is_root());
}

use std::fs;

use super::*;
use crate::kinds::tests::{arguments, parse_stream, recorded, render};
use host_model::{Provider, Usage};

const VERSION: &str = "0.87.1";

fn parsed(case: &str) -> Vec<ParsedLine> {
    parse_stream(&Pi, &Conversation::default(), &recorded("pi", VERSION, case))
}

#[test]
fn recorded_streams_are_parsed() {
    for case in ["turn", "retried", "http-400", "http-401", "http-529", "drop-mid"] {
        insta::assert_snapshot!(case, render(&parsed(case)));
    }
}

#[test]
fn usage_of_turns_is_added_up() {
    let conversation = Conversation::default();
    for case in ["turn", "turn-2"] {
        parse_stream(&Pi, &conversation, &recorded("pi", VERSION, case));
    }
    let usage = conversation.usage();
    // Prices of models that Pi does not know are zero, and a cost of zero is unknown.
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_micro_usd), (Some(400), Some(80), None));
}

#[test]
fn a_streamed_answer_produces_raw_events() {
    let piece = r#"{"type":"message_update","assistantMessageEvent":{"type":"text_delta","delta":"x"}}"#;
    let parsed = parse_stream(&Pi, &Conversation::default(), &format!("{piece}\n").repeat(100));
    assert_eq!(
        parsed.iter().filter(|parsed| matches!(parsed, ParsedLine::Event(SessionEventKind::Raw { .. }))).count(),
        5
    );
}

#[test]
fn the_last_answer_decides_the_stop_reason() {
    let end = |reason: &str| {
        let lines = format!(
            "{{\"type\":\"message_end\",\"message\":{{\"role\":\"assistant\",\"stopReason\":\"{reason}\"}}}}\n\
             {{\"type\":\"agent_settled\"}}"
        );
        parse_stream(&Pi, &Conversation::default(), &lines).pop().unwrap()
    };
    assert_eq!(end("length"), ParsedLine::Idle { stop_reason: "length".into() });
    assert!(matches!(end("aborted"), ParsedLine::Failed(fault) if fault.class == FaultClass::Crash));
    let nothing = parse_stream(&Pi, &Conversation::default(), r#"{"type":"agent_settled"}"#);
    assert_eq!(nothing, [ParsedLine::Idle { stop_reason: "settled".into() }]);
}

#[test]
fn a_known_price_is_a_cost() {
    let line = r#"{"type":"message_end","message":{"role":"assistant","stopReason":"stop","usage":{"input":1,"output":2,"cacheRead":3,"cacheWrite":4,"cost":{"total":0.0125}}}}"#;
    let expected = Usage {
        input_tokens: Some(8),
        cached_input_tokens: Some(3),
        output_tokens: Some(2),
        cost_micro_usd: Some(12_500),
    };
    assert_eq!(
        parse_stream(&Pi, &Conversation::default(), line),
        [ParsedLine::Event(SessionEventKind::Usage(expected))]
    );
}

#[test]
fn the_command_line_ends_with_the_prompt() {
    let mut settings = AgentSettings::new(LaneKind::Pi);
    assert_eq!(arguments(&Pi, &settings, None), "--mode json  --do it");
    settings.model = Some("m".into());
    settings.provider = Some(Provider { name: Some("openai".into()), ..Provider::default() });
    settings.args = vec!["--thinking".into(), "off".into()];
    assert_eq!(
        arguments(&Pi, &settings, Some("id")),
        "--mode json --provider openai --model m --session id --thinking off  --do it"
    );
}

#[test]
fn a_prompt_that_looks_like_a_file_is_escaped() {
    let settings = AgentSettings::new(LaneKind::Pi);
    let request = TurnRequest {
        settings: &settings,
        turn: 1,
        message: "@team, look",
        conversation_id: None,
        tmp_dir: Path::new("/"),
        session_id: "s",
    };
    assert_eq!(Pi.invocation(&request).unwrap().args.last().unwrap(), " @team, look");
}

#[test]
fn the_provider_is_merged_into_models_json() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("models.json");
    let read = || serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap();
    let mut settings = AgentSettings::new(LaneKind::Pi);
    Pi.prepare(&settings, dir.path()).unwrap();
    assert!(!file.exists(), "no provider, no file");
    settings.model = Some("m".into());
    settings.provider = Some(Provider {
        base_url: Some("http://127.0.0.1:1".into()),
        key_variable: Some("KEY".into()),
        ..Provider::default()
    });
    Pi.prepare(&settings, dir.path()).unwrap();
    let entry = json!({
        "baseUrl": "http://127.0.0.1:1", "api": "anthropic-messages", "apiKey": "$KEY", "models": [{ "id": "m" }],
    });
    assert_eq!(read(), json!({ "providers": { "host": entry } }));

    let seeded =
        json!({ "x": 1, "providers": { "other": {}, "host": { "api": "?", "models": [{ "id": "m", "cost": 1 }] } } });
    fs::write(&file, seeded.to_string()).unwrap();
    let provider = settings.provider.as_mut().unwrap();
    provider.api = Some("openai-responses".into());
    provider.key_variable = None;
    Pi.prepare(&settings, dir.path()).unwrap();
    let entry = json!({
        "baseUrl": "http://127.0.0.1:1/v1", "api": "openai-responses", "apiKey": "none",
        "models": [{ "id": "m", "cost": 1 }],
    });
    assert_eq!(read(), json!({ "x": 1, "providers": { "other": {}, "host": entry } }));

    for wrong in ["{", "[]", r#"{"providers":3}"#] {
        fs::write(&file, wrong).unwrap();
        let problem = Pi.prepare(&settings, dir.path()).unwrap_err();
        assert!(problem.contains("models.json"), "{problem}");
    }

    // A component, or the agent of an earlier session, may have put a link there.
    let elsewhere = dir.path().join("elsewhere");
    for content in [None, Some("{}")] {
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        content.into_iter().for_each(|content| fs::write(&elsewhere, content).unwrap());
        let problem = Pi.prepare(&settings, dir.path()).unwrap_err();
        assert!(problem.contains("models.json: it is a link"), "{problem}");
        assert_eq!(fs::read_to_string(&elsewhere).ok().as_deref(), content);
    }
}

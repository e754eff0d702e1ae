use super::*;
use crate::kinds::tests::{recorded, render};
use host_model::Provider;

/// Parses a recorded session of `turns`. The next message is sent when the previous turn is over.
fn session(version: &str, case: &str, turns: usize) -> Vec<ParsedLine> {
    let mut dialect = Acp.dialect(&Conversation::in_root(Path::new("/root")), &AgentSettings::new(LaneKind::Acp));
    let mut parsed = dialect.begin_turn("first");
    let mut begun = 1;
    for line in recorded("acp", version, case).lines() {
        let mut line_parsed = dialect.parse(line);
        let set_mode = line_parsed
            .iter()
            .any(|parsed| matches!(parsed, ParsedLine::Reply(line) if line.contains("session/set_mode")));
        if set_mode {
            line_parsed.extend(dialect.parse(&json!({ "id": SET_MODE, "result": {} }).to_string()));
        }
        if line_parsed.iter().any(|parsed| matches!(parsed, ParsedLine::FinishedAfterSilence { .. })) {
            line_parsed.retain(|parsed| !matches!(parsed, ParsedLine::FinishedAfterSilence { .. }));
            line_parsed.extend(dialect.finish_turn());
        }
        let over = line_parsed.iter().any(|parsed| matches!(parsed, ParsedLine::Finished { .. }));
        parsed.extend(if line_parsed.is_empty() {
            vec![ParsedLine::Event(SessionEventKind::Raw { line: line.into() })]
        } else {
            line_parsed
        });
        if over && begun < turns {
            begun += 1;
            parsed.extend(dialect.begin_turn("next"));
        }
    }
    parsed
}

#[test]
fn recorded_sessions_are_parsed() {
    for version in ["claude-agent-acp-0.101.0", "codex-acp-2.6.0", "pi-acp-0.0.34"] {
        insta::assert_snapshot!(format!("{version}-turns"), render(&session(version, "turns", 2)));
        insta::assert_snapshot!(format!("{version}-http-401"), render(&session(version, "http-401", 1)));
    }
    insta::assert_snapshot!("pi-acp-0.0.34-http-529", render(&session("pi-acp-0.0.34", "http-529", 1)));
}

#[test]
fn other_adapters_parse_alike() {
    let event = |parsed: &[ParsedLine], wanted: fn(&SessionEventKind) -> bool| {
        parsed.iter().filter(|parsed| matches!(parsed, ParsedLine::Event(kind) if wanted(kind))).count()
    };
    let messages = |parsed: &[ParsedLine]| -> Vec<String> {
        let text = |parsed: &ParsedLine| match parsed {
            ParsedLine::Event(SessionEventKind::Message { text }) => Some(text.clone()),
            _ => None,
        };
        parsed.iter().filter_map(text).collect()
    };
    for version in [
        "claude-agent-acp-0.24.2",
        "claude-agent-acp-0.60.0",
        "codex-acp-1.0.0",
        "codex-acp-2.0.1",
        "pi-acp-0.0.23",
        "pi-acp-0.0.24",
        "opencode-1.1.65",
        "opencode-1.18.33",
    ] {
        let turns = session(version, "turns", 2);
        match version {
            // Its last message follows the end of the turn after a delay, which a recording does not have.
            "opencode-1.1.65" => assert_eq!(messages(&turns), ["All", "is done.second"], "{version}"),
            _ => assert_eq!(messages(&turns), ["All is done.", "second"], "{version}"),
        }
        let ends = turns
            .iter()
            .filter(|parsed| matches!(parsed, ParsedLine::Finished { stop_reason } if stop_reason == "end_turn"));
        assert_eq!(ends.count(), 2, "{version}: {turns:?}");
        let called = event(
            &turns,
            |kind| matches!(kind, SessionEventKind::ToolCall { input, .. } if input.to_string().contains("echo hello from a tool")),
        );
        let answered = event(
            &turns,
            |kind| matches!(kind, SessionEventKind::ToolResult { is_error: false, output, .. } if output.contains("hello from a tool")),
        );
        let expected = match version {
            // It does not show the call.
            "codex-acp-1.0.0" => (0, 0),
            // It refused the arguments of the call.
            "opencode-1.1.65" => (1, 0),
            // Its first update of the call has different arguments than the last one, and a call is reported once.
            "opencode-1.18.33" => (0, 1),
            _ => (1, 1),
        };
        assert_eq!((called, answered), expected, "{version}: {turns:?}");
        let quiet = session(version, "quiet", 1);
        assert_eq!(messages(&quiet), [""; 0], "{version}");
        assert!(quiet.iter().any(|parsed| matches!(parsed, ParsedLine::Finished { .. })), "{version}: {quiet:?}");
        let refused = session(version, "http-401", 1);
        match refused.iter().find(|parsed| matches!(parsed, ParsedLine::Finished { .. } | ParsedLine::Failed(_))) {
            // It reports an internal error without a status.
            Some(ParsedLine::Failed(fault)) if version == "opencode-1.18.33" => {
                assert_eq!(fault.class, FaultClass::Crash, "{version}: {fault}");
            }
            Some(ParsedLine::Failed(fault)) => assert_eq!(fault.class, FaultClass::Launch, "{version}: {fault}"),
            // It does not report the error.
            Some(ParsedLine::Finished { .. })
                if ["pi-acp-0.0.23", "pi-acp-0.0.24", "opencode-1.1.65"].contains(&version) => {}
            other => panic!("{version}: {other:?}"),
        }
        assert_eq!(messages(&refused), [""; 0], "{version}");
    }
}

#[test]
fn a_failed_turn_of_codex_acp_is_a_fault() {
    for (case, class, says) in [
        ("http-400", FaultClass::Launch, "the request is not valid"),
        ("http-429", FaultClass::Overload, "last status: 429"),
        ("http-529", FaultClass::Overload, "status 529"),
    ] {
        let parsed = session("codex-acp-2.6.0", case, 1);
        let Some(ParsedLine::Failed(fault)) = parsed.last() else { panic!("{case}: {parsed:?}") };
        assert!(fault.class == class && fault.message.contains(says), "{case}: {fault}");
        assert!(
            !parsed.iter().any(|it| matches!(it, ParsedLine::Event(SessionEventKind::Message { .. }))),
            "{case}: {parsed:?}"
        );
        let back_offs = parsed.iter().filter_map(|it| match it {
            ParsedLine::Event(SessionEventKind::BackOff(back_off)) => Some(back_off),
            _ => None,
        });
        let attempts: Vec<_> = back_offs.clone().map(|it| it.attempt).collect();
        let expected: &[Option<u32>] =
            if case == "http-529" { &[Some(1), Some(2), Some(3), Some(4), Some(5)] } else { &[] };
        assert_eq!(attempts, expected, "{case}");
        assert!(back_offs.clone().all(|it| it.reason.contains("529")), "{case}");
    }
}

/// A session named `s` after the first prompt was sent, with id 2.
fn prompted() -> Box<dyn Dialect> {
    let mut dialect = Acp.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Acp));
    dialect.begin_turn("do it");
    dialect.parse(r#"{"id":0,"result":{"protocolVersion":1}}"#);
    dialect.parse(r#"{"id":1,"result":{"sessionId":"s"}}"#);
    dialect
}

/// Parses `line` and the silence that follows it.
fn settled(dialect: &mut Box<dyn Dialect>, line: &str) -> Vec<ParsedLine> {
    let mut parsed = dialect.parse(line);
    parsed.extend(dialect.finish_turn());
    parsed.retain(|parsed| !matches!(parsed, ParsedLine::FinishedAfterSilence { .. }));
    parsed
}

fn update(session: &str, update: &Value) -> String {
    json!({ "method": "session/update", "params": { "sessionId": session, "update": update } }).to_string()
}

fn chunk(session: &str, id: &str, text: &str) -> String {
    let content = json!({ "type": "text", "text": text });
    update(session, &json!({ "sessionUpdate": "agent_message_chunk", "messageId": id, "content": content }))
}

#[test]
fn the_stop_reason_decides_the_outcome() {
    let ended = |result: Value| {
        let mut dialect = prompted();
        dialect.parse(&chunk("s", "m", "a word"));
        settled(&mut dialect, &json!({ "id": 2, "result": result }).to_string()).pop().unwrap()
    };
    for reason in ["end_turn", "max_tokens", "refusal", "a_reason_of_the_future"] {
        assert_eq!(ended(json!({ "stopReason": reason })), ParsedLine::Finished { stop_reason: reason.into() });
    }
    for (result, class) in [
        (json!({ "stopReason": "cancelled" }), FaultClass::Crash),
        (json!({ "stopReason": "max_turn_requests" }), FaultClass::Limit),
        (json!({}), FaultClass::Protocol),
    ] {
        assert!(matches!(ended(result.clone()), ParsedLine::Failed(fault) if fault.class == class), "{result}");
    }
}

#[test]
fn a_session_that_does_not_start_is_a_launch_fault() {
    let answered = |line: &str| {
        let mut dialect = Acp.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Acp));
        dialect.begin_turn("do it");
        dialect.parse(r#"{"id":0,"result":{"protocolVersion":1}}"#);
        match &dialect.parse(line)[..] {
            [ParsedLine::Failed(fault)] => fault.clone(),
            other => panic!("{other:?}"),
        }
    };
    for (line, class, says) in [
        (r#"{"id":1,"error":{"code":-32603,"message":"no such folder"}}"#, FaultClass::Launch, "no such folder"),
        (r#"{"id":1,"error":{"code":-32603,"message":"529 overloaded"}}"#, FaultClass::Overload, "529"),
        (r#"{"id":1,"error":{"code":-32000,"message":"log in"}}"#, FaultClass::Launch, "log in"),
        (r#"{"id":1,"error":{}}"#, FaultClass::Launch, "did not start"),
        (r#"{"id":1,"result":{}}"#, FaultClass::Protocol, "has no session id"),
    ] {
        let fault = answered(line);
        assert!(fault.class == class && fault.message.contains(says), "{line}: {fault}");
    }
}

#[test]
fn updates_of_other_sessions_are_raw() {
    let mut dialect = prompted();
    dialect.parse(&chunk("s", "m", "mine"));
    assert_eq!(dialect.parse(&chunk("t", "m", "another's")), []);
    let parsed = settled(&mut dialect, r#"{"id":2,"result":{"stopReason":"end_turn"}}"#);
    assert_eq!(parsed[0], ParsedLine::Event(SessionEventKind::Message { text: "mine".into() }));
}

#[test]
fn long_messages_are_cut_with_a_note() {
    let mut dialect = prompted();
    let much = "é".repeat(MAX_MESSAGE_BYTES / 3);
    for text in [&much, &much, "late"] {
        dialect.parse(&chunk("s", "m", text));
    }
    let parsed = dialect.parse(&chunk("s", "n", "short"));
    let ParsedLine::Event(SessionEventKind::Message { text }) = &parsed[0] else { panic!("unexpected event") };
    assert!(text.len() < MAX_MESSAGE_BYTES + 40 && text.ends_with("é … [cut after 1 MiB]"), "{}", text.len());
    let parsed = settled(&mut dialect, r#"{"id":2,"result":{"stopReason":"end_turn"}}"#);
    assert_eq!(
        parsed[0],
        ParsedLine::Event(SessionEventKind::Message { text: "short".into() }),
        "the next one is whole"
    );
}

#[test]
fn unfinished_calls_are_forgotten_eventually() {
    let mut dialect = prompted();
    let call = |id: usize, status: &str| {
        let input = json!({ "n": id });
        update(
            "s",
            &json!({ "sessionUpdate": "tool_call", "toolCallId": format!("{id:05}"), "status": status, "rawInput": input }),
        )
    };
    for id in 0..5_000 {
        assert!(matches!(
            &dialect.parse(&call(id, "pending"))[..],
            [ParsedLine::Event(SessionEventKind::ToolCall { .. })]
        ));
    }
    // The last ones are known, so only the result is missing.
    assert!(matches!(
        &dialect.parse(&call(4_999, "completed"))[..],
        [ParsedLine::Event(SessionEventKind::ToolResult { .. })]
    ));
    // The first ones are forgotten, so the call is reported again.
    assert_eq!(dialect.parse(&call(0, "completed")).len(), 2);
}

#[test]
fn codex_gets_the_provider_with_its_key() {
    let config = |url: Option<&str>, key: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let provider = Provider { base_url: text(url), key_variable: text(key), ..Provider::default() };
        let settings = AgentSettings { provider: Some(provider), ..AgentSettings::new(LaneKind::Acp) };
        let variables = Acp.variables(&settings, Path::new("/config"));
        let config = variables.into_iter().find(|(name, _)| *name == "CODEX_CONFIG");
        config.map(|(_, value)| serde_json::from_str::<Value>(value.to_str().unwrap()).unwrap())
    };
    let keys = json!({ "name": "host", "base_url": "http://x/v1", "wire_api": "responses", "env_key": "KEY" });
    let expected = json!({ "model_provider": "host", "model_providers": { "host": keys } });
    assert_eq!(config(Some("http://x/"), Some("KEY")), Some(expected));
    // Its own configuration may name a provider, which must not be overridden.
    assert_eq!((config(Some("http://x"), None), config(None, Some("KEY"))), (None, None));
}

#[test]
fn the_session_mode_is_set() {
    let requested_mode = |mode: Option<&str>, current: &str, offered: &[&str]| {
        let settings = AgentSettings { mode: mode.map(str::to_owned), ..AgentSettings::new(LaneKind::Acp) };
        let mut dialect = Acp.dialect(&Conversation::default(), &settings);
        dialect.begin_turn("do it");
        dialect.parse(r#"{"id":0,"result":{"protocolVersion":1}}"#);
        let offered: Vec<Value> = offered.iter().map(|id| json!({ "id": id })).collect();
        let modes = json!({ "currentModeId": current, "availableModes": offered });
        let parsed = dialect.parse(&json!({ "id": 1, "result": { "sessionId": "s", "modes": modes } }).to_string());
        match &parsed[1] {
            ParsedLine::Reply(line) => {
                let line: Value = serde_json::from_str(line).unwrap();
                format!("{} {}", text(&line, "method"), text(&line["params"], "modeId"))
            }
            ParsedLine::Failed(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(requested_mode(None, "auto", &["auto", "bypassPermissions"]), "session/set_mode bypassPermissions");
    assert_eq!(requested_mode(None, "agent", &["agent", "agent-full-access"]), "session/set_mode agent-full-access");
    assert_eq!(requested_mode(None, "off", &["off", "on"]), "session/prompt ");
    assert_eq!(requested_mode(Some("on"), "off", &["off", "on"]), "session/set_mode on");
    assert_eq!(requested_mode(Some("off"), "off", &["off", "on"]), "session/prompt ");
    let problem = requested_mode(Some("yes"), "off", &["off", "on"]);
    assert!(problem.contains("`yes`") && problem.contains("`off`, `on`"), "{problem}");
}

#[test]
fn permissions_are_granted_and_files_refused() {
    let answer =
        |line: &str| match &Acp.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Acp)).parse(line)[..] {
            [ParsedLine::Reply(line)] => serde_json::from_str::<Value>(line).unwrap(),
            other => panic!("{other:?}"),
        };
    let options = r#"[{"optionId":"no","kind":"reject_once"},{"optionId":"yes","kind":"allow_once"}]"#;
    let granted = answer(&format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"session/request_permission","params":{{"options":{options}}}}}"#
    ));
    assert_eq!(granted["result"]["outcome"], json!({ "outcome": "selected", "optionId": "yes" }));
    assert_eq!(granted["id"], "a");
    let none = answer(r#"{"id":1,"method":"session/request_permission","params":{"options":[]}}"#);
    assert_eq!(none["result"]["outcome"], json!({ "outcome": "cancelled" }));
    let files = answer(r#"{"id":2,"method":"fs/read_text_file","params":{"path":"/etc/passwd"}}"#);
    assert_eq!(files["error"]["code"], -32601);
}

#[test]
fn trailing_messages_belong_to_the_turn() {
    let mut dialect = prompted();
    let end = r#"{"id":2,"result":{"stopReason":"end_turn"}}"#;
    assert_eq!(dialect.parse(end), [ParsedLine::FinishedAfterSilence { silence: TRAILING_SILENCE[1] }]);
    assert_eq!(dialect.parse(&chunk("s", "m", "the ")), [ParsedLine::Ignored]);
    dialect.parse(&chunk("s", "m", "answer"));
    assert_eq!(dialect.parse(end).len(), 0, "the first answer counts");
    let message = ParsedLine::Event(SessionEventKind::Message { text: "the answer".into() });
    assert_eq!(dialect.finish_turn(), [message, ParsedLine::Finished { stop_reason: "end_turn".into() }]);
    assert_eq!(dialect.finish_turn(), [], "a turn ends once");
    dialect.begin_turn("again");
    dialect.parse(&chunk("s", "m", "before"));
    let end = r#"{"id":3,"result":{"stopReason":"end_turn"}}"#;
    assert_eq!(dialect.parse(end), [ParsedLine::FinishedAfterSilence { silence: TRAILING_SILENCE[0] }]);
}

#[test]
fn an_empty_turn_finishes_normally() {
    let mut dialect = prompted();
    let parsed = settled(&mut dialect, r#"{"id":2,"result":{"stopReason":"end_turn"}}"#);
    assert_eq!(parsed, [ParsedLine::Finished { stop_reason: "end_turn".into() }]);
}

/// The response to `line` in a session that has started.
fn answer(line: &str) -> Value {
    match &prompted().parse(line)[..] {
        [.., ParsedLine::Reply(line)] => serde_json::from_str::<Value>(line).unwrap(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_request_is_answered() {
    let diff = "x".repeat(3 << 20);
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let options = r#""options":[{"optionId":"no","kind":"reject_once"},{"optionId":"yes","kind":"allow_once"}]"#;
    for params in [
        format!(r#"{{"toolCall":{{"content":[{{"newText":"{diff}"}}]}},{options}}}"#),
        format!(r#"{{{options},"toolCall":{{"content":[{{"newText":"{diff}"}}]}}}}"#),
        format!(r#"{{"toolCall":{deep},{options}}}"#),
        format!(r#"{{"toolCall":{{"title":"\ud83d","n":1e999}},{options},"options":null,{options}}}"#),
    ] {
        for line in [
            format!(r#"{{"id":"a","method":"session/request_permission","params":{params}}}"#),
            format!(r#"{{"params":{params},"method":"session/request_permission","id":"a"}}"#),
        ] {
            let answer = answer(&line);
            assert_eq!(answer["result"]["outcome"]["optionId"], "yes", "{}", &line[..60]);
            assert_eq!(answer["id"], "a");
        }
    }
    for (line, code, id) in [
        (r#"{"id":7,"method":"fs/read_text_file","params":{}}"#, -32601, "7"),
        (r#"{"id":null,"method":"x"}"#, -32601, "null"),
        (r#"{"id":-1.5,"method":"x"}"#, -32601, "-1.5"),
        (r#"{"id":123456789012345678901234567890,"method":"x"}"#, -32601, "123456789012345678901234567890"),
        (r#"{"id":7,"method":null}"#, -32600, "7"),
        (r#"{"id":7,"method":{"name":"x"}}"#, -32600, "7"),
        (r#"{"id":7}"#, -32600, "7"),
        (r#"{"id":7,"method":"x","params":{"a":b}}"#, -32700, "7"),
        (r#"{"method":"x","params":{"a":?},"id":7}"#, -32700, "7"),
        (r#"{"method":"x","params":{"a":"b"#, -32700, ""),
    ] {
        let mut dialect = prompted();
        let parsed = dialect.parse(line);
        let answers: Vec<&String> = parsed
            .iter()
            .filter_map(|parsed| if let ParsedLine::Reply(line) = parsed { Some(line) } else { None })
            .collect();
        if id.is_empty() {
            assert_eq!(answers.len(), 0, "there is no id to answer");
            continue;
        }
        let [written] = &answers[..] else { panic!("{line}: {parsed:?}") };
        assert!(written.contains(&format!("\"id\":{id},")), "{line}: {written}");
        let answer: Value = serde_json::from_str(written).unwrap();
        assert_eq!((&answer["error"]["code"], &answer["jsonrpc"]), (&json!(code), &json!("2.0")), "{line}");
    }
}

#[test]
fn responses_are_parsed_leniently() {
    for line in [
        r#"{"id":2,"result":{"stopReason":"end_turn"},"error":null}"#,
        r#"{"id":"2","result":{"stopReason":"end_turn"}}"#,
        r#"{"id":2.0,"result":{"stopReason":"end_turn"}}"#,
        r#"[{"jsonrpc":"2.0","id":2,"result":{"stopReason":"end_turn"}}]"#,
    ] {
        let parsed = settled(&mut prompted(), line);
        assert_eq!(parsed, [ParsedLine::Finished { stop_reason: "end_turn".into() }], "{line}");
    }
    for (line, class) in [
        (r#"{"id":2}"#, FaultClass::Protocol),
        (r#"{"id":2,"result":null}"#, FaultClass::Protocol),
        (r#"{"id":2,"result":{"stopReason":?}}"#, FaultClass::Protocol),
        (r#"{"id":2,"error":{"code":"-32000","message":"log in"}}"#, FaultClass::Launch),
    ] {
        let parsed = settled(&mut prompted(), line);
        assert!(matches!(parsed.last(), Some(ParsedLine::Failed(fault)) if fault.class == class), "{line}: {parsed:?}");
    }
}

#[test]
fn an_update_with_an_id_is_answered() {
    let content = json!({ "type": "text", "text": "a word" });
    let update = json!({ "sessionUpdate": "agent_message_chunk", "content": content });
    let line = json!({ "id": 9, "method": "session/update", "params": { "sessionId": "s", "update": update } });
    let mut dialect = prompted();
    let parsed = dialect.parse(&line.to_string());
    assert_eq!(parsed[1..], [ParsedLine::Reply(r#"{"jsonrpc":"2.0","id":9,"result":null}"#.into())]);
    let parsed = settled(&mut dialect, r#"{"id":2,"result":{"stopReason":"end_turn"}}"#);
    assert_eq!(parsed[0], ParsedLine::Event(SessionEventKind::Message { text: "a word".into() }));
}

#[test]
fn an_option_that_does_not_refuse_is_chosen() {
    let chosen = |options: &str| {
        let line = format!(r#"{{"id":7,"method":"session/request_permission","params":{{"options":{options}}}}}"#);
        answer(&line)["result"]["outcome"].clone()
    };
    let selected = |id: Value| json!({ "outcome": "selected", "optionId": id });
    let kinds = r#"[{"optionId":"a","kind":"reject_always"},{"optionId":"b","kind":"a_kind_of_the_future"}]"#;
    assert_eq!(chosen(kinds), selected("b".into()));
    assert_eq!(chosen(r#"[{"optionId":1,"name":"No"},{"optionId":2,"name":"Yes"}]"#), selected(2.into()));
    for none in [r#"[{"optionId":"a","kind":"reject_once"}]"#, r#"[{"kind":"allow_once"}]"#, "null", r#"["x",3]"#] {
        assert_eq!(chosen(none), json!({ "outcome": "cancelled" }), "{none}");
    }
}

#[test]
fn another_protocol_version_is_a_fault() {
    let mut dialect = Acp.dialect(&Conversation::default(), &AgentSettings::new(LaneKind::Acp));
    dialect.begin_turn("do it");
    let parsed = dialect.parse(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":2}}"#);
    assert!(matches!(&parsed[..], [ParsedLine::Failed(fault)] if fault.message.contains("version 2")), "{parsed:?}");
}

use super::{
    super::external::tests::{recorded, shown},
    *,
};

/// What a recorded session of `turns` means: the next message is sent when the turn before is over.
fn session(version: &str, case: &str, turns: usize) -> Vec<Said> {
    let mut dialect = Acp.dialect(&Thread::in_root(Path::new("/root")), &AgentSettings::new(LaneKind::Acp));
    let mut said = dialect.begin("first");
    let mut begun = 1;
    for line in recorded("acp", version, case).lines() {
        let mut heard = dialect.read(line);
        let set_mode = heard.iter().any(|said| matches!(said, Said::Answer(line) if line.contains("session/set_mode")));
        if set_mode {
            heard.extend(dialect.read(&json!({ "id": SET_MODE, "result": {} }).to_string()));
        }
        let over = heard.iter().any(|said| matches!(said, Said::Finished { .. }));
        said.extend(if heard.is_empty() {
            vec![Said::Event(SessionEventKind::Raw { line: line.into() })]
        } else {
            heard
        });
        if over && begun < turns {
            begun += 1;
            said.extend(dialect.begin("next"));
        }
    }
    said
}

#[test]
fn recorded_sessions_have_their_meaning() {
    for version in ["claude-agent-acp-0.101.0", "codex-acp-2.6.0", "pi-acp-0.0.34"] {
        insta::assert_snapshot!(format!("{version}-turns"), shown(&session(version, "turns", 2)));
        insta::assert_snapshot!(format!("{version}-http-401"), shown(&session(version, "http-401", 1)));
    }
    insta::assert_snapshot!("pi-acp-0.0.34-http-529", shown(&session("pi-acp-0.0.34", "http-529", 1)));
}

#[test]
fn a_session_is_put_into_the_mode_that_the_lane_or_the_adapter_has() {
    let asked = |mode: Option<&str>, current: &str, offered: &[&str]| {
        let settings = AgentSettings { mode: mode.map(str::to_owned), ..AgentSettings::new(LaneKind::Acp) };
        let mut dialect = Acp.dialect(&Thread::default(), &settings);
        dialect.begin("do it");
        dialect.read(r#"{"id":0,"result":{"protocolVersion":1}}"#);
        let offered: Vec<Value> = offered.iter().map(|id| json!({ "id": id })).collect();
        let modes = json!({ "currentModeId": current, "availableModes": offered });
        let said = dialect.read(&json!({ "id": 1, "result": { "sessionId": "s", "modes": modes } }).to_string());
        match &said[1] {
            Said::Answer(line) => {
                let line: Value = serde_json::from_str(line).unwrap();
                format!("{} {}", text(&line, "method"), text(part(&line, "params"), "modeId"))
            }
            Said::Broken(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(None, "auto", &["auto", "bypassPermissions"]), "session/set_mode bypassPermissions");
    assert_eq!(asked(None, "agent", &["agent", "agent-full-access"]), "session/set_mode agent-full-access");
    assert_eq!(asked(None, "off", &["off", "on"]), "session/prompt ");
    assert_eq!(asked(Some("on"), "off", &["off", "on"]), "session/set_mode on");
    assert_eq!(asked(Some("off"), "off", &["off", "on"]), "session/prompt ");
    let problem = asked(Some("yes"), "off", &["off", "on"]);
    assert!(problem.contains("`yes`") && problem.contains("`off`, `on`"), "{problem}");
}

#[test]
fn a_permission_is_granted_and_nothing_else() {
    let answer = |line: &str| match &Acp.dialect(&Thread::default(), &AgentSettings::new(LaneKind::Acp)).read(line)[..]
    {
        [Said::Answer(line)] => serde_json::from_str::<Value>(line).unwrap(),
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
fn a_turn_without_a_word_is_a_fault_of_the_provider() {
    let mut dialect = Acp.dialect(&Thread::default(), &AgentSettings::new(LaneKind::Acp));
    dialect.begin("do it");
    dialect.read(r#"{"id":0,"result":{"protocolVersion":1}}"#);
    dialect.read(r#"{"id":1,"result":{"sessionId":"s"}}"#);
    let class = |said: Vec<Said>| match said.last() {
        Some(Said::Broken(fault)) => Some(fault.class),
        _ => None,
    };
    let end = |id: u64| format!(r#"{{"id":{id},"result":{{"stopReason":"end_turn"}}}}"#);
    assert_eq!(class(dialect.read(&end(2))), Some(FaultClass::Launch));
    dialect.begin("again");
    let words = r#"{"method":"session/update","params":{"update":{"sessionUpdate":"agent_message_chunk","content":{"text":"x"}}}}"#;
    dialect.read(words);
    assert_eq!(class(dialect.read(&end(3))), None);
    dialect.begin("again");
    assert_eq!(class(dialect.read(&end(4))), Some(FaultClass::Crash));
}

#[test]
fn another_version_of_the_protocol_is_told() {
    let mut dialect = Acp.dialect(&Thread::default(), &AgentSettings::new(LaneKind::Acp));
    dialect.begin("do it");
    let said = dialect.read(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":2}}"#);
    assert!(matches!(&said[..], [Said::Broken(fault)] if fault.message.contains("version 2")), "{said:?}");
}

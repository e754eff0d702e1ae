//! Tests of all dialects, and helpers for the tests of each.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    agent_program::TurnRequest,
    conversation::Conversation,
    dialect::ParsedLine,
    exit::AgentExit,
    external::environment,
    lane::{SessionLimits, SessionSpec},
};
use host_model::{Credential, FaultClass, SessionEventKind};

/// A recorded stream.
pub(crate) fn recorded(agent: &str, version: &str, case: &str) -> String {
    let path = streams().join(agent).join(version).join(format!("{case}.jsonl"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn streams() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/fixtures/streams")
}

/// Parses a recorded stream.
pub(crate) fn parse_stream(program: &dyn AgentProgram, conversation: &Conversation, stream: &str) -> Vec<ParsedLine> {
    let mut dialect = program.dialect(conversation, &AgentSettings::new(program.kind()));
    stream.lines().flat_map(|line| or_raw(dialect.parse(line), line)).collect()
}

/// Parses a recorded stream and the exit of the program with `code`.
fn parse_stream_to_end(program: &dyn AgentProgram, stream: &str, code: i32) -> Vec<ParsedLine> {
    let conversation = Conversation::default();
    let mut dialect = program.dialect(&conversation, &AgentSettings::new(program.kind()));
    let mut parsed: Vec<ParsedLine> = stream.lines().flat_map(|line| or_raw(dialect.parse(line), line)).collect();
    if !parsed.iter().any(is_end) {
        parsed.extend(dialect.process_exited(&AgentExit::Code(code), ""));
    }
    parsed
}

fn is_end(parsed: &ParsedLine) -> bool {
    matches!(parsed, ParsedLine::Finished { .. } | ParsedLine::Idle { .. } | ParsedLine::Failed(_))
}

/// Adds a raw event for unknown lines, as a session does.
fn or_raw(parsed: Vec<ParsedLine>, line: &str) -> Vec<ParsedLine> {
    if parsed.is_empty() { vec![ParsedLine::Event(SessionEventKind::Raw { line: line.to_owned() })] } else { parsed }
}

/// Renders parsed lines for a snapshot: shortened, and with repeated ignored lines counted.
pub(crate) fn render(parsed: &[ParsedLine]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut known = 0;
    for parsed in parsed {
        if *parsed == ParsedLine::Ignored {
            known += 1;
            continue;
        }
        if known > 0 {
            lines.push(format!("({known} without an event)"));
            known = 0;
        }
        lines.push(match parsed {
            ParsedLine::Event(kind) => serde_json::to_string(kind).unwrap(),
            ParsedLine::Finished { stop_reason } => format!("FINISHED {stop_reason}"),
            ParsedLine::Idle { stop_reason } => format!("IDLE {stop_reason}"),
            ParsedLine::Failed(fault) => format!("BROKEN {fault}"),
            ParsedLine::Reply(line) => format!("ANSWERED {line}"),
            ParsedLine::FinishedAfterSilence { .. } => "SETTLING".to_owned(),
            ParsedLine::LostMessage => "LOST".to_owned(),
            ParsedLine::Ignored => unreachable!(),
        });
    }
    let cut = |line: String| line.chars().take(200).collect::<String>();
    lines.into_iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// The command line of a turn.
pub(crate) fn arguments(program: &dyn AgentProgram, settings: &AgentSettings, conversation: Option<&str>) -> String {
    let request = TurnRequest {
        settings,
        turn: if conversation.is_some() { 2 } else { 1 },
        message: "--do it",
        conversation_id: conversation.map(str::to_owned),
        tmp_dir: Path::new("/nowhere"),
        session_id: "s",
    };
    let args = program.invocation(&request).unwrap().args;
    args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn external() -> impl Iterator<Item = &'static dyn AgentProgram> {
    LaneKind::ALL.into_iter().filter_map(program)
}

#[test]
fn every_recorded_turn_ends() {
    let mut streams_read = 0;
    for program in external().filter(|program| !matches!(program.kind(), LaneKind::Command | LaneKind::Acp)) {
        let dir = streams().join(program.kind().as_str());
        for file in fs::read_dir(dir).unwrap().flat_map(|version| fs::read_dir(version.unwrap().path()).unwrap()) {
            let path = file.unwrap().path();
            let stream = fs::read_to_string(&path).unwrap();
            let parsed = parse_stream_to_end(program, &stream, 0);
            let name = path.display();
            assert!(matches!(parsed[0], ParsedLine::Event(SessionEventKind::Started { .. })), "{name}");
            // A turn that is resumed has not ended before.
            let last = parsed.iter().rposition(|it| matches!(it, ParsedLine::Event(SessionEventKind::Started { .. })));
            let ends = parsed[last.unwrap()..].iter().filter(|parsed| is_end(parsed)).count();
            // Agents that were silent forever were killed.
            let silent =
                ["claude/2.1.330/silent.jsonl", "claude/2.1.330/silent-mid-stream.jsonl", "codex/0.169.0/silent.jsonl"];
            let expected = usize::from(!silent.iter().any(|silent| path.ends_with(silent)));
            assert_eq!(ends, expected, "{name}");
            streams_read += 1;
        }
    }
    assert!(streams_read >= 30, "{streams_read} streams are recorded");
}

/// The directories of versions for which the same cases are recorded.
fn versions(program: &dyn AgentProgram) -> Vec<PathBuf> {
    let dirs = fs::read_dir(streams().join(program.kind().as_str())).unwrap();
    let dirs = dirs.map(|dir| dir.unwrap().path());
    dirs.filter(|dir| dir.join("tool.jsonl").is_file()).collect()
}

#[test]
fn all_recorded_versions_parse_alike() {
    for program in external().filter(|program| !matches!(program.kind(), LaneKind::Command | LaneKind::Acp)) {
        let versions = versions(program);
        assert!(versions.len() >= 4, "{}: {versions:?}", program.kind());
        for version in versions {
            let parsed = |case: &str, code| {
                let stream = fs::read_to_string(version.join(format!("{case}.jsonl"))).unwrap();
                parse_stream_to_end(program, &stream, code)
            };
            let name = version.display();
            let ends_well = |parsed: &[ParsedLine]| {
                matches!(parsed.last(), Some(ParsedLine::Idle { .. } | ParsedLine::Finished { .. }))
            };
            let (turn, tool, quiet) = (parsed("turn", 0), parsed("tool", 0), parsed("quiet", 0));
            assert!(ends_well(&turn) && ends_well(&tool) && ends_well(&quiet), "{name}: {turn:?} {tool:?} {quiet:?}");
            assert_eq!(messages(&turn), ["All is done."], "{name}");
            assert_eq!(messages(&tool), ["Two commands were run."], "{name}");
            assert_eq!(messages(&quiet), [""; 0], "{name}");
            let used = |parsed: &[ParsedLine]| {
                parsed.iter().rev().find_map(|parsed| match parsed {
                    ParsedLine::Event(SessionEventKind::Usage(usage)) => {
                        Some((usage.input_tokens?, usage.output_tokens?))
                    }
                    _ => None,
                })
            };
            // Some versions first ask the model about a command.
            assert_eq!(used(&turn), Some((100, 20)), "{name}");
            assert!(used(&tool) >= Some((300, 60)), "{name}: {:?}", used(&tool));
            assert_eq!(calls(&tool), [("echo hello from a tool", false), ("ls /nowhere-at-all", true)], "{name}");
            for (case, class) in [("http-401", FaultClass::Launch), ("http-529", FaultClass::Overload)] {
                let parsed = parsed(case, i32::from(program.kind() != LaneKind::Pi));
                let Some(ParsedLine::Failed(fault)) = parsed.last() else { panic!("{name} {case}: {parsed:?}") };
                assert!(fault.class == class && fault.message.contains(&case[5..]), "{name} {case}: {fault}");
                assert_eq!(messages(&parsed), [""; 0], "{name} {case}");
            }
            let backed_off = parsed("http-529", 1).iter().filter(|parsed| is_back_off(parsed)).count();
            let tells = !name.to_string().contains("claude/1.") && !name.to_string().contains("claude/2.0");
            assert_eq!(backed_off, if tells { 2 } else { 0 }, "{name}");
        }
    }
}

fn is_back_off(parsed: &ParsedLine) -> bool {
    matches!(parsed, ParsedLine::Event(SessionEventKind::BackOff(_)))
}

fn messages(parsed: &[ParsedLine]) -> Vec<&str> {
    let text = |parsed| match parsed {
        &ParsedLine::Event(SessionEventKind::Message { ref text }) => Some(text.as_str()),
        _ => None,
    };
    parsed.iter().filter_map(text).collect()
}

/// The two commands of a recorded turn: each must have a call and a later result.
fn calls(parsed: &[ParsedLine]) -> Vec<(&'static str, bool)> {
    let mut found = Vec::new();
    for command in ["echo hello from a tool", "ls /nowhere-at-all"] {
        let call = parsed.iter().enumerate().find_map(|(at, parsed)| match parsed {
            ParsedLine::Event(SessionEventKind::ToolCall { id, input, .. }) if input.to_string().contains(command) => {
                Some((at, id))
            }
            _ => None,
        });
        let Some((at, call)) = call else { continue };
        let result = parsed[at..].iter().find_map(|parsed| match parsed {
            ParsedLine::Event(SessionEventKind::ToolResult { id, is_error, output }) if id == call => {
                Some((is_error, output))
            }
            _ => None,
        });
        let Some((is_error, output)) = result else { continue };
        let words = if *is_error { "No such file" } else { "hello from a tool" };
        assert!(output.contains(words), "{output}");
        found.push((command, *is_error));
    }
    found
}

fn json() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "type",
        "system",
        "init",
        "assistant",
        "result",
        "subtype",
        "message",
        "content",
        "text",
        "tool_use",
        "item",
        "item.completed",
        "turn.completed",
        "usage",
        "message_end",
        "role",
        "agent_settled",
        "error",
        "id",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        known.clone().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(known.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Replaces the `at`-th part of a value, in depth-first order.
fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
        *at = usize::MAX;
        return;
    }
    *at = at.saturating_sub(1);
    let parts: Vec<&mut Value> = match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(values) => values.values_mut().collect(),
        _ => Vec::new(),
    };
    for part in parts {
        if *at != usize::MAX {
            replace(part, at, with);
        }
    }
}

proptest! {
    #[test]
    fn no_line_makes_a_dialect_panic(lines in prop::collection::vec(json(), 1..8), noise in ".*") {
        for program in external() {
            let mut dialect = program.dialect(&Conversation::default(), &AgentSettings::new(program.kind()));
            dialect.parse(&noise);
            for line in &lines {
                dialect.parse(&line.to_string());
            }
            dialect.process_exited(&AgentExit::Code(1), &noise);
        }
    }

    #[test]
    fn slightly_different_streams_are_tolerated(at in 0_usize..60, with in json(), cut in 1_usize..2_000) {
        for (program, version) in
            [(&claude::Claude as &dyn AgentProgram, "2.1.330"), (&codex::Codex, "0.169.0"), (&pi::Pi, "0.87.1")]
        {
            let stream = recorded(program.kind().as_str(), version, "turn");
            let mut dialect = program.dialect(&Conversation::default(), &AgentSettings::new(program.kind()));
            for line in stream.lines() {
                let mut value: Value = serde_json::from_str(line).unwrap();
                replace(&mut value, &mut at.clone(), &with);
                dialect.parse(&value.to_string());
                dialect.parse(&line[..line.floor_char_boundary(cut)]);
            }
        }
    }
}

/// The environment of an agent of `settings`.
fn environment_of(settings: &AgentSettings, bin: Option<&str>) -> Vec<(String, String)> {
    let spec = SessionSpec {
        root: "/a/root".into(),
        config_dir: "/a/config".into(),
        home: "/a/home".into(),
        tmp: "/a/tmp".into(),
        bin: bin.map(PathBuf::from),
        view: None,
        prompt: String::new(),
        script: None,
        record_dir: None,
        limits: SessionLimits::default(),
        observer: None,
    };
    let given = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "secret".into());
    let credentials = environment::credentials(settings, given).unwrap();
    let own = program(settings.kind).unwrap().variables(settings, &spec.config_dir);
    let all = environment::agent_environment(settings, &spec, own, credentials);
    all.into_iter().map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap())).collect()
}

#[test]
fn the_environment_has_only_configured_variables() {
    for program in external() {
        let kind = program.kind();
        let mut settings = AgentSettings::new(kind);
        settings.path = vec!["/opt/agent".into()];
        settings.env = [("LANG".to_owned(), "en".to_owned()), ("EXTRA".into(), "1".into())].into();
        settings.credentials = vec![Credential::Variable("ANTHROPIC_API_KEY".into())];
        let environment = environment_of(&settings, Some("/s/bin"));
        let value = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("PATH").unwrap(), format!("/s/bin:/opt/agent:{}", environment::SYSTEM_PATH));
        assert_eq!((value("HOME"), value("TMPDIR")), (Some("/a/home"), Some("/a/tmp")));
        assert_eq!((value("LANG"), value("EXTRA")), (Some("en"), Some("1")), "the lane overrides the kind");
        assert_eq!(value("ANTHROPIC_API_KEY"), Some("secret"));
        let config_dirs: Vec<&str> =
            environment.iter().filter(|(_, value)| value == "/a/config").map(|(name, _)| name.as_str()).collect();
        let expected: &[&str] = match kind {
            LaneKind::Claude => &["CLAUDE_CONFIG_DIR", "HOST_AGENT_CONFIG_DIR"],
            LaneKind::Codex => &["CODEX_HOME", "HOST_AGENT_CONFIG_DIR"],
            LaneKind::Pi => &["HOST_AGENT_CONFIG_DIR", "PI_CODING_AGENT_DIR"],
            LaneKind::Scripted | LaneKind::Acp | LaneKind::Command => &["HOST_AGENT_CONFIG_DIR"],
        };
        if kind == LaneKind::Acp {
            // It may be an adapter of any of them.
            assert_eq!(config_dirs.len(), 4);
            continue;
        }
        assert_eq!(config_dirs, expected);
        let own = ["CLAUDE_CODE_DISABLE_", "DISABLE_", "IS_SANDBOX", "PI_OFFLINE", "PI_TELEMETRY", "PI_SKIP_"];
        let rest = environment.iter().map(|(name, _)| name.as_str()).filter(|name| {
            let given = ["PATH", "HOME", "TMPDIR", "LANG", "EXTRA", "ANTHROPIC_API_KEY"];
            !given.contains(name) && !expected.contains(name) && !own.iter().any(|prefix| name.starts_with(prefix))
        });
        assert_eq!(rest.collect::<Vec<_>>(), [""; 0], "{kind}");
    }
}

#[test]
fn each_kind_has_a_lane() {
    for kind in LaneKind::ALL {
        let lane = create_lane(&AgentSettings::new(kind), HostProgram::this(), Protection::default());
        assert_eq!(lane.kind(), kind);
    }
}

//! What holds for every dialect, and the tools of the dialects' own tests.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::model::{Credential, SessionEventKind};

/// A recorded stream.
pub(in crate::lane) fn recorded(agent: &str, version: &str, case: &str) -> String {
    let path = streams().join(agent).join(version).join(format!("{case}.jsonl"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn streams() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/streams")
}

/// What a recorded stream means, a line for each thing said.
pub(in crate::lane) fn heard(program: &dyn Program, thread: &Thread, stream: &str) -> Vec<Said> {
    let mut dialect = program.dialect(thread, &AgentSettings::new(program.kind()));
    stream.lines().flat_map(|line| or_raw(dialect.read(line), line)).collect()
}

/// As the reader of a session does it.
fn or_raw(said: Vec<Said>, line: &str) -> Vec<Said> {
    if said.is_empty() { vec![Said::Event(SessionEventKind::Raw { line: line.to_owned() })] } else { said }
}

/// For a snapshot: one line each, cut, and repetitions of what tells nothing counted.
pub(in crate::lane) fn shown(said: &[Said]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut known = 0;
    for said in said {
        if *said == Said::Known {
            known += 1;
            continue;
        }
        if known > 0 {
            lines.push(format!("({known} without an event)"));
            known = 0;
        }
        lines.push(match said {
            Said::Event(kind) => serde_json::to_string(kind).unwrap(),
            Said::Finished { stop_reason } => format!("FINISHED {stop_reason}"),
            Said::Idle { stop_reason } => format!("IDLE {stop_reason}"),
            Said::Broken(fault) => format!("BROKEN {fault}"),
            Said::Answer(line) => format!("ANSWERED {line}"),
            Said::Known => unreachable!(),
        });
    }
    let cut = |line: String| line.chars().take(200).collect::<String>();
    lines.into_iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// One turn of `asked`, as a line.
pub(in crate::lane) fn arguments(program: &dyn Program, settings: &AgentSettings, thread: Option<&str>) -> String {
    let asked = Asked {
        settings,
        turn: if thread.is_some() { 2 } else { 1 },
        message: "--do it",
        thread: thread.map(str::to_owned),
        tmp: Path::new("/nowhere"),
        session: "s",
    };
    let args = program.invocation(&asked).unwrap().args;
    args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn external() -> impl Iterator<Item = &'static dyn Program> {
    LaneKind::ALL.into_iter().filter_map(program)
}

#[test]
fn every_recorded_turn_comes_to_an_end_that_is_told() {
    let mut streams_read = 0;
    for program in external().filter(|program| !matches!(program.kind(), LaneKind::Command | LaneKind::Acp)) {
        let folder = streams().join(program.kind().as_str());
        for file in fs::read_dir(folder).unwrap().flat_map(|version| fs::read_dir(version.unwrap().path()).unwrap()) {
            let path = file.unwrap().path();
            let stream = fs::read_to_string(&path).unwrap();
            let said = heard(program, &Thread::default(), &stream);
            let name = path.display();
            assert!(matches!(said[0], Said::Event(SessionEventKind::Started { .. })), "{name}");
            // One that starts anew has not ended before.
            let last = said.iter().rposition(|it| matches!(it, Said::Event(SessionEventKind::Started { .. })));
            let is_end = |it: &&Said| matches!(it, Said::Finished { .. } | Said::Idle { .. } | Said::Broken(_));
            let ends = said[last.unwrap()..].iter().filter(is_end).count();
            // Those that were silent for ever were killed.
            let silent =
                ["claude/2.1.330/silent.jsonl", "claude/2.1.330/silent-mid-stream.jsonl", "codex/0.169.0/silent.jsonl"];
            let expected = usize::from(!silent.iter().any(|silent| path.ends_with(silent)));
            assert_eq!(ends, expected, "{name}");
            streams_read += 1;
        }
    }
    assert!(streams_read >= 30, "{streams_read} streams are recorded");
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

/// Replaces what is at the `at`-th place of a value, counted through all of it.
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
            let mut dialect = program.dialect(&Thread::default(), &AgentSettings::new(program.kind()));
            dialect.read(&noise);
            dialect.missed();
            for line in &lines {
                dialect.read(&line.to_string());
            }
            dialect.ended(&AgentExit::Code(1), &noise);
        }
    }

    #[test]
    fn a_stream_that_is_a_little_different_does_no_harm(at in 0_usize..60, with in json(), cut in 1_usize..2_000) {
        for (program, version) in
            [(&claude::Claude as &dyn Program, "2.1.330"), (&codex::Codex, "0.169.0"), (&pi::Pi, "0.87.1")]
        {
            let stream = recorded(program.kind().as_str(), version, "turn");
            let mut dialect = program.dialect(&Thread::default(), &AgentSettings::new(program.kind()));
            for line in stream.lines() {
                let mut value: Value = serde_json::from_str(line).unwrap();
                replace(&mut value, &mut at.clone(), &with);
                dialect.read(&value.to_string());
                dialect.read(&line[..line.floor_char_boundary(cut)]);
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
        prompt: String::new(),
        script: None,
        record_dir: None,
        limits: super::super::SessionLimits::default(),
        observer: None,
    };
    let given = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "secret".into());
    let credentials = environment::credentials(settings, given).unwrap();
    let own = program(settings.kind).unwrap().variables(settings, &spec.config_dir);
    let all = environment::environment(settings, &spec, own, credentials);
    all.into_iter().map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap())).collect()
}

#[test]
fn an_environment_holds_what_was_named_and_nothing_else() {
    for program in external() {
        let kind = program.kind();
        let mut settings = AgentSettings::new(kind);
        settings.path = vec!["/opt/agent".into()];
        settings.env = [("LANG".to_owned(), "en".to_owned()), ("EXTRA".into(), "1".into())].into();
        settings.credentials = vec![Credential::Variable("ANTHROPIC_API_KEY".into())];
        let environment = environment_of(&settings, Some("/s/bin"));
        let value = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("PATH").unwrap(), format!("/s/bin:/opt/agent:{}", super::super::SYSTEM_PATH));
        assert_eq!((value("HOME"), value("TMPDIR")), (Some("/a/home"), Some("/a/tmp")));
        assert_eq!((value("LANG"), value("EXTRA")), (Some("en"), Some("1")), "the lane's come over the kind's");
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
fn who_leaves_at_once_did_not_start() {
    let class = |exit: AgentExit, answered: bool| {
        refused_to_start(&exit, "unknown option", answered).into_iter().map(|said| match said {
            Said::Broken(fault) => fault.class,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(class(AgentExit::Code(1), false).collect::<Vec<_>>(), [FaultClass::Launch]);
    for (exit, answered) in [
        (AgentExit::Code(1), true),
        (AgentExit::Code(0), false),
        (AgentExit::Code(143), false),
        (AgentExit::Signal(9), false),
    ] {
        assert_eq!(class(exit, answered).count(), 0, "a crash, as of any agent");
    }
}

//! What an agent cannot change of the run it is part of.

use std::path::Path;

use host::model::{EventKind, SessionEventKind};

use crate::support::{Suite, plain_module};

mod support;

#[test]
fn an_agent_cannot_tamper_with_the_run_its_fixtures_or_the_cache() {
    let suite = Suite::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let (runs, sources) = (suite.path(".host"), suite.path("scenarios"));
    let commands = [
        // The fixture's snapshot, from which the next attempt starts, and what the component sees of the session.
        "echo x > $HOME/../../f1/before/file".to_owned(),
        "cat $HOME/../../f1/before/file".to_owned(),
        "mv $HOME/../root $HOME/../other".to_owned(),
        "mkdir $HOME/../session-2".to_owned(),
        format!("touch {}/planted", runs.display()),
        format!("ls {}/runs", runs.display()),
        format!("touch {}/planted", cache.display()),
        format!("echo x >> {}/s/scenario.toml", sources.display()),
    ];
    let steps: String = commands.iter().map(|command| format!("[[step]]\nshell = '''{command}'''\n")).collect();
    suite
        .file("s.wasm", plain_module("", ""))
        .file("scenarios/s/root/file", "as it was")
        .scenario("s", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent("s", &steps);
    let finished = suite.host(["run", "s.wasm", "--", "s"]);
    finished.exits(0).passes("s");
    let answers: Vec<(&str, bool)> = finished
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Session { detail, .. } => match &detail.kind {
                SessionEventKind::ToolResult { output, is_error, .. } => Some((output.as_str(), *is_error)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), commands.len(), "{answers:?}");
    for ((output, failed), command) in answers.iter().zip(&commands) {
        // What the kernel says is what the record keeps.
        assert!(*failed && output.contains("ermission denied"), "{command}: {output}");
    }
    assert!(!cache.join("planted").exists() && !runs.join("planted").exists());
}

//! What a person sees when a suite, a scenario, a script or a flag is wrong: exit code, stdout and stderr together.

use crate::support::{Listed, Suite, plain_module, typed_module};

mod support;

const SCRIPT: &str = "summary = \"s\"\nexpect = { verdict = \"pass\" }\n";

/// A suite with the plugin `gate.wasm`, which needs a session, and `tool.wasm`, a plain command.
fn suite() -> Suite {
    let suite = Suite::new();
    let gate = Listed { name: "gate", summary: "Asks first.", needs: &["session"], codes: &[] };
    suite.file("gate.wasm", typed_module(&[gate], "", "unreachable", ""));
    suite.file("tool.wasm", plain_module("", ""));
    suite
}

/// All that a call showed, with the suite's folder as `[SUITE]`.
fn shown(suite: &Suite, args: &[&str]) -> String {
    let finished = suite.host(args.iter().copied());
    let folder = suite.path("").display().to_string();
    let text = format!(
        "exit code: {}\n----- stdout -----\n{}----- stderr -----\n{}",
        finished.code.map_or("none".to_owned(), |code| code.to_string()),
        finished.stdout,
        finished.stderr
    );
    assert!(finished.events.is_empty(), "nothing ran");
    text.replace(folder.trim_end_matches('/'), "[SUITE]")
}

#[test]
fn an_unknown_key_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "canary = []\nplugin = [\"*.wasm\"]\n");
    assert_eq!(
        shown(&suite, &["run"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:2:1: unknown key `plugin`; did you mean `plugins`?
  |
2 | plugin = ["*.wasm"]
  | ^^^^^^
"#
    );
}

#[test]
fn an_unknown_value_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[lane.mine]\nkind = \"scriptd\"\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:2:8: unknown kind of lane `scriptd`; did you mean `scripted`?
  |
2 | kind = "scriptd"
  |        ^^^^^^^^^
"#
    );
}

#[test]
fn a_wrong_type_is_told_in_plain_words() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "# Two at once.\njobs = \"two\"\n");
    assert_eq!(
        shown(&suite, &["list", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:2:8: expected a whole number from 0 up, found the text "two"
  |
2 | jobs = "two"
  |        ^^^^^
"#
    );
}

#[test]
fn a_bad_duration_shows_how_to_write_one() {
    let suite = suite();
    suite.scenario("tool", "tags = [\"slow\"]\ndeadline = \"2 minuets\"\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/tool/scenario.toml:2:12: `2 minuets` is no duration; write `500ms`, `90s`, `1m 30s` or `1h`
  |
2 | deadline = "2 minuets"
  |            ^^^^^^^^^^^
"#
    );
}

#[test]
fn a_bad_size_shows_how_to_write_one() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[defaults]\nmemory = \"64 megs\"\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:2:10: `64 megs` is no size; write `64MiB`, `1GB` or a number of bytes
  |
2 | memory = "64 megs"
  |          ^^^^^^^^^
"#
    );
}

#[test]
fn an_unknown_lane_of_the_suite_is_shown_in_its_place() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "lanes = [\"claude\", \"code\"]\n\n[lane.claude]\n[lane.codex]\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:1:20: there is no lane `code`; did you mean `codex`?
  |
1 | lanes = ["claude", "code"]
  |                    ^^^^^^
"#
    );
}

#[test]
fn an_unknown_lane_of_a_flag_offers_the_nearest() {
    let suite = suite();
    assert_eq!(
        shown(&suite, &["run", "tool.wasm", "--lane", "script"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: there is no lane `script`; did you mean `scripted`?
"
    );
}

#[test]
fn an_unknown_agent_offers_the_nearest() {
    let suite = suite();
    suite.agent("gate", "").file("scenarios/gate/agents/wrong-silent.toml", SCRIPT);
    assert_eq!(
        shown(&suite, &["run", "tool.wasm", "--agent", "wrong-silnet"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: no scenario has a scripted agent `wrong-silnet`; did you mean `wrong-silent`?
"
    );
}

#[test]
fn a_missing_grant_is_told_with_the_file_to_give_it_in() {
    let suite = suite();
    suite.scenario("gate", "");
    assert_eq!(
        shown(&suite, &["run", "gate.wasm"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: the scenario `gate` of `gate.wasm` needs the grant `session`, which it is not given; if you trust it, add `session = true` under `[grants]` in scenarios/gate/scenario.toml
"
    );
}

#[test]
fn a_session_without_its_grant_is_shown_in_its_place() {
    let suite = suite();
    suite.scenario("tool", "[session]\nprompt = \"go\"\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/tool/scenario.toml:1:1: `[session]` needs the grant `session`; add `session = true` under `[grants]`
  |
1 | [session]
  | ^^^^^^^^^
"
    );
}

#[test]
fn an_unknown_canary_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "canary = [\"tol\"]\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r#"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:1:11: the canary `tol` is no scenario; did you mean `tool`?
  |
1 | canary = ["tol"]
  |           ^^^^^
"#
    );
}

#[test]
fn a_name_of_the_host_s_in_a_fixture_is_refused() {
    let suite = suite();
    suite.file("scenarios/tool/root/host/notes.txt", "");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: the fixture [SUITE]/scenarios/tool/root contains `host`, which is reserved in a root; rename it
"
    );
}

#[test]
fn a_bad_step_of_a_script_is_shown_in_its_place() {
    let suite = suite();
    suite.agent("tool", "[[step]]\nsay = \"hello\"\n\n[[step]]\nwrite = \"a.txt\"\n");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/tool/agents/right.toml:6:1: a step with `write` needs `text`
  |
6 | [[step]]
  | ^^^^^^^^
"
    );
}

#[test]
fn a_suite_that_is_not_there_is_told_with_what_to_give() {
    let suite = suite();
    assert_eq!(
        shown(&suite, &["run", "tool.wasm", "--suite", "nightly"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: there is no suite at nightly; `--suite` takes a `suite.toml` or the folder that holds it
"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "jobs = 0\n");
    suite.scenario("tool", "memory = 0\n").file("scenarios/gate/root", "");
    assert_eq!(
        shown(&suite, &["run", "tool.wasm"]),
        r"exit code: 96
----- stdout -----
----- stderr -----
error: scenarios/suite.toml:1:8: `jobs` must be at least 1
  |
1 | jobs = 0
  |        ^
error: scenarios/gate/root must be a folder; move it away or rename it
error: scenarios/tool/scenario.toml:1:10: no component can run with a limit of zero; raise it, or remove the key
  |
1 | memory = 0
  |          ^
"
    );
}

//! What a person sees when a suite, a scenario, a script or a flag is wrong: exit code, stdout and stderr together.

use host_testing::{Finished, Listed, Suite, host_snapshot, plain_module, typed_module};

const SCRIPT: &str = "summary = \"s\"\nexpect = { verdict = \"pass\" }\n";

/// A suite with the plugin `gate.wasm`, which needs a session, and `tool.wasm`, a plain command.
fn suite() -> Suite {
    let suite = Suite::new();
    let gate = Listed { name: "gate", summary: "Asks first.", needs: &["session"], codes: &[] };
    suite.file("gate.wasm", typed_module(&[gate], "", "unreachable", ""));
    suite.file("tool.wasm", plain_module("", ""));
    suite
}

/// A call that ends before anything runs.
fn refused(suite: &Suite, args: &[&str]) -> Finished {
    let finished = suite.host(args.iter().copied());
    assert!(finished.events.is_empty(), "nothing ran");
    finished
}

#[test]
fn an_unknown_key_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "canary = []\nplugin = [\"*.wasm\"]\n");
    host_snapshot!(refused(&suite, &["run"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:1: unknown key `plugin`; did you mean `plugins`?
      |
    2 | plugin = ["*.wasm"]
      | ^^^^^^
    "#);
}

#[test]
fn an_unknown_value_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[lane.mine]\nkind = \"scriptd\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:8: unknown value `scriptd`; did you mean `scripted`?
      |
    2 | kind = "scriptd"
      |        ^^^^^^^^^
    "#);
}

#[test]
fn a_wrong_type_names_the_expected_type() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "# Two at once.\njobs = \"two\"\n");
    host_snapshot!(refused(&suite, &["list", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:8: expected a whole number of at least 0, found the text "two"
      |
    2 | jobs = "two"
      |        ^^^^^
    "#);
}

#[test]
fn a_bad_duration_shows_how_to_write_one() {
    let suite = suite();
    suite.scenario("tool", "tags = [\"slow\"]\ntimeout = \"2 minuets\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:2:11: `2 minuets` is not a duration; write `500ms`, `90s`, `1m 30s` or `1h`
      |
    2 | timeout = "2 minuets"
      |           ^^^^^^^^^^^
    "#);
}

#[test]
fn a_bad_size_shows_how_to_write_one() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[defaults]\nmax-memory = \"64 megs\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:14: `64 megs` is not a size; write `64MiB`, `1GB` or a number of bytes
      |
    2 | max-memory = "64 megs"
      |              ^^^^^^^^^
    "#);
}

#[test]
fn an_unknown_lane_of_the_suite_is_shown_in_its_place() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "lanes = [\"claude\", \"code\"]\n\n[lane.claude]\n[lane.codex]\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:1:20: there is no lane `code`; did you mean `codex`?
      |
    1 | lanes = ["claude", "code"]
      |                    ^^^^^^
    "#);
}

#[test]
fn an_unknown_lane_of_a_flag_offers_the_nearest() {
    let suite = suite();
    host_snapshot!(refused(&suite, &["run", "tool.wasm", "--lane", "script"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: there is no lane `script`; did you mean `scripted`?
    ");
}

#[test]
fn an_unknown_agent_offers_the_nearest() {
    let suite = suite();
    suite.agent("gate", "").file("scenarios/gate/agents/wrong-silent.toml", SCRIPT);
    host_snapshot!(refused(&suite, &["run", "tool.wasm", "--agent", "wrong-silnet"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: no scenario has a scripted agent `wrong-silnet`; did you mean `wrong-silent`?
    ");
}

#[test]
fn a_missing_grant_names_the_file_to_edit() {
    let suite = suite();
    suite.scenario("gate", "");
    host_snapshot!(refused(&suite, &["run", "gate.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: the scenario `gate` of `gate.wasm` needs the grant `session`, which it does not have; if you trust it, add `session = true` under `[grants]` in scenarios/gate/scenario.toml
    ");
}

#[test]
fn a_session_without_its_grant_is_shown_in_its_place() {
    let suite = suite();
    suite.scenario("tool", "[session]\nprompt = \"go\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:1:1: `[session]` needs the grant `session`; add `session = true` under `[grants]`
      |
    1 | [session]
      | ^^^^^^^^^
    ");
}

#[test]
fn an_unknown_canary_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "canary = [\"tol\"]\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:1:11: the canary `tol` is not a scenario; did you mean `tool`?
      |
    1 | canary = ["tol"]
      |           ^^^^^
    "#);
}

#[test]
fn a_name_of_the_host_s_in_a_fixture_is_refused() {
    let suite = suite();
    suite.file("scenarios/tool/root/host/notes.txt", "");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: the fixture [SUITE]/scenarios/tool/root contains `host`, which is reserved in a root; rename it
    ");
}

#[test]
fn a_bad_step_of_a_script_is_shown_in_its_place() {
    let suite = suite();
    suite.agent("tool", "[[step]]\nsay = \"hello\"\n\n[[step]]\nwrite = \"a.txt\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/agents/right.toml:6:1: a step with `write` needs `text`
      |
    6 | [[step]]
      | ^^^^^^^^
    ");
}

#[test]
fn a_missing_suite_has_a_hint() {
    let suite = suite();
    host_snapshot!(refused(&suite, &["run", "tool.wasm", "--suite", "nightly"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: there is no suite at nightly; `--suite` takes a `suite.toml` or the folder that contains it
    ");
}

#[test]
fn all_errors_are_reported_together() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "jobs = 0\n");
    suite.scenario("tool", "max-memory = 0\n").file("scenarios/gate/root", "");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:1:8: `jobs` must be from 1 to 5000
      |
    1 | jobs = 0
      |        ^
    error: scenarios/gate/root must be a folder; move it away or rename it
    error: scenarios/tool/scenario.toml:1:14: no component can run with a limit of zero; raise it, or remove the key
      |
    1 | max-memory = 0
      |              ^
    ");
}

#[test]
fn a_number_without_a_unit_shows_how_to_write_one() {
    let suite = suite();
    suite.scenario("tool", "timeout = 30\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:1:11: a duration needs a unit, in quotes: `"30s"` for seconds, `"30m"` for minutes
      |
    1 | timeout = 30
      |           ^^
    "#);
}

#[test]
fn a_step_in_single_brackets_shows_the_double_ones() {
    let suite = suite();
    suite.agent("tool", "[step]\nsay = \"hello\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/agents/right.toml:3:1: `[step]` is a single table; write `[[step]]`, once for each
      |
    3 | [step]
      | ^^^^^^
    ");
}

#[test]
fn a_missing_plugin_is_reported_with_its_position() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"tool.wasm\", \"gates.wasm\", \"*.wsam\"]\n");
    suite.scenario("gate", "plugin = \"built/gate.wasm\"\n");
    host_snapshot!(refused(&suite, &["run"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:1:25: cannot read the plugin `[SUITE]/gates.wasm`: No such file or directory (os error 2)
      |
    1 | plugins = ["tool.wasm", "gates.wasm", "*.wsam"]
      |                         ^^^^^^^^^^^^
    error: scenarios/suite.toml:1:39: `*.wsam` matches no file; build the plugins first, or correct the pattern
      |
    1 | plugins = ["tool.wasm", "gates.wasm", "*.wsam"]
      |                                       ^^^^^^^^
    error: scenarios/gate/scenario.toml:1:10: cannot read the plugin `[SUITE]/built/gate.wasm`: No such file or directory (os error 2)
      |
    1 | plugin = "built/gate.wasm"
      |          ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_unknown_cause_for_a_retry_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[defaults]\nretry-on = [\"idle\", \"overlaod\"]\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:21: unknown retry cause `overlaod`; did you mean `overload`?
      |
    2 | retry-on = ["idle", "overlaod"]
      |                     ^^^^^^^^^^
    "#);
    host_snapshot!(refused(&suite, &["run", "tool.wasm", "--retry-on", "idle,overlaod"]), @"
    exit code: 2
    ----- stdout -----
    ----- stderr -----
    error: invalid value 'overlaod' for '--retry-on <CLASS>'
      [possible values: launch, overload, idle, timeout, crash, trap, denied, limit, protocol, resources, internal, fail]

      tip: a similar value exists: 'overload'

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_profile_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[profile.nightly]\n[profile.ci]\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm", "--profile", "nihgtly"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: there is no profile `nihgtly`; did you mean `nightly`?
    ");
}

#[test]
fn a_profile_has_no_keys_of_the_suite_alone() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[profile.ci]\ncanary = []\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:2:1: unknown key `canary` in `[profile.ci]`; expected one of `lanes`, `jobs`, `flaky-result`, `xpass`, `max-fail`, `fail-fast`, `repeat-each`, `reporters`, `defaults`, `lane`
      |
    2 | canary = []
      | ^^^^^^
    ");
}

const EXPECT_FAIL: &str = "[[expect-fail]]\nowner = \"ada\"\nreason = \"issue 7\"\nuntil = 2999-12-31\n";

#[test]
fn an_expected_failure_without_its_owner_is_shown_in_its_place() {
    let suite = suite();
    suite.scenario("tool", "tags = []\n\n[[expect-fail]]\nfindings = \"exit-code\"\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:3:1: the key `owner` is missing; add it
      |
    3 | [[expect-fail]]
      | ^^^^^^^^^^^^^^^
    ");
}

#[test]
fn an_expected_failure_of_an_unknown_lane_offers_the_nearest() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "lanes = [\"codex\"]\n[lane.codex]\n[lane.claude]\n");
    suite.scenario("tool", &format!("{EXPECT_FAIL}findings = \"exit-code\"\nlane = [\"codex\", \"cluade\"]\n"));
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:6:18: there is no lane `cluade`; did you mean `claude`?
      |
    6 | lane = ["codex", "cluade"]
      |                  ^^^^^^^^
    "#);
}

#[test]
fn an_expected_finding_that_cannot_come_offers_the_nearest() {
    let suite = suite();
    let held = Listed { name: "held", summary: "", needs: &[], codes: &["gate-held", "gate-asked"] };
    suite.file("held.wasm", typed_module(&[held], "", "", ""));
    suite.scenario("held", &format!("{EXPECT_FAIL}findings = [\"gate-asked\", \"gate-hold\"]\n"));
    suite.scenario("tool", &format!("{EXPECT_FAIL}findings = \"stdout\"\n"));
    host_snapshot!(refused(&suite, &["run", "held.wasm", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/held/scenario.toml:5:27: the scenario `held` has no finding `gate-hold`; did you mean `gate-held`?
      |
    5 | findings = ["gate-asked", "gate-hold"]
      |                           ^^^^^^^^^^^
    error: scenarios/tool/scenario.toml:5:12: the scenario `tool` has no finding `stdout`; there are `exit-code`
      |
    5 | findings = "stdout"
      |            ^^^^^^^^
    "#);
}

#[test]
fn an_invalid_day_shows_how_to_write_one() {
    let suite = suite();
    let text = "[[expect-fail]]\nfindings = \"exit-code\"\nowner = \"ada\"\nreason = \"r\"\nuntil = \"31.12.2026\"\n";
    suite.scenario("tool", text);
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/tool/scenario.toml:5:9: `31.12.2026` is not a day; write year, month and day: `2026-12-31`
      |
    5 | until = "31.12.2026"
      |         ^^^^^^^^^^^^
    "#);
}

#[test]
fn two_settings_for_one_limit_are_reported() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[profile.ci]\nmax-fail = 3\nfail-fast = true\n");
    host_snapshot!(refused(&suite, &["run", "tool.wasm"]), @r"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/suite.toml:3:13: `fail-fast` and `max-fail` set the same limit; remove one of them
      |
    3 | fail-fast = true
      |             ^^^^
    ");
}

//! `host check` and what `host list` says of retries and expected failures.

use std::fs;

use serde_json::Value;

use host_testing::{Finished, Listed, Suite, host_snapshot, plain_module, typed_module};

/// A sound suite with the typed plugin `gate.wasm` and the command `tool.wasm`.
fn suite() -> Suite {
    let suite = Suite::new();
    let gate = Listed { name: "gate", summary: "Asks first.", needs: &["session"], codes: &["asked", "held"] };
    suite.file("gate.wasm", typed_module(&[gate], "", "unreachable", ""));
    suite.file("tool.wasm", plain_module("", ""));
    suite.file("scenarios/suite.toml", "plugins = [\"*.wasm\"]\ncanary = [\"tool\"]\n[lane.one]\n[lane.two]\n");
    suite.scenario("gate", "[grants]\nsession = true\n").agent("gate", "").file("scenarios/gate/root/a.txt", "a");
    suite.scenario("tool", "");
    suite
}

fn expect_fail(lane: &str, codes: &str, until: &str) -> String {
    format!(
        "[grants]\nsession = true\n[[expect-fail]]\nlane = {lane}\nfindings = {codes}\nowner = \"ada\"\n\
         reason = \"issue 7\"\nuntil = {until}\n"
    )
}

/// A call that ends before anything runs.
fn idle<'a>(suite: &Suite, args: impl IntoIterator<Item = &'a str>) -> Finished {
    let finished = suite.host(args);
    assert!(finished.events.is_empty(), "nothing ran");
    finished
}

#[test]
fn a_valid_suite_has_a_short_report() {
    let suite = suite();
    host_snapshot!(idle(&suite, ["check"]), @"
    exit code: 0
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      one, two
    folders    2
    plugins    2
    scenarios  gate, tool
    valid
    ----- stderr -----
    ");
    assert_eq!(suite.leftovers(), [""; 0]);
}

/// As a run says too: it would only be found by the session, as a fault that is tried again.
#[test]
fn a_scenario_without_the_agents_that_it_needs_is_a_problem() {
    let suite = suite();
    fs::remove_dir_all(suite.path("scenarios/gate/agents")).unwrap();
    host_snapshot!(idle(&suite, ["check"]), @"
    exit code: 96
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      one, two
    folders    2
    plugins    2
    scenarios  gate, tool
    invalid: 2 errors
    ----- stderr -----
    error: the lane `one` plays the agent `right`, but the scenario `gate` has no agents; add the file `agents/right.toml` to its folder
    error: the lane `two` plays the agent `right`, but the scenario `gate` has no agents; add the file `agents/right.toml` to its folder
    ");
    host_snapshot!(idle(&suite, ["run"]), @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: the lane `one` plays the agent `right`, but the scenario `gate` has no agents; add the file `agents/right.toml` to its folder
    error: the lane `two` plays the agent `right`, but the scenario `gate` has no agents; add the file `agents/right.toml` to its folder
    ");
}

#[test]
fn a_scenario_named_as_a_plugin_gets_a_hint() {
    let suite = suite();
    host_snapshot!(idle(&suite, ["run", "gate"]), @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: the plugin `gate` does not exist
    help: to select a scenario by name, write it after `--` (`host run -- gate`)
    ");
    host_snapshot!(idle(&suite, ["list", "--", "gaet"]), @"
    exit code: 0
    ----- stdout -----
    lane one (scripted): 0 scenarios
    lane two (scripted): 0 scenarios
    ----- stderr -----
    warning: no scenario's name contains `gaet`
    ");
}

#[test]
fn every_problem_of_a_suite_is_reported() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"*.wasm\"]\n[lane.one]\nagent = \"rihgt\"\n");
    suite.scenario("gate", &expect_fail("\"one\"", "\"asked\"", "2020-01-31"));
    let wrong = "summary = \"s\"\nexpect = { verdict = \"fail\", findings = [\"hold\"] }\n";
    suite.file("scenarios/gate/agents/wrong.toml", wrong);
    suite.file("scenarios/tool/root/host/x", "");
    fs::create_dir(suite.path("scenarios/tool/agent")).unwrap();
    fs::create_dir(suite.path("scenarios/tools")).unwrap();
    host_snapshot!(idle(&suite, ["check"]), @"
    exit code: 96
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      one
    folders    3
    plugins    2
    scenarios  gate, tool
    invalid: 3 errors and 3 warnings
    ----- stderr -----
    warning: scenarios/gate/scenario.toml:8:9: expected until 2020-01-31, which has passed, so it counts as a failure again; ask ada
      |
    8 | until = 2020-01-31
      |         ^^^^^^^^^^
    warning: scenarios/tool/agent is not read; did you mean `agents`?
    warning: scenarios/tools is not used: no plugin of the suite has a scenario `tools`
    error: the fixture [SUITE]/scenarios/tool/root contains `host`, which is reserved in a root; rename it
    error: scenarios/gate/agents/wrong.toml expects the finding `hold`, but the scenario `gate` has none of that code; did you mean `held`?
    error: the lane `one` plays the agent `rihgt`, but the scenario `gate` has only `right`, `wrong`; did you mean `right`?
    ");
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn unused_lanes_and_profiles_are_also_checked() {
    let suite = suite();
    let lanes = "lanes = [\"one\"]\n[lane.one]\n[lane.two]\nagent = \"left\"\n";
    suite.file("scenarios/suite.toml", format!("plugins = [\"*.wasm\"]\n{lanes}"));
    host_snapshot!(idle(&suite, ["check"]), @"
    exit code: 96
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      one, two
    folders    2
    plugins    2
    scenarios  gate, tool
    invalid: 1 error
    ----- stderr -----
    error: the lane `two` plays the agent `left`, but the scenario `gate` has only `right`
    ");
    suite.file("scenarios/suite.toml", "plugins = [\"*.wasm\"]\n[profile.ci]\nlanes = [\"thre\"]\n");
    host_snapshot!(idle(&suite, ["check"]), @r#"
    exit code: 96
    ----- stdout -----
    invalid: 1 error
    ----- stderr -----
    error: scenarios/suite.toml:3:10: there is no lane `thre`; there is only `scripted`
      |
    3 | lanes = ["thre"]
      |          ^^^^^^
    "#);
}

#[test]
fn a_broken_plugin_is_reported() {
    let suite = suite();
    suite.file("tool.wasm", "#!/bin/sh");
    host_snapshot!(idle(&suite, ["check"]), @"
    exit code: 96
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      one, two
    folders    2
    invalid: 1 error
    ----- stderr -----
    error: `tool.wasm` is not WebAssembly but a script; give a `.wasm` component or core module
    ");
}

#[test]
fn problems_are_data_for_tools() {
    let suite = suite();
    suite.scenario("gate", &expect_fail("\"three\"", "\"asked\"", "2999-01-31"));
    let finished = suite.host(["check", "--format", "json"]);
    let document: Value = serde_json::from_str(&finished.exits(96).stdout).unwrap();
    assert_eq!(
        document["problems"],
        serde_json::json!([{
            "level": "error",
            "message": "there is no lane `three`; there are `one`, `scripted`, `two`",
            "file": "scenarios/gate/scenario.toml",
            "line": 4,
            "column": 8,
        }])
    );
    assert_eq!((&document["schema"], &document["valid"]), (&1.into(), &false.into()));
    suite.scenario("gate", "[grants]\nsession = true\n");
    let document: Value = serde_json::from_str(&suite.host(["check", "--format", "json"]).exits(0).stdout).unwrap();
    assert_eq!(document["scenarios"], serde_json::json!(["gate", "tool"]));
}

#[test]
fn the_list_shows_retries_and_expected_failures() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"gate.wasm\"]\n[lane.one]\n[lane.two]\nretries = 2\n");
    let (open, over) = (expect_fail("\"one\"", "[\"asked\", \"held\"]", "2999-12-31"), "\"2020-12-31\"");
    let expired = format!(
        "[[expect-fail]]\nlane = \"two\"\nfindings = \"held\"\nowner = \"bob\"\nreason = \"r\"\nuntil = {over}\n"
    );
    suite.scenario("gate", &format!("{open}{expired}"));
    host_snapshot!(suite.host(["list"]), @"
    exit code: 0
    ----- stdout -----
    lane one (scripted): 1 scenario
      gate  timeout 10m  grant session
            Asks first.
            expected to fail: asked, held, until 2999-12-31; ada: issue 7
            in gate.wasm
    lane two (scripted): 1 scenario
      gate  timeout 10m  grant session  retries 2
            Asks first.
            expected to fail: held, until 2020-12-31, EXPIRED; bob: r
            in gate.wasm
    ----- stderr -----
    ");
    let document: Value = serde_json::from_str(&suite.host(["list", "--format", "json"]).exits(0).stdout).unwrap();
    let (one, two) = (&document["lanes"][0]["scenarios"][0], &document["lanes"][1]["scenarios"][0]);
    assert_eq!(
        one["expected-failures"],
        serde_json::json!([{
            "lanes": ["one"],
            "findings": ["asked", "held"],
            "owner": "ada",
            "reason": "issue 7",
            "until": "2999-12-31",
            "expired": false,
        }])
    );
    assert_eq!(two["expected-failures"][0]["expired"], true);
    let retry = serde_json::json!({ "retries": 2, "on": ["launch", "overload", "idle", "crash"], "delay-ms": 1000 });
    assert_eq!(two["retry"], retry);
}

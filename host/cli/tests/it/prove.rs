//! `host prove` holds the graders of this repository against their agents, and notices a grader with a gap.

use std::process::Command;

use host_testing::{Suite, plugin, probe, repository};

#[test]
fn every_grader_of_this_repository_is_proved() {
    let suite = Suite::new();
    let plugins = ["ensign-cycle", "gate", "merge-hook", "rejection-flow", "three-cycle-escalation"]
        .map(|name| plugin(name).to_string_lossy().into_owned());
    let args = ["prove", "-j", "32"].into_iter().chain(plugins.iter().map(String::as_str));
    let finished = suite.host_in(&repository(), args);
    finished.exits(0);
    assert!(finished.stdout.contains("\nproved: "), "{}", finished.told());
    assert!(!finished.stdout.contains("WRONG"), "{}", finished.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_grader_without_one_of_its_clauses_is_not_proved() {
    let suite = Suite::new();
    let gate = suite.path("scenarios/gate");
    std::fs::create_dir(suite.path("scenarios")).unwrap();
    let copied = Command::new("cp").arg("-R").args([&repository().join("scenarios/gate"), &gate]).status().unwrap();
    assert!(copied.success());
    // The folder is the plugin's that it names.
    let pinned = std::fs::read_to_string(gate.join("scenario.toml")).unwrap();
    suite.scenario("gate", &pinned.replace("plugin = \"plugins/gate.wasm\"\n", ""));
    let finished = suite.host(["prove", "-j", "32", probe("probe-mutant").to_str().unwrap()]);
    finished.exits(100);
    assert!(finished.stdout.contains("\nnot proved: "), "{}", finished.told());
    assert!(finished.stdout.contains("WRONG wrong-status-done"), "{}", finished.told());
    let gap = "must fail with exactly `gate-not-held`, but passes";
    assert!(finished.stdout.contains(gap), "{}", finished.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn another_plugin_with_a_scenario_of_that_name_gets_none_of_its_grants() {
    let suite = Suite::new();
    for command in ["run", "prove"] {
        let finished = suite.host_in(&repository(), [command, probe("probe-mutant").to_str().unwrap()]);
        finished.exits(if command == "run" { 96 } else { 4 });
    }
    let finished = suite.host_in(&repository(), ["run", probe("probe-mutant").to_str().unwrap()]);
    assert!(finished.stderr.contains("scenarios/gate/scenario.toml is for `plugins/gate.wasm`"), "{}", finished.told());
}

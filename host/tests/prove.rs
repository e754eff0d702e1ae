//! `host prove` holds the graders of this repository against their agents, and notices a grader with a gap.

use crate::support::{Suite, plugin, probe, repository};

mod support;

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
    let finished = suite.host_in(&repository(), ["prove", "-j", "32", probe("probe-mutant").to_str().unwrap()]);
    finished.exits(100);
    assert!(finished.stdout.contains("\nnot proved: "), "{}", finished.told());
    assert!(finished.stdout.contains("WRONG wrong-status-done"), "{}", finished.told());
    let gap = "must fail with `gate-not-held` and nothing else, but passes";
    assert!(finished.stdout.contains(gap), "{}", finished.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

//! Plays the scripted agents of a scenario's folder against its grader, natively: what `host prove` does with the real
//! host, as a unit test of a plugin.
//!
//! ```text
//! #[test]
//! fn the_agents_get_the_verdicts_that_they_declare() {
//!     scenario_sdk::rehearsal::rehearse(&crate::SCENARIO, crate::grade);
//! }
//! ```
//!
//! Steps that only a host can do (faults, several turns) are not played: such a script is an error here.

mod damage;
mod play;
mod script;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs, path::PathBuf};

pub use damage::Damage;
pub use play::{Performance, play};
use script::Expectation;
pub use script::Script;

use crate::{Evidence, Scenario, Verdict};

/// The folder of a scenario in this repository.
#[must_use]
pub fn folder(scenario: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")).join(scenario)
}

/// Plays every agent of the scenario and compares each verdict with the one that the agent's file declares. Besides,
/// every clause must have a wrong agent that it alone catches.
///
/// # Panics
/// When something does not hold; the message lists all of it.
pub fn rehearse(scenario: &Scenario, grade: fn(Evidence) -> Verdict) {
    let folder = folder(scenario.name());
    let mut complaints = Vec::new();
    let mut caught_alone = BTreeSet::new();
    let mut passed = BTreeSet::new();
    let mut agents: Vec<_> = fs::read_dir(folder.join("agents"))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    agents.sort();
    for path in &agents {
        let agent = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let script = Script::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let performance = play(&folder.join("root"), &script).unwrap_or_else(|error| panic!("{agent}: {error}"));
        let verdict = grade(performance.evidence());
        let found = codes(&verdict);
        match (&script.expect, &verdict) {
            (Expectation::Pass, Verdict::Pass) => {
                passed.insert(agent);
            }
            (Expectation::Fail { findings }, Verdict::Fail(_)) if *findings == found => {
                if let [only] = found.iter().collect::<Vec<_>>()[..] {
                    caught_alone.insert(only.clone());
                }
            }
            (expected, _) => complaints.push(format!("{agent}: expected {expected:?}, got {verdict:#?}")),
        }
    }
    if !passed.contains("right") || passed.len() < 2 {
        complaints.push("there must be an agent `right` and an accepted paraphrase".to_owned());
    }
    for (code, _) in scenario.clauses() {
        if !caught_alone.contains(code) {
            complaints.push(format!("no wrong agent is caught by `{code}` alone"));
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", scenario.name(), complaints.join("\n"));
}

/// Breaks what the agent `right` left in every way that [`Damage`] knows, and has it graded. A root of which
/// nothing can be read must fail, and nothing may make the grader panic.
///
/// # Panics
/// When something does not hold.
pub fn harass(scenario: &Scenario, grade: fn(Evidence) -> Verdict) {
    let folder = folder(scenario.name());
    let path = folder.join("agents/right.toml");
    let script = Script::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for damage in Damage::ALL {
        let performance = play(&folder.join("root"), &script).unwrap_or_else(|error| panic!("right: {error}"));
        damage.apply(&performance.root().join(".git")).unwrap_or_else(|error| panic!("{damage:?}: {error}"));
        // A grader that does not look at the history passes.
        let _ = grade(performance.evidence());
        damage.apply(performance.root()).unwrap_or_else(|error| panic!("{damage:?}: {error}"));
        let verdict = grade(performance.evidence());
        assert!(!damage.is_total() || matches!(verdict, Verdict::Fail(_)), "{damage:?}: {verdict:?}");
    }
}

/// The codes of a verdict's findings.
#[must_use]
pub fn codes(verdict: &Verdict) -> BTreeSet<String> {
    match verdict {
        Verdict::Fail(findings) => findings.iter().map(|finding| finding.code.clone()).collect(),
        Verdict::Pass | Verdict::Skip(_) => BTreeSet::new(),
    }
}

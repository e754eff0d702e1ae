//! Whether a lane's canaries let it open.

use std::collections::HashMap;

use host_suite::plan::LanePlan;

/// The canaries of a run, by their lane's place and the suite's name for them. That name can mean scenarios of several
/// plugins; then one that passes is enough, so that no plugin can block a lane by listing another's canary.
#[derive(Default)]
pub(super) struct Canaries(HashMap<(usize, String), Group>);

#[derive(Default)]
struct Group {
    trials: usize,
    failed: usize,
    passed: bool,
}

/// What the verdict on a canary means for its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// So many canaries need not be waited for any more.
    Passed(usize),
    /// Nothing: another one of its name has passed, or can still pass.
    Nothing,
    /// The lane stays closed.
    Failed,
}

impl Canaries {
    pub(super) fn of(lanes: &[LanePlan]) -> Self {
        let mut canaries = Self::default();
        for (place, lane) in lanes.iter().enumerate() {
            for trial in &lane.canaries {
                canaries
                    .0
                    .entry((place, key(trial.scenario.canary.as_deref(), &trial.id.scenario.0)))
                    .or_default()
                    .trials += 1;
            }
        }
        canaries
    }

    /// A canary of `lane` has its verdict.
    pub(super) fn judged(&mut self, lane: usize, entry: Option<&str>, id: &str, passed: bool) -> Meaning {
        let group = self.0.entry((lane, key(entry, id))).or_default();
        match (group.passed, passed) {
            (true, _) => Meaning::Nothing,
            (false, true) => {
                group.passed = true;
                Meaning::Passed(group.trials)
            }
            (false, false) => {
                group.failed += 1;
                if group.failed < group.trials { Meaning::Nothing } else { Meaning::Failed }
            }
        }
    }
}

/// A canary that no entry of a suite names stands for itself.
fn key(entry: Option<&str>, id: &str) -> String {
    entry.unwrap_or(id).to_owned()
}

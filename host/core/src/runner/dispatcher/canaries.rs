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

/// The effect of a canary's verdict on its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CanaryEffect {
    /// The lane does not wait for this number of canaries any more.
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

    /// Records the verdict of a canary of `lane`.
    pub(super) fn judged(&mut self, lane: usize, entry: Option<&str>, id: &str, passed: bool) -> CanaryEffect {
        let group = self.0.entry((lane, key(entry, id))).or_default();
        match (group.passed, passed) {
            (true, _) => CanaryEffect::Nothing,
            (false, true) => {
                group.passed = true;
                CanaryEffect::Passed(group.trials)
            }
            (false, false) => {
                group.failed += 1;
                if group.failed < group.trials { CanaryEffect::Nothing } else { CanaryEffect::Failed }
            }
        }
    }
}

/// The name that canaries are grouped by.
fn key(entry: Option<&str>, id: &str) -> String {
    entry.unwrap_or(id).to_owned()
}

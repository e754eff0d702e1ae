//! Where a trial stands.

use std::sync::Arc;

use tokio::time::Instant;

use super::millis;
use host_model::{Outcome, RunningTrial};
use host_suite::plan::PlannedTrial;

/// A trial on its way from the plan to its verdict.
pub(super) struct TrialState {
    pub(super) trial: Arc<PlannedTrial>,
    /// Its lane's place in the run.
    pub(super) lane: usize,
    /// Attempts so far, the one under way included.
    pub(super) attempts: u32,
    /// How its attempts ended, without those that ran short, except for the last one.
    pub(super) ended: Vec<Outcome>,
    /// Attempts that the machine ran short in.
    pub(super) short: u32,
    /// How its last attempt ended, while it waits for the machine.
    pub(super) waits_for_capacity: Option<Outcome>,
    /// The generation of the capacity in which its attempt started.
    pub(super) generation: u32,
    /// Milliseconds over all attempts that have ended.
    pub(super) duration_ms: u64,
    pub(super) phase: Phase,
    /// Whether its component, or an earlier session of its attempt, changed what the agent starts with.
    pub(super) setup_changed: bool,
}

/// The phase of a trial.
pub(super) enum Phase {
    /// In its lane's queue.
    Waiting,
    /// Its attempt has a task, which has not requested to start yet.
    Spawned,
    /// Its attempt was allowed to start.
    Running {
        since: Instant,
    },
    /// Its attempt ended, and another follows when it is due.
    Retrying,
    Finished,
}

impl TrialState {
    pub(super) fn new(trial: Arc<PlannedTrial>, lane: usize) -> Self {
        Self {
            trial,
            lane,
            attempts: 0,
            ended: Vec::new(),
            short: 0,
            waits_for_capacity: None,
            generation: 0,
            duration_ms: 0,
            phase: Phase::Waiting,
            setup_changed: false,
        }
    }

    /// Whether attempt number `attempt` has a task and no record yet.
    pub(super) fn is_under_way(&self, attempt: u32) -> bool {
        attempt == self.attempts && matches!(self.phase, Phase::Spawned | Phase::Running { .. })
    }

    /// The trial in a status report, if it runs or waits for its retry, which is due at `due`.
    pub(super) fn running(&self, due: Option<Instant>) -> Option<RunningTrial> {
        let row = |attempt, elapsed_ms, retry_in_ms| {
            Some(RunningTrial { id: self.trial.id.clone(), attempt, elapsed_ms, retry_in_ms })
        };
        match self.phase {
            Phase::Running { since } => row(self.attempts, millis(since.elapsed()), None),
            Phase::Retrying => {
                let left = due.map(|due| millis(due.saturating_duration_since(Instant::now())));
                row(self.attempts + 1, 0, Some(left.unwrap_or(0)))
            }
            Phase::Waiting | Phase::Spawned | Phase::Finished => None,
        }
    }
}

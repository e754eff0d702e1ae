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
    /// How its attempts ended. Those that the machine was too short for are left out, but for the last one.
    pub(super) ended: Vec<Outcome>,
    /// Attempts that the machine was too short for.
    pub(super) short: u32,
    /// How its last attempt ended, while it waits for room for another.
    pub(super) waits_for_room: Option<Outcome>,
    /// When its attempt started, as the room for attempts counts.
    pub(super) era: u32,
    /// Milliseconds over all attempts that have ended.
    pub(super) duration_ms: u64,
    pub(super) phase: Phase,
    /// Whether its component, or an earlier session of its attempt, had a hand in what the agent starts with.
    pub(super) touched: bool,
}

/// What a trial is at.
pub(super) enum Phase {
    /// In its lane's queue.
    Waiting,
    /// Its attempt has a task, which has not asked for leave to start yet.
    Asked,
    /// Its attempt was given leave to start.
    Running { since: Instant },
    /// Its attempt ended, and another follows when it is due.
    Retrying,
    /// It has its verdict.
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
            waits_for_room: None,
            era: 0,
            duration_ms: 0,
            phase: Phase::Waiting,
            touched: false,
        }
    }

    /// Whether attempt number `attempt` has a task and no record yet.
    pub(super) fn is_under_way(&self, attempt: u32) -> bool {
        attempt == self.attempts && matches!(self.phase, Phase::Asked | Phase::Running { .. })
    }

    /// The trial as a status tells it, if it runs or waits for its retry, which is due at `due`.
    pub(super) fn running(&self, due: Option<Instant>) -> Option<RunningTrial> {
        let told = |attempt, elapsed_ms, retry_in_ms| {
            Some(RunningTrial { id: self.trial.id.clone(), attempt, elapsed_ms, retry_in_ms })
        };
        match self.phase {
            Phase::Running { since } => told(self.attempts, millis(since.elapsed()), None),
            Phase::Retrying => {
                let left = due.map(|due| millis(due.saturating_duration_since(Instant::now())));
                told(self.attempts + 1, 0, Some(left.unwrap_or(0)))
            }
            Phase::Waiting | Phase::Asked | Phase::Finished => None,
        }
    }
}

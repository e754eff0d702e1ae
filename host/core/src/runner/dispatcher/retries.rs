//! Trials that wait for another attempt.

use std::time::Duration;

use tokio::time::Instant;

use super::{Dispatcher, millis, trial::Phase};
use crate::runner::verdict::in_a_line;
use host_model::{EventKind, Outcome};

/// The longest wait before a retry; a longer one is no different from never.
const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Dispatcher<'_> {
    pub(super) fn schedule_retry(&mut self, index: usize, outcome: &Outcome) {
        let state = &self.trials[index];
        let delay = state.trial.retry.delay_after(state.attempts - state.short).mul_f64(1.0 - 0.5 * fastrand::f64());
        self.retry_after(index, state.attempts, delay, outcome);
    }

    pub(super) fn retry_after(&mut self, index: usize, attempt: u32, delay: Duration, outcome: &Outcome) {
        let state = &mut self.trials[index];
        let trial = state.trial.id.clone();
        state.phase = Phase::Retrying;
        self.retries.insert((Instant::now() + delay.min(MAX_DELAY), index));
        let reason = in_a_line(outcome);
        self.emit(EventKind::RetryScheduled { trial, attempt, delay_ms: millis(delay), reason });
    }

    pub(super) fn queue_due_retries(&mut self) {
        let now = Instant::now();
        while let Some((_, index)) = self.retries.first().copied().filter(|(due, _)| *due <= now) {
            self.retries.pop_first();
            let state = &mut self.trials[index];
            state.phase = Phase::Waiting;
            self.lanes.again(state.lane, index, state.trial.canary);
        }
    }
}

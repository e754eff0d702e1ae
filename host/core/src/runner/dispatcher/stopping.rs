//! Ends a run, or a lane of it, before everything has started.

use super::{Dispatcher, TrialState};
use crate::runner::executor::StopRequest;
use host_model::{EventKind, Verdict};

impl Dispatcher<'_> {
    /// Whether nothing more starts in any lane.
    pub(super) fn is_stopping(&self) -> bool {
        self.halted.is_some() || self.interrupted.is_some()
    }

    pub(super) fn may_start(&self, index: usize) -> bool {
        !self.is_stopping() && self.given_up[self.trials[index].lane].is_none()
    }

    /// Starts nothing more of the lane, canaries included, and retries nothing.
    pub(super) fn abort(&mut self, lane: usize, reason: &str) {
        self.given_up[lane] = Some(reason.to_owned());
        for index in self.lanes.drain(lane) {
            self.finish_waiting(index, Verdict::Blocked { reason: reason.to_owned() });
        }
        self.conclude_retries(|state| state.lane == lane);
    }

    /// Finishes a trial that waits: by its last attempt, or with `otherwise` if it never started.
    pub(super) fn finish_waiting(&mut self, index: usize, otherwise: Verdict) {
        let state = &self.trials[index];
        let never_ended = state.ended.is_empty() && state.waits_for_capacity.is_none();
        if never_ended { self.finish(index, otherwise) } else { self.conclude(index) }
    }

    /// Finishes the trials for which `meant` holds and that wait for a retry, by their last attempt.
    fn conclude_retries(&mut self, meant: impl Fn(&TrialState) -> bool) {
        let (settled, left): (Vec<_>, Vec<_>) =
            self.retries.iter().copied().partition(|(_, index)| meant(&self.trials[*index]));
        self.retries = left.into_iter().collect();
        for (_, index) in settled {
            self.conclude(index);
        }
    }

    pub(super) fn halt_if_enough(&mut self) {
        let Some(bound) = self.policy.max_fail.filter(|bound| self.failed >= *bound && !self.is_stopping()) else {
            return;
        };
        let noun = if self.failed == 1 { "trial has" } else { "trials have" };
        let reason = format!("{} {noun} failed, and `max-fail` is {bound}", self.failed);
        self.emit(EventKind::Halted { reason: reason.clone() });
        self.halted = Some(reason.clone());
        self.cancel_waiting(&reason);
    }

    fn cancel_waiting(&mut self, reason: &str) {
        for index in self.lanes.drain_all() {
            self.finish_waiting(index, Verdict::Cancelled { reason: reason.to_owned() });
        }
        self.conclude_retries(|_| true);
    }

    /// The verdict on a trial of `lane` that may not start any more.
    pub(super) fn unstarted_verdict(&self, lane: usize) -> Verdict {
        match (&self.interrupted, &self.given_up[lane], &self.halted) {
            (Some(signal), ..) => Verdict::Cancelled { reason: interrupted_by(signal) },
            (None, Some(reason), _) => Verdict::Blocked { reason: reason.clone() },
            (None, None, reason) => Verdict::Cancelled { reason: reason.clone().unwrap_or_default() },
        }
    }

    pub(super) fn interrupt(&mut self, signal: String) {
        let again = self.interrupted.is_some();
        // Attempts that have no receiver any more have ended.
        let _ = self.stop.send(if again { StopRequest::Kill } else { StopRequest::Graceful });
        if again {
            return;
        }
        self.emit(EventKind::Interrupted { signal: signal.clone() });
        let reason = interrupted_by(&signal);
        self.interrupted = Some(signal);
        self.cancel_waiting(&reason);
    }
}

fn interrupted_by(signal: &str) -> String {
    format!("the run was interrupted by {signal}")
}

//! How a run, or a lane of it, comes to an end before everything has started.

use super::{Dispatcher, TrialState};
use crate::runner::executor::Stop;
use host_model::{EventKind, Verdict};

impl Dispatcher<'_> {
    /// Whether nothing more starts in any lane.
    pub(super) fn is_stopping(&self) -> bool {
        self.halted.is_some() || self.interrupted.is_some()
    }

    pub(super) fn may_start(&self, index: usize) -> bool {
        !self.is_stopping() && self.given_up[self.trials[index].lane].is_none()
    }

    /// Nothing more of the lane starts, canaries included, and nothing is tried again.
    pub(super) fn give_up(&mut self, lane: usize, reason: &str) {
        self.given_up[lane] = Some(reason.to_owned());
        for index in self.lanes.drain(lane) {
            self.finish_waiting(index, Verdict::Blocked { reason: reason.to_owned() });
        }
        self.settle_retries(|state| state.lane == lane);
    }

    /// A trial that waits has its verdict: that of its last attempt, or `otherwise` when it never started.
    pub(super) fn finish_waiting(&mut self, index: usize, otherwise: Verdict) {
        let state = &self.trials[index];
        let never_ended = state.ended.is_empty() && state.waits_for_room.is_none();
        if never_ended { self.finish(index, otherwise) } else { self.conclude(index) }
    }

    /// Of the trials that wait for a retry, those that are `meant` have the verdict of their last attempt.
    fn settle_retries(&mut self, meant: impl Fn(&TrialState) -> bool) {
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
        self.cancel_what_waits(&reason);
    }

    fn cancel_what_waits(&mut self, reason: &str) {
        for index in self.lanes.drain_all() {
            self.finish_waiting(index, Verdict::Cancelled { reason: reason.to_owned() });
        }
        self.settle_retries(|_| true);
    }

    /// The verdict on a trial of `lane` that was on its way and may not start any more.
    pub(super) fn why_unstarted(&self, lane: usize) -> Verdict {
        match (&self.interrupted, &self.given_up[lane], &self.halted) {
            (Some(signal), ..) => Verdict::Cancelled { reason: interrupted_by(signal) },
            (None, Some(reason), _) => Verdict::Blocked { reason: reason.clone() },
            (None, None, reason) => Verdict::Cancelled { reason: reason.clone().unwrap_or_default() },
        }
    }

    pub(super) fn interrupt(&mut self, signal: String) {
        let again = self.interrupted.is_some();
        // Attempts that have no receiver any more have ended.
        let _ = self.stop.send(if again { Stop::Kill } else { Stop::Ask });
        if again {
            return;
        }
        self.emit(EventKind::Interrupted { signal: signal.clone() });
        let reason = interrupted_by(&signal);
        self.interrupted = Some(signal);
        self.cancel_what_waits(&reason);
    }
}

fn interrupted_by(signal: &str) -> String {
    format!("the run was interrupted by {signal}")
}

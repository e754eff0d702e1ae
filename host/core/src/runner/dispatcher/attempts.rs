//! What attempts report, and what follows from it.

use std::sync::Arc;

use tokio::{
    sync::mpsc,
    task::{Id, JoinError},
    time::Instant,
};

use super::{Dispatcher, MAX_MESSAGES, breaker::Setup, millis, trial::Phase};
use crate::runner::{
    executor::{Message, MessageKind},
    verdict::{is_retried, verdict_on},
};
use host_model::{AttemptRecord, EventKind, Fault, FaultClass, Grant, Outcome, Verdict};

impl Dispatcher<'_> {
    /// Receives pending messages. A limited number: an agent that floods the inbox must not keep the dispatcher from
    /// receiving signals.
    pub(super) fn receive_pending(&mut self, inbox: &mut mpsc::Receiver<Message>) {
        for _ in 0..MAX_MESSAGES {
            let Ok(message) = inbox.try_recv() else { return };
            self.receive(message);
        }
    }

    pub(super) fn receive(&mut self, message: Message) {
        let Message { trial: index, attempt, kind } = message;
        if !self.trials[index].is_under_way(attempt) {
            // The attempt left something that still sends. Its record has been reported and stays as it is.
            return;
        }
        let trial = self.trials[index].trial.id.clone();
        match kind {
            MessageKind::Starting(leave) => {
                // The run may have been stopped since the task was spawned: then it may not start, and the end of the task
                // finishes the trial.
                if !self.may_start(index) {
                    return;
                }
                let state = &mut self.trials[index];
                state.waits_for_capacity = None;
                state.phase = Phase::Running { since: Instant::now() };
                self.emit(EventKind::AttemptStarted { trial, attempt });
                let _ = leave.send(());
            }
            MessageKind::Session { session, event } => {
                self.emit(EventKind::Session { trial, attempt, session, detail: *event });
            }
            MessageKind::SetupChanged => self.trials[index].setup_changed = true,
            MessageKind::Reported(report) => self.emit(EventKind::Reported { trial, attempt, report }),
            MessageKind::Finished(record) => self.attempt_finished(index, *record),
        }
    }

    /// A task has ended. Without a record its trial gets a fault.
    pub(super) fn task_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, panic) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(task_failure(error))),
        };
        let Some((index, attempt)) = self.task_trials.remove(&id) else { return };
        let state = &mut self.trials[index];
        if !state.is_under_way(attempt) {
            return;
        }
        if let Phase::Running { since } = state.phase {
            let record = AttemptRecord {
                outcome: Outcome::Fault(internal_fault("the attempt ended without a record", panic)),
                duration_ms: millis(since.elapsed()),
                usage: Default::default(),
                artifacts: None,
                kept: None,
            };
            self.attempt_finished(index, record);
            return;
        }
        // It was not allowed to start, or died before it requested that.
        state.attempts -= 1;
        let lane = state.lane;
        self.lanes.ended(lane);
        match panic {
            None if !self.may_start(index) => {
                let verdict = self.unstarted_verdict(lane);
                self.finish_waiting(index, verdict);
            }
            panic => self.finish(index, Verdict::Fault(internal_fault("the attempt did not start", panic))),
        }
    }

    pub(super) fn attempt_finished(&mut self, index: usize, mut record: AttemptRecord) {
        if let (Outcome::Cancelled { reason }, None) = (&record.outcome, &self.interrupted) {
            // It would count as neither failed nor passed.
            let what = format!("the attempt ended as cancelled ({reason}), but nothing cancelled the run");
            record.outcome = Outcome::Fault(internal_fault(&what, None));
        }
        let state = &mut self.trials[index];
        let (lane, attempt) = (state.lane, state.attempts);
        state.duration_ms += record.duration_ms;
        let trial = Arc::clone(&state.trial);
        let running = self.lanes.running();
        self.lanes.ended(lane);
        self.tally.usage(&record.usage);
        let outcome = record.outcome.clone();
        self.emit(EventKind::AttemptFinished { trial: trial.id.clone(), attempt, record });
        if self.note_shortage(index, &outcome, running) {
            return;
        }
        let state = &mut self.trials[index];
        state.ended.push(outcome.clone());
        let judged = attempt - state.short;
        // A trial without an agent says nothing about the lane's agent.
        let broke = if trial.scenario.grants.has(Grant::Session) {
            let setup = Setup::of(&trial.scenario, self.trials[index].setup_changed);
            self.breakers[lane].ended(index, &outcome, setup)
        } else {
            None
        };
        if let Some(reason) = broke.filter(|_| self.may_start(index)) {
            self.emit(EventKind::LaneBroken { lane: self.lanes.name(lane).clone(), reason: reason.clone() });
            self.abort(lane, &reason);
        }
        if self.may_start(index) && is_retried(&trial, judged, &outcome) {
            self.schedule_retry(index, &outcome);
        } else {
            self.conclude(index);
        }
    }

    /// Checks whether the machine ran short in an attempt that has ended. If so, fewer run in parallel from now on. Returns
    /// whether the attempt is made again.
    fn note_shortage(&mut self, index: usize, outcome: &Outcome, running: usize) -> bool {
        let state = &mut self.trials[index];
        let Outcome::Fault(fault) = outcome else {
            if !matches!(outcome, Outcome::Cancelled { .. }) {
                self.capacity.note_success();
            }
            return false;
        };
        if !fault.is_shortage() {
            return false;
        }
        let reason = fault.message.lines().next().unwrap_or_default().to_owned();
        let (attempt, generation) = (state.attempts, state.generation);
        state.short += 1;
        let short = state.short as usize;
        if let Some(jobs) = self.capacity.note_shortage(generation, running) {
            self.emit(EventKind::JobsLowered { jobs, reason });
        }
        let wait = if self.may_start(index) { self.capacity.retry_delay(short) } else { None };
        let Some(wait) = wait else {
            // This is the trial's outcome, like any other.
            self.trials[index].short -= 1;
            return false;
        };
        // This is the trial's outcome if the run is stopped before.
        self.trials[index].waits_for_capacity = Some(outcome.clone());
        self.retry_after(index, attempt, wait, outcome);
        true
    }

    /// Finishes a trial that has no more attempts: the last one decides.
    pub(super) fn conclude(&mut self, index: usize) {
        let state = &mut self.trials[index];
        let last = state.waits_for_capacity.take().or_else(|| state.ended.pop());
        let Some(last) = last else { return };
        let verdict = verdict_on(&state.trial, &state.ended, last, &self.policy);
        self.finish(index, verdict);
    }
}

/// The fault of a task that ended as it must not.
fn internal_fault(what: &str, why: Option<String>) -> Fault {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(FaultClass::Internal, format!("{what}{why}; this is a bug in host"))
}

fn task_failure(error: JoinError) -> String {
    // The message of the panic is not shown: it may quote secrets that are not known here.
    if error.is_panic() { "it panicked".into() } else { "its task is gone".into() }
}

//! The only writer of a run's state and the one place that orders its events.

mod breaker;
mod canaries;
mod context;
mod lanes;
mod log;
mod room;
mod stopping;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

pub use self::context::RunContext;
use self::{
    breaker::{Breaker, Setup},
    canaries::{Canaries, Meaning},
    lanes::Lanes,
    log::Log,
    room::Room,
    trial::{Phase, TrialState},
};
use super::{
    executor::{Executor, Feed, Message, MessageKind, Stop, attempt},
    summary::{Tally, opens_lane},
    verdict::{in_a_line, is_tried_again, verdict_on},
};
use host_model::{
    AttemptRecord, Canary, Event, EventKind, Fault, FaultClass, Grant, Outcome, Redactor, RunRules, RunSummary, Verdict,
};
use host_suite::plan::Plan;

/// Messages that may wait for the dispatcher; beyond them attempts wait.
const MESSAGES: usize = 1024;
/// The longest wait before a retry; a longer one cannot be told from never.
const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often a sink that was full is looked at again.
const FULL_CHECK: Duration = Duration::from_millis(50);

/// Takes the ordered stream. It must not fail: a sink that cannot write says so at the end.
pub trait EventSink {
    /// The next event.
    fn event(&mut self, event: &Event);
    /// No event follows for the moment: what is buffered goes out.
    fn flush(&mut self);
    /// Whether so much waits in it that attempts should not add to it. Signals are heard all the same.
    fn is_full(&mut self) -> bool {
        false
    }
}

/// What a run is told from outside while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It is to end. The first stops what has not started and asks agents to stop, the second ends everything at
    /// once. Holds the signal's name.
    Stop(String),
    /// Somebody wants to know what runs.
    Status,
}

/// Runs `plan` to its end and returns the figures.
pub async fn dispatch(
    plan: &Plan,
    context: RunContext,
    executor: Arc<dyn Executor>,
    sink: &mut dyn EventSink,
    mut signals: mpsc::Receiver<Signal>,
) -> RunSummary {
    let (messages, mut inbox) = mpsc::channel(MESSAGES);
    let (stop, _) = watch::channel(Stop::No);
    let mut dispatcher = Dispatcher::new(plan, executor, sink, messages, stop);
    dispatcher.emit(context.started(plan));
    dispatcher.skip_lanes(plan);
    dispatcher.open_lanes();
    let mut signals_open = true;
    loop {
        dispatcher.queue_due_retries();
        dispatcher.start_what_may();
        if dispatcher.unfinished == 0 {
            break;
        }
        dispatcher.sink.flush();
        let retry = dispatcher.retries.first().map(|(due, _)| *due);
        let is_full = dispatcher.sink.is_full();
        tokio::select! {
            biased;
            signal = signals.recv(), if signals_open => match signal {
                Some(Signal::Stop(name)) => dispatcher.interrupt(name),
                Some(Signal::Status) => dispatcher.tell_status(),
                None => signals_open = false,
            },
            Some(message) = inbox.recv(), if !is_full => {
                dispatcher.hear(message);
                dispatcher.hear_what_waits(&mut inbox);
            }
            Some(ended) = dispatcher.tasks.join_next_with_id(), if !dispatcher.tasks.is_empty() => {
                // Before a task ends it has sent its messages: they are heard first.
                dispatcher.hear_what_waits(&mut inbox);
                dispatcher.task_ended(ended);
            }
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            () = sleep(FULL_CHECK), if is_full => {}
        }
    }
    dispatcher.end()
}

struct Dispatcher<'a> {
    executor: Arc<dyn Executor>,
    sink: &'a mut dyn EventSink,
    messages: mpsc::Sender<Message>,
    stop: watch::Sender<Stop>,
    policy: RunRules,
    began: Instant,
    next_seq: u64,
    log: Log,
    unfinished: usize,
    lanes: Lanes,
    canaries: Canaries,
    room: Room,
    breakers: Vec<Breaker>,
    /// Why nothing more of a lane starts, by its place.
    given_up: Vec<Option<String>>,
    trials: Vec<TrialState>,
    /// Trials that wait for their retry, by when it is due.
    retries: BTreeSet<(Instant, usize)>,
    tasks: JoinSet<()>,
    /// Which trial a task is of, and which attempt.
    task_trials: HashMap<Id, (usize, u32)>,
    failed: u32,
    tally: Tally,
    /// Why nothing more starts, although nobody interrupts.
    halted: Option<String>,
    interrupted: Option<String>,
}

impl<'a> Dispatcher<'a> {
    fn new(
        plan: &Plan,
        executor: Arc<dyn Executor>,
        sink: &'a mut dyn EventSink,
        messages: mpsc::Sender<Message>,
        stop: watch::Sender<Stop>,
    ) -> Self {
        let mut trials = Vec::new();
        let mut lanes = Lanes::new(plan.jobs);
        for (lane, planned) in plan.lanes.iter().enumerate() {
            let first = trials.len();
            let all = planned.canaries.iter().chain(&planned.rest);
            trials.extend(all.map(|trial| TrialState::new(Arc::clone(trial), lane)));
            let rest = first + planned.canaries.len();
            lanes.add(planned.name.clone(), planned.jobs, first..rest, rest..trials.len());
        }
        Self {
            executor,
            sink,
            messages,
            stop,
            policy: plan.policy.clone(),
            began: Instant::now(),
            next_seq: 0,
            log: Log::default(),
            unfinished: trials.len(),
            lanes,
            canaries: Canaries::of(&plan.lanes),
            room: Room::new(plan.jobs),
            breakers: plan.lanes.iter().map(Breaker::of).collect(),
            given_up: vec![None; plan.lanes.len()],
            trials,
            retries: BTreeSet::new(),
            tasks: JoinSet::new(),
            task_trials: HashMap::new(),
            failed: 0,
            tally: Tally::default(),
            halted: None,
            interrupted: None,
        }
    }

    fn emit(&mut self, kind: EventKind) {
        let at_ms = millis(self.began.elapsed());
        for kind in self.log.take(kind) {
            let event = Event { seq: self.next_seq, at_ms, kind };
            self.next_seq += 1;
            self.sink.event(&event);
        }
    }

    /// Lanes that are not run at all have their verdicts before anything starts.
    fn skip_lanes(&mut self, plan: &Plan) {
        for (lane, planned) in plan.lanes.iter().enumerate() {
            let Some(reason) = &planned.skipped else { continue };
            self.given_up[lane] = Some(reason.clone());
            for index in self.lanes.close(lane) {
                self.finish(index, Verdict::Skip { reason: reason.clone() });
            }
        }
    }

    /// Starts as many trials as canaries and caps allow.
    fn start_what_may(&mut self) {
        if self.is_stopping() {
            return;
        }
        while let Some(trial) = self.lanes.start_next(self.room.limit()) {
            self.start(trial);
        }
    }

    fn start(&mut self, index: usize) {
        let state = &mut self.trials[index];
        state.attempts += 1;
        state.era = self.room.era();
        state.touched = false;
        state.phase = Phase::Asked;
        let (messages, redactor) = (self.messages.clone(), Redactor::default());
        let feed = Feed { trial: index, attempt: state.attempts, messages, redactor };
        let task = attempt(Arc::clone(&self.executor), Arc::clone(&state.trial), feed, self.stop.subscribe());
        let handle = self.tasks.spawn(task);
        self.task_trials.insert(handle.id(), (index, state.attempts));
    }

    /// Hears what has been sent by now. Not until the inbox is empty: an agent that floods could keep the
    /// dispatcher from ever hearing a signal.
    fn hear_what_waits(&mut self, inbox: &mut mpsc::Receiver<Message>) {
        for _ in 0..MESSAGES {
            let Ok(message) = inbox.try_recv() else { return };
            self.hear(message);
        }
    }

    fn hear(&mut self, message: Message) {
        let Message { trial: index, attempt, kind } = message;
        if !self.trials[index].is_under_way(attempt) {
            // Something that the attempt left behind still talks. Its record has been told and stays the last word.
            return;
        }
        let trial = self.trials[index].trial.id.clone();
        match kind {
            MessageKind::Starting(leave) => {
                // Between being spawned and asking, the run may have been stopped: then there is no leave, and the
                // task's end settles the trial.
                if !self.may_start(index) {
                    return;
                }
                let state = &mut self.trials[index];
                state.waits_for_room = None;
                state.phase = Phase::Running { since: Instant::now() };
                self.emit(EventKind::AttemptStarted { trial, attempt });
                let _ = leave.send(());
            }
            MessageKind::Session { session, event } => {
                self.emit(EventKind::Session { trial, attempt, session, detail: *event });
            }
            MessageKind::Touched => self.trials[index].touched = true,
            MessageKind::Reported(report) => self.emit(EventKind::Reported { trial, attempt, report }),
            MessageKind::Finished(record) => self.attempt_finished(index, *record),
        }
    }

    /// A task is over. Without a record its trial did not end well, whatever it was doing.
    fn task_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, panic) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(death_of(error))),
        };
        let Some((index, attempt)) = self.task_trials.remove(&id) else { return };
        let state = &mut self.trials[index];
        if !state.is_under_way(attempt) {
            return;
        }
        if let Phase::Running { since } = state.phase {
            let record = AttemptRecord {
                outcome: Outcome::Fault(own_fault("the attempt ended without a record", panic)),
                duration_ms: millis(since.elapsed()),
                usage: Default::default(),
                artifacts: None,
                kept: None,
            };
            self.attempt_finished(index, record);
            return;
        }
        // It was given no leave to start, or died before it asked.
        state.attempts -= 1;
        let lane = state.lane;
        self.lanes.ended(lane);
        match panic {
            None if !self.may_start(index) => {
                let verdict = self.why_unstarted(lane);
                self.finish_waiting(index, verdict);
            }
            panic => self.finish(index, Verdict::Fault(own_fault("the attempt did not start", panic))),
        }
    }

    fn attempt_finished(&mut self, index: usize, mut record: AttemptRecord) {
        if let (Outcome::Cancelled { reason }, None) = (&record.outcome, &self.interrupted) {
            // It would count as neither failed nor passed, in a run that ends well.
            let what = format!("the attempt ended as cancelled ({reason}), but nothing cancelled the run");
            record.outcome = Outcome::Fault(own_fault(&what, None));
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
        if self.was_short(index, &outcome, running) {
            return;
        }
        let state = &mut self.trials[index];
        state.ended.push(outcome.clone());
        let judged = attempt - state.short;
        // What has no agent says nothing about the lane's.
        let broke = if trial.scenario.grants.has(Grant::Session) {
            let setup = Setup::of(&trial.scenario, self.trials[index].touched);
            self.breakers[lane].ended(index, &outcome, setup)
        } else {
            None
        };
        if let Some(reason) = broke.filter(|_| self.may_start(index)) {
            self.emit(EventKind::LaneBroken { lane: self.lanes.name(lane).clone(), reason: reason.clone() });
            self.give_up(lane, &reason);
        }
        if self.may_start(index) && is_tried_again(&trial, judged, &outcome) {
            self.schedule_retry(index, &outcome);
        } else {
            self.conclude(index);
        }
    }

    /// Looks whether the machine was too short for an attempt that has ended. If so fewer run at once from now on, and
    /// the attempt is made again where that may help: then this returns true.
    fn was_short(&mut self, index: usize, outcome: &Outcome, running: usize) -> bool {
        let state = &mut self.trials[index];
        let Outcome::Fault(fault) = outcome else {
            if !matches!(outcome, Outcome::Cancelled { .. }) {
                self.room.was_enough();
            }
            return false;
        };
        if !fault.is_shortage() {
            return false;
        }
        let reason = fault.message.lines().next().unwrap_or_default().to_owned();
        let (attempt, era) = (state.attempts, state.era);
        state.short += 1;
        let short = state.short as usize;
        if let Some(jobs) = self.room.was_short(era, running) {
            self.emit(EventKind::JobsLowered { jobs, reason });
        }
        let wait = if self.may_start(index) { self.room.wait(short) } else { None };
        let Some(wait) = wait else {
            // It is the trial's own end, like any other.
            self.trials[index].short -= 1;
            return false;
        };
        // Should the run be stopped before, this is what the trial ended as.
        self.trials[index].waits_for_room = Some(outcome.clone());
        self.retry_after(index, attempt, wait, outcome);
        true
    }

    /// No attempt of the trial follows: the last one decides.
    fn conclude(&mut self, index: usize) {
        let state = &mut self.trials[index];
        let last = state.waits_for_room.take().or_else(|| state.ended.pop());
        let Some(last) = last else { return };
        let verdict = verdict_on(&state.trial, &state.ended, last, &self.policy);
        self.finish(index, verdict);
    }

    fn schedule_retry(&mut self, index: usize, outcome: &Outcome) {
        let state = &self.trials[index];
        let delay = state.trial.retry.delay_after(state.attempts - state.short).mul_f64(1.0 - 0.5 * fastrand::f64());
        self.retry_after(index, state.attempts, delay, outcome);
    }

    fn retry_after(&mut self, index: usize, attempt: u32, delay: Duration, outcome: &Outcome) {
        let state = &mut self.trials[index];
        let trial = state.trial.id.clone();
        state.phase = Phase::Retrying;
        self.retries.insert((Instant::now() + delay.min(MAX_DELAY), index));
        let reason = in_a_line(outcome);
        self.emit(EventKind::RetryScheduled { trial, attempt, delay_ms: millis(delay), reason });
    }

    fn queue_due_retries(&mut self) {
        let now = Instant::now();
        while let Some((_, index)) = self.retries.first().copied().filter(|(due, _)| *due <= now) {
            self.retries.pop_first();
            let state = &mut self.trials[index];
            state.phase = Phase::Waiting;
            self.lanes.again(state.lane, index, state.trial.canary);
        }
    }

    fn finish(&mut self, index: usize, verdict: Verdict) {
        let state = &mut self.trials[index];
        state.phase = Phase::Finished;
        state.ended = Vec::new();
        self.unfinished -= 1;
        let (trial, lane, attempts, duration_ms) =
            (Arc::clone(&state.trial), state.lane, state.attempts, state.duration_ms);
        self.executor.over(&trial);
        self.tally.trial(&trial, &verdict, duration_ms);
        let (opens, failure, how) = (opens_lane(&verdict), verdict.is_failure(), verdict.word());
        self.emit(EventKind::TrialFinished { trial: trial.id.clone(), attempts, duration_ms, verdict });
        self.failed += u32::from(failure);
        if trial.canary == Canary::Yes && !matches!(how, "cancelled" | "blocked") {
            match self.canaries.judged(lane, trial.scenario.canary.as_deref(), &trial.id.scenario.0, opens) {
                Meaning::Passed(count) => {
                    self.lanes.canaries_passed(lane, count);
                    self.open_lanes();
                }
                Meaning::Nothing => {}
                Meaning::Failed => {
                    let article = if how == "fail" { "failed".to_owned() } else { format!("ended as {how}") };
                    self.give_up(lane, &format!("canary {} {article}", trial.id.scenario));
                }
            }
        }
        if failure {
            self.halt_if_enough();
        }
    }

    fn open_lanes(&mut self) {
        for lane in self.lanes.open_what_may() {
            self.emit(EventKind::LaneOpened { lane });
        }
    }

    fn tell_status(&mut self) {
        let due: HashMap<usize, Instant> = self.retries.iter().map(|(due, index)| (*index, *due)).collect();
        let states = self.trials.iter().enumerate();
        let running = states.filter_map(|(index, state)| state.running(due.get(&index).copied())).collect();
        let count = |wanted: fn(&Phase) -> bool| self.trials.iter().filter(|state| wanted(&state.phase)).count();
        let waiting = count(|phase| matches!(phase, Phase::Waiting | Phase::Asked));
        let finished = count(|phase| matches!(phase, Phase::Finished));
        self.emit(EventKind::Status { running, waiting, finished });
    }

    fn end(mut self) -> RunSummary {
        if let Some(cut) = self.log.end() {
            self.emit(cut);
        }
        let wall_ms = millis(self.began.elapsed());
        let summary = std::mem::take(&mut self.tally).summary(wall_ms, self.interrupted.is_some());
        self.emit(EventKind::RunFinished { summary: summary.clone() });
        self.sink.flush();
        summary
    }
}

/// The fault of a task that broke its word.
fn own_fault(what: &str, why: Option<String>) -> Fault {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(FaultClass::Internal, format!("{what}{why}; this is a bug of host"))
}

fn death_of(error: JoinError) -> String {
    // The words of the panic stay untold: whose secrets they may quote is not known here.
    if error.is_panic() { "it panicked".into() } else { "its task is gone".into() }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

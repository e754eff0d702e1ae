//! The only writer of a run's state and the one place that orders its events.

mod lanes;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use self::lanes::Lanes;
use super::{
    executor::{Executor, Feed, Message, MessageKind, Stop, attempt},
    summary::Tally,
};
use crate::{
    model::{
        AttemptRecord, Canary, Event, EventKind, Fault, FaultClass, LaneInfo, Outcome, PluginInfo, RunId, RunSummary,
        SCHEMA_VERSION, TrialInfo, Verdict,
    },
    plan::{Plan, PlannedTrial},
};

/// Messages that may wait for the dispatcher; beyond them attempts wait.
const MESSAGES: usize = 1024;

/// Takes the ordered stream. It must not fail: a sink that cannot write says so at the end.
pub trait EventSink {
    /// The next event.
    fn event(&mut self, event: &Event);
    /// No event follows for the moment: what is buffered goes out.
    fn flush(&mut self);
}

/// What the first event tells of the run.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// The run.
    pub run: RunId,
    /// RFC 3339 time in UTC.
    pub time: String,
    /// Version of the engine.
    pub wasmtime: String,
    /// The plugins.
    pub plugins: Vec<PluginInfo>,
    /// The run directory.
    pub directory: Option<PathBuf>,
    /// The run whose sessions are graded again.
    pub regrades: Option<RunId>,
}

/// Runs `plan` to its end and returns the figures. `signals` yields the names of signals as they arrive: the
/// first stops what has not started and asks agents to stop, the second ends everything at once.
pub async fn dispatch(
    plan: &Plan,
    context: RunContext,
    executor: Arc<dyn Executor>,
    sink: &mut dyn EventSink,
    mut signals: mpsc::Receiver<String>,
) -> RunSummary {
    let (messages, mut inbox) = mpsc::channel(MESSAGES);
    let (stop, _) = watch::channel(Stop::No);
    let mut dispatcher = Dispatcher::new(plan, executor, sink, messages, stop);
    dispatcher.begin(plan, context);
    let mut signals_open = true;
    loop {
        dispatcher.start_what_may();
        if dispatcher.unfinished == 0 {
            break;
        }
        dispatcher.sink.flush();
        tokio::select! {
            biased;
            signal = signals.recv(), if signals_open => match signal {
                Some(signal) => dispatcher.interrupt(signal),
                None => signals_open = false,
            },
            Some(message) = inbox.recv() => {
                dispatcher.hear(message);
                dispatcher.hear_what_waits(&mut inbox);
            }
            Some(ended) = dispatcher.tasks.join_next_with_id(), if !dispatcher.tasks.is_empty() => {
                // Before a task ends it has sent its messages: they are heard first.
                dispatcher.hear_what_waits(&mut inbox);
                dispatcher.task_ended(ended);
            }
        }
    }
    dispatcher.end()
}

struct Dispatcher<'a> {
    executor: Arc<dyn Executor>,
    sink: &'a mut dyn EventSink,
    messages: mpsc::Sender<Message>,
    stop: watch::Sender<Stop>,
    began: Instant,
    next_seq: u64,
    unfinished: usize,
    lanes: Lanes,
    trials: Vec<TrialState>,
    tasks: JoinSet<()>,
    task_trials: HashMap<Id, usize>,
    tally: Tally,
    interrupted: Option<String>,
}

struct TrialState {
    trial: Arc<PlannedTrial>,
    lane: usize,
    attempts: u32,
    /// When its attempt was given leave to start.
    started: Option<Instant>,
    finished: bool,
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
            trials.extend(planned.canaries.iter().chain(&planned.rest).map(|trial| TrialState {
                trial: Arc::clone(trial),
                lane,
                attempts: 0,
                started: None,
                finished: false,
            }));
            let rest = first + planned.canaries.len();
            lanes.add(planned.name.clone(), planned.jobs, first..rest, rest..trials.len());
        }
        Self {
            executor,
            sink,
            messages,
            stop,
            began: Instant::now(),
            next_seq: 0,
            unfinished: trials.len(),
            lanes,
            trials,
            tasks: JoinSet::new(),
            task_trials: HashMap::new(),
            tally: Tally::default(),
            interrupted: None,
        }
    }

    fn emit(&mut self, kind: EventKind) {
        let event = Event { seq: self.next_seq, at_ms: millis(self.began.elapsed()), kind };
        self.next_seq += 1;
        self.sink.event(&event);
    }

    fn begin(&mut self, plan: &Plan, context: RunContext) {
        let labels: HashMap<usize, &str> =
            context.plugins.iter().enumerate().map(|(index, plugin)| (index, plugin.label.as_str())).collect();
        let trials = plan.trials().map(|trial| TrialInfo {
            id: trial.id.clone(),
            canary: trial.canary,
            plugin: labels.get(&trial.scenario.plugin.0).copied().unwrap_or_default().to_owned(),
            name: trial.scenario.name.clone(),
        });
        let lanes = plan.lanes.iter().map(|lane| LaneInfo {
            name: lane.name.clone(),
            kind: lane.kind.as_str().to_owned(),
            jobs: lane.jobs,
        });
        let started = EventKind::RunStarted {
            schema: SCHEMA_VERSION,
            run: context.run,
            time: context.time,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            wasmtime: context.wasmtime,
            lanes: lanes.collect(),
            trials: trials.collect(),
            plugins: context.plugins,
            jobs: plan.jobs,
            canary_skipped: plan.canary_skipped,
            directory: context.directory,
            regrades: context.regrades,
        };
        self.emit(started);
        self.open_lanes();
    }

    /// Starts as many trials as canaries and caps allow.
    fn start_what_may(&mut self) {
        if self.interrupted.is_some() {
            return;
        }
        while let Some(trial) = self.lanes.start_next() {
            self.start(trial);
        }
    }

    fn start(&mut self, index: usize) {
        let state = &mut self.trials[index];
        state.attempts += 1;
        let feed = Feed { trial: index, attempt: state.attempts, messages: self.messages.clone() };
        let task = attempt(Arc::clone(&self.executor), Arc::clone(&state.trial), feed, self.stop.subscribe());
        let handle = self.tasks.spawn(task);
        self.task_trials.insert(handle.id(), index);
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
        if self.trials[index].finished {
            // Something that the attempt left behind still talks. Its record has been told and stays the last word.
            return;
        }
        let trial = self.trials[index].trial.id.clone();
        match kind {
            MessageKind::Starting(leave) => {
                // Between being spawned and asking, the run may have been interrupted: then there is no leave,
                // and the task's end settles the trial.
                if self.interrupted.is_none() {
                    self.trials[index].started = Some(Instant::now());
                    self.emit(EventKind::AttemptStarted { trial, attempt });
                    let _ = leave.send(());
                }
            }
            MessageKind::Session { session, event } => {
                self.emit(EventKind::Session { trial, attempt, session, detail: *event });
            }
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
        let Some(index) = self.task_trials.remove(&id) else { return };
        let state = &self.trials[index];
        if state.finished {
            return;
        }
        let Some(started) = state.started else {
            let verdict = match (panic, &self.interrupted) {
                (None, Some(signal)) => Verdict::Cancelled { reason: interrupted_by(signal) },
                (panic, _) => Verdict::Fault(own_fault("the attempt did not start", panic)),
            };
            self.lanes.ended(state.lane);
            self.finish(index, verdict, 0);
            return;
        };
        let record = AttemptRecord {
            outcome: Outcome::Fault(own_fault("the attempt ended without a record", panic)),
            duration_ms: millis(started.elapsed()),
            usage: Default::default(),
            artifacts: None,
            kept: None,
        };
        self.attempt_finished(index, record);
    }

    fn attempt_finished(&mut self, index: usize, mut record: AttemptRecord) {
        if let (Outcome::Cancelled { reason }, None) = (&record.outcome, &self.interrupted) {
            // It would count as neither failed nor passed, in a run that ends well.
            let what = format!("the attempt ended as cancelled ({reason}), but nothing cancelled the run");
            record.outcome = Outcome::Fault(own_fault(&what, None));
        }
        self.lanes.ended(self.trials[index].lane);
        self.tally.usage(&record.usage);
        let (trial, attempt) = (self.trials[index].trial.id.clone(), self.trials[index].attempts);
        let (verdict, duration_ms) = (Verdict::from(record.outcome.clone()), record.duration_ms);
        self.emit(EventKind::AttemptFinished { trial, attempt, record });
        self.finish(index, verdict, duration_ms);
    }

    fn finish(&mut self, index: usize, verdict: Verdict, duration_ms: u64) {
        let state = &mut self.trials[index];
        state.finished = true;
        self.unfinished -= 1;
        let (trial, lane, attempts) = (Arc::clone(&state.trial), state.lane, state.attempts);
        let attempts = if state.started.is_some() { attempts } else { 0 };
        self.tally.trial(&trial, &verdict, duration_ms);
        let passed = verdict == Verdict::Pass;
        let how = verdict.word();
        self.emit(EventKind::TrialFinished { trial: trial.id.clone(), attempts, duration_ms, verdict });
        if trial.canary == Canary::Yes {
            if passed {
                self.lanes.canary_passed(lane);
                self.open_lanes();
            } else {
                let article = if how == "fail" { "failed".to_owned() } else { format!("ended as {how}") };
                self.block(lane, &format!("canary {} {article}", trial.id.scenario));
            }
        }
    }

    fn open_lanes(&mut self) {
        for lane in self.lanes.open_what_may() {
            self.emit(EventKind::LaneOpened { lane });
        }
    }

    /// Nothing more of the lane starts. Canaries that have not started are blocked too.
    fn block(&mut self, lane: usize, reason: &str) {
        for index in self.lanes.drain(lane) {
            self.finish_unstarted(index, Verdict::Blocked { reason: reason.to_owned() });
        }
    }

    fn finish_unstarted(&mut self, index: usize, verdict: Verdict) {
        let state = &mut self.trials[index];
        state.finished = true;
        self.unfinished -= 1;
        let trial = Arc::clone(&state.trial);
        self.tally.trial(&trial, &verdict, 0);
        self.emit(EventKind::TrialFinished { trial: trial.id.clone(), attempts: 0, duration_ms: 0, verdict });
    }

    fn interrupt(&mut self, signal: String) {
        let again = self.interrupted.is_some();
        // Attempts that have no receiver any more have ended.
        let _ = self.stop.send(if again { Stop::Kill } else { Stop::Ask });
        if again {
            return;
        }
        self.emit(EventKind::Interrupted { signal: signal.clone() });
        let reason = interrupted_by(&signal);
        self.interrupted = Some(signal);
        for index in self.lanes.drain_all() {
            self.finish_unstarted(index, Verdict::Cancelled { reason: reason.clone() });
        }
    }

    fn end(mut self) -> RunSummary {
        let wall_ms = millis(self.began.elapsed());
        let summary = std::mem::take(&mut self.tally).summary(wall_ms, self.interrupted.is_some());
        self.emit(EventKind::RunFinished { summary: summary.clone() });
        self.sink.flush();
        summary
    }
}

fn interrupted_by(signal: &str) -> String {
    format!("the run was interrupted by {signal}")
}

/// The fault of a task that broke its word.
fn own_fault(what: &str, why: Option<String>) -> Fault {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(FaultClass::Internal, format!("{what}{why}; this is a bug of host"))
}

fn death_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_else(|| "without a message".into()))
        }
        Err(_) => "its task is gone".into(),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

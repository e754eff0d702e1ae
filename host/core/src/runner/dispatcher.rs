//! The only writer of a run's state and the one place that orders its events.

mod attempts;
mod breaker;
mod canaries;
mod capacity;
mod context;
mod lanes;
mod log;
mod retries;
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
    task::{Id, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use tracing::Instrument;

pub use self::context::RunContext;
use self::{
    breaker::Breaker,
    canaries::{Canaries, CanaryEffect},
    capacity::Capacity,
    lanes::Lanes,
    log::Log,
    trial::{Phase, TrialState},
};
use super::{
    executor::{AttemptEvents, Executor, Message, StopRequest, attempt},
    summary::{Tally, opens_lane},
};
use host_model::{Canary, Event, EventKind, Redactor, RunRules, RunSummary, Verdict};
use host_suite::plan::Plan;

/// Messages that may wait for the dispatcher; when there are more, attempts wait.
const MAX_MESSAGES: usize = 1024;
/// How often a full sink is checked again.
const FULL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Receives the ordered stream of events. It must not fail: a sink that cannot write reports that at the end.
pub trait EventSink {
    /// The next event.
    fn event(&mut self, event: &Event);
    /// No event follows for the moment: buffered events are written.
    fn flush(&mut self);
    /// Whether attempts have to wait because too much is buffered. Signals are received all the same.
    fn is_full(&mut self) -> bool {
        false
    }
}

/// A request from outside during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The run has to end. The first one cancels what has not started and asks agents to stop, the second one ends
    /// everything immediately. Holds the signal's name.
    Stop(String),
    /// The run reports what runs.
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
    let (messages, mut inbox) = mpsc::channel(MAX_MESSAGES);
    let (stop, _) = watch::channel(StopRequest::None);
    let mut dispatcher = Dispatcher::new(plan, executor, sink, messages, stop);
    dispatcher.emit(context.started(plan));
    dispatcher.skip_lanes(plan);
    dispatcher.open_lanes();
    let mut signals_open = true;
    loop {
        dispatcher.queue_due_retries();
        dispatcher.start_ready();
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
                Some(Signal::Status) => dispatcher.report_status(),
                None => signals_open = false,
            },
            Some(message) = inbox.recv(), if !is_full => {
                dispatcher.receive(message);
                dispatcher.receive_pending(&mut inbox);
            }
            Some(ended) = dispatcher.tasks.join_next_with_id(), if !dispatcher.tasks.is_empty() => {
                // A task sends its messages before it ends: they are received first.
                dispatcher.receive_pending(&mut inbox);
                dispatcher.task_ended(ended);
            }
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            () = sleep(FULL_CHECK_INTERVAL), if is_full => {}
        }
    }
    dispatcher.end()
}

struct Dispatcher<'a> {
    executor: Arc<dyn Executor>,
    sink: &'a mut dyn EventSink,
    messages: mpsc::Sender<Message>,
    stop: watch::Sender<StopRequest>,
    policy: RunRules,
    began: Instant,
    next_seq: u64,
    log: Log,
    unfinished: usize,
    lanes: Lanes,
    canaries: Canaries,
    capacity: Capacity,
    breakers: Vec<Breaker>,
    /// Why nothing more of a lane starts, by its index.
    given_up: Vec<Option<String>>,
    trials: Vec<TrialState>,
    /// Trials that wait for their retry, by the time when it is due.
    retries: BTreeSet<(Instant, usize)>,
    tasks: JoinSet<()>,
    /// The trial and attempt of each task.
    task_trials: HashMap<Id, (usize, u32)>,
    failed: u32,
    tally: Tally,
    /// Why nothing more starts, if not because of an interruption.
    halted: Option<String>,
    interrupted: Option<String>,
}

impl<'a> Dispatcher<'a> {
    fn new(
        plan: &Plan,
        executor: Arc<dyn Executor>,
        sink: &'a mut dyn EventSink,
        messages: mpsc::Sender<Message>,
        stop: watch::Sender<StopRequest>,
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
            capacity: Capacity::new(plan.jobs),
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

    /// Skipped lanes get their verdicts before anything starts.
    fn skip_lanes(&mut self, plan: &Plan) {
        for (lane, planned) in plan.lanes.iter().enumerate() {
            let Some(reason) = &planned.skipped else { continue };
            self.given_up[lane] = Some(reason.clone());
            for index in self.lanes.close(lane) {
                self.finish(index, Verdict::Skip { reason: reason.clone() });
            }
        }
    }

    /// Starts as many trials as canaries and limits allow.
    fn start_ready(&mut self) {
        if self.is_stopping() {
            return;
        }
        while let Some(trial) = self.lanes.start_next(self.capacity.limit()) {
            self.start(trial);
        }
    }

    fn start(&mut self, index: usize) {
        let state = &mut self.trials[index];
        state.attempts += 1;
        state.generation = self.capacity.generation();
        state.setup_changed = false;
        state.phase = Phase::Spawned;
        let (messages, redactor) = (self.messages.clone(), Redactor::default());
        let events = AttemptEvents { trial: index, attempt: state.attempts, messages, redactor };
        let task = attempt(Arc::clone(&self.executor), Arc::clone(&state.trial), events, self.stop.subscribe());
        let handle = self.tasks.spawn(task.in_current_span());
        self.task_trials.insert(handle.id(), (index, state.attempts));
    }

    fn finish(&mut self, index: usize, verdict: Verdict) {
        let state = &mut self.trials[index];
        state.phase = Phase::Finished;
        state.ended = Vec::new();
        self.unfinished -= 1;
        let (trial, lane, attempts, duration_ms) =
            (Arc::clone(&state.trial), state.lane, state.attempts, state.duration_ms);
        self.executor.trial_finished(&trial);
        self.tally.trial(&trial, &verdict, duration_ms);
        let (opens, failure, how) = (opens_lane(&verdict), verdict.is_failure(), verdict.word());
        self.emit(EventKind::TrialFinished { trial: trial.id.clone(), attempts, duration_ms, verdict });
        self.failed += u32::from(failure);
        if trial.canary == Canary::Yes && !matches!(how, "cancelled" | "blocked") {
            match self.canaries.judged(lane, trial.scenario.canary.as_deref(), &trial.id.scenario.0, opens) {
                CanaryEffect::Passed(count) => {
                    self.lanes.canaries_passed(lane, count);
                    self.open_lanes();
                }
                CanaryEffect::Nothing => {}
                CanaryEffect::Failed => {
                    let article = if how == "fail" { "failed".to_owned() } else { format!("ended as {how}") };
                    self.abort(lane, &format!("canary {} {article}", trial.id.scenario));
                }
            }
        }
        if failure {
            self.halt_if_enough();
        }
    }

    fn open_lanes(&mut self) {
        for lane in self.lanes.open_ready() {
            self.emit(EventKind::LaneOpened { lane });
        }
    }

    fn report_status(&mut self) {
        let due: HashMap<usize, Instant> = self.retries.iter().map(|(due, index)| (*index, *due)).collect();
        let states = self.trials.iter().enumerate();
        let running = states.filter_map(|(index, state)| state.running(due.get(&index).copied())).collect();
        let count = |wanted: fn(&Phase) -> bool| self.trials.iter().filter(|state| wanted(&state.phase)).count();
        let waiting = count(|phase| matches!(phase, Phase::Waiting | Phase::Spawned));
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

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

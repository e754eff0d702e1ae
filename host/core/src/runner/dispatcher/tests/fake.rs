//! An executor that pretends, plans for it, and what came of a run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::super::*;
use crate::runner::executor::Executing;
use host_model::{
    AttemptRecord, Confinement, Fault, FaultClass, Finding, GrantItem, LaneName, Outcome, Report, RunId, RunRules,
    Scenario, TrialId,
};
use host_suite::config::LaneKind;
use host_suite::plan::{LanePlan, PlannedTrial};

/// Longer than any run here may take; the clock is paused, so it costs nothing.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// What the attempt of a trial does.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) time: Duration,
    pub(super) end: End,
    /// Whether it goes on until it is killed.
    pub(super) stubborn: bool,
    notes: usize,
    talks_on: bool,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Outcome(Outcome),
    Panic,
}

impl Act {
    pub(super) fn new(time: Duration, end: End) -> Self {
        Self { time, end, stubborn: false, notes: 1, talks_on: false }
    }

    pub(super) fn pass(time: Duration) -> Self {
        Self::new(time, End::Outcome(Outcome::Pass))
    }

    pub(super) fn fail(time: Duration) -> Self {
        let finding = Finding { code: "wrong".into(), message: "it is wrong".into(), evidence: None };
        Self::new(time, End::Outcome(Outcome::Fail { findings: vec![finding] }))
    }

    pub(super) fn fault(time: Duration) -> Self {
        Self::new(time, End::Outcome(Outcome::Fault(Fault::new(FaultClass::Crash, "it died"))))
    }

    pub(super) fn skip(time: Duration) -> Self {
        Self::new(time, End::Outcome(Outcome::Skip { reason: "not here".into() }))
    }

    pub(super) fn cancelled(time: Duration) -> Self {
        Self::new(time, End::Outcome(Outcome::Cancelled { reason: "it felt like it".into() }))
    }

    pub(super) fn panic(time: Duration) -> Self {
        Self::new(time, End::Panic)
    }

    /// Goes on when it is asked to stop.
    pub(super) fn stubborn(self) -> Self {
        Self { stubborn: true, ..self }
    }

    /// Reports so many numbered notes.
    pub(super) fn says(self, notes: usize) -> Self {
        Self { notes, ..self }
    }

    /// Leaves something behind that reports after the record.
    pub(super) fn talks_on(self) -> Self {
        Self { talks_on: true, ..self }
    }
}

/// The executor that pretends.
pub(super) struct Fake {
    acts: HashMap<String, Act>,
    otherwise: Act,
    signals: Vec<(Duration, &'static str)>,
    seen: Mutex<Seen>,
}

/// What the executor saw of the run.
#[derive(Default)]
struct Seen {
    executed: Vec<String>,
    over: Vec<String>,
    stops: Vec<(String, StopRequest)>,
    running: BTreeMap<String, usize>,
    most_at_once: usize,
    most_in_lane: BTreeMap<String, usize>,
}

impl Fake {
    /// Everything passes after a second.
    pub(super) fn new() -> Self {
        let otherwise = Act::pass(Duration::from_secs(1));
        Self { acts: HashMap::new(), otherwise, signals: Vec::new(), seen: Mutex::default() }
    }

    /// What `LANE/SCENARIO` does, or `LANE/SCENARIO:N` in its attempt number N.
    pub(super) fn act(mut self, trial: &str, act: Act) -> Self {
        self.acts.insert(trial.to_owned(), act);
        self
    }

    /// What all others do.
    pub(super) fn every(self, otherwise: Act) -> Self {
        Self { otherwise, ..self }
    }

    /// A signal at a time since the run's start; in the order of time.
    pub(super) fn signal(mut self, at: Duration, name: &'static str) -> Self {
        self.signals.push((at, name));
        self
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts an attempt as running until it is dropped, by a panic too.
struct Running<'a> {
    fake: &'a Fake,
    lane: String,
}

impl<'a> Running<'a> {
    fn enter(fake: &'a Fake, trial: &TrialId) -> Self {
        let lane = trial.lane.0.clone();
        let mut seen = fake.seen();
        seen.executed.push(trial.to_string());
        let in_lane = seen.running.entry(lane.clone()).or_default();
        *in_lane += 1;
        let (in_lane, at_once) = (*in_lane, seen.running.values().sum());
        seen.most_at_once = seen.most_at_once.max(at_once);
        let most = seen.most_in_lane.entry(lane.clone()).or_default();
        *most = in_lane.max(*most);
        Self { fake, lane }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.fake.seen().running.get_mut(&self.lane) {
            *running -= 1;
        }
    }
}

impl Executor for Fake {
    fn execute<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        attempt: u32,
        events: &'a AttemptEvents,
        mut stop: watch::Receiver<StopRequest>,
    ) -> Executing<'a> {
        Box::pin(async move {
            let _running = Running::enter(self, &trial.id);
            assert!(!self.seen().over.contains(&trial.id.to_string()), "it was said to be over");
            let name = trial.id.to_string();
            let numbered = format!("{name}:{attempt}");
            let act = self.acts.get(&numbered).or_else(|| self.acts.get(&name)).unwrap_or(&self.otherwise).clone();
            let began = Instant::now();
            for number in 0..act.notes {
                events.report(Report::Note { text: number.to_string() }).await;
            }
            if act.talks_on {
                let events = events.clone();
                let later = act.time + Duration::from_secs(1);
                tokio::spawn(async move {
                    sleep(later).await;
                    events.report(Report::Note { text: "still here".into() }).await;
                });
            }
            let stopped = async {
                let mut last = StopRequest::None;
                loop {
                    let _ = stop.wait_for(|stop| *stop != last).await;
                    last = *stop.borrow();
                    self.seen().stops.push((name.clone(), last));
                    if last == StopRequest::Kill || !act.stubborn {
                        return;
                    }
                }
            };
            let outcome = match (timeout(act.time, stopped).await, act.end) {
                (Ok(()), _) => Outcome::Cancelled { reason: "the run ends".into() },
                (Err(_), End::Outcome(outcome)) => outcome,
                (Err(_), End::Panic) => panic!("it fell over"),
            };
            let duration_ms = millis(began.elapsed());
            AttemptRecord { outcome, duration_ms, usage: Default::default(), artifacts: None, kept: None }
        })
    }

    fn trial_finished(&self, trial: &PlannedTrial) {
        self.seen().over.push(trial.id.to_string());
    }
}

/// A plan of `lanes`.
pub(super) fn plan(jobs: usize, lanes: Vec<LanePlan>) -> Plan {
    Plan { lanes, jobs, policy: RunRules::default(), canary_skipped: false }
}

/// A lane with scenarios of these names.
pub(super) fn lane(name: &str, jobs: Option<usize>, canaries: &[&str], rest: &[&str]) -> LanePlan {
    let trials = |names: &[&str], canary| {
        names.iter().map(|scenario| Arc::new(trial(name, scenario, canary))).collect::<Vec<_>>()
    };
    LanePlan {
        name: LaneName(name.into()),
        kind: LaneKind::Scripted { agent: "right".into() },
        confinement: Confinement::default(),
        skipped: None,
        jobs,
        breaker: 0,
        canaries: trials(canaries, Canary::Yes),
        rest: trials(rest, Canary::No),
    }
}

fn trial(lane: &str, scenario: &str, canary: Canary) -> PlannedTrial {
    let scenario =
        Arc::new(Scenario { grants: [GrantItem::Session].into_iter().collect(), ..Scenario::named(scenario) });
    PlannedTrial::once(TrialId { lane: LaneName(lane.into()), scenario: scenario.id.clone() }, scenario, canary, None)
}

/// What came of a run.
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    pub(super) summary: RunSummary,
    /// What was executed, in the order of starting.
    pub(super) executed: Vec<String>,
    /// What the executor was told to end.
    pub(super) over: Vec<String>,
    /// The stop requests that attempts received.
    /// Sorted: which of several attempts hears of a stop first is nobody's promise.
    pub(super) stops: Vec<(String, StopRequest)>,
    pub(super) most_at_once: usize,
    pub(super) most_in_lane: BTreeMap<String, usize>,
}

/// A sink that keeps everything, and is full until a time.
#[derive(Default)]
pub(super) struct Events(pub(super) Vec<Event>, Option<Instant>);

impl EventSink for Events {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }

    fn flush(&mut self) {}

    fn is_full(&mut self) -> bool {
        self.1.is_some_and(|until| Instant::now() < until)
    }
}

fn signal(name: &str) -> Signal {
    if name == "SIGUSR1" { Signal::Status } else { Signal::Stop(name.to_owned()) }
}

/// Runs a plan to its end.
pub(super) async fn run(plan: &Plan, fake: Fake) -> Log {
    run_full(plan, fake, Duration::ZERO).await
}

/// The same, with a sink that takes nothing more at first.
pub(super) async fn run_full(plan: &Plan, fake: Fake, full: Duration) -> Log {
    let context = RunContext {
        run: RunId("r".into()),
        time: "2026-01-01T00:00:00Z".into(),
        wasmtime: "0".into(),
        suite: None,
        revision: None,
        plugins: Vec::new(),
        directory: None,
        regrades: None,
    };
    let (sender, signals) = mpsc::channel(4);
    let due = fake.signals.clone();
    let began = Instant::now();
    for (_, name) in due.iter().filter(|(at, _)| at.is_zero()) {
        sender.try_send(signal(name)).unwrap();
    }
    tokio::spawn(async move {
        for (at, name) in due.into_iter().filter(|(at, _)| !at.is_zero()) {
            tokio::time::sleep_until(began + at).await;
            let _ = sender.send(signal(name)).await;
        }
    });
    let fake = Arc::new(fake);
    let mut events = Events(Vec::new(), Some(began + full));
    let executor = Arc::clone(&fake) as Arc<dyn Executor>;
    let summary = timeout(FOR_EVER, dispatch(plan, context, executor, &mut events, signals)).await;
    let seen = std::mem::take(&mut *fake.seen());
    Log {
        events: events.0,
        summary: summary.expect("the run does not end"),
        executed: seen.executed,
        over: seen.over,
        stops: {
            let mut stops = seen.stops;
            stops.sort_by(|a, b| a.0.cmp(&b.0));
            stops
        },
        most_at_once: seen.most_at_once,
        most_in_lane: seen.most_in_lane,
    }
}

/// The trial that an event is of.
pub(super) fn trial_of(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::AttemptStarted { trial, .. }
        | EventKind::Session { trial, .. }
        | EventKind::Reported { trial, .. }
        | EventKind::AttemptFinished { trial, .. }
        | EventKind::RetryScheduled { trial, .. }
        | EventKind::TrialFinished { trial, .. } => Some(trial.to_string()),
        EventKind::RunStarted { .. }
        | EventKind::LaneOpened { .. }
        | EventKind::LaneBroken { .. }
        | EventKind::JobsLowered { .. }
        | EventKind::Halted { .. }
        | EventKind::LogCut { .. }
        | EventKind::Status { .. }
        | EventKind::Interrupted { .. }
        | EventKind::RunFinished { .. } => None,
    }
}

/// All events of a trial.
pub(super) fn events_of(log: &Log, name: &str) -> Vec<EventKind> {
    let events = log.events.iter().filter(|event| trial_of(&event.kind).as_deref() == Some(name));
    events.map(|event| event.kind.clone()).collect()
}

/// The trials that started, in order.
pub(super) fn started(log: &Log) -> Vec<String> {
    let starts = log.events.iter().filter(|event| matches!(event.kind, EventKind::AttemptStarted { .. }));
    starts.filter_map(|event| trial_of(&event.kind)).collect()
}

/// The notes of a trial.
pub(super) fn ran(log: &Log, name: &str) -> Vec<String> {
    let notes = events_of(log, name).into_iter().filter_map(|kind| match kind {
        EventKind::Reported { report: Report::Note { text }, .. } => Some(text),
        _ => None,
    });
    notes.collect()
}

/// The one verdict of a trial.
pub(super) fn verdict(log: &Log, name: &str) -> Verdict {
    verdict_in(&log.events, name).unwrap()
}

/// The verdict of a trial, when there is one.
pub(super) fn verdict_in(events: &[Event], name: &str) -> Option<Verdict> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::TrialFinished { trial, verdict, .. } if trial.to_string() == name => Some(verdict.clone()),
        _ => None,
    })
}

impl Log {
    /// The place of the first event that is wanted.
    pub(super) fn position(&self, wanted: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().position(|event| wanted(&event.kind)).unwrap()
    }

    pub(super) fn started_position(&self, name: &str) -> usize {
        self.position(|kind| {
            matches!(kind, EventKind::AttemptStarted { .. }) && trial_of(kind).as_deref() == Some(name)
        })
    }

    pub(super) fn finished_position(&self, name: &str) -> usize {
        self.position(|kind| matches!(kind, EventKind::TrialFinished { .. }) && trial_of(kind).as_deref() == Some(name))
    }

    /// When a trial started.
    pub(super) fn started_at(&self, name: &str) -> Duration {
        Duration::from_millis(self.events[self.started_position(name)].at_ms)
    }

    /// The record of a trial's attempt.
    pub(super) fn record(&self, name: &str) -> AttemptRecord {
        let record = events_of(self, name).into_iter().find_map(|kind| match kind {
            EventKind::AttemptFinished { record, .. } => Some(record),
            _ => None,
        });
        record.unwrap()
    }
}

//! Streams of events that the tests of several sinks share.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use jiff::civil::Date;

use host_model::{
    AttemptRecord, BackOff, Canary, CountsAs, Event, EventKind, ExpectedFailure, Fault, FaultClass, Finding, LaneInfo,
    LaneName, Outcome, PassRate, PluginInfo, Report, Revision, RunId, RunSummary, RunningTrial, SCHEMA_VERSION,
    ScenarioId, SessionEvent, SessionEventKind, SuiteInfo, TrialId, TrialInfo, Usage, Verdict,
};

/// A writer whose text can be looked at while it is owned elsewhere.
#[derive(Clone, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn trial(lane: &str, scenario: &str) -> TrialId {
    TrialId { lane: LaneName(lane.into()), scenario: ScenarioId(scenario.into()) }
}

pub(super) fn finding(code: &str, message: &str, evidence: Option<&str>) -> Finding {
    Finding { code: code.into(), message: message.into(), evidence: evidence.map(Into::into) }
}

pub(super) fn fail(findings: Vec<Finding>) -> Outcome {
    Outcome::Fail { findings }
}

pub(super) fn fault(class: FaultClass, message: &str) -> Outcome {
    Outcome::Fault(Fault::new(class, message))
}

/// A known failure with one code.
pub(super) fn expected(code: &str, owner: &str, reason: &str) -> ExpectedFailure {
    ExpectedFailure {
        lanes: Vec::new(),
        findings: [code.to_owned()].into(),
        classes: Default::default(),
        owner: owner.into(),
        reason: reason.into(),
        until: Date::constant(2026, 12, 31),
    }
}

/// A stream in the making.
pub(super) struct Stream {
    pub(super) events: Vec<Event>,
    pub(super) rates: Vec<PassRate>,
    wall_ms: u64,
    serial_ms: u64,
    usage: Usage,
}

impl Stream {
    /// A run of `scenarios` in each of `lanes`; the first scenario is the canary.
    pub(super) fn new(lanes: &[&str], scenarios: &[&str]) -> Self {
        Self::with_canary(lanes, scenarios, true)
    }

    pub(super) fn with_canary(lanes: &[&str], scenarios: &[&str], guarded: bool) -> Self {
        let info = |lane: &str, at: usize, scenario: &str| TrialInfo {
            id: trial(lane, scenario),
            canary: if at == 0 { Canary::Yes } else { Canary::No },
            plugin: scenario.into(),
            name: scenario.into(),
            repetition: None,
            file: None,
        };
        let (events, rates) = (Vec::new(), Vec::new());
        let mut stream = Self { events, rates, wall_ms: 0, serial_ms: 0, usage: Usage::default() };
        stream.at(
            0,
            EventKind::RunStarted {
                schema: SCHEMA_VERSION,
                run: RunId("20261122-231500-abcd".into()),
                time: "2026-11-22T23:15:00Z".into(),
                host: "0.1.0".into(),
                wasmtime: "48.0.8".into(),
                suite: None,
                revision: None,
                plugins: scenarios
                    .iter()
                    .map(|name| PluginInfo {
                        label: (*name).into(),
                        path: format!("plugins/{name}.wasm").into(),
                        digest: format!("sha256:{}", "0".repeat(64)),
                    })
                    .collect(),
                lanes: lanes
                    .iter()
                    .map(|name| LaneInfo { name: LaneName((*name).into()), kind: "scripted".into(), jobs: None })
                    .collect(),
                trials: lanes
                    .iter()
                    .flat_map(|lane| scenarios.iter().enumerate().map(move |(at, name)| info(lane, at, name)))
                    .collect(),
                jobs: 16,
                canary_skipped: !guarded,
                directory: Some(PathBuf::from(".host/runs/20261122-231500-abcd")),
                regrades: None,
            },
        );
        stream
    }

    pub(super) fn at(&mut self, at_ms: u64, kind: EventKind) {
        self.wall_ms = at_ms;
        self.events.push(Event { seq: self.events.len() as u64, at_ms, kind });
    }

    /// Gives each trial the file of its scenario.
    pub(super) fn with_files(mut self) -> Self {
        if let Some(Event { kind: EventKind::RunStarted { trials, .. }, .. }) = self.events.first_mut() {
            for trial in trials {
                trial.file = Some(format!("scenarios/{}/scenario.toml", trial.name).into());
            }
        }
        self
    }

    pub(super) fn starts(&mut self, at_ms: u64, trial: &TrialId, attempt: u32) {
        self.at(at_ms, EventKind::AttemptStarted { trial: trial.clone(), attempt });
    }

    pub(super) fn reports(&mut self, at_ms: u64, trial: &TrialId, report: Report) {
        self.at(at_ms, EventKind::Reported { trial: trial.clone(), attempt: 1, report });
    }

    pub(super) fn says(&mut self, at_ms: u64, trial: &TrialId, kind: SessionEventKind) {
        let detail = SessionEvent { at_ms, kind };
        self.at(at_ms, EventKind::Session { trial: trial.clone(), attempt: 1, session: 1, detail });
    }

    pub(super) fn opens(&mut self, at_ms: u64, lane: &str) {
        self.at(at_ms, EventKind::LaneOpened { lane: LaneName(lane.into()) });
    }

    pub(super) fn record(&mut self, at_ms: u64, trial: &TrialId, attempt: u32, record: AttemptRecord) {
        self.usage = self.usage.plus(&record.usage);
        self.at(at_ms, EventKind::AttemptFinished { trial: trial.clone(), attempt, record });
    }

    /// An attempt ends that is tried again `delay_ms` later.
    pub(super) fn tried_again(
        &mut self,
        at_ms: u64,
        trial: &TrialId,
        attempt: u32,
        outcome: Outcome,
        (delay_ms, reason): (u64, &str),
    ) {
        let artifacts = Some(format!("{trial}/attempt-{attempt}").into());
        let record = AttemptRecord { outcome, duration_ms: 100, usage: Usage::default(), artifacts, kept: None };
        self.record(at_ms, trial, attempt, record);
        let reason = reason.into();
        self.at(at_ms, EventKind::RetryScheduled { trial: trial.clone(), attempt, delay_ms, reason });
    }

    /// The only attempt of a trial, from `from` to `to`.
    pub(super) fn ends(&mut self, from: u64, to: u64, trial: &TrialId, outcome: Outcome) {
        let record = AttemptRecord {
            outcome: outcome.clone(),
            duration_ms: to - from,
            usage: Usage::default(),
            artifacts: Some(format!("{trial}/attempt-1").into()),
            kept: None,
        };
        self.record(to, trial, 1, record);
        self.judged(to, trial, 1, to - from, outcome.into());
    }

    pub(super) fn judged(&mut self, at_ms: u64, trial: &TrialId, attempts: u32, duration_ms: u64, verdict: Verdict) {
        self.serial_ms += duration_ms;
        self.at(at_ms, EventKind::TrialFinished { trial: trial.clone(), attempts, duration_ms, verdict });
    }

    pub(super) fn finished(mut self) -> Vec<Event> {
        let mut summary = RunSummary {
            verdicts: std::collections::BTreeMap::new(),
            wall_ms: self.wall_ms,
            serial_ms: self.serial_ms,
            longest: None,
            usage: self.usage.clone(),
            rates: std::mem::take(&mut self.rates),
            exit_code: 0,
        };
        for event in &self.events {
            if let EventKind::TrialFinished { verdict, .. } = &event.kind {
                *summary.verdicts.entry(verdict.word().into()).or_default() += 1;
            }
        }
        self.at(self.wall_ms, EventKind::RunFinished { summary });
        self.events
    }
}

const FIVE: [&str; 5] = ["ensign-cycle", "gate", "rejection-flow", "three-cycle-escalation", "merge-hook"];

/// The canary has passed, and the other four have started.
fn four_at_once() -> (Stream, Vec<TrialId>) {
    let mut stream = Stream::new(&["scripted"], &FIVE);
    let trials: Vec<_> = FIVE.iter().map(|name| trial("scripted", name)).collect();
    stream.starts(1, &trials[0], 1);
    stream.ends(1, 1211, &trials[0], Outcome::Pass);
    stream.opens(1211, "scripted");
    for trial in &trials[1..] {
        stream.starts(1212, trial, 1);
    }
    (stream, trials)
}

pub(super) fn all_pass() -> Vec<Event> {
    let (mut stream, trials) = four_at_once();
    for (trial, end) in trials[1..].iter().zip([3000, 3100, 3500, 3612]) {
        stream.ends(1212, end, trial, Outcome::Pass);
    }
    stream.finished()
}

pub(super) fn one_failure() -> Vec<Event> {
    let (mut stream, trials) = four_at_once();
    let findings = vec![
        finding(
            "entity-changed",
            "the entity must be byte-identical",
            Some("- status: implementation\n+ status: done"),
        ),
        finding("guard-unseen", "the final message must name the merge hook", None),
    ];
    for (trial, end) in trials[1..4].iter().zip([3000, 3100, 3500]) {
        stream.ends(1212, end, trial, Outcome::Pass);
    }
    stream.ends(1212, 3612, &trials[4], fail(findings));
    stream.finished()
}

pub(super) fn canary_fails() -> Vec<Event> {
    let mut stream = Stream::new(&["scripted"], &FIVE);
    let canary = trial("scripted", FIVE[0]);
    stream.starts(1, &canary, 1);
    stream.ends(1, 1211, &canary, fail(vec![finding("summary-missing", "the report must have a summary", None)]));
    for name in &FIVE[1..] {
        let verdict = Verdict::Blocked { reason: "canary ensign-cycle failed".into() };
        stream.judged(1211, &trial("scripted", name), 0, 0, verdict);
    }
    stream.finished()
}

/// At least one of each kind of event, report and session event.
pub(super) fn every_kind() -> Vec<Event> {
    let mut stream = Stream::new(&["a", "b"], &["one", "two"]);
    let one = trial("a", "one");
    stream.starts(5, &one, 1);
    let (id, name) = (String::from("c1"), String::from("Bash"));
    stream.says(6, &one, SessionEventKind::Started { session_id: "s".into(), model: Some("m-1".into()) });
    stream.says(7, &one, SessionEventKind::Message { text: "Looking.\nStill looking.".into() });
    stream.says(8, &one, SessionEventKind::ToolCall { id: id.clone(), name, input: serde_json::json!({"c": 1}) });
    stream.says(9, &one, SessionEventKind::ToolResult { id, is_error: true, output: "no".into() });
    let wait = BackOff { attempt: Some(2), delay_ms: Some(1500), reason: "overloaded".into() };
    stream.says(10, &one, SessionEventKind::BackOff(wait));
    stream.says(11, &one, SessionEventKind::Usage(Usage { output_tokens: Some(3), ..Usage::default() }));
    stream.says(12, &one, SessionEventKind::Raw { line: "??".into() });
    stream.reports(13, &one, Report::Step { name: "grade".into() });
    stream.reports(14, &one, Report::Note { text: "two rounds".into() });
    stream.reports(15, &one, Report::Metric { name: "rounds".into(), value: Some(2.0), unit: "rounds".into() });
    let (name, media_type) = (String::from("log.txt"), String::from("text/plain"));
    stream.reports(16, &one, Report::Attachment { name, media_type, bytes: 12 });
    stream.reports(17, &one, Report::Cut { what: "standard output after 1 MiB".into() });
    stream.reports(18, &one, Report::Denied { what: "open /etc/passwd".into() });
    let usage = Usage {
        input_tokens: Some(1_234_567),
        cached_input_tokens: Some(1_000_000),
        output_tokens: Some(4_321),
        cost_micro_usd: Some(1_234_500),
    };
    let fault = Outcome::Fault(Fault::new(FaultClass::Idle, "no event for 60s"));
    let kept = Some(PathBuf::from("/tmp/host-x"));
    let record = |outcome, duration_ms| AttemptRecord {
        outcome,
        duration_ms,
        usage: usage.clone(),
        artifacts: None,
        kept: kept.clone(),
    };
    stream.record(20, &one, 1, record(fault, 15));
    let reason = String::from("idle (no event for 60s)");
    stream.at(20, EventKind::RetryScheduled { trial: one.clone(), attempt: 1, delay_ms: 1, reason });
    stream.starts(21, &one, 2);
    stream.record(1030, &one, 2, record(Outcome::Pass, 1009));
    let reason = String::from("attempt 1: idle (no event for 60s)");
    stream.judged(1030, &one, 2, 1024, Verdict::Flaky { reason, counts_as: CountsAs::Pass });
    stream.opens(1030, "a");
    stream.starts(1031, &trial("a", "two"), 1);
    stream.at(1040, EventKind::Interrupted { signal: "SIGINT".into() });
    stream.ends(1031, 1050, &trial("a", "two"), Outcome::Cancelled { reason: "interrupted by SIGINT".into() });
    stream.judged(1050, &trial("b", "one"), 0, 0, Verdict::Skip { reason: "needs a network".into() });
    stream.judged(1050, &trial("b", "two"), 0, 0, Verdict::Cancelled { reason: "interrupted".into() });
    stream.finished()
}

/// Retries, flaky trials and expected failures, in a suite that git has.
pub(super) fn attempts_and_expectations() -> Vec<Event> {
    let mut stream = Stream::new(&["claude"], &FIVE).with_files();
    if let EventKind::RunStarted { suite, revision, .. } = &mut stream.events[0].kind {
        let digest = format!("sha256:{}", "1".repeat(64));
        *suite = Some(SuiteInfo { path: "scenarios/suite.toml".into(), digest });
        *revision = Some(Revision { commit: "2".repeat(40), modified: Some(true) });
    }
    let trials: Vec<_> = FIVE.iter().map(|name| trial("claude", name)).collect();
    let pass = |duration_ms| AttemptRecord {
        outcome: Outcome::Pass,
        duration_ms,
        usage: Usage::default(),
        artifacts: None,
        kept: None,
    };
    stream.starts(1, &trials[0], 1);
    let why = (1200, "idle (no event for 60s)");
    stream.tried_again(101, &trials[0], 1, fault(FaultClass::Idle, "no event for 60s"), why);
    stream.starts(1301, &trials[0], 2);
    stream.record(1401, &trials[0], 2, pass(100));
    let reason = String::from("attempt 1: idle (no event for 60s)");
    stream.judged(1401, &trials[0], 2, 200, Verdict::Flaky { reason, counts_as: CountsAs::Pass });
    stream.opens(1401, "claude");
    for trial in &trials[1..] {
        stream.starts(1402, trial, 1);
    }
    let gate = || vec![finding("gate-not-held", "the item must wait for the person", Some("+ status: done"))];
    stream.tried_again(1500, &trials[1], 1, fail(gate()), (90_000, "fail (gate-not-held)"));
    let mut record = pass(300);
    record.outcome = fail(vec![finding("hook-unseen", "the final message must name the hook", None)]);
    stream.record(1702, &trials[4], 1, record.clone());
    let known = expected("hook-unseen", "ada", "the hook is not there yet");
    let Outcome::Fail { findings } = record.outcome.clone() else { unreachable!() };
    stream.judged(1702, &trials[4], 1, 300, Verdict::Xfail { findings, fault: None, expected: vec![known.clone()] });
    stream.record(1802, &trials[2], 1, pass(400));
    stream.judged(1802, &trials[2], 1, 400, Verdict::Xpass { expected: vec![known], counts_as: CountsAs::Pass });
    stream.ends(1402, 1902, &trials[3], Outcome::Pass);
    stream.starts(91_500, &trials[1], 2);
    record.outcome = fail(gate());
    record.artifacts = Some("claude/gate/attempt-2".into());
    stream.record(91_600, &trials[1], 2, record);
    let note = Some("not expected: `gate-not-held`; expected: `hook-unseen`".into());
    stream.judged(91_600, &trials[1], 2, 200, Verdict::Fail { findings: gate(), note });
    stream.finished()
}

/// A lane breaks, a status is requested, and `--max-fail` ends the rest.
pub(super) fn broken_lane_and_halt() -> Vec<Event> {
    let mut stream = Stream::with_canary(&["claude", "pi"], &["one", "two", "three"], false);
    let of = |lane, name| trial(lane, name);
    stream.opens(0, "claude");
    stream.opens(0, "pi");
    for name in ["one", "two"] {
        stream.starts(0, &of("claude", name), 1);
    }
    stream.starts(0, &of("pi", "one"), 1);
    let login = || fault(FaultClass::Launch, "not logged in");
    stream.ends(0, 50, &of("claude", "one"), login());
    stream.tried_again(60, &of("claude", "two"), 1, fault(FaultClass::Crash, "gone"), (5000, "crash (gone)"));
    let call = SessionEventKind::ToolCall { id: "1".into(), name: "Bash".into(), input: 0.into() };
    stream.says(80, &of("pi", "one"), call);
    let running = vec![
        RunningTrial { id: of("claude", "two"), attempt: 2, elapsed_ms: 0, retry_in_ms: Some(4900) },
        RunningTrial { id: of("pi", "one"), attempt: 1, elapsed_ms: 160, retry_in_ms: None },
    ];
    stream.at(160, EventKind::Status { running, waiting: 3, finished: 1 });
    stream.starts(5060, &of("claude", "two"), 2);
    let artifacts = None;
    let record = AttemptRecord { outcome: login(), duration_ms: 40, usage: Usage::default(), artifacts, kept: None };
    stream.record(5100, &of("claude", "two"), 2, record);
    let reason = String::from("2 trials in a row could not work with the agent, the last as launch: not logged in");
    stream.at(5100, EventKind::LaneBroken { lane: LaneName("claude".into()), reason: reason.clone() });
    stream.judged(5100, &of("claude", "three"), 0, 0, Verdict::Blocked { reason });
    stream.judged(5100, &of("claude", "two"), 2, 140, login().into());
    let reason = String::from("2 trials have failed, and `max-fail` is 2");
    stream.at(5100, EventKind::Halted { reason: reason.clone() });
    for name in ["two", "three"] {
        stream.judged(5100, &of("pi", name), 0, 0, Verdict::Cancelled { reason: reason.clone() });
    }
    stream.ends(0, 6000, &of("pi", "one"), Outcome::Pass);
    stream.finished()
}

/// A trial that the machine was too short for, and that passed after a moment.
pub(super) fn short_machine() -> Vec<Event> {
    let mut stream = Stream::with_canary(&["scripted"], &["gate"], true);
    let (gate, what) = (trial("scripted", "gate"), "cannot start /bin/claude: Too many open files (os error 24)");
    stream.starts(0, &gate, 1);
    let short = fault(FaultClass::Resources, what);
    stream.tried_again(40, &gate, 1, short, (250, &format!("resources ({what})")));
    stream.at(40, EventKind::JobsLowered { jobs: 2, reason: what.into() });
    stream.starts(290, &gate, 2);
    stream.ends(290, 300, &gate, Outcome::Pass);
    stream.finished()
}

/// Two scenarios, five times each.
pub(super) fn repetitions() -> Vec<Event> {
    let names: Vec<String> =
        ["gate", "merge-hook"].iter().flat_map(|name| (1..=5).map(move |n| format!("{name}#{n}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::with_canary(&["scripted"], &names, true);
    if let EventKind::RunStarted { trials, .. } = &mut stream.events[0].kind {
        for trial in trials {
            trial.canary = Canary::No;
            let (name, number) = trial.name.split_once('#').unwrap();
            trial.repetition = number.parse().ok();
            trial.name = name.into();
        }
    }
    for (at, name) in names.iter().enumerate() {
        let outcome = match at {
            1 => fail(vec![finding("gate-not-held", "the item must wait for the person", None)]),
            7 => fault(FaultClass::Crash, "gone"),
            _ => Outcome::Pass,
        };
        stream.starts(0, &trial("scripted", name), 1);
        stream.ends(0, 10, &trial("scripted", name), outcome);
    }
    let rate = |name, passed, judged, interval| PassRate {
        id: trial("scripted", name),
        passed,
        judged,
        repetitions: 5,
        interval: Some(interval),
    };
    stream.rates = vec![rate("gate", 4, 5, (0.375_535, 0.963_795)), rate("merge-hook", 4, 4, (0.510_109, 1.0))];
    stream.finished()
}

/// All streams together.
pub(super) fn all() -> impl Iterator<Item = Event> {
    let streams = [
        all_pass(),
        one_failure(),
        canary_fails(),
        every_kind(),
        attempts_and_expectations(),
        broken_lane_and_halt(),
        repetitions(),
        short_machine(),
    ];
    streams.into_iter().flatten()
}

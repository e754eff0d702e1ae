//! Streams of events that the tests of several sinks share.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::model::{
    AttemptRecord, BackOff, Canary, Event, EventKind, Fault, FaultClass, Finding, LaneInfo, LaneName, Outcome,
    PluginInfo, Report, RunId, RunSummary, SCHEMA_VERSION, ScenarioId, SessionEvent, SessionEventKind, TrialId,
    TrialInfo, Usage, Verdict,
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

/// A stream in the making.
pub(super) struct Stream {
    pub(super) events: Vec<Event>,
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
        let mut stream = Self { events: Vec::new(), wall_ms: 0, serial_ms: 0, usage: Usage::default() };
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
            rates: Vec::new(),
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
    let fault = Outcome::Fault(Fault::new(FaultClass::Stall, "no event for 60s"));
    let kept = Some(PathBuf::from("/tmp/host-x"));
    let record = |outcome, duration_ms| AttemptRecord {
        outcome,
        duration_ms,
        usage: usage.clone(),
        artifacts: None,
        kept: kept.clone(),
    };
    stream.record(20, &one, 1, record(fault, 15));
    stream.starts(21, &one, 2);
    stream.record(1030, &one, 2, record(Outcome::Pass, 1009));
    stream.judged(1030, &one, 2, 1024, Verdict::Pass);
    stream.opens(1030, "a");
    stream.starts(1031, &trial("a", "two"), 1);
    stream.at(1040, EventKind::Interrupted { signal: "SIGINT".into() });
    stream.ends(1031, 1050, &trial("a", "two"), Outcome::Cancelled { reason: "interrupted by SIGINT".into() });
    stream.judged(1050, &trial("b", "one"), 0, 0, Verdict::Skip { reason: "needs a network".into() });
    stream.judged(1050, &trial("b", "two"), 0, 0, Verdict::Cancelled { reason: "interrupted".into() });
    stream.finished()
}

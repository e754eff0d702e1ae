use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LaneName, Outcome, RunId, ScenarioId, SessionEvent, TrialId, Usage, Verdict};

/// Version of the event schema; a change that a reader must know of raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// One entry of a run's ordered stream: the only source of every report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Place in the stream, from 0, without gaps.
    pub seq: u64,
    /// Milliseconds since the run started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum EventKind {
    /// The plan is made; nothing has started yet.
    RunStarted {
        /// The schema of this stream.
        schema: u32,
        /// The run.
        run: RunId,
        /// RFC 3339 time in UTC.
        time: String,
        /// Version of `host`.
        host: String,
        /// Version of the engine.
        wasmtime: String,
        /// The suite, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suite: Option<SuiteInfo>,
        /// The revision of the suite's git repository, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<Revision>,
        /// The plugins.
        plugins: Vec<PluginInfo>,
        /// The lanes, in order.
        lanes: Vec<LaneInfo>,
        /// Every trial of the run, in the order of the plan.
        trials: Vec<TrialInfo>,
        /// The maximum number of attempts in parallel.
        jobs: usize,
        /// Whether `--no-canary` was given.
        canary_skipped: bool,
        /// The run directory, if one is written.
        directory: Option<PathBuf>,
        /// The run whose recorded sessions are graded again; `None` when agents run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        regrades: Option<RunId>,
    },
    /// An attempt begins; its root and config dir do not exist before this.
    AttemptStarted {
        /// The trial.
        trial: TrialId,
        /// From 1.
        attempt: u32,
    },
    /// Something happened in a session of the attempt.
    Session {
        /// The trial.
        trial: TrialId,
        /// From 1.
        attempt: u32,
        /// The session within the attempt, from 1.
        session: u32,
        /// What happened.
        detail: SessionEvent,
    },
    /// The component reported something.
    Reported {
        /// The trial.
        trial: TrialId,
        /// From 1.
        attempt: u32,
        /// The report.
        report: Report,
    },
    /// An attempt is over: its processes are dead and its directories are gone, unless kept.
    AttemptFinished {
        /// The trial.
        trial: TrialId,
        /// From 1.
        attempt: u32,
        /// The result.
        record: AttemptRecord,
    },
    /// An attempt will be followed by another.
    RetryScheduled {
        /// The trial.
        trial: TrialId,
        /// The attempt that has ended, from 1.
        attempt: u32,
        /// Milliseconds until the next may start.
        delay_ms: u64,
        /// How the attempt ended, in one line.
        reason: String,
    },
    /// A trial has its verdict.
    TrialFinished {
        /// The trial.
        trial: TrialId,
        /// Attempts made; 0 when it never started.
        attempts: u32,
        /// Milliseconds over all attempts.
        duration_ms: u64,
        /// The verdict.
        verdict: Verdict,
    },
    /// All canaries of a lane passed (or it has none): its other trials may start.
    LaneOpened {
        /// The lane.
        lane: LaneName,
    },
    /// Faults of the whole lane repeated: no more of its trials start.
    LaneBroken {
        /// The lane.
        lane: LaneName,
        /// The faults.
        reason: String,
    },
    /// The machine ran short of a resource: fewer attempts run in parallel until they succeed for a while.
    JobsLowered {
        /// The maximum number of attempts in parallel from now on.
        jobs: usize,
        /// The operation that failed, in one line.
        reason: String,
    },
    /// Enough trials have failed: no more trials start (`--max-fail`).
    Halted {
        /// Their number, and the limit.
        reason: String,
    },
    /// The log has exceeded its limit: from here on, events of sessions and reports are left out, and findings are
    /// shortened. Attempts and verdicts stay. The event comes again before the end of the run, with the
    /// number of events that were left out.
    LogCut {
        /// The limit, and the events that are left out.
        reason: String,
        /// Events that were left out so far.
        left_out: u64,
    },
    /// The status was requested (SIGUSR1).
    Status {
        /// The running trials, in the order of the plan.
        running: Vec<RunningTrial>,
        /// Trials that have not started yet.
        waiting: usize,
        /// Trials that have their verdict.
        finished: usize,
    },
    /// A signal arrived: no more trials start.
    Interrupted {
        /// The signal's name.
        signal: String,
    },
    /// The last event.
    RunFinished {
        /// The figures.
        summary: RunSummary,
    },
}

/// A plugin of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PluginInfo {
    /// Unambiguous short name.
    pub label: String,
    /// As given.
    pub path: PathBuf,
    /// `sha256:` and 64 hexadecimal digits, of the file.
    pub digest: String,
}

/// The suite of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteInfo {
    /// Its file, as a person in the current folder would write it.
    pub path: PathBuf,
    /// `sha256:` and 64 hexadecimal digits, of the file and of every scenario's folder.
    pub digest: String,
}

/// The revision of a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Revision {
    /// The commit's whole name.
    pub commit: String,
    /// Whether tracked files differed from it; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<bool>,
}

/// A running trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RunningTrial {
    /// The trial.
    #[serde(flatten)]
    pub id: TrialId,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Milliseconds since the attempt started.
    pub elapsed_ms: u64,
    /// Milliseconds until the attempt may start, where it waits for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

/// A lane of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct LaneInfo {
    /// Its name.
    pub name: LaneName,
    /// Its kind of agent (`scripted`).
    pub kind: String,
    /// Its own limit of attempts in parallel, if it has one.
    pub jobs: Option<usize>,
}

/// Whether a trial guards its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Canary {
    /// It must pass before the rest of its lane starts.
    Yes,
    /// An ordinary trial.
    No,
}

/// A trial as planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TrialInfo {
    /// The trial.
    #[serde(flatten)]
    pub id: TrialId,
    /// Whether it guards its lane.
    pub canary: Canary,
    /// The plugin's label.
    pub plugin: String,
    /// The scenario's own name, which names its folder.
    pub name: String,
    /// Which repetition it is, from 1, with `--repeat-each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<u32>,
    /// The scenario's file, where it has one, as a person in the current folder would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// A report of a running component. Mirrors `scenario:host/report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Report {
    /// A step begins.
    Step {
        /// Its name.
        name: String,
    },
    /// A remark.
    Note {
        /// Its text.
        text: String,
    },
    /// A measured value.
    Metric {
        /// Its name.
        name: String,
        /// Its value; `null` in JSON when it is not a finite number.
        value: Option<f64>,
        /// Its unit.
        unit: String,
    },
    /// A file was saved with the artifacts.
    Attachment {
        /// Its file name.
        name: String,
        /// Its MIME type as the component gave it.
        media_type: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The host cut something that the component or the agent sent too much of.
    Cut {
        /// The part that was cut, and the limit.
        what: String,
    },
    /// The host could not end or remove something of the attempt.
    Left {
        /// The leftovers, and how to remove them.
        what: String,
    },
    /// The operating system does not enforce all of the lane's confinement.
    Unconfined {
        /// The reason, and the access that remains.
        what: String,
    },
    /// The component tried to use an API that was not granted.
    Denied {
        /// The attempted access.
        what: String,
    },
}

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AttemptRecord {
    /// What happened.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Wall clock in milliseconds, set-up and clean-up included.
    pub duration_ms: u64,
    /// The usage of its sessions, added up.
    #[serde(default, skip_serializing_if = "Usage::is_unknown")]
    pub usage: Usage,
    /// Its artifact folder, relative to the run directory; `None` when there was nothing to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<PathBuf>,
    /// Where root and config dir stay, with `--keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

/// How many trials got which verdict, by its word.
pub type VerdictCounts = BTreeMap<String, usize>;

/// The figures of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RunSummary {
    /// Trials by verdict.
    pub verdicts: VerdictCounts,
    /// Wall clock of the run in milliseconds.
    pub wall_ms: u64,
    /// Sum of all trials' durations, as if they had run one after another.
    pub serial_ms: u64,
    /// The longest trial.
    pub longest: Option<(ScenarioId, u64)>,
    /// The usage of all sessions.
    pub usage: Usage,
    /// How often each scenario passed in each lane, with `--repeat-each`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<PassRate>,
    /// The exit code of `host`.
    pub exit_code: u8,
}

/// How often the repetitions of a scenario passed in a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PassRate {
    /// The lane and the scenario.
    #[serde(flatten)]
    pub id: TrialId,
    /// Repetitions that passed, after a retry or not.
    pub passed: u32,
    /// Repetitions that passed or failed: the others say nothing of the scenario.
    pub judged: u32,
    /// All repetitions.
    pub repetitions: u32,
    /// The bounds of the rate between 0 and 1, by Wilson's score with 95 % confidence; `None` when none was judged.
    pub interval: Option<(f64, f64)>,
}

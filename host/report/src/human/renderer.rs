//! Renders the stream of events as lines of text. Only this module decides what is shown and how it is worded.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use super::{
    HumanOptions, Verbosity, activity,
    statistics::Statistics,
    theme::{Theme, Tone},
    trial::{FinishedTrial, MAX_EXCERPT_LINES, Writer},
    units::count,
};
use crate::text::{QUOTE, excerpt, inline};
use host_model::{BackOff, Canary, Event, EventKind, LaneName, Report, SessionEventKind, TrialId};

/// Failures that are repeated at the end, and alerts.
pub(super) const MAX_RECAP: usize = 50;
/// Denials and cuts that are shown for one trial.
const MAX_NOTICES: usize = 10;

/// The progress of an unfinished trial.
#[derive(Default)]
pub(super) struct Progress {
    notices: Vec<String>,
    notices_left_out: usize,
    artifacts: Option<PathBuf>,
    kept: Vec<PathBuf>,
    /// How the attempts ended that were tried again.
    pub(super) earlier: Vec<String>,
    /// Its last activity.
    pub(super) last: String,
}

/// The state of a report; it is made from events alone.
pub(super) struct Renderer {
    pub(super) theme: Theme,
    pub(super) verbosity: Verbosity,
    /// Whether starts are shown; with live lines they are not.
    shows_starts: bool,
    canaries: HashMap<TrialId, Canary>,
    pub(super) progress: HashMap<TrialId, Progress>,
    pub(super) canary_skipped: bool,
    pub(super) directory: Option<PathBuf>,
    pub(super) statistics: Statistics,
    pub(super) failures: Vec<FinishedTrial>,
    pub(super) failures_left_out: usize,
    /// Trials that passed but need attention.
    pub(super) alerts: Vec<FinishedTrial>,
    pub(super) alerts_left_out: usize,
    /// The reasons for which the run or a lane ended early.
    pub(super) incidents: Vec<String>,
    /// Messages about agents' confinement that were shown.
    unconfined: HashSet<String>,
    is_over: bool,
}

impl Renderer {
    pub(super) fn new(options: HumanOptions, shows_starts: bool) -> Self {
        Self {
            theme: options.theme(),
            verbosity: options.verbosity,
            shows_starts,
            canaries: HashMap::new(),
            progress: HashMap::new(),
            canary_skipped: false,
            directory: None,
            statistics: Statistics::default(),
            failures: Vec::new(),
            failures_left_out: 0,
            alerts: Vec::new(),
            alerts_left_out: 0,
            incidents: Vec::new(),
            unconfined: HashSet::new(),
            is_over: false,
        }
    }

    /// Adds the lines about `event`.
    pub(super) fn render(&mut self, event: &Event, out: &mut String) {
        self.statistics.update(event);
        match &event.kind {
            EventKind::RunStarted { .. } => self.run_started(&event.kind, out),
            EventKind::AttemptStarted { trial, attempt } => self.attempt_started(trial, *attempt, out),
            EventKind::Session { trial, detail, .. } => self.session(trial, &detail.kind, out),
            EventKind::Reported { trial, report, .. } => self.reported(trial, report, out),
            EventKind::AttemptFinished { trial, record, .. } => {
                let progress = self.progress_of(trial);
                progress.artifacts.clone_from(&record.artifacts);
                progress.kept.extend(record.kept.clone());
            }
            EventKind::TrialFinished { trial, attempts, duration_ms, verdict } => {
                let mut progress = self.progress.remove(trial).unwrap_or_default();
                // A retry that never started: the attempt before it is the one that is judged.
                progress.earlier.truncate(attempts.saturating_sub(1) as usize);
                let finished = FinishedTrial {
                    trial: trial.clone(),
                    canary: self.is_canary(trial),
                    attempts: *attempts,
                    duration_ms: *duration_ms,
                    verdict: verdict.clone(),
                    notices: progress.notices,
                    notices_left_out: progress.notices_left_out,
                    artifacts: progress.artifacts,
                    kept: progress.kept,
                    earlier: progress.earlier,
                };
                self.finished(finished, out);
            }
            EventKind::LaneOpened { lane } => self.lane_opened(lane, out),
            EventKind::RetryScheduled { trial, attempt, delay_ms, reason } => {
                self.retry_scheduled(trial, *attempt, (*delay_ms, reason), out);
            }
            EventKind::LaneBroken { lane, reason } => self.lane_broken(lane, reason, out),
            EventKind::JobsLowered { jobs, reason } => self.jobs_lowered(*jobs, reason, out),
            EventKind::Halted { reason } => self.halted(reason, out),
            EventKind::LogCut { reason, left_out } => self.log_cut(reason, *left_out, out),
            EventKind::Status { running, waiting, finished } => self.status(running, *waiting, *finished, out),
            EventKind::Interrupted { signal } => self.interrupted(signal, out),
            EventKind::RunFinished { summary } => {
                self.is_over = true;
                self.conclude(Some(summary), out);
            }
        }
    }

    /// Ends the stream; an incomplete stream gets a summary, too.
    pub(super) fn end(&mut self, out: &mut String) {
        if !self.is_over && self.statistics.planned() > 0 {
            self.is_over = true;
            self.conclude(None, out);
        }
    }

    /// Writes judged trials as this run shows them.
    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            theme: self.theme,
            directory: self.directory.as_deref(),
            all_artifacts: self.verbosity == Verbosity::Verbose,
        }
    }

    fn run_started(&mut self, kind: &EventKind, out: &mut String) {
        let EventKind::RunStarted { run, plugins, lanes, trials, jobs, canary_skipped, directory, .. } = kind else {
            return;
        };
        self.canaries = trials.iter().map(|trial| (trial.id.clone(), trial.canary)).collect();
        self.canary_skipped = *canary_skipped;
        self.directory.clone_from(directory);
        if self.verbosity > Verbosity::Quiet {
            let (trials, plugins) = (count(trials.len(), "trial"), count(plugins.len(), "plugin"));
            let names: Vec<_> = lanes.iter().map(|lane| inline(&lane.name.0)).collect();
            let lanes = match names.as_slice() {
                [lane] => format!("lane {lane}"),
                lanes if lanes.len() <= 4 => format!("lanes {}", lanes.join(", ")),
                lanes => count(lanes.len(), "lane"),
            };
            let jobs = if *jobs == 1 { "one at a time".into() } else { format!("up to {jobs} in parallel") };
            let line = format!("{trials} from {plugins} in {lanes}, {jobs} (run {})", inline(&run.0));
            self.headed(Tone::Good, "Running", &line, out);
        }
        self.warn_of_skipped_canary(out);
    }

    /// Shown at the start and again at the end, whatever the verbosity.
    pub(super) fn warn_of_skipped_canary(&self, out: &mut String) {
        if self.canary_skipped {
            let text =
                "--no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money";
            self.headed(Tone::Warn, "WARNING", &self.theme.paint(Tone::Warn, text).to_string(), out);
        }
    }

    /// A line that begins with `word`.
    pub(super) fn headed(&self, tone: Tone, word: &str, line: &str, out: &mut String) {
        out.push_str(&format!("{}{line}\n", self.theme.label(tone, word)));
    }

    fn attempt_started(&mut self, trial: &TrialId, attempt: u32, out: &mut String) {
        let progress = self.progress_of(trial);
        progress.artifacts = None;
        progress.last = "starts".into();
        if self.verbosity == Verbosity::Quiet || !self.shows_starts {
            return;
        }
        let word = if self.is_canary(trial) { "Canary" } else { "Start" };
        let again = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
        self.headed(Tone::Info, word, &format!("{}{again}", inline(&trial.to_string())), out);
    }

    pub(super) fn progress_of(&mut self, trial: &TrialId) -> &mut Progress {
        self.progress.entry(trial.clone()).or_default()
    }

    fn finished(&mut self, finished: FinishedTrial, out: &mut String) {
        let (failure, alert) = (finished.is_failure(), finished.is_alert());
        if self.verbosity > Verbosity::Quiet || failure || alert {
            self.writer().line(&finished, out);
            self.writer().details(&finished, out);
        }
        let (again, left_out) = match () {
            () if failure => (&mut self.failures, &mut self.failures_left_out),
            () if alert => (&mut self.alerts, &mut self.alerts_left_out),
            () => return,
        };
        if again.len() < MAX_RECAP { again.push(finished) } else { *left_out += 1 }
    }

    fn lane_opened(&mut self, lane: &LaneName, out: &mut String) {
        let waiting = self.statistics.without_verdict(lane);
        if waiting == 0 || self.verbosity == Verbosity::Quiet {
            return;
        }
        let guarded = self.canaries.iter().any(|(trial, canary)| trial.lane == *lane && *canary == Canary::Yes);
        let why = match (self.canary_skipped, guarded) {
            (true, _) => " without its canary",
            (false, true) => "",
            (false, false) => ", which has no canary",
        };
        let start = if waiting == 1 { "starts" } else { "start" };
        let line = format!("lane {}{why}: {} {start}", inline(&lane.0), count(waiting, "trial"));
        self.headed(Tone::Good, "Open", &line, out);
    }

    fn session(&mut self, trial: &TrialId, kind: &SessionEventKind, out: &mut String) {
        if let Some(last) = activity::in_session(kind) {
            self.progress_of(trial).last = last;
        }
        let (word, text) = match kind {
            SessionEventKind::Started { model, .. } => (
                "Agent",
                model.as_ref().map_or_else(|| "started".into(), |model| format!("started with model {model}")),
            ),
            SessionEventKind::Message { text } => ("Message", text.clone()),
            SessionEventKind::ToolCall { name, input, .. } => ("Tool", format!("{name} {input}")),
            SessionEventKind::BackOff(wait) => ("Wait", back_off(wait)),
            // They are complete in the artifacts, and would hide the rest.
            SessionEventKind::ToolResult { .. } | SessionEventKind::Usage(_) | SessionEventKind::Raw { .. } => return,
        };
        self.remark(trial, word, &text, out);
    }

    fn reported(&mut self, trial: &TrialId, report: &Report, out: &mut String) {
        if let Some(last) = activity::reported(report) {
            self.progress_of(trial).last = last;
        }
        match report {
            Report::Step { name } => self.remark(trial, "Step", name, out),
            Report::Note { text } => self.remark(trial, "Note", text, out),
            Report::Metric { name, value, unit } => {
                let value = value.map_or_else(|| "not a number".into(), |value| value.to_string());
                self.remark(trial, "Metric", &format!("{name} {value} {unit}"), out);
            }
            Report::Attachment { name, bytes, .. } => {
                self.remark(trial, "Attached", &format!("{name} ({})", count_bytes(*bytes)), out);
            }
            Report::Cut { what } => self.notice(trial, format!("cut: {what}")),
            Report::Left { what } => self.notice(trial, format!("left: {what}")),
            Report::Denied { what } => self.notice(trial, format!("denied: {what}")),
            // A property of the machine, and the same for every trial.
            Report::Unconfined { what } if self.unconfined.insert(what.clone()) => {
                self.notice(trial, format!("agents are not fully confined: {what}"));
            }
            Report::Unconfined { .. } => {}
        }
    }

    fn notice(&mut self, trial: &TrialId, text: String) {
        let progress = self.progress_of(trial);
        // A retry repeats the same notices.
        if progress.notices.contains(&text) {
            return;
        }
        if progress.notices.len() < MAX_NOTICES {
            progress.notices.push(text);
        } else {
            progress.notices_left_out += 1;
        }
    }

    /// A message of a guest or an agent.
    fn remark(&self, trial: &TrialId, word: &str, text: &str, out: &mut String) {
        if self.verbosity < Verbosity::Verbose {
            return;
        }
        out.push_str(&self.theme.label(Tone::Faint, word));
        out.push_str(&inline(&trial.to_string()));
        let excerpt = excerpt(text, MAX_EXCERPT_LINES);
        if let ([line], 0) = (excerpt.lines.as_slice(), excerpt.left_out) {
            out.push_str(&format!(" {}{line}\n", self.theme.paint(Tone::Faint, QUOTE)));
            return;
        }
        out.push('\n');
        for line in &excerpt.lines {
            out.push_str(&format!("{}{line}\n", self.theme.quote()));
        }
        self.writer().left_out(excerpt.left_out, "line", out);
    }

    fn is_canary(&self, trial: &TrialId) -> bool {
        self.canaries.get(trial) == Some(&Canary::Yes)
    }
}

fn count_bytes(bytes: u64) -> String {
    count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte")
}

/// Why an agent waits.
pub(super) fn back_off(wait: &BackOff) -> String {
    let reason = &wait.reason;
    match wait.delay_ms {
        Some(delay) => format!("{reason} (next try in {})", super::units::duration(delay)),
        None => reason.clone(),
    }
}

//! The report that GitHub Actions shows: annotations, folded blocks in the log, the step's summary and its outputs.

mod annotation_paths;
mod annotations;
mod command;
mod counts;
mod files;
mod markdown;
mod masks;
mod outline;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use self::{
    annotation_paths::AnnotationPaths, annotations::Annotations, command::command, counts::Counts, masks::Masks,
    outline::Outline, summary::Summary,
};
use super::{
    Sink,
    junit::detail::{Bounds, count, lines},
    rate,
    text::{QUOTE, inline},
    verdict_words::UNFINISHED,
};
use host_model::{Event, EventKind, RunningTrial, TrialId, Verdict};

/// The bounds of a trial's block.
const BLOCK_BOUNDS: Bounds = Bounds { findings: 20, lines: 20, bytes: 16 * 1024 };
/// The bounds of an annotation.
const ANNOTATION_BOUNDS: Bounds = Bounds { findings: 10, lines: 5, bytes: 4 * 1024 };
/// Trials that a status names.
const MAX_STATUS_TRIALS: usize = 50;
/// Bytes of text that may wait for [`Sink::flush`].
const MAX_PENDING_BYTES: usize = 64 * 1024;

/// The files and folders that GitHub gives a step. A file that is `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GithubFiles {
    /// `$GITHUB_STEP_SUMMARY`: Markdown that the run's page shows.
    pub summary: Option<PathBuf>,
    /// `$GITHUB_OUTPUT`: values for later steps.
    pub output: Option<PathBuf>,
    /// `$GITHUB_WORKSPACE`: the checkout, in which annotations name files. Without it they name them as the run does.
    pub workspace: Option<PathBuf>,
}

/// Reports a run to GitHub Actions.
///
/// While the run goes on, each trial that failed gets a folded block in the log. At the end come at most ten
/// annotations (canaries first, then faults, then failures, then warnings of what is flaky or passed unexpectedly), the
/// step's summary and its outputs.
///
/// Text of components and agents stands behind a mark, or is escaped, so that it never begins a line and never is a
/// command; secrets are replaced by `***` before any escaping could hide them from GitHub's own masks.
pub struct Github {
    writer: Box<dyn Write + Send>,
    files: GithubFiles,
    masks: Masks,
    pending: String,
    outline: Outline,
    counts: Counts,
    annotations: Annotations,
    summary: Summary,
    paths: AnnotationPaths,
}

impl Github {
    /// Writes workflow commands to `writer`, which must be the standard output of the step. None of the
    /// `secrets` is shown.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static, files: GithubFiles, secrets: &[String]) -> Self {
        let masks = Masks::new(secrets);
        let paths = AnnotationPaths::new(files.workspace.as_deref(), std::env::current_dir().unwrap_or_default());
        Self {
            paths,
            writer: Box::new(writer),
            files,
            pending: String::new(),
            masks,
            outline: Outline::default(),
            counts: Counts::default(),
            annotations: Annotations::default(),
            summary: Summary::default(),
        }
    }

    fn judged(&mut self, trial: &TrialId, attempts: u32, duration_ms: u64, verdict: &Verdict) {
        let verdict = self.masks.verdict(verdict);
        let name = inline(&self.masks.hide(&trial.to_string()));
        let canary = self.outline.is_canary(trial);
        let time = (attempts > 0).then_some(duration_ms);
        self.counts.add(&trial.lane, verdict.word());
        let scenario = self.masks.hide(&trial.scenario.0);
        self.summary.row(&trial.lane, &scenario, canary, (time, attempts), &verdict);
        let alert = matches!(verdict, Verdict::Flaky { .. } | Verdict::Xpass { .. });
        if verdict.is_failure() || alert {
            let mark = if canary { " (canary)" } else { "" };
            let title = format!("{} {name}{mark}", verdict.word().to_uppercase());
            if verdict.is_failure() {
                self.block(&title, trial, &verdict);
            }
            let message = lines(&verdict, ANNOTATION_BOUNDS, &self.log()).join("\n");
            let file = self.outline.file(trial).and_then(|file| self.paths.path(file));
            let file = file.map(|file| inline(&self.masks.hide(&file)));
            self.annotations.verdict(canary, &verdict, file.as_deref(), &title, &message);
        }
        self.outline.judged(trial);
    }

    /// The running trials, folded; printed on request.
    fn status(&mut self, running: &[RunningTrial], waiting: usize, finished: usize) {
        let retrying = running.iter().filter(|it| it.retry_in_ms.is_some()).count();
        let again = if retrying > 0 { format!(", {retrying} waiting to retry") } else { String::new() };
        let now = running.len() - retrying;
        let head = format!("Status: {now} running{again}, {waiting} waiting, {finished} finished");
        self.pending.push_str(&command("group", &[], &head));
        for it in running.iter().take(MAX_STATUS_TRIALS) {
            let name = inline(&self.masks.hide(&it.id.to_string()));
            let when = match it.retry_in_ms {
                Some(ms) => format!("starts in {}", summary::seconds(ms)),
                None => format!("for {}", summary::seconds(it.elapsed_ms)),
            };
            self.pending.push_str(&format!("{QUOTE}{name}, attempt {}, {when}\n", it.attempt));
        }
        let more = running.len().saturating_sub(MAX_STATUS_TRIALS);
        if more > 0 {
            self.pending.push_str(&format!("… and {}\n", count(more, "more trial")));
        }
        self.pending.push_str(&command("endgroup", &[], ""));
    }

    /// The details of a failure, folded.
    fn block(&mut self, title: &str, trial: &TrialId, verdict: &Verdict) {
        self.pending.push_str(&command("group", &[], title));
        for line in lines(verdict, BLOCK_BOUNDS, &self.log()) {
            self.pending.push_str(&format!("{QUOTE}{line}\n"));
        }
        if let Some(artifacts) = self.outline.artifacts(trial) {
            let artifacts = inline(&self.masks.hide(&artifacts.to_string_lossy()));
            self.pending.push_str(&format!("artifacts: {artifacts}\n"));
        }
        self.pending.push_str(&command("endgroup", &[], ""));
    }

    fn log(&self) -> String {
        self.masks.hide(&self.outline.log()).into_owned()
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(self.pending.as_bytes());
        self.pending.clear();
        written
    }

    /// The trials without a verdict at the end of the stream.
    fn unfinished(&mut self) {
        let unfinished = self.outline.take_unfinished();
        for trial in &unfinished {
            let canary = self.outline.is_canary(trial);
            self.counts.add(&trial.lane, UNFINISHED);
            self.summary.unfinished(&trial.lane, &self.masks.hide(&trial.scenario.0), canary);
        }
        if !unfinished.is_empty() {
            let message = format!("the run was cut short: {} without a verdict", count(unfinished.len(), "trial"));
            self.summary.remark(&message);
            self.annotations.run(&message);
        }
    }

    fn write_files(&self) -> io::Result<()> {
        let summary = self.files.summary.as_ref().map_or(Ok(()), |file| {
            let room = files::room(file)?;
            files::append(file, &self.summary.render(&self.counts, room, &self.masks))
        });
        let output = self.files.output.as_ref().map_or(Ok(()), |file| {
            let texts = self.outline.texts().map(|(key, text)| (key, self.masks.hide(&text).into_owned()));
            files::append(file, &files::values(self.counts.values().chain(texts)))
        });
        summary.and(output)
    }
}

impl Sink for Github {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.outline.take_in(event);
        match &event.kind {
            EventKind::RunStarted { lanes, canary_skipped, .. } => {
                for lane in lanes {
                    self.counts.lane(&lane.name);
                }
                if *canary_skipped {
                    self.summary.remark("--no-canary: no canary checks a lane first");
                }
            }
            EventKind::TrialFinished { trial, attempts, duration_ms, verdict } => {
                self.judged(trial, *attempts, *duration_ms, verdict);
            }
            EventKind::Interrupted { signal } => self.summary.remark(&format!("interrupted by {}", inline(signal))),
            EventKind::LaneBroken { lane, reason } => {
                let (lane, reason) = (self.masks.hide(&lane.0), self.masks.hide(reason));
                self.summary.remark(&format!("lane {} broke: {}", inline(&lane), inline(&reason)));
            }
            EventKind::Status { running, waiting, finished } => self.status(running, *waiting, *finished),
            EventKind::JobsLowered { jobs, reason } => {
                let reason = self.masks.hide(reason);
                self.summary.remark(&format!("up to {jobs} in parallel after a shortage: {}", inline(&reason)));
            }
            EventKind::Halted { reason } => self.summary.remark(&format!("halted: {}", inline(reason))),
            EventKind::LogCut { reason, left_out: 0 } => self.summary.remark(&inline(reason)),
            EventKind::RunFinished { summary } => {
                for rate in &summary.rates {
                    self.summary.rate(&inline(&self.masks.hide(&rate.id.to_string())), &rate::describe(rate));
                }
            }
            _ => {}
        }
        if self.pending.len() >= MAX_PENDING_BYTES { self.write_pending() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_pending()?;
        self.writer.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.unfinished();
        self.pending.push_str(&self.annotations.commands());
        // One that fails must not take the others with it.
        let files = self.write_files();
        self.flush().and(files)
    }
}

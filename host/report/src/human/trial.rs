//! How one finished trial reads: a line, and below it what is wrong.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{
    theme::{Theme, Tone},
    units::{count, duration},
};
use crate::{
    expected,
    text::{excerpt, inline},
};
use host_model::{Finding, TrialId, Verdict};

/// Lines of one message or one evidence.
pub(super) const MAX_EXCERPT_LINES: usize = 20;
/// Attempts of one trial before its last.
const MAX_EARLIER: usize = 10;
/// Findings of one trial.
const MAX_FINDINGS: usize = 20;

/// A trial with its verdict, and what its attempts left.
pub(super) struct FinishedTrial {
    pub(super) trial: TrialId,
    pub(super) canary: bool,
    pub(super) attempts: u32,
    pub(super) duration_ms: u64,
    pub(super) verdict: Verdict,
    /// Denials and cuts.
    pub(super) notices: Vec<String>,
    pub(super) notices_left_out: usize,
    /// The artifact folder of the last attempt, relative to the run directory.
    pub(super) artifacts: Option<PathBuf>,
    pub(super) kept: Vec<PathBuf>,
    /// How the attempts before the last one ended.
    pub(super) earlier: Vec<String>,
}

impl FinishedTrial {
    /// Whether it needs attention. The cause of a blocked trial is elsewhere.
    pub(super) fn is_failure(&self) -> bool {
        self.verdict.is_failure()
    }

    /// Whether its artifacts are worth a line.
    fn shows_artifacts(&self) -> bool {
        match &self.verdict {
            Verdict::Pass | Verdict::Xfail { .. } | Verdict::Skip { .. } => false,
            Verdict::Xpass { .. } => self.is_failure(),
            // The earlier attempts of a flaky trial are in the neighboring directories.
            _ => true,
        }
    }

    /// Whether it passed and should be looked at all the same.
    pub(super) fn is_alert(&self) -> bool {
        !self.is_failure() && matches!(self.verdict, Verdict::Flaky { .. } | Verdict::Xpass { .. })
    }

    /// The escaped text after the trial's name.
    fn reason(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Skip { reason } | Verdict::Blocked { reason } | Verdict::Cancelled { reason } => {
                Some(inline(reason))
            }
            Verdict::Xfail { expected: known, .. } => Some(format!("expected: {}", expected::describe(known))),
            Verdict::Xpass { expected: known, .. } => {
                Some(format!("passed, but was expected to fail: {}", expected::describe(known)))
            }
            Verdict::Pass | Verdict::Flaky { .. } | Verdict::Fail { .. } | Verdict::Fault(_) => None,
        }
    }
}

/// The color of a verdict.
fn tone(verdict: &Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail { .. } => Tone::Bad,
        Verdict::Flaky { .. } | Verdict::Xpass { .. } | Verdict::Xfail { .. } => Tone::Warn,
        Verdict::Fault(_) => Tone::Broken,
        Verdict::Skip { .. } | Verdict::Blocked { .. } | Verdict::Cancelled { .. } => Tone::Warn,
    }
}

/// `[   2.31s] `, or as many spaces.
pub(super) fn elapsed_column(ms: Option<u64>) -> String {
    ms.map_or_else(|| " ".repeat(11), |ms| format!("[{:>8}] ", duration(ms)))
}

/// Writes judged trials.
pub(super) struct Writer<'a> {
    pub(super) theme: Theme,
    /// The run directory, if there is one.
    pub(super) directory: Option<&'a Path>,
    /// Whether the artifacts of what passed are shown too.
    pub(super) all_artifacts: bool,
}

impl Writer<'_> {
    /// The line with the verdict.
    pub(super) fn line(&self, finished: &FinishedTrial, out: &mut String) {
        let word = finished.verdict.word().to_uppercase();
        out.push_str(&self.theme.label(tone(&finished.verdict), &word));
        out.push_str(&elapsed_column((finished.attempts > 0).then_some(finished.duration_ms)));
        out.push_str(&inline(&finished.trial.to_string()));
        if finished.canary {
            out.push_str(" (canary)");
        }
        if finished.attempts > 1 {
            out.push_str(&format!(" (after {} attempts)", finished.attempts));
        }
        if finished.is_failure() && finished.verdict.has_passed() {
            out.push_str(" (counts as a failure)");
        }
        if let Some(reason) = finished.reason() {
            out.push_str(&format!(": {reason}"));
        }
        out.push('\n');
    }

    /// The lines below that line.
    pub(super) fn details(&self, finished: &FinishedTrial, out: &mut String) {
        match &finished.verdict {
            Verdict::Fail { findings, note } => {
                self.findings(findings, out);
                if let Some(note) = note {
                    self.quoted("note: ", note, out);
                }
            }
            Verdict::Fault(fault) => self.quoted(&format!("{}: ", fault.class), &fault.message, out),
            // A stream may lack the events of its retries.
            Verdict::Flaky { reason, .. } if finished.earlier.is_empty() => self.quoted("", reason, out),
            // An expected failure is shown in its line; its findings are in the event log.
            _ => {}
        }
        for earlier in finished.earlier.iter().take(MAX_EARLIER) {
            let _ = writeln!(out, "{}{earlier}", self.theme.quote());
        }
        self.left_out(finished.earlier.len().saturating_sub(MAX_EARLIER), "attempt", out);
        // A fault that was caused by refusals has named them already.
        let is_named = |notice: &&String| match (&finished.verdict, notice.strip_prefix("denied: ")) {
            (Verdict::Fault(fault), Some(what)) => fault.message.contains(what),
            _ => false,
        };
        for notice in finished.notices.iter().filter(|notice| !is_named(notice)) {
            let _ = writeln!(out, "{}{}", self.theme.quote(), inline(notice));
        }
        self.left_out(finished.notices_left_out, "notice", out);
        if let Some(artifacts) = &finished.artifacts
            && (self.all_artifacts || finished.shows_artifacts())
        {
            let path = self.directory.map_or_else(|| artifacts.clone(), |directory| directory.join(artifacts));
            self.own(&format!("artifacts: {}", inline(&path.to_string_lossy())), out);
        }
        for path in &finished.kept {
            self.own(&format!("kept: {}", inline(&path.to_string_lossy())), out);
        }
    }

    fn findings(&self, findings: &[Finding], out: &mut String) {
        for finding in findings.iter().take(MAX_FINDINGS) {
            self.quoted(&format!("{}: ", inline(&finding.code)), &finding.message, out);
            if let Some(evidence) = &finding.evidence {
                self.quoted_block("    ", evidence, out);
            }
        }
        self.left_out(findings.len().saturating_sub(MAX_FINDINGS), "finding", out);
    }

    /// A foreign text: its first line after `lead`, the others indented below.
    fn quoted(&self, lead: &str, text: &str, out: &mut String) {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let _ = writeln!(out, "{}{lead}{}", self.theme.quote(), inline(first.trim_end_matches('\r')));
        self.quoted_block("    ", rest, out);
    }

    fn quoted_block(&self, indent: &str, text: &str, out: &mut String) {
        let excerpt = excerpt(text, MAX_EXCERPT_LINES);
        for line in excerpt.lines {
            let line = format!("{}{indent}{line}", self.theme.quote());
            let _ = writeln!(out, "{}", line.trim_end());
        }
        self.left_out(excerpt.left_out, "line", out);
    }

    /// Says that `number` more things are not shown here, and where they are.
    pub(super) fn left_out(&self, number: usize, thing: &str, out: &mut String) {
        if number > 0 {
            self.own(&format!("… {} in {}", count(number, &format!("more {thing}")), self.log()), out);
        }
    }

    /// The log with all details.
    pub(super) fn log(&self) -> String {
        self.directory.map_or_else(
            || "the event log".into(),
            |directory| inline(&directory.join("events.jsonl").to_string_lossy()),
        )
    }

    fn own(&self, line: &str, out: &mut String) {
        let _ = writeln!(out, "{}{}", self.theme.no_label(), self.theme.paint(Tone::Faint, line));
    }
}

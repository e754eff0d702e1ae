//! One trial as a test case.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun};

use super::{
    detail::{Bounds, headline, lines},
    tail::Tail,
    xml::xml,
};
use crate::text::inline;
use host_model::{Finding, TrialId, Verdict};

/// The bounds of one attempt's findings: more than a person reads, less than a hostile grader may write.
const FULL_BOUNDS: Bounds = Bounds { findings: 100, lines: 200, bytes: 32 * 1024 };
/// The bounds when the report is full: its cases stay in memory until the end of the run.
const BRIEF_BOUNDS: Bounds = Bounds { findings: 1, lines: 1, bytes: 400 };

/// How much of a trial is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetailLevel {
    /// All details.
    Full,
    /// One line and where the rest is.
    Brief,
}

/// The results of an attempt.
#[derive(Default)]
pub(super) struct Attempt {
    pub(super) output: Tail,
    pub(super) artifacts: Option<String>,
    /// Lines that stand before all else in its output.
    before: Vec<String>,
    /// How it ended, judged by itself.
    pub(super) outcome: Option<Verdict>,
}

impl Attempt {
    fn output(self, log: &str, level: DetailLevel) -> Option<String> {
        if level == DetailLevel::Brief {
            let artifacts = self.artifacts.map(|path| format!("artifacts: {path}"));
            return artifacts.or_else(|| (self.output.bytes() > 0).then(|| format!("the complete output is in {log}")));
        }
        let artifacts = self.artifacts.map(|path| format!("artifacts: {path}"));
        let lines: Vec<_> = self.before.into_iter().chain(artifacts).chain(self.output.into_lines(log)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// How it ended, as attempt number `number`.
    fn one_line(&self, number: u32) -> Option<String> {
        let outcome = self.outcome.as_ref()?;
        let word = outcome.fault_class().map_or(outcome.word(), |class| class.as_str());
        Some(format!("attempt {number}: {word} ({})", headline(outcome)))
    }
}

/// The approximate size of a trial's case in bytes.
pub(super) fn size_of(verdict: &Verdict, attempts: &[Attempt]) -> usize {
    let attempt = |attempt: &Attempt| attempt.output.bytes() + attempt.outcome.as_ref().map_or(0, verdict_bytes);
    verdict_bytes(verdict) + attempts.iter().map(attempt).sum::<usize>()
}

/// The approximate size of a verdict in bytes.
fn verdict_bytes(verdict: &Verdict) -> usize {
    let finding = |finding: &Finding| finding.message.len() + finding.evidence.as_ref().map_or(0, String::len);
    let text = match verdict {
        Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. } => findings.iter().map(finding).sum(),
        Verdict::Fault(fault) => fault.message.len(),
        _ => 0,
    };
    text.min(FULL_BOUNDS.bytes)
}

/// A trial that has its verdict; the last of its attempts is the one that the verdict is of.
pub(super) fn finished(
    trial: &TrialId,
    verdict: &Verdict,
    duration_ms: u64,
    mut attempts: Vec<Attempt>,
    (log, level): (&str, DetailLevel),
) -> TestCase {
    let mut last = attempts.pop();
    let status = status(verdict, log, level);
    if matches!(status, TestCaseStatus::Skipped { .. }) && !attempts.is_empty() {
        // A skipped case has no place for reruns.
        let last = last.get_or_insert_default();
        last.before = attempts.drain(..).zip(1..).filter_map(|(attempt, number)| attempt.one_line(number)).collect();
    }
    if matches!(verdict, Verdict::Xpass { .. }) && !verdict.is_failure() {
        // A success has no place for a message.
        last.get_or_insert_default().before.push(headline(verdict));
    }
    let mut case = of(trial, status, attempts, last, (log, level));
    case.set_time(Duration::from_millis(duration_ms));
    case
}

/// A trial whose verdict never came.
pub(super) fn unfinished(trial: &TrialId, mut attempts: Vec<Attempt>, log: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let verdict_bytes = if attempts.is_empty() { "before this trial started" } else { "while this trial ran" };
    status.set_type("unfinished").set_message(xml(&format!("the run was cut short {verdict_bytes}")));
    let last = attempts.pop_if(|attempt| attempt.outcome.is_none());
    of(trial, status, attempts, last, (log, DetailLevel::Full))
}

fn of(
    trial: &TrialId,
    mut status: TestCaseStatus,
    earlier: Vec<Attempt>,
    last: Option<Attempt>,
    (log, level): (&str, DetailLevel),
) -> TestCase {
    status.add_reruns(earlier.into_iter().filter_map(|attempt| rerun(attempt, log, level)));
    let mut case = TestCase::new(xml(&inline(&trial.scenario.0)), status);
    case.set_classname(xml(&inline(&trial.lane.0)));
    if let Some(output) = last.and_then(|attempt| attempt.output(log, level)) {
        case.set_system_out(xml(&output));
    }
    case
}

/// A verdict as JUnit knows it: which element, and its type. `None` is a success.
enum Element {
    NonSuccess(NonSuccessKind, &'static str),
    Skipped(&'static str),
}

fn element(verdict: &Verdict) -> Option<Element> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Flaky { .. } | Verdict::Xpass { .. } if !verdict.is_failure() => None,
        Verdict::Xfail { .. } => Some(Element::Skipped(verdict.word())),
        Verdict::Fail { .. } | Verdict::Flaky { .. } | Verdict::Xpass { .. } => {
            Some(Element::NonSuccess(NonSuccessKind::Failure, verdict.word()))
        }
        Verdict::Fault(fault) => Some(Element::NonSuccess(NonSuccessKind::Error, fault.class.as_str())),
        Verdict::Skip { .. } | Verdict::Blocked { .. } | Verdict::Cancelled { .. } => {
            Some(Element::Skipped(verdict.word()))
        }
    }
}

fn status(verdict: &Verdict, log: &str, level: DetailLevel) -> TestCaseStatus {
    match element(verdict) {
        None => TestCaseStatus::success(),
        Some(Element::NonSuccess(kind, word)) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(word).set_message(xml(&headline(verdict))).set_description(text(verdict, log, level));
            status
        }
        Some(Element::Skipped(word)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(word).set_message(xml(&headline(verdict)));
            if matches!(verdict, Verdict::Xfail { .. }) {
                status.set_description(text(verdict, log, level));
            }
            status
        }
    }
}

/// An attempt before the last one, where it did not end well.
fn rerun(mut attempt: Attempt, log: &str, level: DetailLevel) -> Option<TestRerun> {
    let outcome = attempt.outcome.take()?;
    let Some(Element::NonSuccess(kind, word)) = element(&outcome) else { return None };
    let mut rerun = TestRerun::new(kind);
    rerun.set_type(word).set_message(xml(&headline(&outcome))).set_stack_trace(text(&outcome, log, level));
    if let Some(output) = attempt.output(log, level) {
        rerun.set_system_out(xml(&output));
    }
    Some(rerun)
}

fn text(verdict: &Verdict, log: &str, level: DetailLevel) -> quick_junit::XmlString {
    let bounds = if level == DetailLevel::Full { FULL_BOUNDS } else { BRIEF_BOUNDS };
    xml(&lines(verdict, bounds, log).join("\n"))
}

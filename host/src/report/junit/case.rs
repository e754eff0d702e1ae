//! One trial as a test case.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun};

use super::{
    detail::{Bounds, headline, lines},
    document::xml,
    tail::Tail,
};
use crate::{
    model::{TrialId, Verdict},
    report::text::inline,
};

/// What is told of one attempt's findings: far more than a person reads, far less than a hostile grader may write.
const BOUNDS: Bounds = Bounds { findings: 100, lines: 200, bytes: 32 * 1024 };

/// What an attempt left.
#[derive(Default)]
pub(super) struct Attempt {
    pub(super) said: Tail,
    pub(super) artifacts: Option<String>,
    /// Lines that stand before all else in its output.
    before: Vec<String>,
    /// How it ended, judged by itself.
    pub(super) ended: Option<Verdict>,
}

impl Attempt {
    fn output(self, log: &str) -> Option<String> {
        let artifacts = self.artifacts.map(|path| format!("artifacts: {path}"));
        let lines: Vec<_> = self.before.into_iter().chain(artifacts).chain(self.said.into_lines(log)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// How it ended, as attempt number `number`.
    fn in_a_line(&self, number: u32) -> Option<String> {
        let ended = self.ended.as_ref()?;
        let word = ended.fault_class().map_or(ended.word(), |class| class.as_str());
        Some(format!("attempt {number}: {word} ({})", headline(ended)))
    }
}

/// A trial that has its verdict; the last of its attempts is the one that the verdict is of.
pub(super) fn judged(
    trial: &TrialId,
    verdict: &Verdict,
    duration_ms: u64,
    mut attempts: Vec<Attempt>,
    log: &str,
) -> TestCase {
    let mut last = attempts.pop();
    let status = status(verdict, log);
    if matches!(status, TestCaseStatus::Skipped { .. }) && !attempts.is_empty() {
        // A skipped case has no place for reruns.
        let last = last.get_or_insert_default();
        last.before = attempts.drain(..).zip(1..).filter_map(|(attempt, number)| attempt.in_a_line(number)).collect();
    }
    if matches!(verdict, Verdict::Xpass { .. }) && !verdict.is_failure() {
        // A success has no place for a message.
        last.get_or_insert_default().before.push(headline(verdict));
    }
    let mut case = of(trial, status, attempts, last, log);
    case.set_time(Duration::from_millis(duration_ms));
    case
}

/// A trial whose verdict never came.
pub(super) fn unfinished(trial: &TrialId, mut attempts: Vec<Attempt>, log: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let told = if attempts.is_empty() { "before this trial started" } else { "while this trial ran" };
    status.set_type("unfinished").set_message(xml(&format!("the run broke off {told}")));
    let last = attempts.pop_if(|attempt| attempt.ended.is_none());
    of(trial, status, attempts, last, log)
}

fn of(
    trial: &TrialId,
    mut status: TestCaseStatus,
    earlier: Vec<Attempt>,
    last: Option<Attempt>,
    log: &str,
) -> TestCase {
    status.add_reruns(earlier.into_iter().filter_map(|attempt| rerun(attempt, log)));
    let mut case = TestCase::new(xml(&inline(&trial.scenario.0)), status);
    case.set_classname(xml(&inline(&trial.lane.0)));
    if let Some(output) = last.and_then(|attempt| attempt.output(log)) {
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

fn status(verdict: &Verdict, log: &str) -> TestCaseStatus {
    match element(verdict) {
        None => TestCaseStatus::success(),
        Some(Element::NonSuccess(kind, word)) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(word).set_message(xml(&headline(verdict))).set_description(text(verdict, log));
            status
        }
        Some(Element::Skipped(word)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(word).set_message(xml(&headline(verdict)));
            if matches!(verdict, Verdict::Xfail { .. }) {
                status.set_description(text(verdict, log));
            }
            status
        }
    }
}

/// An attempt before the last one, where it did not end well.
fn rerun(mut attempt: Attempt, log: &str) -> Option<TestRerun> {
    let ended = attempt.ended.take()?;
    let Some(Element::NonSuccess(kind, word)) = element(&ended) else { return None };
    let mut rerun = TestRerun::new(kind);
    rerun.set_type(word).set_message(xml(&headline(&ended))).set_stack_trace(text(&ended, log));
    if let Some(output) = attempt.output(log) {
        rerun.set_system_out(xml(&output));
    }
    Some(rerun)
}

fn text(verdict: &Verdict, log: &str) -> quick_junit::XmlString {
    xml(&lines(verdict, BOUNDS, log).join("\n"))
}

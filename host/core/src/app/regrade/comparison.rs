//! Compares recorded verdicts with new ones.

use std::collections::BTreeSet;

use crate::app::text::{few, one_line};
use host_model::{TrialId, Verdict};

/// The recorded result of a trial next to its new result.
#[derive(Debug)]
pub struct Comparison {
    /// The trial.
    pub trial: TrialId,
    /// Both results.
    pub kind: ComparisonKind,
}

/// Whether and how a trial was graded again.
#[derive(Debug)]
pub enum ComparisonKind {
    /// It was graded again.
    Graded {
        /// The verdict of the earlier run.
        recorded: Verdict,
        /// The new verdict.
        now: Verdict,
    },
    /// It was graded again, and requested something that is not recorded.
    Diverged {
        /// The verdict of the earlier run.
        recorded: Verdict,
        /// What it requested, for a person.
        how: String,
    },
    /// It could not be graded again.
    Stands {
        /// The verdict of the earlier run, which still holds.
        recorded: Verdict,
        /// Why, for a person.
        why: String,
    },
    /// There is nothing that could be graded.
    LeftOut {
        /// The verdict of the earlier run, if it had one.
        recorded: Option<Verdict>,
        /// Why, for a person.
        why: String,
    },
}

/// How a trial is plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The same verdict.
    Same,
    /// The same verdict and codes, in other words.
    Reworded,
    /// Another verdict or other codes.
    Changed,
    /// [`ComparisonKind::Diverged`].
    Diverged,
    /// [`ComparisonKind::Stands`].
    Stands,
    /// [`ComparisonKind::LeftOut`].
    LeftOut,
}

impl Comparison {
    /// How it is plural.
    #[must_use]
    pub fn change(&self) -> Change {
        match &self.kind {
            // What an unexpected pass counts as is today's setting, not the grader's result.
            ComparisonKind::Graded { recorded: Verdict::Xpass { .. }, now: Verdict::Xpass { .. } } => Change::Same,
            ComparisonKind::Graded { recorded, now } if recorded == now => Change::Same,
            ComparisonKind::Graded { recorded, now } if summary(recorded) == summary(now) => Change::Reworded,
            ComparisonKind::Graded { .. } => Change::Changed,
            ComparisonKind::Diverged { .. } => Change::Diverged,
            ComparisonKind::Stands { .. } => Change::Stands,
            ComparisonKind::LeftOut { .. } => Change::LeftOut,
        }
    }
}

/// The recorded verdict of the last attempt, which is the one that is graded again.
pub(super) fn of_last_attempt(recorded: Verdict) -> Verdict {
    if matches!(recorded, Verdict::Flaky { .. }) { Verdict::Pass } else { recorded }
}

/// The verdict's word with its codes or class, which decide retries and expectations.
#[must_use]
pub fn summary(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Xfail { fault: Some(fault), .. } => format!("xfail ({})", fault.class),
        Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. } => {
            let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            format!("{} ({})", verdict.word(), few(&codes.into_iter().map(one_line).collect::<Vec<_>>()))
        }
        Verdict::Fault(fault) => format!("fault ({})", fault.class),
        other => other.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{CountsAs, Finding, LaneName, ScenarioId};

    fn fail(code: &str, message: &str) -> Verdict {
        let finding = Finding { code: code.into(), message: message.into(), evidence: None };
        Verdict::Fail { findings: vec![finding], note: None }
    }

    fn graded(recorded: Verdict, now: Verdict) -> Comparison {
        let trial = TrialId { lane: LaneName("l".into()), scenario: ScenarioId("s".into()) };
        Comparison { trial, kind: ComparisonKind::Graded { recorded, now } }
    }

    #[test]
    fn only_another_verdict_or_code_is_a_change() {
        assert_eq!(graded(Verdict::Pass, Verdict::Pass).change(), Change::Same);
        assert_eq!(graded(fail("a", "x"), fail("a", "x")).change(), Change::Same);
        assert_eq!(graded(fail("a", "x"), fail("a", "y")).change(), Change::Reworded);
        assert_eq!(graded(fail("a", "x"), fail("b", "x")).change(), Change::Changed);
        assert_eq!(graded(fail("a", "x"), Verdict::Pass).change(), Change::Changed);
        let xpass = |counts_as| Verdict::Xpass { expected: Vec::new(), counts_as };
        assert_eq!(graded(xpass(CountsAs::Fail), xpass(CountsAs::Pass)).change(), Change::Same);
        assert_eq!(graded(Verdict::Pass, xpass(CountsAs::Pass)).change(), Change::Changed);
    }
}

//! Secrets, which nothing may show.

use std::borrow::Cow;

use super::command::command;
use crate::model::{Fault, Finding, Verdict};

/// The shortest line of a secret of several lines that is a secret by itself: a brace of a key file is none.
const LINE: usize = 8;

/// What must not be shown.
pub(super) struct Masks {
    /// As GitHub is told.
    told: Vec<String>,
    /// What is replaced: the longest first, since one may be part of another.
    hidden: Vec<String>,
}

impl Masks {
    pub(super) fn new(mut told: Vec<String>) -> Self {
        // GitHub refuses blank ones, and an empty one is everywhere.
        told.retain(|mask| !mask.trim().is_empty());
        let lines = told.iter().flat_map(|mask| mask.lines()).map(str::trim).filter(|line| line.len() >= LINE);
        let mut hidden: Vec<String> = told.iter().map(String::as_str).chain(lines).map(Into::into).collect();
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        hidden.dedup();
        Self { told, hidden }
    }

    /// Tells GitHub of them.
    pub(super) fn commands(&self) -> String {
        self.told.iter().map(|mask| command("add-mask", &[], mask)).collect()
    }

    /// `text` without them. To be done before anything else with a text: what is cut or escaped is no longer found.
    pub(super) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut shown = Cow::Borrowed(text);
        for mask in &self.hidden {
            if shown.contains(mask.as_str()) {
                shown = Cow::Owned(shown.replace(mask.as_str(), "***"));
            }
        }
        shown
    }

    fn findings(&self, findings: &[Finding]) -> Vec<Finding> {
        let hide = |text: &str| self.hide(text).into_owned();
        let hidden = |finding: &Finding| Finding {
            code: hide(&finding.code),
            message: hide(&finding.message),
            evidence: finding.evidence.as_deref().map(hide),
        };
        findings.iter().map(hidden).collect()
    }

    /// A verdict without them.
    pub(super) fn verdict(&self, verdict: &Verdict) -> Verdict {
        let hide = |text: &str| self.hide(text).into_owned();
        match verdict {
            Verdict::Pass => Verdict::Pass,
            Verdict::Flaky { reason, counts_as } => Verdict::Flaky { reason: hide(reason), counts_as: *counts_as },
            Verdict::Fail { findings, note } => {
                Verdict::Fail { findings: self.findings(findings), note: note.as_deref().map(hide) }
            }
            // What was expected is the suite's own text.
            Verdict::Xfail { findings, expected } => {
                Verdict::Xfail { findings: self.findings(findings), expected: expected.clone() }
            }
            Verdict::Xpass { .. } => verdict.clone(),
            Verdict::Skip { reason } => Verdict::Skip { reason: hide(reason) },
            Verdict::Blocked { reason } => Verdict::Blocked { reason: hide(reason) },
            Verdict::Fault(fault) => Verdict::Fault(Fault::new(fault.class, hide(&fault.message))),
            Verdict::Cancelled { reason } => Verdict::Cancelled { reason: hide(reason) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(masks: &[&str]) -> Masks {
        Masks::new(masks.iter().map(|mask| (*mask).into()).collect())
    }

    #[test]
    fn github_is_told_of_each_and_blank_ones_are_none() {
        let masks = masks(&["s3cret", "", " \n", "100%\nlong enough\n}"]);
        assert_eq!(masks.commands(), "::add-mask::s3cret\n::add-mask::100%25%0Along enough%0A}\n");
        assert_eq!(masks.hide("a s3cret } long enough 100%"), "a *** } *** 100%");
        assert_eq!(masks.hide("100%\nlong enough\n}"), "***");
        assert!(matches!(masks.hide("nothing"), Cow::Borrowed("nothing")));
    }

    #[test]
    fn the_longer_one_goes_first() {
        assert_eq!(masks(&["key", "key-and-more"]).hide("key-and-more, key"), "***, ***");
    }
}

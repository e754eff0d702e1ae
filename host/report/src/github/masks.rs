//! Secrets, which nothing may show.

use std::borrow::Cow;

use host_model::{Fault, Finding, Verdict};

/// The shortest line of a secret of several lines that is a secret by itself: a brace of a key file is none.
const MIN_LINE_CHARS: usize = 8;

/// Secrets that must not be shown.
///
/// GitHub's own `add-mask` would write the secret to the log, where it is visible outside of GitHub.
pub(super) struct Masks {
    /// The texts to replace, the longest first, since one may be part of another.
    hidden: Vec<String>,
}

impl Masks {
    pub(super) fn new(secrets: &[String]) -> Self {
        // An empty one is everywhere.
        let secrets = || secrets.iter().map(String::as_str).filter(|secret| !secret.trim().is_empty());
        let lines = secrets().flat_map(str::lines).map(str::trim).filter(|line| line.len() >= MIN_LINE_CHARS);
        let mut hidden: Vec<String> = secrets().chain(lines).map(Into::into).collect();
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        hidden.dedup();
        Self { hidden }
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
            // Expectations are the suite's own text.
            Verdict::Xfail { findings, fault, expected } => Verdict::Xfail {
                findings: self.findings(findings),
                fault: fault.as_ref().map(|fault| Fault::new(fault.class, hide(&fault.message))),
                expected: expected.clone(),
            },
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
        Masks::new(&masks.iter().map(|mask| (*mask).into()).collect::<Vec<_>>())
    }

    #[test]
    fn every_secret_is_hidden_and_blanks_are_ignored() {
        let masks = masks(&["s3cret", "", " \n", "100%\nlong enough\n}"]);
        assert_eq!(masks.hide("a s3cret } long enough 100%"), "a *** } *** 100%");
        assert_eq!(masks.hide("100%\nlong enough\n}"), "***");
        assert!(matches!(masks.hide("nothing"), Cow::Borrowed("nothing")));
    }

    #[test]
    fn longer_secrets_are_replaced_first() {
        assert_eq!(masks(&["key", "key-and-more"]).hide("key-and-more, key"), "***, ***");
    }
}

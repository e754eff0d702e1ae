//! Graders: tables of clauses. All clauses are checked, and all that fail are told.

use crate::{Finding, Verdict};

/// Why a clause does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    evidence: Option<String>,
}

impl Failure {
    /// What was expected and what was found, for a person.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), evidence: None }
    }

    /// Adds the text that shows it: an excerpt, a diff. Long texts are cut, and say so.
    #[must_use]
    pub fn with_evidence(self, evidence: impl Into<String>) -> Self {
        Self { evidence: Some(shorten(evidence.into())), ..self }
    }
}

const MAX_EVIDENCE: usize = 4_000;

fn shorten(mut text: String) -> String {
    if text.len() > MAX_EVIDENCE {
        let omitted = text.len() - text.floor_char_boundary(MAX_EVIDENCE);
        text.truncate(text.floor_char_boundary(MAX_EVIDENCE));
        text.push_str(&format!("\n… ({omitted} more bytes)"));
    }
    text
}

/// Whether a clause holds.
pub type Check = Result<(), Failure>;

/// Holds when `condition` does; `message` says what was found instead.
pub fn require(condition: bool, message: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(Failure::new(message())) }
}

/// One clause of a grader.
pub struct Clause<C> {
    /// Stable code of its finding: lower-case letters, digits and `-`.
    pub code: &'static str,
    /// What must hold, in one sentence.
    pub requires: &'static str,
    /// Whether it holds for a case. Where another clause reports that there is nothing to look at (the file is gone),
    /// a clause holds: one cause, one finding.
    pub check: fn(&C) -> Check,
}

/// A grader: the table of clauses over a case of type `C`. What it declares to the host and what it checks are the
/// same table, so the two cannot diverge.
pub struct Grader<C: 'static>(pub &'static [Clause<C>]);

impl<C> Grader<C> {
    /// Checks every clause; fails with all findings.
    #[must_use]
    pub fn judge(&self, case: &C) -> Verdict {
        let mut findings = Findings::new();
        for clause in self.0 {
            findings.check(clause.code, (clause.check)(case));
        }
        findings.verdict()
    }
}

/// A list of clauses whose case type does not matter: what a grader declares.
pub trait Clauses: Sync {
    /// The clauses as (code, what must hold).
    fn list(&self) -> Vec<(&'static str, &'static str)>;
}

impl<C> Clauses for Grader<C> {
    fn list(&self) -> Vec<(&'static str, &'static str)> {
        self.0.iter().map(|clause| (clause.code, clause.requires)).collect()
    }
}

/// Collects failed checks, for a scenario that has no table.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// No finding so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding with this code if the check failed.
    pub fn check(&mut self, code: &str, check: Check) {
        if let Err(Failure { message, evidence }) = check {
            self.0.push(Finding { code: code.to_owned(), message, evidence });
        }
    }

    /// `Pass` when there is none.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        if self.0.is_empty() { Verdict::Pass } else { Verdict::Fail(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Grader<u32> = Grader(&[
        Clause { code: "too-small", requires: "It is over 3.", check: |n| require(*n > 3, || format!("{n} is ≤ 3")) },
        Clause { code: "odd", requires: "It is even.", check: |n| require(n % 2 == 0, || format!("{n} is odd")) },
    ]);

    #[test]
    fn every_failed_clause_is_told() {
        assert!(matches!(SIZE.judge(&4), Verdict::Pass));
        let Verdict::Fail(findings) = SIZE.judge(&1) else { panic!("1 passed") };
        let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["too-small", "odd"]);
    }

    #[test]
    fn what_is_declared_is_what_is_checked() {
        assert_eq!(SIZE.list(), [("too-small", "It is over 3."), ("odd", "It is even.")]);
    }

    #[test]
    fn long_evidence_is_cut_at_a_character() {
        let failure = Failure::new("m").with_evidence("é".repeat(MAX_EVIDENCE));
        let evidence = failure.evidence.unwrap();
        assert!(evidence.len() < MAX_EVIDENCE + 40 && evidence.ends_with("more bytes)"));
    }
}

//! The verdict on a trial, from its attempts and expectations.

use std::collections::BTreeSet;

use super::text::shortened;
use host_model::{
    ExpectedFailure, Fault, FaultClass, Finding, Outcome, RunRules, Verdict,
    text::{backquoted, few},
};
use host_suite::plan::PlannedTrial;

/// Bytes of an earlier attempt's outcome in a reason.
const REASON: usize = 200;

/// The verdict on a trial whose last attempt ended as `last`, and the others before as `earlier`.
pub(super) fn verdict_on(trial: &PlannedTrial, earlier: &[Outcome], last: Outcome, policy: &RunRules) -> Verdict {
    let (last, superseded) = judged_one(earlier, last);
    match last {
        Outcome::Pass if !trial.expected.is_empty() => {
            Verdict::Xpass { expected: trial.expected.clone(), counts_as: policy.xpass }
        }
        Outcome::Pass if !earlier.is_empty() => {
            let attempts =
                earlier.iter().zip(1..).map(|(outcome, number)| format!("attempt {number}: {}", in_a_line(outcome)));
            Verdict::Flaky { reason: attempts.collect::<Vec<_>>().join("; "), counts_as: policy.flaky_result }
        }
        Outcome::Fail { findings } if covers(&trial.expected, &findings) => {
            let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            let matters = |it: &&ExpectedFailure| it.findings.iter().any(|code| codes.contains(code.as_str()));
            let expected = trial.expected.iter().filter(matters).cloned().collect();
            Verdict::Xfail { findings, fault: None, expected }
        }
        Outcome::Fault(fault) if expects(&trial.expected, fault.class) => {
            let matters = |it: &&ExpectedFailure| it.classes.contains(&fault.class);
            let expected = trial.expected.iter().filter(matters).cloned().collect();
            Verdict::Xfail { findings: Vec::new(), fault: Some(fault), expected }
        }
        Outcome::Fault(fault) => Verdict::Fault(with_expiry(trial, fault)),
        Outcome::Fail { findings } => {
            let notes = why_not_expected(trial, &findings).into_iter().chain(superseded).collect::<Vec<_>>();
            Verdict::Fail { findings, note: (!notes.is_empty()).then(|| notes.join("; ")) }
        }
        other => other.into(),
    }
}

/// The outcome that decides: the last one, unless it is a fault of a retry after a failed assertion. A fault says nothing
/// about what was found before it. The note reports the fault.
fn judged_one(earlier: &[Outcome], last: Outcome) -> (Outcome, Option<String>) {
    let failed = earlier.iter().rev().find(|outcome| matches!(outcome, Outcome::Fail { .. }));
    match (&last, failed) {
        (Outcome::Fault(_), Some(failed)) => {
            let number = earlier.len() + 1;
            (failed.clone(), Some(format!("attempt {number} has no result: {}", in_a_line(&last))))
        }
        _ => (last, None),
    }
}

/// Whether another attempt follows number `attempt`, from 1, which ended as `outcome`. An expected outcome is not
/// retried.
pub(super) fn is_retried(trial: &PlannedTrial, attempt: u32, outcome: &Outcome) -> bool {
    let known = match outcome {
        Outcome::Fail { findings } => covers(&trial.expected, findings),
        Outcome::Fault(fault) => expects(&trial.expected, fault.class),
        Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. } => false,
    };
    !known && trial.retry.allows(attempt, outcome)
}

pub(super) fn in_a_line(outcome: &Outcome) -> String {
    let (word, detail) = match outcome {
        Outcome::Pass => return "pass".into(),
        Outcome::Fail { findings } => {
            ("fail", findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>().join(", "))
        }
        Outcome::Skip { reason } => ("skip", reason.clone()),
        Outcome::Fault(fault) => (fault.class.as_str(), fault.message.clone()),
        Outcome::Cancelled { reason } => ("cancelled", reason.clone()),
    };
    let mut lines = detail.lines();
    let mut line = lines.next().unwrap_or_default().to_owned();
    // The end of a stderr that it announces is the important part.
    if let Some(next) = lines.next().filter(|_| line.ends_with(':')) {
        line = format!("{line} {}", next.trim());
    }
    format!("{word} ({})", shortened(line, REASON))
}

fn covers(expected: &[ExpectedFailure], findings: &[Finding]) -> bool {
    let is_expected = |finding: &Finding| expected.iter().any(|it| it.findings.contains(&finding.code));
    !expected.is_empty() && findings.iter().all(is_expected)
}

fn expects(expected: &[ExpectedFailure], class: FaultClass) -> bool {
    class.is_deterministic() && expected.iter().any(|it| it.classes.contains(&class))
}

/// The fault, with a note if it was expected until a day that has passed.
fn with_expiry(trial: &PlannedTrial, mut fault: Fault) -> Fault {
    if let Some(it) = trial.expired.iter().find(|it| it.classes.contains(&fault.class)) {
        let note = format!("it was expected until {} ({}: {}), which has passed", it.until, it.owner, it.reason);
        fault.message = format!("{}\nnote: {note}", fault.message);
    }
    fault
}

fn why_not_expected(trial: &PlannedTrial, findings: &[Finding]) -> Option<String> {
    let found: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let expected: BTreeSet<&str> = trial.expected.iter().flat_map(ExpectedFailure::codes).collect();
    let unexpected: Vec<&str> = found.difference(&expected).copied().collect();
    let expired = trial.expired.iter().find(|it| it.findings.iter().any(|code| unexpected.contains(&code.as_str())));
    match expired {
        Some(it) => Some(format!("it was expected until {} ({}: {}), which has passed", it.until, it.owner, it.reason)),
        None if expected.is_empty() => None,
        None => Some(format!("not expected: {}; expected: {}", list(&unexpected), list(expected.iter().copied()))),
    }
}

fn list<'a>(codes: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> String {
    const MAX_CODES: usize = 20;
    few(&backquoted(codes), MAX_CODES)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::Date;

    use super::*;
    use host_model::{Canary, CountsAs, Fault, FaultClass, LaneName, RetryCause, RetryRules, Scenario, TrialId};

    fn expecting(codes: &[&str]) -> ExpectedFailure {
        ExpectedFailure {
            lanes: Vec::new(),
            findings: codes.iter().map(|code| (*code).to_owned()).collect(),
            classes: BTreeSet::new(),
            owner: "ada".into(),
            reason: "the hook is not there yet".into(),
            until: Date::constant(2026, 12, 31),
        }
    }

    fn trial(expected: Vec<ExpectedFailure>, expired: Vec<ExpectedFailure>) -> PlannedTrial {
        let scenario = Arc::new(Scenario::named("s"));
        let id = TrialId { lane: LaneName("l".into()), scenario: scenario.id.clone() };
        PlannedTrial { expected, expired, ..PlannedTrial::once(id, scenario, Canary::No, None) }
    }

    fn fail(codes: &[&str]) -> Outcome {
        let finding = |code: &&str| Finding { code: (*code).into(), message: "m".into(), evidence: None };
        Outcome::Fail { findings: codes.iter().map(finding).collect() }
    }

    fn judged(trial: &PlannedTrial, last: Outcome) -> Verdict {
        verdict_on(trial, &[], last, &RunRules::default())
    }

    #[test]
    fn only_what_was_expected_is_an_xfail() {
        let known = trial(vec![expecting(&["a"]), expecting(&["b"])], Vec::new());
        for codes in [&["a"][..], &["b"], &["a", "b"]] {
            let Verdict::Xfail { findings, fault: None, expected } = judged(&known, fail(codes)) else {
                panic!("{codes:?}")
            };
            assert_eq!((findings.len(), expected.len()), (codes.len(), codes.len()));
        }
        let Verdict::Fail { findings, note } = judged(&known, fail(&["a", "c"])) else { panic!() };
        assert_eq!(findings.len(), 2);
        assert_eq!(note.unwrap(), "not expected: `c`; expected: `a`, `b`");
    }

    fn expecting_faults(classes: &[FaultClass]) -> ExpectedFailure {
        ExpectedFailure { classes: classes.iter().copied().collect(), ..expecting(&[]) }
    }

    #[test]
    fn a_deterministic_fault_can_be_expected() {
        let known =
            trial(vec![expecting(&["a"]), expecting_faults(&[FaultClass::Trap, FaultClass::Limit])], Vec::new());
        for class in FaultClass::ALL {
            let outcome = Outcome::Fault(Fault::new(class, "it came"));
            let retry = RetryRules { retries: 1, on: RetryCause::all().collect(), ..RetryRules::default() };
            let expected = matches!(class, FaultClass::Trap | FaultClass::Limit);
            let tried = PlannedTrial { retry, ..known.clone() };
            assert_eq!(is_retried(&tried, 1, &outcome), !expected, "{class}");
            match judged(&known, outcome.clone()) {
                Verdict::Xfail { findings, fault: Some(fault), expected: by } if expected => {
                    assert_eq!((findings.len(), fault.class, by.len()), (0, class, 1));
                }
                other if !expected => assert_eq!(other, outcome.into()),
                other => panic!("{class}: {other:?}"),
            }
        }
        // A suite cannot say so; an event log of another version could.
        let never = trial(vec![expecting_faults(&FaultClass::ALL)], Vec::new());
        for class in [FaultClass::Launch, FaultClass::Overload, FaultClass::Idle, FaultClass::Internal] {
            assert_eq!(judged(&never, Outcome::Fault(Fault::new(class, "x"))).word(), "fault", "{class}");
        }
        assert_eq!(judged(&known, fail(&["a"])).word(), "xfail");
        let Verdict::Fail { note, .. } = judged(&known, fail(&["b"])) else { panic!() };
        assert_eq!(note.unwrap(), "not expected: `b`; expected: `a`, `limit`, `trap`");
        assert_eq!(judged(&known, Outcome::Pass).word(), "xpass");
        let late = trial(Vec::new(), vec![expecting_faults(&[FaultClass::Trap])]);
        let Verdict::Fault(fault) = judged(&late, Outcome::Fault(Fault::new(FaultClass::Trap, "unreachable"))) else {
            panic!()
        };
        assert!(fault.message.starts_with("unreachable\nnote: it was expected until 2026-12-31 (ada: "), "{fault}");
    }

    #[test]
    fn a_fault_that_was_not_expected_is_never_masked() {
        let known = trial(vec![expecting(&["a"])], Vec::new());
        let fault = Outcome::Fault(Fault::new(FaultClass::Crash, "it died"));
        assert_eq!(judged(&known, fault.clone()), fault.into());
        assert_eq!(judged(&known, Outcome::Skip { reason: "r".into() }).word(), "skip");
    }

    #[test]
    fn an_expired_expectation_fails_with_a_note() {
        let late = trial(Vec::new(), vec![expecting(&["a"])]);
        let Verdict::Fail { note, .. } = judged(&late, fail(&["a"])) else { panic!() };
        assert_eq!(
            note.unwrap(),
            "it was expected until 2026-12-31 (ada: the hook is not there yet), which has passed"
        );
        assert_eq!(judged(&late, fail(&["b"])), Outcome::into(fail(&["b"])), "a failure that it never covered");
        assert_eq!(judged(&late, Outcome::Pass), Verdict::Pass);
    }

    #[test]
    fn an_unexpected_pass_precedes_flaky() {
        let known = trial(vec![expecting(&["a"])], Vec::new());
        let policy = RunRules { xpass: CountsAs::Fail, flaky_result: CountsAs::Fail, ..RunRules::default() };
        let fault = |class, message: &str| Outcome::Fault(Fault::new(class, message));
        let verdict = verdict_on(&known, &[fault(FaultClass::Idle, "x")], Outcome::Pass, &policy);
        assert!(matches!(verdict, Verdict::Xpass { counts_as: CountsAs::Fail, .. }) && verdict.is_failure());
        let plain = trial(Vec::new(), Vec::new());
        let earlier = [fault(FaultClass::Idle, "no event"), fault(FaultClass::Crash, "gone")];
        let verdict = verdict_on(&plain, &earlier, Outcome::Pass, &policy);
        let Verdict::Flaky { reason, .. } = &verdict else { panic!("{verdict:?}") };
        assert_eq!(reason, "attempt 1: idle (no event); attempt 2: crash (gone)");
        assert!(verdict.is_failure() && verdict.has_passed());
        assert_eq!(judged(&plain, Outcome::Pass), Verdict::Pass);
    }

    #[test]
    fn a_later_fault_does_not_hide_a_failed_assertion() {
        let plain = trial(Vec::new(), Vec::new());
        let crash = || Outcome::Fault(Fault::new(FaultClass::Crash, "gone"));
        let verdict = verdict_on(&plain, &[crash(), fail(&["a"]), crash()], crash(), &RunRules::default());
        let Verdict::Fail { findings, note } = verdict else { panic!("{verdict:?}") };
        assert_eq!((findings[0].code.as_str(), note.unwrap().as_str()), ("a", "attempt 4 has no result: crash (gone)"));
        assert_eq!(verdict_on(&plain, &[crash()], crash(), &RunRules::default()).word(), "fault");
    }

    #[test]
    fn an_expected_failure_is_not_tried_again() {
        let retry = RetryRules { retries: 1, on: RetryCause::all().collect(), ..RetryRules::default() };
        let known = PlannedTrial { retry, ..trial(vec![expecting(&["a"])], Vec::new()) };
        assert!(!is_retried(&known, 1, &fail(&["a"])));
        assert!(is_retried(&known, 1, &fail(&["a", "b"])) && !is_retried(&known, 2, &fail(&["b"])));
    }

    #[test]
    fn a_note_names_some_of_many_codes_and_counts_them() {
        let known = trial(vec![expecting(&["a"])], Vec::new());
        let codes: Vec<String> = (0..200).map(|number| format!("code-{number:03}")).collect();
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        let Verdict::Fail { note, .. } = judged(&known, fail(&codes)) else { panic!() };
        let note = note.unwrap();
        assert!(note.contains("`code-019`, … (200 in all); expected: `a`"), "{note}");
    }

    #[test]
    fn an_outcome_is_shown_in_one_line() {
        assert_eq!(in_a_line(&fail(&["a", "b"])), "fail (a, b)");
        let fault = Outcome::Fault(Fault::new(FaultClass::Trap, "unreachable\nbacktrace"));
        assert_eq!(in_a_line(&fault), "trap (unreachable)");
        let crash = Outcome::Fault(Fault::new(FaultClass::Crash, "exit code 70; its stderr:\n  no key\nmore"));
        assert_eq!(in_a_line(&crash), "crash (exit code 70; its stderr: no key)");
    }
}

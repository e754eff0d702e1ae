//! The outcome of an attempt, from the component's result, its sessions and the sandbox.

use super::text::fitted;
use host_model::{Fault, FaultClass, Finding, Outcome, Scenario, check_name};
use host_wasm::component::bindings::exports::scenario::host::scenarios::Verdict as GuestVerdict;
use host_wasm::guest::with_last_words;
use host_wasm::sandbox::ConcurrencyExceeded;

const MAX_FINDINGS: usize = 200;

/// What was observed besides the result of the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Observations {
    pub(super) breach: Option<Fault>,
    pub(super) session: Option<Fault>,
    /// Processes or files that the host could not end or remove.
    pub(super) left: Option<Fault>,
    /// What the component tried and was refused.
    pub(super) denials: Vec<String>,
    /// What it tried on the network while too much was in progress.
    pub(super) crowd: Option<ConcurrencyExceeded>,
}

/// Decides by the first of these that happened: the end of the run, an exceeded limit, a fault of a session, the
/// component's result, something that is left. A component cannot change the class of a fault by its result.
pub(super) fn resolve_outcome(outcome: Outcome, observations: Observations) -> Outcome {
    if matches!(outcome, Outcome::Cancelled { .. }) {
        return outcome;
    }
    if let Some(fault) = observations.breach {
        return Outcome::Fault(fault);
    }
    // At the deadline too: the session knows what its agent did before it was ended, and its record shows the same.
    if let Some(fault) = observations.session {
        return Outcome::Fault(fault);
    }
    match (refused(&outcome, &observations), observations.left) {
        (Some(fault), _) => Outcome::Fault(fault),
        (None, Some(fault)) if matches!(outcome, Outcome::Pass | Outcome::Skip { .. }) => Outcome::Fault(fault),
        _ => outcome,
    }
}

/// The fault of an attempt that did not pass after something was refused: `denied`, or `limit` if only too much was in
/// progress. Its failure may come from the refusal, so it says nothing about what is under test.
fn refused(outcome: &Outcome, observations: &Observations) -> Option<Fault> {
    let after = match outcome {
        Outcome::Fail { findings } => {
            let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
            const MAX_CODES: usize = 20;
            let more = codes.len().saturating_sub(MAX_CODES);
            let more = if more > 0 { format!(", … ({} in all)", codes.len()) } else { String::new() };
            format!("the findings after it: {}{more}", codes[..codes.len().min(MAX_CODES)].join(", "))
        }
        Outcome::Fault(fault) if fault.class == FaultClass::Trap => fault.message.clone(),
        _ => return None,
    };
    if !observations.denials.is_empty() {
        let list = observations.denials.join("; ");
        let what = format!("the component tried to use APIs that are not granted: {list}\n{after}");
        return Some(Fault::new(FaultClass::Denied, what));
    }
    let crowd = observations.crowd?;
    Some(Fault::new(FaultClass::Limit, format!("the component made {crowd}\n{after}")))
}

/// The outcome for a typed scenario's verdict; `stderr` is the end of its output there.
pub(super) fn outcome_of(verdict: GuestVerdict, scenario: &Scenario, stderr: &str) -> Outcome {
    let protocol = |what: String| Outcome::Fault(Fault::new(FaultClass::Protocol, with_last_words(what, stderr)));
    match verdict {
        GuestVerdict::Pass => Outcome::Pass,
        GuestVerdict::Skip(reason) => Outcome::Skip { reason: fitted(reason) },
        GuestVerdict::Fail(findings) if findings.is_empty() => {
            protocol("the scenario failed without a finding; `fail` needs at least one".into())
        }
        GuestVerdict::Fail(findings) => {
            for finding in &findings {
                if let Err(error) = check_name(&finding.code) {
                    return protocol(format!("a finding has an invalid code: {error}"));
                }
                let declared =
                    scenario.clauses.is_empty() || scenario.clauses.iter().any(|clause| clause.code == finding.code);
                if !declared {
                    let code = &finding.code;
                    return protocol(format!("the finding `{code}` is not one of the scenario's clauses"));
                }
            }
            let more = findings.len().saturating_sub(MAX_FINDINGS);
            let findings = findings.into_iter().take(MAX_FINDINGS).map(|finding| Finding {
                code: finding.code,
                message: fitted(finding.message),
                evidence: finding.evidence.map(fitted),
            });
            let mut findings: Vec<_> = findings.collect();
            if let Some(last) = findings.last_mut().filter(|_| more > 0) {
                last.message.push_str(&format!(" … ({more} more findings cut)"));
            }
            Outcome::Fail { findings }
        }
    }
}

pub(super) fn internal_outcome(what: &str) -> Outcome {
    Outcome::Fault(Fault::new(FaultClass::Internal, format!("{what}; this is a bug in host")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: FaultClass) -> Fault {
        Fault::new(class, class.as_str())
    }

    fn fail() -> Outcome {
        Outcome::Fail { findings: vec![Finding { code: "c".into(), message: String::new(), evidence: None }] }
    }

    fn class_of(outcome: Outcome, observations: Observations) -> Option<FaultClass> {
        match resolve_outcome(outcome, observations) {
            Outcome::Fault(fault) => Some(fault.class),
            _ => None,
        }
    }

    #[test]
    fn a_component_cannot_hide_a_fault_behind_what_it_returns() {
        for said in [Outcome::Pass, fail(), Outcome::Skip { reason: String::new() }] {
            let observations = Observations { session: Some(fault(FaultClass::Crash)), ..Observations::default() };
            assert_eq!(class_of(said.clone(), observations.clone()), Some(FaultClass::Crash), "{said:?}");
            let observations = Observations { breach: Some(fault(FaultClass::Limit)), ..observations };
            assert_eq!(class_of(said.clone(), observations), Some(FaultClass::Limit), "{said:?}");
        }
    }

    #[test]
    fn a_denial_never_turns_into_a_pass() {
        let left = || Observations { left: Some(fault(FaultClass::Internal)), ..Observations::default() };
        assert_eq!(class_of(Outcome::Pass, left()), Some(FaultClass::Internal));
        assert_eq!(class_of(Outcome::Skip { reason: String::new() }, left()), Some(FaultClass::Internal));
        assert_eq!(class_of(fail(), left()), None, "a failed assertion stays one");
    }

    #[test]
    fn an_end_that_happened_before_the_deadline_counts() {
        let observations = Observations { session: Some(fault(FaultClass::Crash)), ..Observations::default() };
        assert_eq!(class_of(Outcome::Fault(fault(FaultClass::Timeout)), observations), Some(FaultClass::Crash));
        assert_eq!(
            class_of(Outcome::Fault(fault(FaultClass::Timeout)), Observations::default()),
            Some(FaultClass::Timeout)
        );
    }

    #[test]
    fn a_failure_after_a_refusal_says_nothing_and_a_pass_stays_a_pass() {
        let refused = || Observations { denials: vec!["TCP".into()], ..Observations::default() };
        assert_eq!(class_of(fail(), refused()), Some(FaultClass::Denied));
        assert_eq!(class_of(Outcome::Fault(fault(FaultClass::Trap)), refused()), Some(FaultClass::Denied));
        assert_eq!(resolve_outcome(Outcome::Pass, refused()), Outcome::Pass);
    }

    #[test]
    fn a_failure_after_too_much_at_once_is_of_the_limit() {
        let crowd = Some(ConcurrencyExceeded { refused: 2, at_once: 10 });
        let crowded = || Observations { crowd, ..Observations::default() };
        assert_eq!(class_of(fail(), crowded()), Some(FaultClass::Limit));
        assert_eq!(resolve_outcome(Outcome::Pass, crowded()), Outcome::Pass);
        let denied = Observations { denials: vec!["TCP".into()], ..crowded() };
        assert_eq!(class_of(fail(), denied), Some(FaultClass::Denied), "a grant has to be given first");
    }

    #[test]
    fn the_end_of_the_run_comes_first() {
        let cancelled = Outcome::Cancelled { reason: "r".into() };
        let observations = Observations {
            breach: Some(fault(FaultClass::Limit)),
            session: Some(fault(FaultClass::Crash)),
            left: Some(fault(FaultClass::Internal)),
            denials: vec!["TCP".into()],
            crowd: None,
        };
        assert_eq!(resolve_outcome(cancelled.clone(), observations), cancelled);
    }
}

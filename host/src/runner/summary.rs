use crate::{
    model::{Canary, ExitCode, RunSummary, ScenarioId, Usage, Verdict, VerdictCounts},
    plan::PlannedTrial,
};

/// Adds up a run as its trials finish.
#[derive(Default)]
pub(super) struct Tally {
    verdicts: VerdictCounts,
    serial_ms: u64,
    longest: Option<(ScenarioId, u64)>,
    usage: Usage,
    conditions: Conditions,
}

/// What can decide the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Conditions {
    failed: bool,
    canary_failed: bool,
    fault: bool,
}

impl Tally {
    pub(super) fn usage(&mut self, usage: &Usage) {
        self.usage = self.usage.plus(usage);
    }

    pub(super) fn trial(&mut self, trial: &PlannedTrial, verdict: &Verdict, duration_ms: u64) {
        *self.verdicts.entry(verdict.word().to_owned()).or_default() += 1;
        self.serial_ms += duration_ms;
        if self.longest.as_ref().is_none_or(|(_, longest)| duration_ms > *longest) {
            self.longest = Some((trial.id.scenario.clone(), duration_ms));
        }
        self.conditions.note(trial.canary, verdict);
    }

    pub(super) fn summary(self, wall_ms: u64, interrupted: bool) -> RunSummary {
        RunSummary {
            verdicts: self.verdicts,
            wall_ms,
            serial_ms: self.serial_ms,
            longest: self.longest,
            usage: self.usage,
            exit_code: self.conditions.exit_code(interrupted) as u8,
        }
    }
}

impl Conditions {
    fn note(&mut self, canary: Canary, verdict: &Verdict) {
        self.failed |= matches!(verdict, Verdict::Fail { .. });
        self.fault |= matches!(verdict, Verdict::Fault(_));
        self.canary_failed |= canary == Canary::Yes && *verdict != Verdict::Pass;
    }

    fn exit_code(self, interrupted: bool) -> ExitCode {
        if interrupted {
            return ExitCode::Interrupted;
        }
        let mut code = ExitCode::Ok;
        if self.failed {
            code = ExitCode::ScenarioFailed;
        }
        if self.canary_failed {
            code = ExitCode::CanaryFailed;
        }
        // Only where nothing failed an assertion: a fault must not hide one.
        if self.fault && !self.failed {
            code = ExitCode::Fault;
        }
        code
    }
}

/// The exit code of a summary; one that this version does not know counts as a fault.
#[must_use]
pub fn exit_code(summary: &RunSummary) -> ExitCode {
    [ExitCode::Ok, ExitCode::ScenarioFailed, ExitCode::CanaryFailed, ExitCode::Interrupted]
        .into_iter()
        .find(|code| *code as u8 == summary.exit_code)
        .unwrap_or(ExitCode::Fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fault, FaultClass};

    fn code(trials: &[(Canary, Verdict)]) -> ExitCode {
        let mut conditions = Conditions::default();
        for (canary, verdict) in trials {
            conditions.note(*canary, verdict);
        }
        conditions.exit_code(false)
    }

    #[test]
    fn the_exit_code_tells_failures_from_faults() {
        use Canary::{No, Yes};
        let fail = || Verdict::Fail { findings: vec![] };
        let fault = || Verdict::Fault(Fault::new(FaultClass::Crash, "x"));
        let skip = || Verdict::Skip { reason: String::new() };
        let blocked = || Verdict::Blocked { reason: String::new() };
        assert_eq!(code(&[]), ExitCode::Ok);
        assert_eq!(code(&[(Yes, Verdict::Pass), (No, skip())]), ExitCode::Ok);
        assert_eq!(code(&[(No, fail())]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(No, fail()), (No, fault())]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(No, fault())]), ExitCode::Fault);
        assert_eq!(code(&[(Yes, fail()), (No, blocked())]), ExitCode::CanaryFailed);
        assert_eq!(code(&[(Yes, skip()), (No, blocked())]), ExitCode::CanaryFailed);
        assert_eq!(code(&[(Yes, fault()), (No, blocked())]), ExitCode::Fault);
        assert_eq!(code(&[(Yes, fault()), (No, fail())]), ExitCode::CanaryFailed);
    }
}

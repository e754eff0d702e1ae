use std::collections::{BTreeMap, BTreeSet};

use super::rate::wilson;
use host_model::{
    Canary, ExitCode, LaneName, PassRate, RunSummary, ScenarioId, TrialId, Usage, Verdict, VerdictCounts,
};
use host_suite::plan::PlannedTrial;

/// Adds up a run as its trials finish.
#[derive(Default)]
pub(super) struct Tally {
    verdicts: VerdictCounts,
    serial_ms: u64,
    longest: Option<(ScenarioId, u64)>,
    usage: Usage,
    /// The repetitions of each scenario in each lane: passed, judged, all.
    repetitions: BTreeMap<TrialId, [u32; 3]>,
    conditions: Conditions,
}

/// The counts that decide the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Conditions {
    failed: bool,
    /// Canaries that did not pass, by lane and the suite's name for them; and those of which one did.
    canaries_failed: BTreeSet<(LaneName, String)>,
    canaries_passed: BTreeSet<(LaneName, String)>,
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
        if trial.repetition.is_some() {
            let id = TrialId { lane: trial.id.lane.clone(), scenario: trial.scenario.id.clone() };
            let passed = verdict.has_passed();
            let judged = passed || matches!(verdict, Verdict::Fail { .. } | Verdict::Xfail { fault: None, .. });
            let counts = self.repetitions.entry(id).or_default();
            for (count, counts_here) in counts.iter_mut().zip([passed, judged, true]) {
                *count += u32::from(counts_here);
            }
        }
        let entry = trial.scenario.canary.as_deref().unwrap_or(&trial.id.scenario.0);
        let guards = (trial.canary == Canary::Yes).then(|| (trial.id.lane.clone(), entry.to_owned()));
        self.conditions.note(guards, verdict);
    }

    pub(super) fn summary(self, wall_ms: u64, interrupted: bool) -> RunSummary {
        RunSummary {
            verdicts: self.verdicts,
            wall_ms,
            serial_ms: self.serial_ms,
            longest: self.longest,
            usage: self.usage,
            rates: self.repetitions.into_iter().map(|(id, counts)| rate(id, counts)).collect(),
            exit_code: self.conditions.exit_code(interrupted) as u8,
        }
    }
}

fn rate(id: TrialId, [passed, judged, repetitions]: [u32; 3]) -> PassRate {
    PassRate { id, passed, judged, repetitions, interval: wilson(passed, judged) }
}

/// Whether a canary with this verdict lets the rest of its lane start.
pub(super) fn opens_lane(verdict: &Verdict) -> bool {
    verdict.has_passed() && !verdict.is_failure()
}

impl Conditions {
    fn note(&mut self, canary: Option<(LaneName, String)>, verdict: &Verdict) {
        let fault = matches!(verdict, Verdict::Fault(_));
        self.fault |= fault;
        self.failed |= verdict.is_failure() && !fault;
        // One that did not run because enough had failed elsewhere says nothing about its lane.
        if let Some(canary) = canary.filter(|_| !matches!(verdict, Verdict::Cancelled { .. })) {
            let all = if opens_lane(verdict) { &mut self.canaries_passed } else { &mut self.canaries_failed };
            all.insert(canary);
        }
    }

    fn exit_code(self, interrupted: bool) -> ExitCode {
        if interrupted {
            return ExitCode::Interrupted;
        }
        let mut code = ExitCode::Ok;
        if self.failed {
            code = ExitCode::ScenarioFailed;
        }
        // If a name stands for scenarios of several plugins, one that passes is enough.
        if !self.canaries_failed.is_subset(&self.canaries_passed) {
            code = ExitCode::CanaryFailed;
        }
        // Only if no assertion failed: a fault must not hide that.
        if self.fault && !self.failed {
            code = ExitCode::Fault;
        }
        code
    }
}

/// The exit code of a summary; a verdict that this version does not know counts as a fault.
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
    use host_model::{CountsAs, Fault, FaultClass};

    fn code(trials: &[(Canary, Verdict)]) -> ExitCode {
        let mut conditions = Conditions::default();
        for (number, (canary, verdict)) in trials.iter().enumerate() {
            let guards = (*canary == Canary::Yes).then(|| (LaneName("l".into()), number.to_string()));
            conditions.note(guards, verdict);
        }
        conditions.exit_code(false)
    }

    #[test]
    fn the_exit_code_separates_failures_and_faults() {
        use Canary::{No, Yes};
        let fail = || Verdict::Fail { findings: vec![], note: None };
        let fault = || Verdict::Fault(Fault::new(FaultClass::Crash, "x"));
        let skip = || Verdict::Skip { reason: String::new() };
        let blocked = || Verdict::Blocked { reason: String::new() };
        let flaky = |counts_as| Verdict::Flaky { reason: String::new(), counts_as };
        let xpass = |counts_as| Verdict::Xpass { expected: vec![], counts_as };
        let xfail = || Verdict::Xfail { findings: vec![], fault: None, expected: vec![] };
        assert_eq!(code(&[(Yes, flaky(CountsAs::Pass)), (No, xpass(CountsAs::Pass)), (No, xfail())]), ExitCode::Ok);
        assert_eq!(code(&[(No, flaky(CountsAs::Fail))]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(No, xpass(CountsAs::Fail)), (No, fault())]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(Yes, flaky(CountsAs::Fail)), (No, blocked())]), ExitCode::CanaryFailed);
        assert_eq!(
            code(&[(Yes, xfail()), (No, blocked())]),
            ExitCode::CanaryFailed,
            "it does not show that all is well"
        );
        assert_eq!(code(&[]), ExitCode::Ok);
        assert_eq!(code(&[(Yes, Verdict::Pass), (No, skip())]), ExitCode::Ok);
        assert_eq!(code(&[(No, fail())]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(No, fail()), (No, fault())]), ExitCode::ScenarioFailed);
        assert_eq!(code(&[(No, fault())]), ExitCode::Fault);
        assert_eq!(code(&[(Yes, fail()), (No, blocked())]), ExitCode::CanaryFailed);
        assert_eq!(code(&[(Yes, skip()), (No, blocked())]), ExitCode::CanaryFailed);
        assert_eq!(code(&[(Yes, fault()), (No, blocked())]), ExitCode::Fault);
        let cancelled = || Verdict::Cancelled { reason: String::new() };
        assert_eq!(code(&[(No, fail()), (Yes, cancelled())]), ExitCode::ScenarioFailed, "no canary failed");
        assert_eq!(code(&[(Yes, fault()), (No, fail())]), ExitCode::CanaryFailed);
    }
}

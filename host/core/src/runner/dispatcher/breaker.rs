//! When a lane is broken: faults that speak for all of it repeat.

use std::collections::BTreeSet;

use host_model::{FaultClass, Grant, Outcome, Scenario};
use host_suite::plan::LanePlan;

/// Who made what an agent started with. A scenario that spoils it breaks itself, and not the lane for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// The lane alone.
    Plain,
    /// The scenario, too: it has seeds of the config dir, or programs of its own.
    Seeded,
    /// The component wrote into the config dir before the agent started, or an earlier session of the attempt did.
    Changed,
}

impl Setup {
    pub(super) fn of(scenario: &Scenario, setup_changed: bool) -> Self {
        match scenario.fixture.config.is_some() || scenario.bin.is_some() {
            _ if setup_changed => Self::Changed,
            true => Self::Seeded,
            false => Self::Plain,
        }
    }
}

/// Watches how a lane's attempts end.
pub(super) struct Breaker {
    /// So many trials in a row break it; 0 is never.
    bound: u32,
    /// Whether seeded trials count: where all are, there are no others to tell by.
    counts_seeded: bool,
    /// The trials that have ended so since one got further, by their place in the run. One that is tried again and
    /// again speaks for itself alone.
    trials: BTreeSet<usize>,
}

impl Breaker {
    pub(super) fn of(lane: &LanePlan) -> Self {
        let mut sessions = lane.canaries.iter().chain(&lane.rest).filter(|it| it.scenario.grants.has(Grant::Session));
        Self::new(lane.breaker, sessions.all(|it| Setup::of(&it.scenario, false) == Setup::Seeded))
    }

    fn new(bound: u32, counts_seeded: bool) -> Self {
        Self { bound, counts_seeded, trials: BTreeSet::new() }
    }

    /// An attempt of `trial` has ended. Says why the lane is broken when this breaks it.
    pub(super) fn ended(&mut self, trial: usize, outcome: &Outcome, setup: Setup) -> Option<String> {
        let counts = match setup {
            Setup::Plain => true,
            Setup::Seeded => self.counts_seeded,
            Setup::Changed => false,
        };
        let fault = match outcome {
            Outcome::Fault(fault) if fault.class.is_lane_wide() && !counts => return None,
            Outcome::Fault(fault) if fault.class.is_lane_wide() => fault,
            // The end of the run says nothing of the lane; nor does the host's own mishap, or the machine's.
            Outcome::Cancelled { .. } => return None,
            Outcome::Fault(fault) if matches!(fault.class, FaultClass::Internal | FaultClass::Resources) => {
                return None;
            }
            _ => {
                self.trials.clear();
                return None;
            }
        };
        self.trials.insert(trial);
        let broken = self.bound > 0 && self.trials.len() >= self.bound as usize;
        let last = fault.message.lines().next().unwrap_or_default();
        broken.then(|| match self.bound {
            1 => format!("a trial ended as {}: {last}", fault.class),
            bound => {
                format!("the agent failed in {bound} consecutive trials, the last as {}: {last}", fault.class)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::Fault;

    fn fault(class: FaultClass) -> Outcome {
        Outcome::Fault(Fault::new(class, "not logged in\nmore"))
    }

    #[test]
    fn different_trials_in_a_row_break_a_lane() {
        let mut breaker = Breaker::new(3, false);
        assert_eq!(breaker.ended(0, &fault(FaultClass::Launch), Setup::Plain), None);
        assert_eq!(breaker.ended(0, &fault(FaultClass::Launch), Setup::Plain), None, "the same trial again");
        assert_eq!(breaker.ended(1, &fault(FaultClass::Overload), Setup::Plain), None);
        assert_eq!(breaker.ended(1, &Outcome::Cancelled { reason: String::new() }, Setup::Plain), None);
        let short = breaker.ended(1, &fault(FaultClass::Resources), Setup::Plain);
        assert_eq!(short, None, "a short machine is no better or worse");
        let why = breaker.ended(2, &fault(FaultClass::Launch), Setup::Plain).unwrap();
        assert_eq!(why, "the agent failed in 3 consecutive trials, the last as launch: not logged in");
    }

    #[test]
    fn one_that_gets_further_mends_it() {
        for better in [Outcome::Pass, Outcome::Fail { findings: Vec::new() }, fault(FaultClass::Idle)] {
            let mut breaker = Breaker::new(2, false);
            assert_eq!(breaker.ended(0, &fault(FaultClass::Launch), Setup::Plain), None);
            assert_eq!(breaker.ended(1, &better, Setup::Plain), None);
            assert_eq!(breaker.ended(2, &fault(FaultClass::Launch), Setup::Plain), None, "{better:?}");
        }
    }

    #[test]
    fn none_is_never() {
        let mut breaker = Breaker::new(0, false);
        assert!((0..99).all(|trial| breaker.ended(trial, &fault(FaultClass::Launch), Setup::Plain).is_none()));
    }

    #[test]
    fn a_spoiled_config_does_not_break_the_lane() {
        let launch = fault(FaultClass::Launch);
        let mut breaker = Breaker::new(2, false);
        for trial in 0..9 {
            for setup in [Setup::Seeded, Setup::Changed] {
                assert_eq!(breaker.ended(trial, &launch, setup), None);
            }
        }
        assert_eq!(breaker.ended(10, &launch, Setup::Plain), None);
        assert_eq!(breaker.ended(11, &launch, Setup::Changed), None, "it counts for neither side");
        assert!(breaker.ended(12, &launch, Setup::Plain).is_some());
        let mut all_seeded = Breaker::new(2, true);
        assert_eq!(all_seeded.ended(0, &launch, Setup::Changed), None);
        assert_eq!(all_seeded.ended(1, &launch, Setup::Seeded), None);
        assert!(all_seeded.ended(2, &launch, Setup::Seeded).is_some());
    }

    #[test]
    fn a_scenario_that_brings_seeds_or_programs_is_known() {
        let plain = Scenario::named("s");
        assert_eq!(Setup::of(&plain, false), Setup::Plain);
        assert_eq!(Setup::of(&plain, true), Setup::Changed);
        let programs = Scenario { bin: Some("bin".into()), ..plain.clone() };
        assert_eq!(Setup::of(&programs, false), Setup::Seeded);
        let mut seeds = plain;
        seeds.fixture.config = Some("config".into());
        assert_eq!((Setup::of(&seeds, false), Setup::of(&seeds, true)), (Setup::Seeded, Setup::Changed));
    }
}

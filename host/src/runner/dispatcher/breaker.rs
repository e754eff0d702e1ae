//! When a lane is broken: faults that speak for all of it repeat.

use std::collections::BTreeSet;

use crate::model::{FaultClass, Outcome};

/// Watches how a lane's attempts end.
pub(super) struct Breaker {
    /// So many trials in a row break it; 0 is never.
    bound: u32,
    /// The trials that have ended so since one got further, by their place in the run. One that is tried again and
    /// again speaks for itself alone.
    trials: BTreeSet<usize>,
}

impl Breaker {
    pub(super) fn new(bound: u32) -> Self {
        Self { bound, trials: BTreeSet::new() }
    }

    /// An attempt of `trial` has ended. Says why the lane is broken when this breaks it.
    pub(super) fn ended(&mut self, trial: usize, outcome: &Outcome) -> Option<String> {
        let fault = match outcome {
            Outcome::Fault(fault) if fault.class.is_lane_wide() => fault,
            // The end of the run says nothing of the lane; nor does the host's own mishap.
            Outcome::Cancelled { .. } => return None,
            Outcome::Fault(fault) if fault.class == FaultClass::Internal => return None,
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
                format!("{bound} trials in a row could not work with the agent, the last as {}: {last}", fault.class)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fault;

    fn fault(class: FaultClass) -> Outcome {
        Outcome::Fault(Fault::new(class, "not logged in\nmore"))
    }

    #[test]
    fn different_trials_in_a_row_break_a_lane() {
        let mut breaker = Breaker::new(3);
        assert_eq!(breaker.ended(0, &fault(FaultClass::Launch)), None);
        assert_eq!(breaker.ended(0, &fault(FaultClass::Launch)), None, "the same trial again");
        assert_eq!(breaker.ended(1, &fault(FaultClass::Overload)), None);
        assert_eq!(breaker.ended(1, &Outcome::Cancelled { reason: String::new() }), None);
        let why = breaker.ended(2, &fault(FaultClass::Launch)).unwrap();
        assert_eq!(why, "3 trials in a row could not work with the agent, the last as launch: not logged in");
    }

    #[test]
    fn one_that_gets_further_mends_it() {
        for better in [Outcome::Pass, Outcome::Fail { findings: Vec::new() }, fault(FaultClass::Stall)] {
            let mut breaker = Breaker::new(2);
            assert_eq!(breaker.ended(0, &fault(FaultClass::Launch)), None);
            assert_eq!(breaker.ended(1, &better), None);
            assert_eq!(breaker.ended(2, &fault(FaultClass::Launch)), None, "{better:?}");
        }
    }

    #[test]
    fn none_is_never() {
        let mut breaker = Breaker::new(0);
        assert!((0..99).all(|trial| breaker.ended(trial, &fault(FaultClass::Launch)).is_none()));
    }
}

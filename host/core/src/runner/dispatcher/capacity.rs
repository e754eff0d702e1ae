//! How many attempts run in parallel when the machine runs short of something: fewer, until enough of them succeed.

use std::time::Duration;

/// The delays before a trial is retried because the machine was short. They use up no `retries`, and a pass afterwards is
/// a pass.
const RETRY_DELAYS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Trials in a row that may be given up before waiting is considered useless.
const MAX_GIVEN_UP: u32 = 2;

/// How many attempts the machine can run.
#[derive(Debug)]
pub(super) struct Capacity {
    jobs: usize,
    limit: usize,
    /// How often the limit was lowered. Attempts that began before the last time say nothing about the current limit.
    lowered: u32,
    /// Attempts that have succeeded since the limit changed.
    well: usize,
    /// Trials in a row that were given up.
    given_up: u32,
}

impl Capacity {
    pub(super) fn new(jobs: usize) -> Self {
        let jobs = jobs.max(1);
        Self { jobs, limit: jobs, lowered: 0, well: 0, given_up: 0 }
    }

    /// How many attempts may run in parallel now.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What an attempt that starts now must pass to [`Capacity::note_shortage`].
    pub(super) fn generation(&self) -> u32 {
        self.lowered
    }

    /// An attempt that started in `generation` ran short while `running` attempts ran, including itself. Returns the new
    /// limit if it changes.
    pub(super) fn note_shortage(&mut self, generation: u32, running: usize) -> Option<usize> {
        self.well = 0;
        if generation != self.lowered {
            return None;
        }
        let limit = (self.limit.min(running) / 2).max(1);
        if limit == self.limit {
            return None;
        }
        (self.limit, self.lowered) = (limit, self.lowered + 1);
        Some(limit)
    }

    /// An attempt did not run short. After two for each that may run, one more may run.
    pub(super) fn note_success(&mut self) {
        self.given_up = 0;
        self.well += 1;
        if self.limit < self.jobs && self.well >= 2 * self.limit {
            (self.limit, self.well) = (self.limit + 1, 0);
        }
    }

    /// The delay before the next try of a trial that ran short `tries` times; `None` when it is given up.
    pub(super) fn retry_delay(&mut self, tries: usize) -> Option<Duration> {
        let most = if self.given_up >= MAX_GIVEN_UP { 1 } else { RETRY_DELAYS.len() };
        let retry_delay = RETRY_DELAYS.get(tries.saturating_sub(1)).copied().filter(|_| tries <= most);
        self.given_up += u32::from(retry_delay.is_none());
        retry_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_of_shortages_lowers_the_limit_once() {
        let mut capacity = Capacity::new(16);
        let generation = capacity.generation();
        assert_eq!(capacity.note_shortage(generation, 16), Some(8));
        assert_eq!(capacity.note_shortage(generation, 15), None, "it had started before");
        let generation = capacity.generation();
        assert_eq!(capacity.note_shortage(generation, 3), Some(1), "only three had run");
        let generation = capacity.generation();
        assert_eq!((capacity.note_shortage(generation, 1), capacity.limit()), (None, 1), "never none at all");
    }

    #[test]
    fn the_limit_rises_again_step_by_step() {
        let mut capacity = Capacity::new(4);
        let generation = capacity.generation();
        capacity.note_shortage(generation, 4);
        assert_eq!(capacity.limit(), 2);
        (0..3).for_each(|_| capacity.note_success());
        assert_eq!(capacity.limit(), 2);
        capacity.note_success();
        assert_eq!(capacity.limit(), 3);
        (0..99).for_each(|_| capacity.note_success());
        assert_eq!(capacity.limit(), 4, "never more than there were");
    }

    #[test]
    fn delays_end_and_useless_ones_are_skipped() {
        let mut capacity = Capacity::new(4);
        let waits = |capacity: &mut Capacity| (1..).map_while(|tries| capacity.retry_delay(tries)).count();
        assert_eq!((waits(&mut capacity), waits(&mut capacity), waits(&mut capacity)), (6, 6, 1));
        capacity.note_success();
        assert_eq!(waits(&mut capacity), 6);
    }
}

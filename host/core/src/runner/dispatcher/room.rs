//! How many attempts run at once where the machine is short of something: fewer, until it goes well for a while.

use std::time::Duration;

/// The waits before a trial is tried again whose attempt the machine was too short for. They are the host's: no
/// `retries` are used up, and a pass afterwards is a pass.
const WAITS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// So many trials in a row that were given up are enough to know that waiting is of no use.
const HOPELESS: u32 = 2;

/// The room for attempts.
#[derive(Debug)]
pub(super) struct Room {
    jobs: usize,
    limit: usize,
    /// How often the limit was lowered. What began before the last time says nothing of the limit that holds now.
    lowered: u32,
    /// Attempts that have gone well since the limit changed.
    well: usize,
    /// Trials in a row that were given up.
    given_up: u32,
}

impl Room {
    pub(super) fn new(jobs: usize) -> Self {
        let jobs = jobs.max(1);
        Self { jobs, limit: jobs, lowered: 0, well: 0, given_up: 0 }
    }

    /// How many attempts may run at once now.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What an attempt that starts now has to remember for [`Room::was_short`].
    pub(super) fn era(&self) -> u32 {
        self.lowered
    }

    /// An attempt that had started in `era` had too little, while `running` ran, itself included. Returns the new limit
    /// if that changes it.
    pub(super) fn was_short(&mut self, era: u32, running: usize) -> Option<usize> {
        self.well = 0;
        if era != self.lowered {
            return None;
        }
        let limit = (self.limit.min(running) / 2).max(1);
        if limit == self.limit {
            return None;
        }
        (self.limit, self.lowered) = (limit, self.lowered + 1);
        Some(limit)
    }

    /// An attempt had enough. After two for each that may run, one more may.
    pub(super) fn was_enough(&mut self) {
        self.given_up = 0;
        self.well += 1;
        if self.limit < self.jobs && self.well >= 2 * self.limit {
            (self.limit, self.well) = (self.limit + 1, 0);
        }
    }

    /// How long a trial waits that was tried so often, from 1, in vain; `None` when it is given up.
    pub(super) fn wait(&mut self, tries: usize) -> Option<Duration> {
        let most = if self.given_up >= HOPELESS { 1 } else { WAITS.len() };
        let wait = WAITS.get(tries.saturating_sub(1)).copied().filter(|_| tries <= most);
        self.given_up += u32::from(wait.is_none());
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_of_shortages_lowers_the_limit_once() {
        let mut room = Room::new(16);
        let era = room.era();
        assert_eq!(room.was_short(era, 16), Some(8));
        assert_eq!(room.was_short(era, 15), None, "it had started before");
        let era = room.era();
        assert_eq!(room.was_short(era, 3), Some(1), "only three had run");
        let era = room.era();
        assert_eq!((room.was_short(era, 1), room.limit()), (None, 1), "never none at all");
    }

    #[test]
    fn the_limit_rises_again_step_by_step() {
        let mut room = Room::new(4);
        let era = room.era();
        room.was_short(era, 4);
        assert_eq!(room.limit(), 2);
        (0..3).for_each(|_| room.was_enough());
        assert_eq!(room.limit(), 2);
        room.was_enough();
        assert_eq!(room.limit(), 3);
        (0..99).for_each(|_| room.was_enough());
        assert_eq!(room.limit(), 4, "never more than there were");
    }

    #[test]
    fn waits_end_and_are_not_repeated_where_they_are_of_no_use() {
        let mut room = Room::new(4);
        let waits = |room: &mut Room| (1..).map_while(|tries| room.wait(tries)).count();
        assert_eq!((waits(&mut room), waits(&mut room), waits(&mut room)), (6, 6, 1));
        room.was_enough();
        assert_eq!(waits(&mut room), 6);
    }
}

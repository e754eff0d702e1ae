//! What waits and what may start next: caps, canaries and turns, without tasks or time.

use std::collections::VecDeque;

use host_model::{Canary, LaneName};

/// The lanes of a run with their waiting trials, which are named by their place in the run.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    jobs: usize,
    running: usize,
    /// The lane whose turn it is: lanes take turns, or the first would take every slot that comes free.
    turn: usize,
}

struct Lane {
    name: LaneName,
    jobs: usize,
    running: usize,
    canaries: VecDeque<usize>,
    /// Canaries that have not passed yet.
    canaries_left: usize,
    rest: VecDeque<usize>,
    open: bool,
}

impl Lanes {
    /// Lanes of which `jobs` trials may run at once. A cap of zero would never end, so it counts as one.
    pub(super) fn new(jobs: usize) -> Self {
        Self { lanes: Vec::new(), jobs: jobs.max(1), running: 0, turn: 0 }
    }

    /// Adds a lane with a cap of its own, if it has one.
    pub(super) fn add(
        &mut self,
        name: LaneName,
        jobs: Option<usize>,
        canaries: impl IntoIterator<Item = usize>,
        rest: impl IntoIterator<Item = usize>,
    ) {
        let canaries: VecDeque<usize> = canaries.into_iter().collect();
        self.lanes.push(Lane {
            name,
            jobs: jobs.map_or(usize::MAX, |jobs| jobs.max(1)),
            running: 0,
            canaries_left: canaries.len(),
            canaries,
            rest: rest.into_iter().collect(),
            open: false,
        });
    }

    /// The next trial to start, which counts as running from now on; `None` when `most` run already, or the caps or the
    /// canaries allow none.
    pub(super) fn start_next(&mut self, most: usize) -> Option<usize> {
        if self.running >= self.jobs.min(most) {
            return None;
        }
        let count = self.lanes.len();
        for lane in (self.turn..count).chain(0..self.turn) {
            if let Some(trial) = self.lanes[lane].next() {
                self.lanes[lane].running += 1;
                self.running += 1;
                self.turn = (lane + 1) % count;
                return Some(trial);
            }
        }
        None
    }

    /// The name of a lane.
    pub(super) fn name(&self, lane: usize) -> &LaneName {
        &self.lanes[lane].name
    }

    /// How many trials run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// A running trial of `lane` has ended.
    pub(super) fn ended(&mut self, lane: usize) {
        self.running -= 1;
        self.lanes[lane].running -= 1;
    }

    /// So many canaries of `lane` need not be waited for any more.
    pub(super) fn canaries_passed(&mut self, lane: usize, count: usize) {
        self.lanes[lane].canaries_left -= count;
    }

    /// Opens the lanes that have no canary to wait for any more, and names those that were not open before.
    pub(super) fn open_ready(&mut self) -> Vec<LaneName> {
        let ready = self.lanes.iter_mut().filter(|lane| lane.canaries_left == 0 && !lane.open);
        ready
            .map(|lane| {
                lane.open = true;
                lane.name.clone()
            })
            .collect()
    }

    /// Takes everything out of a lane that never opens.
    pub(super) fn close(&mut self, lane: usize) -> Vec<usize> {
        // It is not reported as opened.
        self.lanes[lane].open = true;
        self.drain(lane)
    }

    /// Puts back a trial that ran: it is the next of its lane, so that its retry does not wait for all others.
    pub(super) fn again(&mut self, lane: usize, trial: usize, canary: Canary) {
        let lane = &mut self.lanes[lane];
        match canary {
            Canary::Yes => lane.canaries.push_front(trial),
            Canary::No => lane.rest.push_front(trial),
        }
    }

    /// Takes out what waits in `lane`, canaries too.
    pub(super) fn drain(&mut self, lane: usize) -> Vec<usize> {
        let lane = &mut self.lanes[lane];
        lane.canaries.drain(..).chain(lane.rest.drain(..)).collect()
    }

    /// Takes out everything that waits.
    pub(super) fn drain_all(&mut self) -> Vec<usize> {
        (0..self.lanes.len()).flat_map(|lane| self.drain(lane)).collect()
    }
}

impl Lane {
    fn next(&mut self) -> Option<usize> {
        if self.running >= self.jobs {
            return None;
        }
        if let Some(canary) = self.canaries.pop_front() {
            return Some(canary);
        }
        if self.open { self.rest.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(jobs: usize, lanes: &[(Option<usize>, &[usize], &[usize])]) -> Lanes {
        let mut all = Lanes::new(jobs);
        for (index, (jobs, canaries, rest)) in lanes.iter().enumerate() {
            all.add(LaneName(format!("l{index}")), *jobs, canaries.iter().copied(), rest.iter().copied());
        }
        all.open_ready();
        all
    }

    fn start_all(lanes: &mut Lanes) -> Vec<usize> {
        std::iter::from_fn(|| lanes.start_next(usize::MAX)).collect()
    }

    #[test]
    fn lanes_take_turns_at_slots_that_come_free_later() {
        let mut all = lanes(2, &[(None, &[], &[0, 1, 2, 3]), (None, &[], &[10, 11, 12, 13])]);
        assert_eq!(start_all(&mut all), [0, 10]);
        all.ended(0);
        assert_eq!(start_all(&mut all), [1]);
        all.ended(0);
        assert_eq!(start_all(&mut all), [11], "the first lane had its turn");
    }

    #[test]
    fn a_lane_at_its_cap_leaves_its_turn_to_the_others() {
        let mut all = lanes(4, &[(Some(1), &[], &[0, 1]), (None, &[], &[10, 11])]);
        assert_eq!(start_all(&mut all), [0, 10, 11]);
        all.ended(1);
        assert_eq!(start_all(&mut all), [0_usize; 0], "the first lane is at its cap");
        all.ended(0);
        assert_eq!(start_all(&mut all), [1]);
    }

    #[test]
    fn the_rest_of_a_lane_waits_for_every_canary() {
        let mut all = lanes(9, &[(None, &[0, 1], &[2])]);
        assert_eq!(start_all(&mut all), [0, 1]);
        all.canaries_passed(0, 1);
        assert!(all.open_ready().is_empty());
        all.canaries_passed(0, 1);
        assert_eq!(all.open_ready(), [LaneName("l0".into())]);
        assert!(all.open_ready().is_empty(), "a lane opens once");
        assert_eq!(start_all(&mut all), [2]);
    }

    #[test]
    fn caps_of_zero_do_not_stop_everything() {
        let mut all = lanes(0, &[(Some(0), &[], &[0])]);
        assert_eq!(start_all(&mut all), [0]);
    }

    #[test]
    fn no_more_start_than_there_is_room_for() {
        let mut all = lanes(4, &[(None, &[], &[0, 1, 2])]);
        assert_eq!((all.start_next(1), all.start_next(1), all.running()), (Some(0), None, 1));
        assert_eq!((all.start_next(2), all.start_next(2)), (Some(1), None));
    }

    #[test]
    fn removed_trials_do_not_start() {
        let mut all = lanes(1, &[(None, &[0], &[1]), (None, &[2], &[3])]);
        assert_eq!(all.start_next(usize::MAX), Some(0));
        assert_eq!(all.drain(0), [1]);
        assert_eq!(all.drain_all(), [2, 3]);
        all.ended(0);
        assert_eq!(all.start_next(usize::MAX), None);
    }
}

//! Statistics of a run.

use std::collections::BTreeMap;

use host_model::{Canary, Event, EventKind, LaneName, TrialId, Usage, Verdict, VerdictCounts};

/// One lane's part.
#[derive(Default)]
pub(super) struct LaneStatistics {
    planned: usize,
    finished: usize,
    opened_at_ms: Option<u64>,
    /// Of the trials that the open lane started.
    fanned_out: usize,
    last_end_ms: u64,
    longest_ms: u64,
}

/// How long the trials of a lane took together, from its opening on.
pub(super) struct FanOut {
    pub(super) trials: usize,
    pub(super) took_ms: u64,
    pub(super) longest_ms: u64,
}

/// Figures of a run, from its events alone.
#[derive(Default)]
pub(super) struct Statistics {
    canaries: Vec<TrialId>,
    lanes: BTreeMap<LaneName, LaneStatistics>,
    pub(super) verdicts: VerdictCounts,
    /// Trials that started and have a verdict.
    pub(super) ran: usize,
    pub(super) serial_ms: u64,
    pub(super) longest: Option<(TrialId, u64)>,
    pub(super) usage: Usage,
    pub(super) at_ms: u64,
}

impl Statistics {
    pub(super) fn update(&mut self, event: &Event) {
        self.at_ms = event.at_ms;
        match &event.kind {
            EventKind::RunStarted { trials, canary_skipped, .. } => {
                for trial in trials {
                    self.lanes.entry(trial.id.lane.clone()).or_default().planned += 1;
                    if trial.canary == Canary::Yes && !canary_skipped {
                        self.canaries.push(trial.id.clone());
                    }
                }
            }
            EventKind::LaneOpened { lane } => {
                self.lanes.entry(lane.clone()).or_default().opened_at_ms = Some(event.at_ms);
            }
            EventKind::AttemptFinished { record, .. } => self.usage = self.usage.plus(&record.usage),
            EventKind::TrialFinished { trial, attempts, duration_ms, verdict } => {
                self.finished(event.at_ms, trial, *attempts, *duration_ms, verdict);
            }
            _ => {}
        }
    }

    fn finished(&mut self, at_ms: u64, trial: &TrialId, attempts: u32, duration_ms: u64, verdict: &Verdict) {
        *self.verdicts.entry(verdict.word().into()).or_default() += 1;
        let lane = self.lanes.entry(trial.lane.clone()).or_default();
        lane.finished += 1;
        if attempts == 0 {
            return;
        }
        self.ran += 1;
        self.serial_ms = self.serial_ms.saturating_add(duration_ms);
        if self.longest.as_ref().is_none_or(|(_, longest)| duration_ms > *longest) {
            self.longest = Some((trial.clone(), duration_ms));
        }
        if !self.canaries.contains(trial) {
            lane.fanned_out += 1;
            lane.last_end_ms = at_ms;
            lane.longest_ms = lane.longest_ms.max(duration_ms);
        }
    }

    /// Trials of the run.
    pub(super) fn planned(&self) -> usize {
        self.lanes.values().map(|lane| lane.planned).sum()
    }

    /// Trials that have a verdict.
    pub(super) fn finished_trials(&self) -> usize {
        self.verdicts.values().sum()
    }

    /// Trials of a lane that have no verdict yet.
    pub(super) fn without_verdict(&self, lane: &LaneName) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.planned.saturating_sub(lane.finished))
    }

    /// Lanes where several trials ran after the opening.
    pub(super) fn fan_outs(&self) -> impl Iterator<Item = (&LaneName, FanOut)> {
        self.lanes.iter().filter(|(_, lane)| lane.fanned_out > 1).filter_map(|(name, lane)| {
            let took_ms = lane.last_end_ms.saturating_sub(lane.opened_at_ms?);
            Some((name, FanOut { trials: lane.fanned_out, took_ms, longest_ms: lane.longest_ms }))
        })
    }
}

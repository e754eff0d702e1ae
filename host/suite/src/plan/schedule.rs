#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::civil::Date;

use crate::config::{LaneKind, LaneSettings, Settings};
use host_model::{Canary, Confinement, ExpectedFailure, LaneName, RetryRules, RunRules, Scenario, ScenarioId, TrialId};

/// The selection of the suite to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Texts of which a scenario's id must contain one; empty selects all.
    pub filters: Vec<String>,
    /// Whether canaries are ordinary trials (`--no-canary`).
    pub no_canary: bool,
    /// The day, in UTC, by which expected failures expire.
    pub today: Date,
}

impl Selection {
    /// Whether `scenario` is one of those that were asked for.
    #[must_use]
    pub fn selects(&self, scenario: &Scenario) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| scenario.id.0.contains(filter.as_str()))
    }
}

/// Everything that runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lanes with their trials.
    pub lanes: Vec<LanePlan>,
    /// Attempts in parallel over all lanes.
    pub jobs: usize,
    /// The rules of the whole run.
    pub policy: RunRules,
    /// Whether canaries were made ordinary trials.
    pub canary_skipped: bool,
}

/// The trials of one lane.
#[derive(Clone, Debug)]
pub struct LanePlan {
    /// The lane's name.
    pub name: LaneName,
    /// The lane's kind.
    pub kind: LaneKind,
    /// What the operating system holds its agents to.
    pub confinement: Confinement,
    /// Why nothing of it is run, if so; see [`LanePlan::skip`].
    pub skipped: Option<String>,
    /// Attempts in parallel in this lane.
    pub jobs: Option<usize>,
    /// After so many trials in a row that end as faults of the whole lane no more of its trials start; 0 is never.
    pub breaker: u32,
    /// The canaries.
    pub canaries: Vec<Arc<PlannedTrial>>,
    /// Everything else, in order.
    pub rest: Vec<Arc<PlannedTrial>>,
}

impl LanePlan {
    /// A lane that is confined as by default, and whose trials are all ordinary: nothing guards or breaks it.
    #[must_use]
    pub fn unguarded(name: LaneName, kind: LaneKind, rest: Vec<Arc<PlannedTrial>>) -> Self {
        let confinement = Confinement::default();
        Self { name, kind, confinement, skipped: None, jobs: None, breaker: 0, canaries: Vec::new(), rest }
    }

    /// Has every trial of it skipped. Its canaries are ordinary trials then: there is nothing to guard.
    pub fn skip(&mut self, reason: String) {
        let canaries = self.canaries.drain(..);
        let ordinary = canaries.map(|trial| Arc::new(PlannedTrial { canary: Canary::No, ..(*trial).clone() }));
        self.rest.splice(0..0, ordinary.collect::<Vec<_>>());
        self.skipped = Some(reason);
    }
}

/// One trial.
#[derive(Clone, Debug)]
pub struct PlannedTrial {
    /// Its identity.
    pub id: TrialId,
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Whether it guards its lane.
    pub canary: Canary,
    /// The scripted agent that plays it, in a scripted lane.
    pub agent: Option<String>,
    /// When it is tried again.
    pub retry: RetryRules,
    /// Its known failures in this lane that are still accepted.
    pub expected: Vec<ExpectedFailure>,
    /// Those that are not accepted any more.
    pub expired: Vec<ExpectedFailure>,
    /// Which repetition it is, from 1, where each trial is repeated.
    pub repetition: Option<u32>,
}

impl Plan {
    /// Every trial, lane by lane, canaries first.
    pub fn trials(&self) -> impl Iterator<Item = &Arc<PlannedTrial>> {
        self.lanes.iter().flat_map(|lane| lane.canaries.iter().chain(&lane.rest))
    }
}

/// Makes the plan: every selected scenario in every lane, as often as it is to be repeated. A lane's canaries run
/// whenever anything else of the lane does, selected or not; of a canary's repetitions the first guards the lane. The
/// rest runs longest timeout first, so that the longest trial does not start last; scenarios of the same timeout
/// keep their order.
#[must_use]
pub fn plan(scenarios: Vec<Scenario>, settings: &Settings, selection: &Selection) -> Plan {
    let scenarios: Vec<Arc<Scenario>> = scenarios.into_iter().map(Arc::new).collect();
    let is_canary = |scenario: &Scenario| !selection.no_canary && scenario.canary.is_some();
    let any = scenarios.iter().any(|scenario| selection.selects(scenario));
    let chosen: Vec<&Arc<Scenario>> =
        scenarios.iter().filter(|scenario| any && (selection.selects(scenario) || is_canary(scenario))).collect();
    let repeat = settings.policy.repeat_each.max(1);
    let lanes = settings.lanes.iter().map(|lane| {
        let (mut canaries, mut rest) = (Vec::new(), Vec::new());
        for number in 1..=repeat {
            for scenario in &chosen {
                let guards = number == 1 && is_canary(scenario);
                let trial = PlannedTrial {
                    canary: if guards { Canary::Yes } else { Canary::No },
                    ..planned(scenario, lane, settings, selection.today)
                };
                // A canary that was not asked for runs only to guard.
                if !guards && !selection.selects(scenario) {
                    continue;
                }
                let trial = Arc::new(if repeat > 1 { trial.repeated(number) } else { trial });
                if guards { canaries.push(trial) } else { rest.push(trial) }
            }
        }
        rest.sort_by_key(|trial| std::cmp::Reverse(trial.scenario.limits.timeout));
        let (name, kind) = (lane.name.clone(), lane.kind.clone());
        let confinement = lane.confinement.clone();
        LanePlan { name, kind, confinement, skipped: None, jobs: lane.jobs, breaker: lane.breaker, canaries, rest }
    });
    Plan {
        lanes: lanes.collect(),
        jobs: settings.jobs,
        policy: settings.policy.clone(),
        canary_skipped: selection.no_canary && !settings.canary.is_empty(),
    }
}

fn planned(scenario: &Arc<Scenario>, lane: &LaneSettings, settings: &Settings, today: Date) -> PlannedTrial {
    let asked = settings.agents.iter().find(|name| scenario.agents.contains_key(*name));
    let id = TrialId { lane: lane.name.clone(), scenario: scenario.id.clone() };
    let agent = match &lane.kind {
        LaneKind::Scripted { agent } => Some(asked.unwrap_or(agent).clone()),
        LaneKind::Program(_) => None,
    };
    PlannedTrial {
        retry: settings.retry_override.over(&scenario.retry.over(&lane.retry.over(&settings.retry))),
        ..PlannedTrial::once(id, Arc::clone(scenario), Canary::No, agent).expecting(today)
    }
}

impl PlannedTrial {
    /// A trial that is neither tried again nor expected to fail.
    #[must_use]
    pub fn once(id: TrialId, scenario: Arc<Scenario>, canary: Canary, agent: Option<String>) -> Self {
        let retry = RetryRules::default();
        Self { id, scenario, canary, agent, retry, expected: Vec::new(), expired: Vec::new(), repetition: None }
    }

    /// This with the failures that its scenario expects in its lane.
    #[must_use]
    pub fn expecting(self, today: Date) -> Self {
        let known = self.scenario.expected_failures.iter().filter(|it| it.is_for(&self.id.lane)).cloned();
        let (expired, expected) = known.partition(|it| it.has_expired(today));
        Self { expected, expired, ..self }
    }

    /// This as repetition `number`, with a name of its own.
    fn repeated(self, number: u32) -> Self {
        let scenario = ScenarioId(format!("{}#{number}", self.id.scenario));
        Self { id: TrialId { scenario, ..self.id }, repetition: Some(number), ..self }
    }
}

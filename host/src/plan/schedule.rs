#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    config::{LaneKind, LaneSettings, Settings},
    model::{Canary, LaneName, Scenario, TrialId},
};

/// What of the suite to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Texts of which a scenario's id must contain one; empty selects all.
    pub filters: Vec<String>,
    /// Whether canaries are ordinary trials (`--no-canary`).
    pub no_canary: bool,
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
    /// Attempts at once over all lanes.
    pub jobs: usize,
    /// Whether canaries were made ordinary trials.
    pub canary_skipped: bool,
}

/// What runs in one lane.
#[derive(Clone, Debug)]
pub struct LanePlan {
    /// The lane's name.
    pub name: LaneName,
    /// The lane's kind.
    pub kind: LaneKind,
    /// Attempts at once in this lane.
    pub jobs: Option<usize>,
    /// What must pass first.
    pub canaries: Vec<Arc<PlannedTrial>>,
    /// Everything else, in order.
    pub rest: Vec<Arc<PlannedTrial>>,
}

/// One trial.
#[derive(Clone, Debug)]
pub struct PlannedTrial {
    /// Its identity.
    pub id: TrialId,
    /// What it runs.
    pub scenario: Arc<Scenario>,
    /// Whether it guards its lane.
    pub canary: Canary,
    /// The scripted agent that plays it, in a scripted lane.
    pub agent: Option<String>,
}

impl Plan {
    /// Every trial, lane by lane, canaries first.
    pub fn trials(&self) -> impl Iterator<Item = &Arc<PlannedTrial>> {
        self.lanes.iter().flat_map(|lane| lane.canaries.iter().chain(&lane.rest))
    }
}

/// Makes the plan: every selected scenario in every lane. A lane's canaries run whenever anything else of the
/// lane does, selected or not. The rest runs longest deadline first, so that the longest trial does not start
/// last; scenarios of the same deadline keep their order.
#[must_use]
pub fn plan(scenarios: Vec<Scenario>, settings: &Settings, selection: &Selection) -> Plan {
    let scenarios: Vec<Arc<Scenario>> = scenarios.into_iter().map(Arc::new).collect();
    let is_canary = |scenario: &Scenario| !selection.no_canary && settings.canary.contains(&scenario.name);
    let any = scenarios.iter().any(|scenario| selection.selects(scenario));
    let chosen: Vec<&Arc<Scenario>> =
        scenarios.iter().filter(|scenario| any && (selection.selects(scenario) || is_canary(scenario))).collect();
    let lanes = settings.lanes.iter().map(|lane| {
        let (canaries, mut rest): (Vec<_>, Vec<_>) = chosen
            .iter()
            .map(|scenario| planned(scenario, lane, settings, is_canary(scenario)))
            .partition(|trial| trial.canary == Canary::Yes);
        rest.sort_by_key(|trial| std::cmp::Reverse(trial.scenario.limits.deadline));
        LanePlan { name: lane.name.clone(), kind: lane.kind.clone(), jobs: lane.jobs, canaries, rest }
    });
    Plan {
        lanes: lanes.collect(),
        jobs: settings.jobs,
        canary_skipped: selection.no_canary && !settings.canary.is_empty(),
    }
}

fn planned(scenario: &Arc<Scenario>, lane: &LaneSettings, settings: &Settings, canary: bool) -> Arc<PlannedTrial> {
    let LaneKind::Scripted { agent } = &lane.kind;
    let asked = settings.agents.iter().find(|name| scenario.agents.contains_key(*name));
    Arc::new(PlannedTrial {
        id: TrialId { lane: lane.name.clone(), scenario: scenario.id.clone() },
        scenario: Arc::clone(scenario),
        canary: if canary { Canary::Yes } else { Canary::No },
        agent: Some(asked.unwrap_or(agent).clone()),
    })
}

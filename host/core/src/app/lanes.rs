//! The lanes of a plan with their agents.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use super::error::Error;
use host_agents::{HostProgram, Lane, Protection};
use host_model::{AgentSettings, Confinement, LaneName, Redactor};
use host_suite::config::LaneKind;
use host_suite::plan::Plan;

/// The lanes of `plan`, by name.
pub(super) fn live_lanes(plan: &Plan) -> Result<HashMap<LaneName, Arc<dyn Lane>>, Error> {
    let lanes = plan.lanes.iter().map(|planned| {
        let lane = live_lane(&planned.name, &planned.kind, &planned.confinement)?;
        Ok((planned.name.clone(), lane))
    });
    lanes.collect()
}

/// A lane whose agents are confined, and whose secrets nothing shows.
pub(super) fn live_lane(name: &LaneName, kind: &LaneKind, confinement: &Confinement) -> Result<Arc<dyn Lane>, Error> {
    let scripted = AgentSettings::new(kind.kind());
    let settings = kind.program().unwrap_or(&scripted);
    let redactor = Redactor::new(host_agents::secrets(settings))
        .map_err(|error| Error::setup(format!("the lane `{name}`: {error}")))?;
    let guard = Protection { confinement: confinement.clone(), redactor };
    Ok(host_agents::create_lane(settings, HostProgram::this(), guard))
}

/// Refuses scenarios whose `bin` has programs that would run in place of a lane's agent.
pub(super) fn check_bins(plan: &Plan) -> Result<(), Error> {
    let mut problems = BTreeSet::new();
    for lane in plan.lanes.iter().filter(|lane| lane.skipped.is_none()) {
        let Some(settings) = lane.kind.program() else { continue };
        let trials = lane.canaries.iter().chain(&lane.rest).map(|trial| &trial.scenario);
        let bins: BTreeSet<&Path> = trials.filter_map(|scenario| scenario.bin.as_deref()).collect();
        let shadowed = bins.into_iter().filter_map(|bin| host_agents::shadowing_program(settings, bin));
        problems.extend(shadowed.map(|problem| format!("the lane `{}`: {problem}", lane.name)));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::setups(problems)) }
}

/// Skips lanes that lack a credential which is not required.
pub(super) fn skip_lanes(plan: &mut Plan) {
    for planned in &mut plan.lanes {
        if let Some(reason) = planned.kind.program().and_then(skip_reason) {
            planned.skip(reason);
        }
    }
}

/// Why a lane is skipped, if it is.
pub(super) fn skip_reason(settings: &AgentSettings) -> Option<String> {
    host_agents::missing_credentials(settings).filter(|_| !settings.required)
}

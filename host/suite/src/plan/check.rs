//! What must hold of a plan before it runs, beyond that its parts fit together.

use std::collections::HashSet;

use super::{
    Plan, SetupProblem,
    resolve::{codes_of, command_codes, hint},
};
use host_model::{Grant, Scenario, ScenarioShape, ScriptExpectation, text::nearest};

/// Refuses a plan of which a scenario needs what it is not granted. Scenarios that were not selected do not matter.
///
/// # Errors
/// [`SetupProblem::NotGranted`], each once.
pub fn check_grants(plan: &Plan) -> Result<(), Vec<SetupProblem>> {
    // Once for all lanes.
    let mut told = HashSet::new();
    let missing = plan.trials().flat_map(|trial| &trial.scenario.ungranted).map(|missing| missing.problem.as_str());
    let problems: Vec<SetupProblem> = missing
        .filter(|problem| told.insert(*problem))
        .map(|problem| SetupProblem::NotGranted(problem.to_owned()))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Refuses a plan in which a scenario that may start sessions lacks the agent that its lane plays. One that has no agent
/// at all may do without, unless it needs a session.
///
/// # Errors
/// [`SetupProblem::NoAgent`] or [`SetupProblem::NoAgents`] for each.
pub fn check_agents(plan: &Plan) -> Result<(), Vec<SetupProblem>> {
    let problems: Vec<SetupProblem> = plan
        .trials()
        .filter(|trial| trial.scenario.grants.has(Grant::Session))
        .filter_map(|trial| {
            let agent = trial.agent.as_ref().filter(|agent| !trial.scenario.agents.contains_key(*agent))?;
            if trial.scenario.agents.is_empty() {
                let (lane, scenario) = (trial.id.lane.clone(), trial.id.scenario.clone());
                let missing = SetupProblem::NoAgents { lane, agent: agent.clone(), scenario };
                return trial.scenario.needs_session.then_some(missing);
            }
            let names: Vec<&str> = trial.scenario.agents.keys().map(String::as_str).collect();
            Some(SetupProblem::NoAgent {
                lane: trial.id.lane.clone(),
                agent: agent.clone(),
                scenario: trial.id.scenario.clone(),
                known: {
                    let shown: Vec<_> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
                    format!("{}{}", shown.join(", "), if names.len() > 8 { ", …" } else { "" })
                },
                hint: nearest(agent, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default(),
            })
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Refuses scripted agents that expect a finding which their scenario cannot have.
///
/// # Errors
/// [`SetupProblem::NoFinding`] for each.
pub fn check_scripts(scenarios: &[Scenario]) -> Result<(), Vec<SetupProblem>> {
    let mut problems = Vec::new();
    for scenario in scenarios {
        let known = match &scenario.shape {
            ScenarioShape::Typed => codes_of(&scenario.clauses),
            ScenarioShape::Command(command) => command_codes(command),
        };
        for agent in scenario.agents.values() {
            let ScriptExpectation::Fail { findings } = &agent.script.expect else { continue };
            let unknown = findings.iter().filter(|code| !known.is_empty() && !known.contains(&code.as_str()));
            problems.extend(unknown.map(|code| SetupProblem::NoFinding {
                script: agent.path.clone(),
                code: code.clone(),
                scenario: scenario.id.clone(),
                hint: hint(code, &known),
            }));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

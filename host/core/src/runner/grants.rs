//! The grants of a plan's scenarios, with the values that come from outside of the suite.

use std::{collections::HashMap, ffi::OsString, sync::Arc};

use super::{attempt::Agents, prepare_error::PrepareError};
use host_model::{Redactor, Scenario, ScenarioId, TrialId};
use host_suite::plan::Plan;
use host_wasm::sandbox::{Granted, Resolve, SystemResolver};

/// Reads a variable of an environment.
pub type Variable = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What a run takes from its surroundings: variables and the network.
pub struct Surroundings {
    /// A variable of the host's environment.
    pub variable: Variable,
    /// Looks up names.
    pub resolver: Arc<dyn Resolve>,
    /// Whether each attempt's uses of its grants are recorded.
    pub audit: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process(audit: bool) -> Self {
        Self { variable: Box::new(|name| std::env::var_os(name)), resolver: Arc::new(SystemResolver), audit }
    }
}

/// The variables that a scenario is granted and that this process does not have.
#[must_use]
pub fn not_granted(scenario: &Scenario) -> Vec<PrepareError> {
    granted(scenario, &|name| std::env::var_os(name)).err().unwrap_or_default()
}

fn granted(scenario: &Scenario, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Granted, Vec<PrepareError>> {
    let told = |source| PrepareError::Grant { scenario: scenario.id.clone(), source };
    Granted::new(&scenario.grants, variable).map_err(|errors| errors.into_iter().map(told).collect())
}

pub(super) struct PlanGrants {
    granted: HashMap<ScenarioId, Arc<Granted>>,
    /// For trials whose scenario has secrets of its own: removes those and its lane's.
    redactors: HashMap<TrialId, Redactor>,
}

impl PlanGrants {
    pub(super) fn of(
        plan: &Plan,
        agents: &Agents,
        surroundings: &Surroundings,
        problems: &mut Vec<PrepareError>,
    ) -> Self {
        let mut granted: HashMap<ScenarioId, Arc<Granted>> = HashMap::new();
        let mut redactors = HashMap::new();
        for trial in plan.trials() {
            let scenario = &trial.scenario;
            if !granted.contains_key(&scenario.id) {
                let given = self::granted(scenario, &surroundings.variable).unwrap_or_else(|errors| {
                    problems.extend(errors);
                    Granted::default()
                });
                granted.insert(scenario.id.clone(), Arc::new(given));
            }
            let secrets: Vec<String> = granted[&scenario.id].secrets().map(str::to_owned).collect();
            if secrets.is_empty() {
                continue;
            }
            let redactor = Redactor::new(secrets).and_then(|own| Redactor::union([&own, &agents.redactor(&trial.id)]));
            match redactor {
                Ok(redactor) => drop(redactors.insert(trial.id.clone(), redactor)),
                Err(error) => {
                    problems.push(PrepareError::Secrets { scenario: scenario.id.clone(), reason: error.to_string() })
                }
            }
        }
        Self { granted, redactors }
    }

    pub(super) fn granted(&self, scenario: &ScenarioId) -> Arc<Granted> {
        self.granted.get(scenario).cloned().unwrap_or_default()
    }

    /// Removes the secrets of a trial; `None` if only its lane has secrets.
    pub(super) fn redactor(&self, trial: &TrialId) -> Option<Redactor> {
        self.redactors.get(trial).cloned()
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.granted.values().flat_map(|granted| granted.secrets())
    }
}

use std::{collections::HashMap, path::PathBuf};

use host_model::{EventKind, LaneInfo, PluginInfo, Revision, RunId, SCHEMA_VERSION, SuiteInfo, TrialInfo};
use host_suite::plan::Plan;

/// What the first event tells of the run.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// The run.
    pub run: RunId,
    /// RFC 3339 time in UTC.
    pub time: String,
    /// Version of the engine.
    pub wasmtime: String,
    /// The suite, where there is one.
    pub suite: Option<SuiteInfo>,
    /// What its git repository is at.
    pub revision: Option<Revision>,
    /// The plugins.
    pub plugins: Vec<PluginInfo>,
    /// The run directory.
    pub directory: Option<PathBuf>,
    /// The run whose sessions are graded again.
    pub regrades: Option<RunId>,
}

impl RunContext {
    /// The first event of the run of `plan`.
    pub(super) fn started(self, plan: &Plan) -> EventKind {
        let labels: HashMap<usize, &str> =
            self.plugins.iter().enumerate().map(|(index, plugin)| (index, plugin.label.as_str())).collect();
        let trials = plan.trials().map(|trial| TrialInfo {
            id: trial.id.clone(),
            canary: trial.canary,
            plugin: labels.get(&trial.scenario.plugin.0).copied().unwrap_or_default().to_owned(),
            name: trial.scenario.name.clone(),
            repetition: trial.repetition,
            file: trial.scenario.file.clone(),
        });
        let lanes = plan.lanes.iter().map(|lane| LaneInfo {
            name: lane.name.clone(),
            kind: lane.kind.as_str().to_owned(),
            jobs: lane.jobs,
        });
        EventKind::RunStarted {
            schema: SCHEMA_VERSION,
            run: self.run,
            time: self.time,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            wasmtime: self.wasmtime,
            suite: self.suite,
            revision: self.revision,
            lanes: lanes.collect(),
            trials: trials.collect(),
            plugins: self.plugins,
            jobs: plan.jobs,
            canary_skipped: plan.canary_skipped,
            directory: self.directory,
            regrades: self.regrades,
        }
    }
}

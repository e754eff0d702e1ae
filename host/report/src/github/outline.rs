//! What is known about the trials of a stream.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::junit::detail;
use host_model::{Canary, Event, EventKind, TrialId};

/// The plan, and how far it is.
#[derive(Default)]
pub(super) struct Outline {
    run: Option<String>,
    directory: Option<PathBuf>,
    exit_code: Option<u8>,
    /// Each plugin's file as given, by its label.
    plugins: HashMap<String, String>,
    trials: HashMap<TrialId, Planned>,
    /// In the order of the plan, the judged ones too.
    order: Vec<TrialId>,
}

struct Planned {
    canary: bool,
    plugin: String,
    file: Option<String>,
    artifacts: Option<PathBuf>,
    judged: bool,
}

impl Outline {
    pub(super) fn take_in(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { run, plugins, trials, directory, .. } => {
                self.run = Some(run.to_string());
                self.directory.clone_from(directory);
                for plugin in plugins {
                    self.plugins.insert(plugin.label.clone(), plugin.path.to_string_lossy().into_owned());
                }
                for trial in trials {
                    let canary = trial.canary == Canary::Yes;
                    let file = trial.file.as_deref().map(|file| file.to_string_lossy().into_owned());
                    let plugin = trial.plugin.clone();
                    let planned = Planned { canary, plugin, file, artifacts: None, judged: false };
                    self.trials.insert(trial.id.clone(), planned);
                    self.order.push(trial.id.clone());
                }
            }
            EventKind::AttemptFinished { trial, record, .. } => {
                if let Some(planned) = self.trials.get_mut(trial) {
                    planned.artifacts.clone_from(&record.artifacts);
                }
            }
            EventKind::RunFinished { summary } => self.exit_code = Some(summary.exit_code),
            _ => {}
        }
    }

    pub(super) fn judged(&mut self, trial: &TrialId) {
        if let Some(planned) = self.trials.get_mut(trial) {
            planned.judged = true;
        }
    }

    /// The trials without a verdict, which are reported once.
    pub(super) fn take_unfinished(&mut self) -> Vec<TrialId> {
        let trials = &self.trials;
        let mut order = std::mem::take(&mut self.order);
        order.retain(|trial| trials.get(trial).is_some_and(|planned| !planned.judged));
        order
    }

    pub(super) fn is_canary(&self, trial: &TrialId) -> bool {
        self.trials.get(trial).is_some_and(|planned| planned.canary)
    }

    /// The file that a trial comes from: its scenario's, which a person edits, or else its plugin.
    pub(super) fn file(&self, trial: &TrialId) -> Option<&str> {
        let planned = self.trials.get(trial)?;
        planned.file.as_ref().or_else(|| self.plugins.get(&planned.plugin)).map(String::as_str)
    }

    /// The artifacts of the last attempt.
    pub(super) fn artifacts(&self, trial: &TrialId) -> Option<PathBuf> {
        let artifacts = self.trials.get(trial)?.artifacts.as_ref()?;
        Some(self.directory.as_ref().map_or_else(|| artifacts.clone(), |directory| directory.join(artifacts)))
    }

    /// The log with all details.
    pub(super) fn log(&self) -> String {
        detail::log(self.directory.as_deref())
    }

    /// Facts about the run, by key.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let exit_code = self.exit_code.map(|code| ("exit-code", code.to_string()));
        let run = self.run.clone().map(|run| ("run", run));
        let directory = self.directory.as_deref().map(Path::to_string_lossy);
        let directory = directory.map(|directory| ("run-directory", directory.into_owned()));
        exit_code.into_iter().chain(run).chain(directory)
    }
}

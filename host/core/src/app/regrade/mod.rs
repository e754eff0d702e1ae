//! Calls the components again over what an earlier run recorded, without any agent.

mod comparison;
mod find;
mod recorded_run;
mod work;

use std::{collections::HashMap, ffi::OsString, path::PathBuf};

pub use self::comparison::{Change, Comparison, ComparisonKind, summary as verdict_summary};
use self::{
    find::{find_run, recorded_plugins},
    recorded_run::RecordedRun,
    work::{Work, compare, plan},
};
use super::{
    error::Error,
    execute::{Execution, ExecutionSettings, FinishedRun},
    load::{LoadSettings, Suite},
    notices::Notices,
    paths::current_dir,
    reports::RunHooks,
};
use crate::runner::Agents;
use host_model::{Event, EventKind, RunId, TrialId, Verdict};
use host_suite::config::Settings;
use host_suite::plan::check_grants;

/// What to grade again.
#[derive(Clone, Debug, Default)]
pub struct RegradeSettings {
    /// The suite, and the plugins to grade with; those of the run, as they are now, if there are none.
    pub load: LoadSettings,
    /// A run directory, the name of a run, or `latest`, which is the default.
    pub run: Option<OsString>,
    /// Only trials of scenarios whose name contains one of these texts; all if empty.
    pub filters: Vec<String>,
    /// The folder of the run directories, also for the new one, in place of `.host` beside the scenarios.
    pub output: Option<PathBuf>,
}

/// The recorded verdicts next to the new ones.
#[derive(Debug)]
pub struct Regraded {
    /// The run that was graded again.
    pub run: RunId,
    /// Whether its event log has its end.
    pub is_complete: bool,
    /// The plugins that are not as they were in that run.
    pub changed_plugins: Vec<ChangedPlugin>,
    /// One for each trial.
    pub comparisons: Vec<Comparison>,
    /// The new run; `None` when there was nothing to grade again.
    pub finished: Option<FinishedRun>,
}

/// A plugin that is not as it was.
#[derive(Debug)]
pub struct ChangedPlugin {
    /// Its name.
    pub label: String,
    /// Its digest now.
    pub digest: String,
    /// Its digest in the earlier run; `None` if it was not part of that.
    pub recorded: Option<String>,
}

/// Grades the recorded sessions of a run again and compares the verdicts.
///
/// # Errors
/// The recorded run or a plugin cannot be read, or the new run could not begin or broke off.
pub async fn regrade(
    settings: &RegradeSettings,
    notices: &dyn Notices,
    hooks: &mut dyn RunHooks,
) -> Result<Regraded, Error> {
    let cwd = current_dir()?;
    let base = Settings::resolve(&cwd, &settings.load.overrides).map_err(Error::setup_all)?.base;
    let output = settings.output.clone().unwrap_or_else(|| base.join(".host"));
    let run = RecordedRun::read(&find_run(settings.run.as_deref(), &output)?).map_err(|error| Error::of(&error))?;
    let are_named = !settings.load.plugins.is_empty();
    let plugins = if are_named { settings.load.plugins.clone() } else { recorded_plugins(&run, &cwd, &base)? };
    let suite = Suite::load(&LoadSettings { plugins, ..settings.load.clone() }, notices).await?;
    let mut work = Work::of(&run, &suite, &settings.filters, are_named)?;
    let plan = plan(&run, std::mem::take(&mut work.planned), &suite.settings);
    let mut regraded = Regraded {
        run: run.id.clone(),
        is_complete: run.finished,
        changed_plugins: changed_plugins(&run, &suite),
        comparisons: Vec::new(),
        finished: None,
    };
    if work.trials.is_empty() {
        return Ok(Regraded { comparisons: work.left_out, ..regraded });
    }
    check_grants(&plan).map_err(Error::setup_all)?;
    let mut verdicts: HashMap<TrialId, Verdict> = HashMap::new();
    let mut watch = |event: &Event| {
        if let EventKind::TrialFinished { trial, verdict, .. } = &event.kind {
            verdicts.insert(trial.clone(), verdict.clone());
        }
    };
    let execution = ExecutionSettings { output: Some(output), ..ExecutionSettings::default() };
    let regrades = Some(run.id.clone());
    let execution = Execution { suite: &suite, plan: &plan, settings: &execution, regrades, notices };
    let agents = Agents::Recorded { trials: work.trials, fixtures: work.fixtures };
    regraded.finished = Some(execution.run(agents, hooks, &mut watch).await?);
    let compared = run.trials.iter().filter_map(|trial| compare(trial, &verdicts, &work.replays, &work.standing));
    regraded.comparisons = compared.chain(work.left_out).collect();
    Ok(regraded)
}

fn changed_plugins(run: &RecordedRun, suite: &Suite) -> Vec<ChangedPlugin> {
    let plugins = suite.plugin_infos().into_iter();
    let changed = plugins.filter(|now| run.plugins.iter().all(|then| then.digest != now.digest));
    changed
        .map(|now| {
            let recorded = run.plugins.iter().find(|then| then.label == now.label);
            ChangedPlugin { recorded: recorded.map(|then| then.digest.clone()), label: now.label, digest: now.digest }
        })
        .collect()
}

use super::{
    error::{Error, Message},
    execute::{Execution, ExecutionSettings, FinishedRun},
    lanes::{check_bins, live_lanes, skip_lanes},
    load::{LoadSettings, Suite, today},
    notices::Notices,
    paths::current_dir,
    reports::RunHooks,
    text::{backquoted, few},
};
use crate::runner::Agents;
use host_model::ExitCode;
use host_report::artifact::RunDirectory;
use host_suite::config::{Settings, nearest};
use host_suite::plan::{Selection, check_agents, check_grants, plan};

/// What to run, and how.
#[derive(Clone, Debug, Default)]
pub struct RunSettings {
    /// Which suite and plugins to load.
    pub load: LoadSettings,
    /// Only scenarios whose name contains one of these texts, and the canaries; all if empty.
    pub filters: Vec<String>,
    /// Start everything without waiting for canaries.
    pub no_canary: bool,
    /// What to do without a trial.
    pub nothing_to_run: NothingToRun,
    /// How to run.
    pub execution: ExecutionSettings,
}

/// What a run does when it has no trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NothingToRun {
    /// It is an error with [`ExitCode::NothingToRun`].
    #[default]
    Fail,
    /// It warns, and runs nothing.
    Warn,
    /// It runs nothing. Its reports are written all the same.
    Pass,
}

/// Runs scenarios: the canaries first, then the rest in parallel.
///
/// # Errors
/// The run could not begin, or broke off. Failed scenarios are not an error: [`FinishedRun::code`] reports them.
pub async fn run(
    settings: &RunSettings,
    notices: &dyn Notices,
    hooks: &mut dyn RunHooks,
) -> Result<FinishedRun, Error> {
    let cwd = current_dir()?;
    let output = settings.execution.output.clone().unwrap_or_else(|| {
        let suite = settings.load.overrides.suite.as_ref().map(|suite| suite.value.as_path());
        Settings::base_folder(&cwd, suite).join(".host")
    });
    let result = load_and_run(settings, notices, hooks).await;
    if result.is_err() {
        RunDirectory::forget_latest(&output);
    }
    result
}

/// Where this fails there is no run directory.
async fn load_and_run(
    settings: &RunSettings,
    notices: &dyn Notices,
    hooks: &mut dyn RunHooks,
) -> Result<FinishedRun, Error> {
    let suite = Suite::load(&settings.load, notices).await?;
    let filters = settings.filters.clone();
    let selection = Selection { filters, no_canary: settings.no_canary, today: today() };
    let mut plan = plan(suite.scenarios.clone(), &suite.settings, &selection);
    if plan.trials().next().is_none() {
        let known: Vec<&str> = suite.scenarios.iter().map(|it| it.id.0.as_str()).collect();
        let message = Message::plain(nothing_to_run(&settings.filters, &known));
        match settings.nothing_to_run {
            // A run without trials: programs that wait for its reports get them.
            NothingToRun::Pass => {}
            NothingToRun::Warn => notices.warning(message),
            NothingToRun::Fail => return Err(Error::new(ExitCode::NothingToRun, [message])),
        }
    }
    check_grants(&plan).map_err(Error::setup_all)?;
    check_agents(&plan).map_err(Error::setup_all)?;
    if !settings.no_canary {
        warn_of_absent_canaries(&suite, notices);
    }
    skip_lanes(&mut plan);
    check_bins(&plan)?;
    let agents = Agents::Live(live_lanes(&plan)?);
    let execution = Execution { suite: &suite, plan: &plan, settings: &settings.execution, regrades: None, notices };
    execution.run(agents, hooks, &mut |_| {}).await
}

fn warn_of_absent_canaries(suite: &Suite, notices: &dyn Notices) {
    let is_absent = |name: &&String| suite.scenarios.iter().all(|scenario| scenario.canary.as_ref() != Some(*name));
    let absent: Vec<&String> = suite.settings.canary.iter().filter(is_absent).collect();
    if !absent.is_empty() {
        notices.warning(Message::plain(format!(
            "none of the given plugins contains the canary {}; the lane starts without a canary",
            few(&absent)
        )));
    }
}

fn nothing_to_run(filters: &[String], known: &[&str]) -> String {
    let mut what = String::from("nothing to run");
    if !filters.is_empty() {
        what = format!("nothing to run: no scenario's name contains {}", backquoted(filters).join(" or "));
        if let Some(near) = filters.iter().find_map(|filter| nearest(filter, known.iter().copied())) {
            what.push_str(&format!("; did you mean `{near}`?"));
        }
    }
    what
}

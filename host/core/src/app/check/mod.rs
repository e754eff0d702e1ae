//! Would a run find everything as it needs it? No scenario is run.

mod lanes;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use tokio::task::{JoinSet, block_in_place};

pub use self::lanes::LaneReport;
use self::lanes::Live;
use super::{
    error::{Error, Message},
    lanes::check_bins,
    leftovers::remove_leftovers,
    list::without_repetitions,
    load::{LoadSettings, settings, today},
    notices::Notices,
    paths::current_dir,
    plugin_files::{find, missing},
    plugins::{engine, list_all, load_all, open_cache},
    policy_file::within_repository,
    stop::Stop,
};
use crate::runner::{PrepareError, not_granted};
use host_model::Scenario;
use host_suite::config::{ScenarioSettings, Settings, nearest, seen_from_here};
use host_suite::plan::{self, Plan, Selection};
use host_wasm::component::PluginFile;
use host_wasm::sandbox::{Halt, Snapshot, Workspace, remove_tree};

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct CheckSettings {
    /// Which suite and plugins to check. Without lanes in the overrides all defined lanes are checked.
    pub load: LoadSettings,
    /// The folder for run directories, in place of `.host` beside the scenarios.
    pub output: Option<PathBuf>,
    /// Try one trivial turn in each lane of a real agent. It reaches the provider, and costs.
    pub live: bool,
}

/// What was checked, and what is wrong with it.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// The suite's file.
    pub suite: Option<String>,
    /// The lanes whose agents are programs of the user.
    pub lanes: Vec<LaneReport>,
    /// The names of all lanes that were checked.
    pub lane_names: Vec<String>,
    /// How many scenarios have a folder.
    pub folders: usize,
    /// The plugins' files.
    pub plugins: Vec<String>,
    /// The scenarios' ids.
    pub scenarios: Vec<String>,
    /// What a run would fail with.
    pub errors: Vec<Message>,
    /// What a run would not fail with.
    pub warnings: Vec<Message>,
}

/// Checks suite, scenarios, plugins and lanes, and runs nothing. Ends early when `stop` asks for it: the report is then
/// not complete.
///
/// # Errors
/// The current folder cannot be found. Everything else is in the report.
pub async fn check(check: &CheckSettings, notices: &dyn Notices, stop: &Stop) -> Result<CheckReport, Error> {
    let cwd = current_dir()?;
    let output = check.output.clone().unwrap_or_else(|| {
        let suite = check.load.overrides.suite.as_ref().map(|suite| suite.value.as_path());
        Settings::base_folder(&cwd, suite).join(".host")
    });
    block_in_place(|| remove_leftovers(&std::env::temp_dir(), &output, notices));
    let mut checker = Checker { check, notices, stop, cwd, output, report: CheckReport::default() };
    checker.check_all().await;
    Ok(checker.report)
}

/// Whether the variables and programs that scenarios are granted are there.
fn granted(plan: &Plan) -> Result<(), Vec<PrepareError>> {
    let mut seen = BTreeSet::new();
    let scenarios = plan.trials().map(|trial| &trial.scenario).filter(|scenario| seen.insert(&scenario.id));
    let problems: Vec<PrepareError> = scenarios.flat_map(|scenario| not_granted(scenario)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A check under way.
struct Checker<'a> {
    check: &'a CheckSettings,
    notices: &'a dyn Notices,
    stop: &'a Stop,
    cwd: PathBuf,
    /// The folder for run directories.
    output: PathBuf,
    report: CheckReport,
}

impl Checker<'_> {
    /// The value, or `None` after its errors are added to the report.
    fn take<T>(&mut self, checked: Result<T, Error>) -> Option<T> {
        checked.map_err(|error| self.report.errors.extend(error.messages)).ok()
    }

    fn warn(&mut self, text: String) {
        self.report.warnings.push(Message::plain(text));
    }

    async fn check_all(&mut self) {
        let resolved = block_in_place(|| settings(&self.check.load.overrides));
        let Some(settings) = self.take(resolved).map(|settings| self.with_lanes(settings)) else { return };
        self.report.suite = settings.suite.as_deref().map(seen_from_here);
        if let Some(warning) = within_repository(&settings) {
            self.warn(warning);
        }
        self.report.lane_names = settings.lanes.iter().map(|lane| lane.name.0.clone()).collect();
        {
            let Some(_held) = self.stop.hold() else { return };
            let programs = settings.lanes.iter().filter_map(|lane| lane.kind.program());
            self.notices.secrets(&programs.flat_map(host_agents::secrets).collect::<Vec<_>>());
            self.check_lanes(&settings).await;
        }
        self.report.folders = settings.scenarios.len();
        {
            let stop = self.stop;
            let Some(_held) = stop.hold() else { return };
            block_in_place(|| self.check_folders(&settings, &|| stop.is_requested()));
        }
        if self.stop.is_requested() {
            return;
        }
        let Some(scenarios) = self.check_plugins(&settings).await else { return };
        self.report.scenarios = scenarios.iter().map(|scenario| scenario.id.0.clone()).collect();
        if self.check.load.plugins.is_empty() {
            self.check_unused(&scenarios, &settings);
        }
        self.take(plan::check_scripts(&scenarios).map_err(Error::setup_all));
        let selection = Selection { today: today(), ..Selection::default() };
        let plan = plan::plan(scenarios, &without_repetitions(settings), &selection);
        self.take(block_in_place(|| check_bins(&plan)));
        self.take(plan::check_grants(&plan).map_err(Error::setup_all));
        self.take(plan::check_agents(&plan).map_err(Error::setup_all));
        self.take(granted(&plan).map_err(Error::setup_all));
    }

    /// The settings with all defined lanes, not just those that a run would take: a profile or a flag may choose the
    /// others.
    fn with_lanes(&self, settings: Settings) -> Settings {
        if self.check.load.overrides.lanes.is_some() {
            return settings;
        }
        Settings { lanes: settings.defined_lanes.clone(), ..settings }
    }

    /// The agents' programs, what they log in with, and what confines them.
    async fn check_lanes(&mut self, settings: &Settings) {
        // Whatever a program leaves behind is ended with its session.
        if let Err(error) = host_agents::become_subreaper() {
            self.warn(format!("cannot end processes that agents leave behind: {error}"));
        }
        // In parallel: each may wait for its provider.
        let mut checks = JoinSet::new();
        for (index, lane) in settings.lanes.iter().cloned().enumerate() {
            let live = self.check.live.then(|| Live { stop: self.stop.clone(), output: self.output.clone() });
            checks.spawn(async move { (index, lanes::check(&lane, live).await) });
        }
        let mut checked = checks.join_all().await;
        checked.sort_by_key(|(index, _)| *index);
        for (index, lane_report) in checked {
            let lane = &settings.lanes[index];
            let message = |text: &String| Message::plain(format!("the lane `{}`: {text}", lane.name));
            self.report.errors.extend(lane_report.errors.iter().map(message));
            self.report.warnings.extend(lane_report.warnings.iter().map(message));
            if lane.kind.program().is_some() {
                self.report.lanes.push(lane_report);
            }
        }
    }

    /// What the scenarios' folders hold: fixtures, expected failures, and what nobody reads.
    fn check_folders(&mut self, settings: &Settings, halt: Halt<'_>) {
        for scenario in settings.scenarios.values() {
            self.report.warnings.extend(scenario.strays.iter().map(|stray| Message::plain(stray.to_string())));
            for expected in &scenario.expected_failures {
                if expected.known.has_expired(today()) {
                    let (owner, until) = (&expected.known.owner, expected.known.until);
                    let message = format!(
                        "expected until {until}, which has passed, so it counts as a failure again; ask {owner}"
                    );
                    self.report.warnings.push(Message::of(&expected.until.error(message)));
                }
            }
        }
        let (made, plain): (Vec<_>, Vec<_>) = settings.scenarios.values().partition(|scenario| scenario.fixture.git);
        for scenario in plain {
            self.take(
                Snapshot::check(&scenario.fixture, scenario.limits.max_disk, halt).map_err(|error| Error::of(&error)),
            );
        }
        if !made.is_empty() {
            self.make_repositories(&made, halt);
        }
    }

    /// Only git can tell whether it makes a repository of a fixture.
    fn make_repositories(&mut self, scenarios: &[&ScenarioSettings], halt: Halt<'_>) {
        let folder = std::env::temp_dir();
        let workspace = Workspace::for_check(&folder, &self.output)
            .map_err(|error| Error::setup(format!("cannot create a folder in {}: {error}", folder.display())));
        let Some(workspace) = self.take(workspace) else { return };
        for ScenarioSettings { name, fixture, limits, .. } in scenarios {
            let copy = workspace.folder().join(name);
            self.take(Snapshot::take(fixture, &copy, limits.max_disk, halt).map_err(|error| Error::of(&error)));
            // Copies of all fixtures at once could fill a disk. What does not go is tried again with the workspace.
            let _ = remove_tree(&copy);
        }
        if let Err(error) = workspace.close() {
            self.warn(format!("cannot remove {}: {error}", workspace.folder().display()));
        }
    }

    async fn check_plugins(&mut self, settings: &Settings) -> Option<Vec<Scenario>> {
        let load = &self.check.load;
        let files = self.take(find(&load.plugins, settings, &self.cwd))?;
        if !load.plugins.is_empty() {
            self.check_named_plugins(settings, &files);
        }
        let engine = self.take(engine(1, self.notices))?;
        let cache = if load.no_cache { None } else { open_cache(self.notices) };
        let plugins =
            self.take(block_in_place(|| load_all(&files, &engine, cache.as_ref(), &settings.compile, self.notices)))?;
        self.report.plugins = plugins.iter().map(|plugin| plugin.file.path.to_string_lossy().into_owned()).collect();
        let facts = self.take(list_all(&plugins, &engine).await)?;
        self.take(plan::resolve(&facts, settings).map_err(Error::setup_all))
    }

    /// What the suite's files name, where other plugins were given: it may not have been built yet.
    fn check_named_plugins(&mut self, settings: &Settings, given: &[PluginFile]) {
        let missing = missing(settings, given);
        self.report.warnings.extend(missing.iter().map(|missing| Message::of(&missing.error)));
    }

    /// Folders and canaries that no plugin of the suite contains.
    fn check_unused(&mut self, scenarios: &[Scenario], settings: &Settings) {
        let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        for (name, place) in &settings.canary_places {
            let meant = scenarios.iter().filter(|scenario| scenario.canary.as_ref() == Some(name)).count();
            let message = match meant {
                0 => format!("no plugin of the suite contains the canary `{name}`; the lanes start without a canary"),
                1 => continue,
                _ => format!(
                    "{meant} plugins contain the canary `{name}`, and a lane opens when one of them passes; name one \
                     as `PLUGIN::{name}`, or set `plugin` in the folder `{name}`"
                ),
            };
            self.report.warnings.push(Message::of(&place.error(message)));
        }
        self.check_shared_grants(scenarios, settings);
        let used: BTreeSet<&Path> = scenarios.iter().filter_map(|scenario| scenario.file.as_deref()).collect();
        for (name, folder) in &settings.scenarios {
            let is_used = folder.file.as_deref().map_or(names.contains(name.as_str()), |file| used.contains(file));
            if !is_used {
                let near = nearest(name, names.iter().copied().filter(|near| !settings.scenarios.contains_key(*near)));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let folder = seen_from_here(&folder.folder);
                self.warn(format!("{folder} is not used: no plugin of the suite has a scenario `{name}`{hint}"));
            }
        }
    }

    /// Folders whose grants go to several plugins, one of which may only have taken the name.
    fn check_shared_grants(&mut self, scenarios: &[Scenario], settings: &Settings) {
        let mut plugins: BTreeMap<&str, usize> = BTreeMap::new();
        for scenario in scenarios {
            *plugins.entry(&scenario.name).or_default() += 1;
        }
        for (name, folder) in settings.scenarios.iter().filter(|(_, folder)| folder.plugin.is_none()) {
            let count = plugins.get(name.as_str()).copied().unwrap_or_default();
            if count > 1 && !folder.grants.grants.items().is_empty() {
                let folder = seen_from_here(&folder.folder);
                self.warn(format!(
                    "{folder} grants something to each of the {count} plugins that have a scenario `{name}`; set \
                     `plugin` to the one that it is for"
                ));
            }
        }
    }
}

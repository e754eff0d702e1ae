//! `host check`: would a run find everything as it needs it? No scenario is run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, block_in_place},
};

use super::{
    args::{CheckArgs, Format},
    caps,
    check_lanes::{self, LaneReport, Live},
    failure::{Failure, Message, told},
    leftovers::remove_leftovers,
    list::few,
    setup,
    signals::{self, Stopping},
    terminal, wiring,
};
use host_core::runner::{PrepareError, Signal, not_granted};
use host_model::{ExitCode, Scenario};
use host_suite::config::{Overrides, ScenarioSettings, Settings, nearest, seen_from_here};
use host_suite::plan::{self, Plan, Selection};
use host_wasm::component::PluginFile;
use host_wasm::sandbox::{Halt, Snapshot, Workspace, remove_tree};

/// How long an interruption waits for the agents of a live check to be gone.
const PARTING: Duration = Duration::from_secs(10);

/// `host check`.
pub(super) async fn check(args: CheckArgs) -> Result<ExitCode, Failure> {
    let cwd = setup::current_dir()?;
    let output = std::env::var_os("HOST_OUTPUT").filter(|output| !output.is_empty()).map(PathBuf::from);
    let output = output.unwrap_or_else(|| Settings::base_folder(&cwd, args.suite.as_deref()).join(".host"));
    block_in_place(|| remove_leftovers(&std::env::temp_dir(), &output));
    let format = args.format;
    let stopping = Stopping::default();
    let mut signals = signals::signals(&stopping)?;
    let (stop, stopped) = watch::channel(false);
    let (holds, mut held) = watch::channel(false);
    let interruption = Interruption { stopping: stopping.clone(), stopped, holds };
    // In a task of its own: while it compiles or copies, somebody must hear of signals.
    let look = tokio::spawn(async move {
        let mut report = Report { output, ..Report::default() };
        report.look(&args, &cwd, &interruption).await;
        report
    });
    let report = tokio::select! {
        biased;
        () = signalled(&mut signals) => {
            stopping.ask();
            stop.send_replace(true);
            // Folders, and a turn that is tried, with an agent and its login: they go first.
            let _ = tokio::time::timeout(PARTING, held.wait_for(|held| !held)).await;
            return Err(Failure::interrupted());
        }
        report = look => report?,
    };
    if stopping.is_asked_for() {
        signalled(&mut signals).await;
        return Err(Failure::interrupted());
    }
    let code = if report.errors.is_empty() { ExitCode::Ok } else { ExitCode::Setup };
    match format {
        Format::Human => {
            let code = terminal::result(&report.text(), code);
            terminal::print(&told("warning", &report.warnings));
            terminal::print(&told("error", &report.errors));
            Ok(code)
        }
        Format::Json => Ok(terminal::result(&format!("{}\n", serde_json::to_string_pretty(&report.json())?), code)),
    }
}

/// How a look hears that it is to end, and tells whether it leaves something behind if it just breaks off.
struct Interruption {
    stopping: Stopping,
    /// The same, for who can wait.
    stopped: watch::Receiver<bool>,
    holds: watch::Sender<bool>,
}

impl Interruption {
    /// From here on there is something to clear up. `None` when the end has been asked for: then there must be nothing.
    fn hold(&self) -> Option<Held<'_>> {
        self.holds.send_replace(true);
        let held = Held(&self.holds);
        (!self.stopping.is_asked_for()).then_some(held)
    }
}

/// Something is to be cleared up before `host` ends; when this is dropped, it has been.
struct Held<'a>(&'a watch::Sender<bool>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// Waits for a signal that ends things.
async fn signalled(signals: &mut mpsc::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        if let Signal::Stop(name) = signal {
            terminal::error(format_args!("interrupted by {name}"));
            return;
        }
    }
    std::future::pending().await
}

/// Whether what scenarios are granted of the environment is there.
fn granted(plan: &Plan) -> Result<(), Vec<PrepareError>> {
    let mut seen = BTreeSet::new();
    let scenarios = plan.trials().map(|trial| &trial.scenario).filter(|scenario| seen.insert(&scenario.id));
    let problems: Vec<PrepareError> = scenarios.flat_map(|scenario| not_granted(scenario)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What was looked at, and what is wrong with it.
#[derive(Default)]
struct Report {
    /// Where runs of the suite are.
    output: PathBuf,
    suite: Option<String>,
    lanes: Vec<LaneReport>,
    lane_names: Vec<String>,
    folders: usize,
    plugins: Vec<String>,
    scenarios: Vec<String>,
    errors: Vec<Message>,
    warnings: Vec<Message>,
}

impl Report {
    /// Takes out of `looked` what is wrong.
    fn take<T>(&mut self, looked: Result<T, Failure>) -> Option<T> {
        looked.map_err(|failure| self.errors.extend(failure.into_messages())).ok()
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Message::plain(text));
    }

    async fn look(&mut self, args: &CheckArgs, cwd: &Path, interruption: &Interruption) {
        let suite = args.given.sourced("suite", args.suite.clone());
        let caps = args.caps.sourced(&args.given);
        let lanes = args.given.sourced("lanes", Some(args.lanes.clone()).filter(|lanes| !lanes.is_empty()));
        let overrides = args.compile.over(&args.given, Overrides { suite, caps, lanes, ..Overrides::default() });
        let settings = block_in_place(|| setup::settings(cwd, &overrides));
        let Some(mut settings) = self.take(settings.map_err(Failure::setup_all)) else { return };
        self.suite = settings.suite.as_deref().map(seen_from_here);
        if let Some(warning) = caps::within_repository(&settings) {
            self.warn(warning);
        }
        // Not just those that a run would take: a profile or a flag may choose the others.
        if args.lanes.is_empty() {
            settings.lanes.clone_from(&settings.defined_lanes);
        }
        self.lane_names = settings.lanes.iter().map(|lane| lane.name.0.clone()).collect();
        {
            let Some(_held) = interruption.hold() else { return };
            self.look_at_lanes(&settings, args.live, &interruption.stopped).await;
        }
        self.folders = settings.scenarios.len();
        {
            let Some(_held) = interruption.hold() else { return };
            block_in_place(|| self.look_at_folders(&settings, &|| interruption.stopping.is_asked_for()));
        }
        if interruption.stopping.is_asked_for() {
            return;
        }
        let Some(scenarios) = self.look_at_plugins(args, &settings, cwd).await else { return };
        self.scenarios = scenarios.iter().map(|scenario| scenario.id.0.clone()).collect();
        if args.plugins.is_empty() {
            self.look_for_the_unused(&scenarios, &settings);
        }
        self.take(plan::check_scripts(&scenarios).map_err(Failure::setup_all));
        let selection = Selection { today: setup::today(), ..Selection::default() };
        settings.policy.repeat_each = 1;
        let plan = plan::plan(scenarios, &settings, &selection);
        self.take(block_in_place(|| wiring::check_bins(&plan)));
        self.take(plan::check_grants(&plan).map_err(Failure::setup_all));
        self.take(plan::check_agents(&plan).map_err(Failure::setup_all));
        self.take(granted(&plan).map_err(Failure::setup_all));
    }

    /// The agents' programs, what they log in with, and what confines them.
    async fn look_at_lanes(&mut self, settings: &Settings, live: bool, stop: &watch::Receiver<bool>) {
        // Whatever a program leaves behind is ended with its session.
        if let Err(error) = host_agents::become_subreaper() {
            self.warn(format!("processes that agents leave behind cannot be ended: {error}"));
        }
        // All at once: each may wait for its provider.
        let mut looks = JoinSet::new();
        for (place, lane) in settings.lanes.iter().cloned().enumerate() {
            let live = live.then(|| Live { stop: stop.clone(), output: self.output.clone() });
            looks.spawn(async move { (place, check_lanes::look(&lane, live).await) });
        }
        let mut looked = looks.join_all().await;
        looked.sort_by_key(|(place, _)| *place);
        for (place, report) in looked {
            let lane = &settings.lanes[place];
            let told = |text: &String| Message::plain(format!("the lane `{}`: {text}", lane.name));
            self.errors.extend(report.errors.iter().map(told));
            self.warnings.extend(report.warnings.iter().map(told));
            if lane.kind.program().is_some() {
                self.lanes.push(report);
            }
        }
    }

    /// What the scenarios' folders hold: fixtures, expected failures, and what nobody reads.
    fn look_at_folders(&mut self, settings: &Settings, halt: Halt<'_>) {
        for scenario in settings.scenarios.values() {
            self.warnings.extend(scenario.strays.iter().map(|stray| Message::plain(stray.to_string())));
            for expected in &scenario.expected_failures {
                if expected.known.has_expired(setup::today()) {
                    let (owner, until) = (&expected.known.owner, expected.known.until);
                    let message = format!("expected until {until}, which is over: it fails again; ask {owner}");
                    self.warnings.push(Message::of(&expected.until.error(message)));
                }
            }
        }
        let (made, plain): (Vec<_>, Vec<_>) = settings.scenarios.values().partition(|scenario| scenario.fixture.git);
        for scenario in plain {
            self.take(Snapshot::check(&scenario.fixture, scenario.limits.disk, halt).map_err(Failure::from));
        }
        if !made.is_empty() {
            self.make_repositories(&made, halt);
        }
    }

    /// Only git can tell whether it makes a repository of a fixture.
    fn make_repositories(&mut self, scenarios: &[&ScenarioSettings], halt: Halt<'_>) {
        let folder = std::env::temp_dir();
        let workspace = Workspace::for_check(&folder, &self.output)
            .map_err(|error| Failure::setup(format!("cannot make a folder in {}: {error}", folder.display())));
        let Some(workspace) = self.take(workspace) else { return };
        for ScenarioSettings { name, fixture, limits, .. } in scenarios {
            let copy = workspace.folder().join(name);
            self.take(Snapshot::take(fixture, &copy, limits.disk, halt).map_err(Failure::from));
            // Copies of all fixtures at once could fill a disk. What does not go is tried again with the workspace.
            let _ = remove_tree(&copy);
        }
        if let Err(error) = workspace.close() {
            self.warn(format!("{} cannot be removed: {error}", workspace.folder().display()));
        }
    }

    async fn look_at_plugins(&mut self, args: &CheckArgs, settings: &Settings, cwd: &Path) -> Option<Vec<Scenario>> {
        let files = self.take(setup::find(&args.plugins, settings, cwd))?;
        if !args.plugins.is_empty() {
            self.look_at_named_plugins(settings, &files);
        }
        let engine = self.take(setup::engine(1))?;
        let cache = if args.no_cache { None } else { setup::open_cache() };
        let plugins =
            self.take(block_in_place(|| setup::load_all(&files, &engine, cache.as_ref(), &settings.compile)))?;
        self.plugins = plugins.iter().map(|plugin| plugin.file.path.to_string_lossy().into_owned()).collect();
        let facts = self.take(setup::ask_all(&plugins, &engine).await)?;
        self.take(plan::resolve(&facts, settings).map_err(Failure::setup_all))
    }

    /// What the suite's files name, where other plugins were given: it may not have been built yet.
    fn look_at_named_plugins(&mut self, settings: &Settings, given: &[PluginFile]) {
        let missing = setup::missing(settings, given);
        self.warnings.extend(missing.iter().map(|missing| Message::of(&missing.error)));
    }

    /// Folders and canaries that no plugin of the suite contains.
    fn look_for_the_unused(&mut self, scenarios: &[Scenario], settings: &Settings) {
        let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        for (name, place) in &settings.canary_places {
            let meant = scenarios.iter().filter(|scenario| scenario.canary.as_ref() == Some(name)).count();
            let message = match meant {
                0 => format!("no plugin of the suite contains the canary `{name}`; the lanes start without a canary"),
                1 => continue,
                _ => format!(
                    "{meant} plugins contain the canary `{name}`, and a lane opens when one of them passes; name one as \
                     `PLUGIN::{name}`, or tie the folder `{name}` to one with `plugin`"
                ),
            };
            self.warnings.push(Message::of(&place.error(message)));
        }
        self.look_for_shared_grants(scenarios, settings);
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
    fn look_for_shared_grants(&mut self, scenarios: &[Scenario], settings: &Settings) {
        let mut plugins: BTreeMap<&str, usize> = BTreeMap::new();
        for scenario in scenarios {
            *plugins.entry(&scenario.name).or_default() += 1;
        }
        for (name, folder) in settings.scenarios.iter().filter(|(_, folder)| folder.plugin.is_none()) {
            let count = plugins.get(name.as_str()).copied().unwrap_or_default();
            if count > 1 && !folder.grants.grants.items().is_empty() {
                let folder = seen_from_here(&folder.folder);
                self.warn(format!(
                    "{folder} grants something to each of the {count} plugins that have a scenario `{name}`; tie it to the \
                     one that it is for with `plugin`"
                ));
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut fact = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        // Settings that could not be read have no lanes; which suite it is, their errors say.
        if self.suite.is_some() || !self.lane_names.is_empty() {
            fact("suite", self.suite.clone().unwrap_or_else(|| "none".into()));
        }
        if !self.lane_names.is_empty() {
            fact("lanes", few(&self.lane_names));
        }
        if self.folders > 0 {
            fact("folders", self.folders.to_string());
        }
        if !self.plugins.is_empty() {
            fact("plugins", self.plugins.len().to_string());
        }
        if !self.scenarios.is_empty() {
            fact("scenarios", few(&self.scenarios));
        }
        text.extend(self.lanes.iter().map(LaneReport::text));
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let problems = [counted(self.errors.len(), "error"), counted(self.warnings.len(), "warning")];
        let problems = problems.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        text.push_str(&match (self.errors.is_empty(), problems.is_empty()) {
            (true, true) => "sound\n".to_owned(),
            (true, false) => format!("sound, with {problems}\n"),
            (false, _) => format!("not sound: {problems}\n"),
        });
        text
    }

    fn json(&self) -> serde_json::Value {
        let of = |level: &'static str| {
            move |message: &Message| {
                let place = message.place();
                json!({
                    "level": level,
                    "message": message.short(),
                    "file": place.map(|(path, ..)| path.to_string_lossy()),
                    "line": place.map(|(_, line, _)| line),
                    "column": place.map(|(.., column)| column),
                })
            }
        };
        let problems: Vec<_> =
            self.errors.iter().map(of("error")).chain(self.warnings.iter().map(of("warning"))).collect();
        json!({
            "schema": 1,
            "sound": self.errors.is_empty(),
            "suite": self.suite,
            "lanes": self.lane_names,
            "agents": self.lanes.iter().map(LaneReport::json).collect::<Vec<_>>(),
            "plugins": self.plugins,
            "scenarios": self.scenarios,
            "problems": problems,
        })
    }
}

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Spanned;

use super::{
    caps::Caps,
    defaults::DefaultsTable,
    error::ConfigError,
    lanes::{LaneSettings, Lanes},
    layers::{Layer, Overrides, Source, Sourced, Sources},
    scenario_file::ScenarioSettings,
    source::{FileText, Place, ReadError, did_you_mean, parse, read},
    suite_file::{CompileTable, RunTable, SuiteFile},
    value::Table,
    within::{SuiteFolder, lies_there},
};
use host_model::{CompileLimits, Limits, Policy, ReporterKind, RetryOverride, RetryPolicy, check_name};

/// The folder that holds a suite's scenarios.
pub const SCENARIOS_FOLDER: &str = "scenarios";
/// The suite's file, in the folder of its scenarios.
pub const SUITE_FILE: &str = "suite.toml";
/// Attempts at once. Trials wait for agents most of the time, so this is not bound to the number of cores.
const DEFAULT_JOBS: usize = 16;

/// Everything that files, environment and flags decide, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds `scenarios/`; paths in the suite are meant from here.
    pub base: PathBuf,
    /// The suite's file, if there is one.
    pub suite: Option<PathBuf>,
    /// What scenarios may be given at most; everything that they ask for when there is none.
    pub caps: Option<Caps>,
    /// The profile, if one was asked for.
    pub profile: Option<String>,
    /// The plugins that the suite names: paths and patterns, each with its place.
    pub plugins: Vec<(String, Place)>,
    /// Names of the canaries.
    pub canary: Vec<String>,
    /// Where the suite names them.
    pub canary_places: BTreeMap<String, Place>,
    /// The lanes to run in, in order.
    pub lanes: Vec<LaneSettings>,
    /// Every lane that the suite defines.
    pub defined_lanes: Vec<LaneSettings>,
    /// Attempts at once over all lanes.
    pub jobs: usize,
    /// Bounds of scenarios without a folder.
    pub limits: Limits,
    /// Retries, where neither lane nor scenario says otherwise.
    pub retry: RetryPolicy,
    /// What flags and the environment say of retries, over everything.
    pub retry_override: RetryOverride,
    /// What holds for the whole run.
    pub policy: Policy,
    /// Bounds of compiling one plugin.
    pub compile: CompileLimits,
    /// How to report.
    pub reporters: Vec<ReporterKind>,
    /// The scenarios' folders, by name.
    pub scenarios: BTreeMap<String, ScenarioSettings>,
    /// Scripted agents that play in place of the lane's, where a scenario has one of that name.
    pub agents: Vec<String>,
    /// Who said what.
    pub sources: Sources,
}

impl Settings {
    /// The folder that paths of a suite are relative to, also where the suite cannot be read: `.host` is made there.
    #[must_use]
    pub fn base_folder(cwd: &Path, suite: Option<&Path>) -> PathBuf {
        let file = suite_file(cwd, suite).unwrap_or_default();
        let base = file.parent().and_then(Path::parent).filter(|base| !base.as_os_str().is_empty());
        base.unwrap_or(cwd).to_owned()
    }

    /// Reads the suite around `cwd` and puts `overrides` over it.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first.
    pub fn resolve(cwd: &Path, overrides: &Overrides) -> Result<Self, Vec<ConfigError>> {
        let given = overrides.suite.as_ref().map(|suite| suite.value.as_path());
        let path = suite_file(cwd, given).map_err(|error| vec![error])?;
        let folder = path.parent().unwrap_or(cwd).to_owned();
        let base = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(cwd).to_owned();
        let own = SuiteFolder(&folder);
        own.holds(&path).map_err(|error| vec![error])?;
        let text = read(&path).map_err(|error| vec![error.into()])?;
        let suite = text.is_some().then(|| path.clone());
        let file = FileText { path, text: text.unwrap_or_else(|| Arc::from("")) };
        let written: SuiteFile = match parse(&file.path, &file.text) {
            Ok(written) => written,
            // What the scenarios' files say does not hang on the suite: their errors are told as well.
            Err(error) => {
                let others = read_scenarios(own, &base, &Limits::default()).err().unwrap_or_default();
                return Err(std::iter::once(error.into()).chain(others).collect());
            }
        };
        let mut problems = Vec::new();
        let mut sources = Sources::default();
        let asked = overrides.profile.as_ref().map(|profile| profile.value.as_str());
        // Paths of agents are used from other folders too.
        let whole = std::path::absolute(&base).unwrap_or_else(|_| base.clone());
        let lanes = Lanes::of(&written, asked, &whole, &file, &mut sources, &mut problems);
        let top_table = written.run();
        let top = Layer::of(&top_table, None, &file, &mut problems);
        let (profile, profile_table) = profile(&written, overrides.profile.as_ref(), &lanes, &file, &mut problems);

        let (mut limits, mut retry) = (Limits::default(), RetryPolicy::default());
        for (Table(table), name) in [
            (&top_table.defaults, None),
            (&profile_table.defaults, overrides.profile.as_ref().map(|name| name.value.clone())),
        ] {
            limits = table.limits_over(&limits);
            retry = table.retry().over(&retry);
            note_defaults(table, name, &file, &mut sources);
        }
        for (key, source) in [
            ("suite", overrides.suite.as_ref().map(|it| &it.source)),
            ("policy", overrides.caps.as_ref().map(|it| &it.source)),
            ("profile", overrides.profile.as_ref().map(|it| &it.source)),
            ("defaults.retries", overrides.retries.as_ref().map(|it| &it.source)),
            ("defaults.retry-on", overrides.retry_on.as_ref().map(|it| &it.source)),
            ("plugins", written.plugins.as_ref().map(|it| from(&file, it)).as_ref()),
            ("canary", written.canary.as_ref().map(|it| from(&file, it)).as_ref()),
        ] {
            if let Some(source) = source {
                sources.note(key, source.clone());
            }
        }
        let scenarios = read_scenarios(own, &base, &limits).unwrap_or_else(|errors| {
            problems.extend(errors);
            BTreeMap::new()
        });
        problems.extend(unknown_expected_lanes(&scenarios, &lanes));
        let caps = overrides.caps.as_ref().map(|caps| Caps::read(&cwd.join(&caps.value))).transpose();
        let caps = caps.unwrap_or_else(|errors| {
            problems.extend(errors);
            None
        });
        let chosen = lanes.chosen(overrides.lanes.clone(), [&profile, &top], &mut sources, &mut problems);
        if overrides.jobs.as_ref().is_some_and(|jobs| jobs.value == 0) {
            problems.push(ConfigError::NoJobs);
        }
        if problems.is_empty() {
            problems.extend(unknown_agents(&overrides.agents, &scenarios));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let default = Policy::default();
        let policy = Policy {
            flaky_result: sources.pick(
                "flaky-result",
                [overrides.flaky_result.clone(), profile.flaky_result, top.flaky_result],
                || default.flaky_result,
            ),
            xpass: sources.pick("xpass", [overrides.xpass.clone(), profile.xpass, top.xpass], || default.xpass),
            max_fail: sources
                .pick("max-fail", [overrides.max_fail.clone(), profile.max_fail, top.max_fail], || default.max_fail),
            repeat_each: sources.pick(
                "repeat-each",
                [overrides.repeat_each.clone(), profile.repeat_each, top.repeat_each],
                || default.repeat_each,
            ),
        };
        let jobs = sources.pick("jobs", [overrides.jobs.clone(), profile.jobs, top.jobs], || DEFAULT_JOBS);
        let reporters =
            sources.pick("reporters", [overrides.reporters.clone(), profile.reporters, top.reporters], || {
                vec![ReporterKind::Human]
            });
        let compile = compile_limits(&written.compile.0, overrides, &file, &mut sources);
        let names = |list: Option<Spanned<Vec<Spanned<String>>>>| -> Vec<(String, Place)> {
            let names = list.map(Spanned::into_inner).unwrap_or_default();
            names.into_iter().map(|name| (name.get_ref().clone(), file.place(name.span()))).collect()
        };
        let canaries = names(written.canary);
        Ok(Self {
            plugins: names(written.plugins),
            canary: canaries.iter().map(|(name, _)| name.clone()).collect(),
            canary_places: canaries.into_iter().collect(),
            lanes: chosen,
            defined_lanes: lanes.defined(),
            jobs,
            compile,
            limits,
            retry,
            retry_override: overrides.retry(),
            policy,
            reporters,
            scenarios,
            agents: overrides.agents.clone(),
            profile: overrides.profile.as_ref().map(|profile| profile.value.clone()),
            suite,
            caps,
            base,
            sources,
        })
    }
}

/// The bounds of compiling: those of flags over those of the suite.
fn compile_limits(
    table: &CompileTable,
    overrides: &Overrides,
    file: &FileText,
    sources: &mut Sources,
) -> CompileLimits {
    let default = CompileLimits::default();
    let memory = table.max_memory.as_ref().map(|it| Sourced { value: it.get_ref().0.0, source: from(file, it) });
    let time = table.timeout.as_ref().map(|it| Sourced { value: it.get_ref().0, source: from(file, it) });
    CompileLimits {
        max_memory: sources
            .pick("compile.max-memory", [overrides.compile_max_memory.clone(), memory], || default.max_memory),
        timeout: sources.pick("compile.timeout", [overrides.compile_timeout.clone(), time], || default.timeout),
    }
}

fn from<T>(file: &FileText, written: &Spanned<T>) -> Source {
    Source::File { place: file.place(written.span()), profile: None }
}

/// What the profile that was asked for says; nothing when none was. All profiles are checked.
fn profile(
    written: &SuiteFile,
    asked: Option<&Sourced<String>>,
    lanes: &Lanes,
    file: &FileText,
    problems: &mut Vec<ConfigError>,
) -> (Layer, RunTable) {
    let mut found = None;
    for (name, Table(table)) in &written.profile {
        if let Err(error) = check_name(name.get_ref()) {
            problems.push(file.error(name.span(), error.to_string()).into());
        }
        let layer = Layer::of(table, Some(name.get_ref()), file, problems);
        if asked.is_some_and(|asked| asked.value == *name.get_ref()) {
            found = Some((layer, table.clone()));
        } else {
            // Those of the one that is asked for are looked at when lanes are chosen.
            let named = layer.lanes.iter().flat_map(|lanes| &lanes.value);
            problems.extend(named.filter_map(|(name, place)| Some(place.error(lanes.unknown(name)?).into())));
        }
    }
    match (found, asked) {
        (Some(found), _) => return found,
        (None, Some(asked)) => {
            let names: Vec<&str> = written.profile.keys().map(|name| name.get_ref().as_str()).collect();
            let hint = match names.len() {
                0 => "the suite defines none (`[profile.NAME]`)".to_owned(),
                1 => did_you_mean(&asked.value, &names, "there is only"),
                _ => did_you_mean(&asked.value, &names, "there are"),
            };
            problems.push(ConfigError::UnknownProfile { name: asked.value.clone(), hint });
        }
        (None, None) => {}
    }
    Default::default()
}

fn note_defaults(table: &DefaultsTable, profile: Option<String>, file: &FileText, sources: &mut Sources) {
    for (key, span) in table.spans() {
        let source = Source::File { place: file.place(span), profile: profile.clone() };
        sources.note(format!("defaults.{key}"), source);
    }
}

/// The suite's file, whether it is there or not: `--suite` may name it, its folder, or the folder above.
fn suite_file(cwd: &Path, given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let found = |scenarios: PathBuf| lies_there(&scenarios).map(|()| scenarios.join(SUITE_FILE));
    let Some(given) = given else { return found(cwd.join(SCENARIOS_FOLDER)) };
    let path = cwd.join(given);
    if path.is_file() {
        return Ok(path);
    }
    let is_scenarios = path.file_name().is_some_and(|name| name == SCENARIOS_FOLDER);
    let inside = path.join(SUITE_FILE);
    if inside.is_file() || is_scenarios && path.is_dir() {
        return Ok(inside);
    }
    let below = path.join(SCENARIOS_FOLDER);
    if below.is_dir() { found(below) } else { Err(ConfigError::NoSuite { path }) }
}

fn read_scenarios(
    suite: SuiteFolder<'_>,
    base: &Path,
    limits: &Limits,
) -> Result<BTreeMap<String, ScenarioSettings>, Vec<ConfigError>> {
    let mut scenarios = BTreeMap::new();
    let mut problems = Vec::new();
    let folder = suite.0;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(scenarios),
        Err(source) => return Err(vec![ReadError::Io { path: folder.to_owned(), source }.into()]),
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    for folder in folders {
        // Folders of editors and tools are none of ours.
        if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if let Err(error) = suite.holds(&folder) {
            problems.push(error);
            continue;
        }
        match ScenarioSettings::read(&folder, suite, base, limits) {
            Ok(scenario) => drop(scenarios.insert(scenario.name.clone(), scenario)),
            Err(errors) => problems.extend(errors),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems) }
}

/// Lanes of `[[expect-fail]]` that the suite does not have.
fn unknown_expected_lanes(scenarios: &BTreeMap<String, ScenarioSettings>, lanes: &Lanes) -> Vec<ConfigError> {
    let named = scenarios.values().flat_map(|scenario| &scenario.expected_failures).flat_map(|it| &it.lanes);
    named.filter_map(|(name, place)| Some(place.error(lanes.unknown(name)?).into())).collect()
}

fn unknown_agents(asked: &[String], scenarios: &BTreeMap<String, ScenarioSettings>) -> Vec<ConfigError> {
    let known: BTreeSet<&str> = scenarios.values().flat_map(ScenarioSettings::agent_names).collect();
    let names: Vec<&str> = known.iter().copied().collect();
    let unknown = asked.iter().filter(|name| !known.contains(name.as_str()));
    unknown
        .map(|name| {
            let hint = if names.is_empty() {
                "; there is none at all (`scenarios/NAME/agents/*.toml`)".to_owned()
            } else {
                format!("; {}", did_you_mean(name, &names, "there are"))
            };
            ConfigError::UnknownAgent { name: name.clone(), hint }
        })
        .collect()
}

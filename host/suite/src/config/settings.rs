use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Spanned;

use super::{
    caps::Caps,
    defaults::Defaults,
    error::ConfigError,
    lanes::{LaneSettings, Lanes},
    layers::{Overrides, Source, Sources},
    parse::parse_both,
    scenario_file::ScenarioSettings,
    source::{FileText, ReadError, SourceSpan, read},
    suite_file::{RunSettings, RunTable, SCENARIOS_FOLDER, SUITE_FILE, SuiteFile},
    table::Layer,
    value::Table,
    within::{SuiteFolder, check_scenarios_link},
};
use host_model::{
    CompileLimits, Limits, ReporterKind, RetryOverride, RetryRules, RunRules, check_name, text::did_you_mean,
};

/// The settings of files, environment and flags, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of `scenarios/`; paths in the suite are relative to it.
    pub base: PathBuf,
    /// The suite's file, if there is one.
    pub suite: Option<PathBuf>,
    /// The policy; without one, scenarios get every grant that they request.
    pub caps: Option<Caps>,
    /// The profile, if one was asked for.
    pub profile: Option<String>,
    /// The plugins that the suite names: paths and patterns, each with its place.
    pub plugins: Vec<(String, SourceSpan)>,
    /// Names of the canaries.
    pub canary: Vec<String>,
    /// Their positions in the suite.
    pub canary_places: BTreeMap<String, SourceSpan>,
    /// The lanes to run in, in order.
    pub lanes: Vec<LaneSettings>,
    /// Every lane that the suite defines.
    pub defined_lanes: Vec<LaneSettings>,
    /// Attempts in parallel over all lanes.
    pub jobs: usize,
    /// Limits of scenarios without a folder.
    pub limits: Limits,
    /// Retries of lanes and scenarios without their own.
    pub retry: RetryRules,
    /// Retries from flags and the environment, over all others.
    pub retry_override: RetryOverride,
    /// The rules of the whole run.
    pub policy: RunRules,
    /// Limits for compiling one plugin.
    pub compile: CompileLimits,
    /// How to report.
    pub reporters: Vec<ReporterKind>,
    /// The scenarios' folders, by name.
    pub scenarios: BTreeMap<String, ScenarioSettings>,
    /// Scripted agents in place of the lanes' own, where a scenario has one of that name.
    pub agents: Vec<String>,
    /// The source of each setting.
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
        let place = SuitePlace::find(cwd, overrides)?;
        let (top, suite) = place.parse()?;
        let file = &place.file;
        let (mut sources, mut problems) = (Sources::default(), Vec::new());
        let asked = overrides.profile.as_ref().map(|profile| profile.value.as_str());
        // Paths of agents are used from other folders too.
        let base = std::path::absolute(&place.base).unwrap_or_else(|_| place.base.clone());
        let lanes = Lanes::read(&top, &suite, asked, &base, file, &mut sources, &mut problems);
        check_run(Layer { table: &top, file, profile: None }, &mut problems);
        let profile = profile(&suite, asked, &lanes, file, &mut problems);

        let layers = std::iter::once(Layer { table: &top, file, profile: None }).chain(profile.map(|table| Layer {
            table,
            file,
            profile: asked,
        }));
        let layered = Layered::resolve(layers, &suite, overrides, &mut sources);
        for (key, names) in [("plugins", &suite.plugins), ("canary", &suite.canary)] {
            if let Some(names) = names {
                sources.note(key, Source::File { place: file.place(names.span()), profile: None });
            }
        }

        let scenarios = collected(place.scenarios(&layered.defaults.limits), &mut problems);
        problems.extend(unknown_expected_lanes(&scenarios, &lanes));
        let caps = overrides.caps.as_ref().map(|caps| Caps::read(&cwd.join(&caps.value))).transpose();
        let caps = collected(caps, &mut problems);
        let written = profile.into_iter().chain([&top]).flat_map(RunTable::lane_names);
        problems.extend(lanes.unknown_names(written, overrides.lanes.as_ref(), file));
        if overrides.jobs.as_ref().is_some_and(|jobs| jobs.value == 0) {
            problems.push(ConfigError::NoJobs);
        }
        if problems.is_empty() {
            problems.extend(unknown_agents(&overrides.agents, &scenarios));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let Layered { run, compile, defaults } = layered;
        let canaries = names(suite.canary, file);
        Ok(Self {
            plugins: names(suite.plugins, file),
            canary: canaries.iter().map(|(name, _)| name.clone()).collect(),
            canary_places: canaries.into_iter().collect(),
            lanes: lanes.chosen(run.lanes.as_deref()),
            defined_lanes: lanes.defined(),
            jobs: run.jobs,
            compile,
            limits: defaults.limits,
            retry: defaults.retry.over(&RetryRules::default()),
            retry_override: overrides.retry(),
            policy: run.policy,
            reporters: run.reporters,
            scenarios,
            agents: overrides.agents.clone(),
            profile: asked.map(str::to_owned),
            suite: place.suite,
            caps,
            base: place.base,
            sources,
        })
    }
}

/// The suite's file, read, and the folders around it.
struct SuitePlace {
    /// The file, if there is one.
    suite: Option<PathBuf>,
    /// The file's text; empty without a file.
    file: FileText,
    /// The folder of the scenarios.
    folder: PathBuf,
    /// The folder around that one.
    base: PathBuf,
}

impl SuitePlace {
    fn find(cwd: &Path, overrides: &Overrides) -> Result<Self, Vec<ConfigError>> {
        let named = overrides.suite.as_ref().map(|suite| suite.value.as_path());
        let path = suite_file(cwd, named).map_err(|error| vec![error])?;
        let folder = path.parent().unwrap_or(cwd).to_owned();
        let base = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(cwd).to_owned();
        SuiteFolder(&folder).check_inside(&path).map_err(|error| vec![error])?;
        let text = read(&path).map_err(|error| vec![error.into()])?;
        let suite = text.is_some().then(|| path.clone());
        let file = FileText { path, text: text.unwrap_or_else(|| Arc::from("")) };
        Ok(Self { suite, file, folder, base })
    }

    fn parse(&self) -> Result<(RunTable, SuiteFile), Vec<ConfigError>> {
        parse_both(&self.file.path, &self.file.text).map_err(|error| {
            // The scenarios' files do not depend on the suite: their errors are reported too.
            let others = self.scenarios(&Limits::default()).err().unwrap_or_default();
            std::iter::once(error.into()).chain(others).collect()
        })
    }

    fn scenarios(&self, limits: &Limits) -> Result<BTreeMap<String, ScenarioSettings>, Vec<ConfigError>> {
        read_scenarios(SuiteFolder(&self.folder), &self.base, limits)
    }
}

/// The settings of all layers: built-in, top of the suite, profile, environment and flags.
#[derive(Default)]
struct Layered {
    run: RunSettings,
    compile: CompileLimits,
    defaults: Defaults,
}

impl Layered {
    /// Puts `layers`, the weakest first, and then `overrides` over the built-in defaults.
    fn resolve<'a>(
        layers: impl Iterator<Item = Layer<'a, RunTable>>,
        suite: &SuiteFile,
        overrides: &Overrides,
        sources: &mut Sources,
    ) -> Self {
        let mut all = Self::default();
        for layer in layers {
            let Layer { table, file, profile } = layer;
            layer.apply("", &mut all.run, sources);
            Layer { table: &table.defaults.0, file, profile }.apply("defaults.", &mut all.defaults, sources);
            if profile.is_none() {
                Layer { table: &suite.compile.0, file, profile }.apply("compile.", &mut all.compile, sources);
            }
        }
        overrides.apply(&mut all.run, &mut all.compile, sources);
        all
    }
}

impl Overrides {
    /// Puts the settings over those of files.
    pub(super) fn apply(&self, run: &mut RunSettings, compile: &mut CompileLimits, sources: &mut Sources) {
        sources.take("lanes", &self.lanes, |lanes| run.lanes = Some(lanes));
        sources.take("jobs", &self.jobs, |jobs| run.jobs = jobs);
        sources.take("flaky-result", &self.flaky_result, |result| run.policy.flaky_result = result);
        sources.take("xpass", &self.xpass, |result| run.policy.xpass = result);
        sources.take("max-fail", &self.max_fail, |limit| run.policy.max_fail = limit);
        sources.take("repeat-each", &self.repeat_each, |times| run.policy.repeat_each = times);
        sources.take("reporters", &self.reporters, |reporters| run.reporters = reporters);
        sources.take("compile.max-memory", &self.compile_max_memory, |bytes| compile.max_memory = bytes);
        sources.take("compile.timeout", &self.compile_timeout, |time| compile.timeout = time);
        // Without a place of their own in the settings of a run.
        sources.take("suite", &self.suite, drop);
        sources.take("policy", &self.caps, drop);
        sources.take("profile", &self.profile, drop);
        sources.take("defaults.retries", &self.retries, drop);
        sources.take("defaults.retry-on", &self.retry_on, drop);
    }
}

/// The value, or the default after adding what is wrong to `problems`.
fn collected<T: Default>(read: Result<T, Vec<ConfigError>>, problems: &mut Vec<ConfigError>) -> T {
    read.unwrap_or_else(|errors| {
        problems.extend(errors);
        T::default()
    })
}

/// Names in a file, with their places.
fn names(list: Option<Spanned<Vec<Spanned<String>>>>, file: &FileText) -> Vec<(String, SourceSpan)> {
    let names = list.map(Spanned::into_inner).unwrap_or_default();
    names.into_iter().map(|name| (name.get_ref().clone(), file.place(name.span()))).collect()
}

fn check_run(layer: Layer<'_, RunTable>, problems: &mut Vec<ConfigError>) {
    problems.extend(layer.problems().chain(layer.table.conflict(layer.file)).map(ConfigError::from));
}

/// The profile that was asked for. All profiles are checked.
fn profile<'a>(
    suite: &'a SuiteFile,
    asked: Option<&str>,
    lanes: &Lanes,
    file: &FileText,
    problems: &mut Vec<ConfigError>,
) -> Option<&'a RunTable> {
    let mut found = None;
    for (name, Table(table)) in &suite.profile {
        if let Err(error) = check_name(name.get_ref()) {
            problems.push(file.error(name.span(), error.to_string()).into());
        }
        check_run(Layer { table, file, profile: Some(name.get_ref()) }, problems);
        if asked == Some(name.get_ref().as_str()) {
            found = Some(table);
        } else {
            // The lanes of the profile that is asked for are checked with those of the suite.
            problems.extend(lanes.unknown_names(table.lane_names(), None, file));
        }
    }
    if let (None, Some(asked)) = (found, asked) {
        let names: Vec<&str> = suite.profile.keys().map(|name| name.get_ref().as_str()).collect();
        let hint = match names.len() {
            0 => "the suite defines none (`[profile.NAME]`)".to_owned(),
            1 => did_you_mean(asked, &names, "there is only"),
            _ => did_you_mean(asked, &names, "there are"),
        };
        problems.push(ConfigError::UnknownProfile { name: asked.to_owned(), hint });
    }
    found
}

/// The suite's file, whether it is there or not: `--suite` may name it, its folder, or the folder above.
fn suite_file(cwd: &Path, given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let found = |scenarios: PathBuf| check_scenarios_link(&scenarios).map(|()| scenarios.join(SUITE_FILE));
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
        // Folders of editors and tools.
        if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if let Err(error) = suite.check_inside(&folder) {
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

/// Unknown lanes in `[[expect-fail]]`.
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

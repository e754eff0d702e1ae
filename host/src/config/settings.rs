use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Spanned;

use super::{
    scenario_file::ScenarioSettings,
    source::{Place, ReadError, SourceError, did_you_mean, parse, read, shown},
    suite_file::SuiteFile,
    value::Table,
};
use crate::model::{self, BadName, DEFAULT_BREAKER, LaneName, Limits, Policy, RetryOverride, RetryPolicy, check_name};

/// The folder that holds a suite's scenarios.
pub const SCENARIOS_FOLDER: &str = "scenarios";
/// The suite's file, in the folder of its scenarios.
pub const SUITE_FILE: &str = "suite.toml";
/// The lane of a suite that names none.
const DEFAULT_LANE: &str = "scripted";
/// The scripted agent of a lane that names none.
const DEFAULT_AGENT: &str = "right";
/// Attempts at once. Trials wait for agents most of the time, so this is not bound to the number of cores.
const DEFAULT_JOBS: usize = 16;

/// What flags and the environment ask for; `None` and empty leave it to the suite.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--suite`: the file, or the folder that holds it.
    pub suite: Option<PathBuf>,
    /// `--jobs`.
    pub jobs: Option<usize>,
    /// `--lane`.
    pub lanes: Vec<String>,
    /// `--agent`.
    pub agents: Vec<String>,
}

/// Everything that files, environment and flags decide, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds `scenarios/`; paths in the suite are meant from here.
    pub base: PathBuf,
    /// The suite's file, if there is one.
    pub suite: Option<PathBuf>,
    /// The plugins that the suite names: paths and patterns.
    pub plugins: Vec<String>,
    /// Names of the canaries.
    pub canary: Vec<String>,
    /// Where the suite names them.
    pub canary_places: BTreeMap<String, Place>,
    /// The lanes to run in, in order.
    pub lanes: Vec<LaneSettings>,
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
    /// The scenarios' folders, by name.
    pub scenarios: BTreeMap<String, ScenarioSettings>,
    /// Scripted agents that play in place of the lane's, where a scenario has one of that name.
    pub agents: Vec<String>,
}

/// A lane, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Its name.
    pub name: LaneName,
    /// Its kind of agent.
    pub kind: LaneKind,
    /// Attempts at once in this lane; the run's bound alone when absent.
    pub jobs: Option<usize>,
    /// What it says of retries.
    pub retry: RetryOverride,
    /// After so many trials in a row that end as faults of the whole lane nothing more of it starts; 0 is never.
    pub breaker: u32,
}

/// A kind of agent, with what it is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// `host agent` plays a script of the scenario.
    Scripted {
        /// The script's name.
        agent: String,
    },
}

impl LaneKind {
    /// The kind without its configuration.
    #[must_use]
    pub fn kind(&self) -> model::LaneKind {
        match self {
            Self::Scripted { .. } => model::LaneKind::Scripted,
        }
    }

    /// The word that files and reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }
}

/// Suite, scenarios or flags are wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file says something wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something else lies where a folder belongs.
    #[error("{} must be a folder; move it away or rename it", shown(path))]
    NotAFolder {
        /// What lies there.
        path: PathBuf,
    },
    /// `--suite` names nothing.
    #[error("there is no suite at {}; `--suite` takes a `{SUITE_FILE}` or the folder that holds it", shown(path))]
    NoSuite {
        /// As given.
        path: PathBuf,
    },
    /// A folder's or agent's name cannot be used.
    #[error("{}: {source}", shown(folder))]
    FolderName {
        /// The folder or file.
        folder: PathBuf,
        /// Why not.
        source: BadName,
    },
    /// `--lane` names no lane.
    #[error("there is no lane `{name}`; {hint}")]
    UnknownLane {
        /// As given.
        name: String,
        /// What there is.
        hint: String,
    },
    /// `--agent` names no scripted agent.
    #[error("no scenario has a scripted agent `{name}`{hint}")]
    UnknownAgent {
        /// As given.
        name: String,
        /// The nearest one.
        hint: String,
    },
    /// A number that cannot be.
    #[error("`--jobs` must be at least 1")]
    NoJobs,
}

impl Settings {
    /// Reads the suite around `cwd` and puts `overrides` over it.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first.
    pub fn resolve(cwd: &Path, overrides: &Overrides) -> Result<Self, Vec<ConfigError>> {
        let path = suite_file(cwd, overrides.suite.as_deref()).map_err(|error| vec![error])?;
        let folder = path.parent().unwrap_or(cwd).to_owned();
        let base = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(cwd).to_owned();
        let text = read(&path).map_err(|error| vec![error.into()])?;
        let given = text.is_some();
        let text = text.unwrap_or_else(|| Arc::from(""));
        let file: SuiteFile = match parse(&path, &text) {
            Ok(file) => file,
            // What the scenarios' files say does not hang on the suite: their errors are told as well.
            Err(error) => {
                let others = read_scenarios(&folder, &base, &Limits::default()).err().unwrap_or_default();
                return Err(std::iter::once(error.into()).chain(others).collect());
            }
        };
        let mut problems = Vec::new();
        let at = |span, message: String| -> ConfigError { SourceError::new(&path, &text, Some(span), message).into() };
        for name in file.lane.keys() {
            if let Err(error) = check_name(name.get_ref()) {
                problems.push(at(name.span(), error.to_string()));
            }
        }
        for jobs in file.jobs.iter().chain(file.lane.values().filter_map(|lane| lane.0.jobs.as_ref())) {
            if *jobs.get_ref() == 0 {
                problems.push(at(jobs.span(), "`jobs` must be at least 1".into()));
            }
        }
        if overrides.jobs == Some(0) {
            problems.push(ConfigError::NoJobs);
        }
        let limits = file.defaults.0.over(&Limits::default());
        let scenarios = read_scenarios(&folder, &base, &limits).unwrap_or_else(|errors| {
            problems.extend(errors);
            BTreeMap::new()
        });
        let lanes = lanes(&file, &overrides.lanes, &at).unwrap_or_else(|errors| {
            problems.extend(errors);
            Vec::new()
        });
        if problems.is_empty() {
            problems.extend(unknown_agents(&overrides.agents, &scenarios));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            plugins: file.plugins,
            canary_places: file
                .canary
                .iter()
                .map(|name| (name.get_ref().clone(), Place::new(&path, &text, name.span())))
                .collect(),
            canary: file.canary.into_iter().map(Spanned::into_inner).collect(),
            lanes,
            jobs: overrides.jobs.or(file.jobs.map(Spanned::into_inner)).unwrap_or(DEFAULT_JOBS),
            limits,
            retry: RetryPolicy::default(),
            retry_override: RetryOverride::default(),
            policy: Policy::default(),
            scenarios,
            agents: overrides.agents.clone(),
            suite: given.then_some(path),
            base,
        })
    }
}

/// The suite's file, whether it is there or not: `--suite` may name it, its folder, or the folder above.
fn suite_file(cwd: &Path, given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let Some(given) = given else { return Ok(cwd.join(SCENARIOS_FOLDER).join(SUITE_FILE)) };
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
    if below.is_dir() { Ok(below.join(SUITE_FILE)) } else { Err(ConfigError::NoSuite { path }) }
}

fn read_scenarios(
    folder: &Path,
    base: &Path,
    limits: &Limits,
) -> Result<BTreeMap<String, ScenarioSettings>, Vec<ConfigError>> {
    let mut scenarios = BTreeMap::new();
    let mut problems = Vec::new();
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
        match ScenarioSettings::read(&folder, base, limits) {
            Ok(scenario) => drop(scenarios.insert(scenario.name.clone(), scenario)),
            Err(errors) => problems.extend(errors),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems) }
}

fn lanes(
    file: &SuiteFile,
    asked: &[String],
    at: &dyn Fn(std::ops::Range<usize>, String) -> ConfigError,
) -> Result<Vec<LaneSettings>, Vec<ConfigError>> {
    let mut known: BTreeMap<&str, LaneSettings> = BTreeMap::new();
    for (name, Table(table)) in &file.lane {
        let kind = match table.kind.0 {
            model::LaneKind::Scripted => {
                LaneKind::Scripted { agent: table.agent.clone().unwrap_or_else(|| DEFAULT_AGENT.to_owned()) }
            }
            // Their keys come with the next change of this file.
            kind => {
                let message = format!("lanes of the kind `{kind}` cannot be configured in a file yet");
                return Err(vec![at(name.span(), message)]);
            }
        };
        let jobs = table.jobs.as_ref().map(|jobs| *jobs.get_ref());
        known.insert(
            name.get_ref(),
            LaneSettings {
                name: LaneName(name.get_ref().clone()),
                kind,
                jobs,
                retry: RetryOverride::default(),
                breaker: DEFAULT_BREAKER,
            },
        );
    }
    // The embedded lane is there unless the suite defines it otherwise.
    known.entry(DEFAULT_LANE).or_insert_with(|| LaneSettings {
        name: LaneName(DEFAULT_LANE.to_owned()),
        kind: LaneKind::Scripted { agent: DEFAULT_AGENT.to_owned() },
        jobs: None,
        retry: RetryOverride::default(),
        breaker: DEFAULT_BREAKER,
    });
    let names: Vec<&str> = known.keys().copied().collect();
    let hint = |name: &str| did_you_mean(name, &names, if names.len() == 1 { "there is only" } else { "there are" });
    let mut chosen: Vec<LaneSettings> = Vec::new();
    let mut problems = Vec::new();
    if !asked.is_empty() {
        for name in asked {
            match known.get(name.as_str()) {
                Some(lane) if !chosen.contains(lane) => chosen.push(lane.clone()),
                Some(_) => {}
                None => problems.push(ConfigError::UnknownLane { name: name.clone(), hint: hint(name) }),
            }
        }
    } else if let Some(names) = &file.lanes {
        if names.get_ref().is_empty() {
            let message = "`lanes` names no lane, so nothing would run; name one, or remove the key";
            problems.push(at(names.span(), message.to_owned()));
        }
        for name in names.get_ref() {
            match known.get(name.get_ref().as_str()) {
                Some(lane) if !chosen.contains(lane) => chosen.push(lane.clone()),
                Some(_) => {}
                None => {
                    let message = format!("there is no lane `{}`; {}", name.get_ref(), hint(name.get_ref()));
                    problems.push(at(name.span(), message));
                }
            }
        }
    } else if file.lane.is_empty() {
        chosen.extend(known.get(DEFAULT_LANE).cloned());
    } else {
        chosen.extend(file.lane.keys().filter_map(|name| known.get(name.get_ref().as_str()).cloned()));
    }
    if problems.is_empty() { Ok(chosen) } else { Err(problems) }
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

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    scenario_file::ScenarioSettings,
    source::{SourceError, nearest, parse},
    suite_file::{KindName, SuiteFile},
};
use crate::model::{BadName, LaneName, Limits, check_name};

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
    /// The lanes to run in, in order.
    pub lanes: Vec<LaneSettings>,
    /// Attempts at once over all lanes.
    pub jobs: usize,
    /// Bounds of scenarios without a folder.
    pub limits: Limits,
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
    /// The word that files and reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Scripted { .. } => "scripted",
        }
    }
}

/// Suite, scenarios or flags are wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file says something wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `--suite` names nothing.
    #[error("there is no suite at {}; `--suite` takes a `{SUITE_FILE}` or the folder that holds it", path.display())]
    NoSuite {
        /// As given.
        path: PathBuf,
    },
    /// A folder's or agent's name cannot be used.
    #[error("{}: {source}", folder.display())]
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
        let folder = scenarios_folder(cwd, overrides.suite.as_deref()).map_err(|error| vec![error])?;
        let base = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(cwd).to_owned();
        let path = folder.join(SUITE_FILE);
        let text = read(&path).map_err(|error| vec![error])?;
        let file: SuiteFile = match &text {
            Some(text) => parse(&path, text).map_err(|error| vec![error.into()])?,
            None => SuiteFile::default(),
        };
        let mut problems = Vec::new();
        let at = |span, message: String| -> ConfigError {
            SourceError::new(&path, text.as_deref().unwrap_or_default(), Some(span), message).into()
        };
        for name in file.lane.keys() {
            if let Err(error) = check_name(name.get_ref()) {
                problems.push(at(name.span(), error.to_string()));
            }
        }
        for jobs in file.jobs.iter().chain(file.lane.values().filter_map(|lane| lane.jobs.as_ref())) {
            if *jobs.get_ref() == 0 {
                problems.push(at(jobs.span(), "`jobs` must be at least 1".into()));
            }
        }
        if overrides.jobs == Some(0) {
            problems.push(ConfigError::NoJobs);
        }
        let limits = file.defaults.over(&Limits::default());
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
            canary: file.canary.into_iter().map(toml::Spanned::into_inner).collect(),
            lanes,
            jobs: overrides.jobs.or(file.jobs.map(toml::Spanned::into_inner)).unwrap_or(DEFAULT_JOBS),
            limits,
            scenarios,
            agents: overrides.agents.clone(),
            suite: text.is_some().then_some(path),
            base,
        })
    }
}

fn scenarios_folder(cwd: &Path, given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let Some(given) = given else { return Ok(cwd.join(SCENARIOS_FOLDER)) };
    let path = cwd.join(given);
    let folder = if path.is_file() {
        path.parent().map(Path::to_owned)
    } else if path.join(SUITE_FILE).is_file()
        || path.file_name().is_some_and(|name| name == SCENARIOS_FOLDER && path.is_dir())
    {
        Some(path.clone())
    } else {
        Some(path.join(SCENARIOS_FOLDER)).filter(|folder| folder.is_dir())
    };
    folder.ok_or(ConfigError::NoSuite { path })
}

/// The text of a file, or `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
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
        Err(source) => return Err(vec![ConfigError::Read { path: folder.to_owned(), source }]),
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
    for (name, table) in &file.lane {
        let kind = match table.kind {
            KindName::Scripted => {
                LaneKind::Scripted { agent: table.agent.clone().unwrap_or_else(|| DEFAULT_AGENT.to_owned()) }
            }
        };
        let jobs = table.jobs.as_ref().map(|jobs| *jobs.get_ref());
        known.insert(name.get_ref(), LaneSettings { name: LaneName(name.get_ref().clone()), kind, jobs });
    }
    // The embedded lane is there unless the suite defines it otherwise.
    known.entry(DEFAULT_LANE).or_insert_with(|| LaneSettings {
        name: LaneName(DEFAULT_LANE.to_owned()),
        kind: LaneKind::Scripted { agent: DEFAULT_AGENT.to_owned() },
        jobs: None,
    });
    let hint = |name: &str| match nearest(name, known.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
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
        for name in names {
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
    let known: Vec<&str> = scenarios.values().flat_map(ScenarioSettings::agent_names).collect();
    asked
        .iter()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| {
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || "; `host prove` lists the agents of each scenario".to_owned(),
                |near| format!("; did you mean `{near}`?"),
            );
            ConfigError::UnknownAgent { name: name.clone(), hint }
        })
        .collect()
}

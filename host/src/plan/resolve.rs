//! Brings together what plugins declare and what the scenarios' folders say.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    config::{ScenarioSettings, Settings, nearest},
    model::{
        CommandSpec, Declared, DeclaredScenario, Grant, PluginFacts, Scenario, ScenarioId, ScenarioShape, check_name,
    },
};

/// Why the suite and the plugins do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupProblem {
    /// A scenario needs what it is not granted.
    #[error(
        "the scenario `{scenario}` of `{}` needs the grant `{grant}`, which it is not given; \
         if you trust it, add `{grant} = true` under `[grants]` in {}", plugin.display(), file.display()
    )]
    NotGranted {
        /// The scenario.
        scenario: String,
        /// Its plugin.
        plugin: PathBuf,
        /// The grant.
        grant: Grant,
        /// Where it can be granted.
        file: PathBuf,
    },
    /// A folder names a plugin that has no such scenario.
    #[error("{}: the plugin `{}` has no scenario `{name}`{hint}", file.display(), plugin.display())]
    NoSuchScenario {
        /// The folder's file.
        file: PathBuf,
        /// The plugin.
        plugin: PathBuf,
        /// The folder's name.
        name: String,
        /// What there is.
        hint: String,
    },
    /// A key that only a plain command can have.
    #[error(
        "{}: `{key}` is for plain WASI commands, but `{}` is of the typed world; remove it", file.display(), plugin.display()
    )]
    CommandKey {
        /// The folder's file.
        file: PathBuf,
        /// The key.
        key: &'static str,
        /// The plugin.
        plugin: PathBuf,
    },
    /// A plain command's file cannot name a scenario.
    #[error("`{}` cannot name a scenario: {reason}; rename the file", plugin.display())]
    CommandName {
        /// The plugin.
        plugin: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The suite names a canary that is nowhere.
    #[error("{}: the canary `{name}` is no scenario{hint}", suite.display())]
    UnknownCanary {
        /// The suite's file.
        suite: PathBuf,
        /// The canary.
        name: String,
        /// The nearest one.
        hint: String,
    },
    /// A plain command drives a session without the grant.
    #[error(
        "{}: `[session]` needs the grant `session`; add `session = true` under `[grants]`", file.display()
    )]
    SessionNotGranted {
        /// The folder's file.
        file: PathBuf,
    },
}

/// Every scenario of `plugins`, with what its folder adds, in the order of the plugins.
///
/// # Errors
/// Every problem, not just the first.
pub fn resolve(plugins: &[PluginFacts], settings: &Settings) -> Result<Vec<Scenario>, Vec<SetupProblem>> {
    let mut problems = Vec::new();
    let mut scenarios = Vec::new();
    for plugin in plugins {
        match &plugin.declared {
            Declared::Typed(declared) => {
                problems.extend(folders_without_scenario(plugin, declared, settings));
                for declared in declared {
                    scenarios.push(typed(plugin, declared, settings, &mut problems));
                }
            }
            Declared::Command => scenarios.extend(commands(plugin, settings, &mut problems)),
        }
    }
    problems.extend(unknown_canaries(&scenarios, settings));
    if !problems.is_empty() {
        return Err(problems);
    }
    name_apart(&mut scenarios, plugins);
    Ok(scenarios)
}

fn typed(
    plugin: &PluginFacts,
    declared: &DeclaredScenario,
    settings: &Settings,
    problems: &mut Vec<SetupProblem>,
) -> Scenario {
    // A folder that names another plugin is another scenario's, whatever its name.
    let folder =
        settings.scenarios.get(&declared.name).filter(|folder| folder.plugin.is_none() || names(folder, plugin));
    let mut scenario = bare(plugin, &declared.name, settings, ScenarioShape::Typed);
    scenario.summary.clone_from(&declared.summary);
    scenario.tags.clone_from(&declared.tags);
    scenario.clauses.clone_from(&declared.clauses);
    if let Some(folder) = folder {
        problems.extend(folder.command_keys.iter().map(|key| SetupProblem::CommandKey {
            file: file_of(folder),
            key,
            plugin: plugin.path.clone(),
        }));
        dress(&mut scenario, folder);
    }
    problems.extend(scenario.grants.missing(&declared.needs).into_iter().map(|grant| SetupProblem::NotGranted {
        scenario: declared.name.clone(),
        plugin: plugin.path.clone(),
        grant,
        file: scenario_file(settings, &declared.name),
    }));
    scenario
}

/// One scenario for each folder that names the plugin; without any, one by the file's own name.
fn commands(plugin: &PluginFacts, settings: &Settings, problems: &mut Vec<SetupProblem>) -> Vec<Scenario> {
    let stem = plugin.canonical.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut folders: Vec<&ScenarioSettings> =
        settings.scenarios.values().filter(|folder| names(folder, plugin)).collect();
    if folders.is_empty() {
        folders.extend(settings.scenarios.get(&stem).filter(|folder| folder.plugin.is_none()));
    }
    if folders.is_empty() {
        if let Err(error) = check_name(&stem) {
            problems.push(SetupProblem::CommandName { plugin: plugin.path.clone(), reason: error.to_string() });
        }
        return vec![bare(plugin, &stem, settings, ScenarioShape::Command(CommandSpec::default()))];
    }
    folders
        .into_iter()
        .map(|folder| {
            if folder.command.session.is_some() && !folder.grants.has(Grant::Session) {
                problems.push(SetupProblem::SessionNotGranted { file: file_of(folder) });
            }
            let shape = ScenarioShape::Command(folder.command.clone());
            let mut scenario = bare(plugin, &folder.name, settings, shape);
            scenario.summary = folder.summary.clone().unwrap_or_default();
            dress(&mut scenario, folder);
            scenario
        })
        .collect()
}

fn bare(plugin: &PluginFacts, name: &str, settings: &Settings, shape: ScenarioShape) -> Scenario {
    Scenario {
        id: ScenarioId(name.to_owned()),
        plugin: plugin.id,
        name: name.to_owned(),
        summary: String::new(),
        tags: Vec::new(),
        clauses: Vec::new(),
        grants: Default::default(),
        limits: settings.limits.clone(),
        shape,
        fixture: Default::default(),
        agents: BTreeMap::new(),
    }
}

fn dress(scenario: &mut Scenario, folder: &ScenarioSettings) {
    for tag in &folder.tags {
        if !scenario.tags.contains(tag) {
            scenario.tags.push(tag.clone());
        }
    }
    scenario.grants.clone_from(&folder.grants);
    scenario.limits.clone_from(&folder.limits);
    scenario.fixture.clone_from(&folder.fixture);
    scenario.agents.clone_from(&folder.agents);
}

/// Whether a folder's `plugin` is this one: the same file, or, written without a folder, the same file name.
fn names(folder: &ScenarioSettings, plugin: &PluginFacts) -> bool {
    folder.plugin.as_deref().is_some_and(|path| {
        path.canonicalize().is_ok_and(|path| path == plugin.canonical)
            || !path.exists() && path.file_name() == plugin.canonical.file_name()
    })
}

fn folders_without_scenario(
    plugin: &PluginFacts,
    declared: &[DeclaredScenario],
    settings: &Settings,
) -> Vec<SetupProblem> {
    let known: Vec<&str> = declared.iter().map(|scenario| scenario.name.as_str()).collect();
    settings
        .scenarios
        .values()
        .filter(|folder| names(folder, plugin) && !known.contains(&folder.name.as_str()))
        .map(|folder| SetupProblem::NoSuchScenario {
            file: file_of(folder),
            plugin: plugin.path.clone(),
            name: folder.name.clone(),
            hint: did_you_mean(&folder.name, &known),
        })
        .collect()
}

fn unknown_canaries(scenarios: &[Scenario], settings: &Settings) -> Vec<SetupProblem> {
    let Some(suite) = &settings.suite else { return Vec::new() };
    let known: BTreeSet<&str> = scenarios
        .iter()
        .map(|scenario| scenario.name.as_str())
        .chain(settings.scenarios.keys().map(String::as_str))
        .collect();
    let known: Vec<&str> = known.into_iter().collect();
    settings
        .canary
        .iter()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| SetupProblem::UnknownCanary {
            suite: suite.clone(),
            name: name.clone(),
            hint: did_you_mean(name, &known),
        })
        .collect()
}

/// Puts the plugin's label before names that more than one plugin uses.
fn name_apart(scenarios: &mut [Scenario], plugins: &[PluginFacts]) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in scenarios.iter() {
        *uses.entry(scenario.name.clone()).or_default() += 1;
    }
    let labels: BTreeMap<_, _> = plugins.iter().map(|plugin| (plugin.id, plugin.label.as_str())).collect();
    for scenario in scenarios.iter_mut().filter(|scenario| uses[&scenario.name] > 1) {
        scenario.id = ScenarioId(format!("{}::{}", labels[&scenario.plugin], scenario.name));
    }
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => {
            let shown: Vec<_> = known.iter().take(8).map(|name| format!("`{name}`")).collect();
            format!("; it has {}{}", shown.join(", "), if known.len() > 8 { ", …" } else { "" })
        }
    }
}

fn file_of(folder: &ScenarioSettings) -> PathBuf {
    folder.folder.join("scenario.toml")
}

fn scenario_file(settings: &Settings, name: &str) -> PathBuf {
    let folder = settings
        .suite
        .as_deref()
        .and_then(Path::parent)
        .map_or_else(|| settings.base.join(crate::config::SCENARIOS_FOLDER), Path::to_owned);
    folder.join(name).join("scenario.toml")
}

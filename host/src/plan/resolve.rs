//! Brings together what plugins declare and what the scenarios' folders say.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::Plan;
use crate::{
    config::{ScenarioSettings, Settings, SourceError, nearest, shown},
    model::{
        CommandSpec, Declared, DeclaredScenario, Grant, PluginFacts, Scenario, ScenarioId, ScenarioShape, Ungranted,
        check_name,
    },
};

/// Why the suite and the plugins do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupProblem {
    /// A scenario needs what it is not granted.
    #[error("{0}")]
    NotGranted(String),
    /// A file says what does not fit the plugins.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A plain command's file cannot name a scenario.
    #[error("`{}` cannot name a scenario: {reason}; rename the file", plugin.display())]
    CommandName {
        /// The plugin.
        plugin: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Refuses a plan of which a scenario needs what it is not granted. Scenarios that were not selected do not matter.
///
/// # Errors
/// [`SetupProblem::NotGranted`], each once.
pub fn check_grants(plan: &Plan) -> Result<(), Vec<SetupProblem>> {
    let mut problems: Vec<SetupProblem> = Vec::new();
    for missing in plan.trials().flat_map(|trial| &trial.scenario.ungranted) {
        let problem = SetupProblem::NotGranted(missing.problem.clone());
        // Once for all lanes.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
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
        problems.extend(folder.command_keys.iter().map(|key| {
            let of = plugin.path.display();
            wrong(
                folder,
                key,
                format!("`{key}` is for plain WASI commands, but `{of}` is of the typed world; remove it"),
            )
        }));
        dress(&mut scenario, folder);
    }
    let missing = scenario.grants.missing(&declared.needs).into_iter().map(|grant| Ungranted {
        grant,
        problem: format!(
            "the scenario `{}` of `{}` needs the grant `{grant}`, which it is not given; {}",
            declared.name,
            plugin.path.display(),
            how_to_grant(grant, &declared.name, plugin, settings)
        ),
    });
    scenario.ungranted = missing.collect();
    scenario
}

fn how_to_grant(grant: Grant, name: &str, plugin: &PluginFacts, settings: &Settings) -> String {
    let file = scenario_file(settings, name);
    let file = shown(&file);
    match settings.scenarios.get(name).filter(|folder| !names(folder, plugin)).and_then(|it| it.plugin.as_deref()) {
        Some(other) => format!("{file} is for `{}`, so what it grants is not for this one", shown(other)),
        None => format!("if you trust it, add `{grant} = true` under `[grants]` in {file}"),
    }
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
                let message = "`[session]` needs the grant `session`; add `session = true` under `[grants]`";
                problems.push(wrong(folder, "session", message.to_owned()));
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
        ungranted: Vec::new(),
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

/// Whether a folder's `plugin` is this one: the same file, or, where it names none that is there, one of the
/// same name elsewhere.
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
        .map(|folder| {
            let (of, hint) = (plugin.path.display(), did_you_mean(&folder.name, &known));
            wrong(folder, "plugin", format!("the plugin `{of}` has no scenario `{}`{hint}", folder.name))
        })
        .collect()
}

fn unknown_canaries(scenarios: &[Scenario], settings: &Settings) -> Vec<SetupProblem> {
    let known: BTreeSet<&str> = scenarios
        .iter()
        .map(|scenario| scenario.name.as_str())
        .chain(settings.scenarios.keys().map(String::as_str))
        .collect();
    let known: Vec<&str> = known.into_iter().collect();
    let unknown = settings.canary_places.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    unknown
        .map(|(name, place)| {
            place.error(format!("the canary `{name}` is no scenario{}", did_you_mean(name, &known))).into()
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
            format!("; there are {}{}", shown.join(", "), if known.len() > 8 { ", …" } else { "" })
        }
    }
}

/// What is wrong with `key` in a folder's file.
fn wrong(folder: &ScenarioSettings, key: &str, message: String) -> SetupProblem {
    let error = match folder.places.get(key) {
        Some(place) => place.error(message),
        None => SourceError::new(&folder.folder.join("scenario.toml"), "", None, message),
    };
    error.into()
}

fn scenario_file(settings: &Settings, name: &str) -> PathBuf {
    let folder = settings
        .suite
        .as_deref()
        .and_then(Path::parent)
        .map_or_else(|| settings.base.join(crate::config::SCENARIOS_FOLDER), Path::to_owned);
    folder.join(name).join("scenario.toml")
}

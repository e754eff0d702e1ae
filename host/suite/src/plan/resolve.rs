//! Brings together what plugins declare and what the scenarios' folders say.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use super::{
    canaries::{mark_canaries, unknown_canaries},
    folders::{Folders, names},
};
use crate::config::{HasSource, ScenarioSettings, Settings, SourceError, SourcedGrants, seen_from_here};
use host_model::{
    Clause, CommandSpec, Declared, DeclaredScenario, Grant, GrantItem, LaneName, PluginFacts, Scenario, ScenarioId,
    ScenarioShape, Ungranted, check_name,
    text::{did_you_mean, nearest},
};

/// Why the suite and the plugins do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupProblem {
    /// A scenario needs what it is not granted.
    #[error("{0}")]
    NotGranted(String),
    /// A lane plays a scripted agent that a scenario does not have, though it has others.
    #[error("the lane `{lane}` plays the agent `{agent}`, but the scenario `{scenario}` has only {known}{hint}")]
    NoAgent {
        /// The lane.
        lane: LaneName,
        /// The agent.
        agent: String,
        /// The scenario.
        scenario: ScenarioId,
        /// Its agents.
        known: String,
        /// The nearest one.
        hint: String,
    },
    /// A lane plays a scripted agent, and a scenario that needs a session has none at all.
    #[error(
        "the lane `{lane}` plays the agent `{agent}`, but the scenario `{scenario}` has no agents; add the file \
         `agents/{agent}.toml` to its folder"
    )]
    NoAgents {
        /// The lane.
        lane: LaneName,
        /// The agent.
        agent: String,
        /// The scenario.
        scenario: ScenarioId,
    },
    /// A script expects a finding that its scenario cannot have.
    #[error(
        "{} expects the finding `{code}`, but the scenario `{scenario}` has none of that code{hint}",
        seen_from_here(script)
    )]
    NoFinding {
        /// The script.
        script: PathBuf,
        /// The code.
        code: String,
        /// The scenario.
        scenario: ScenarioId,
        /// The nearest one.
        hint: String,
    },
    /// A file does not match the plugins.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A plain command's file cannot name a scenario.
    #[error("`{}` cannot name a scenario: {reason}; rename the file", seen_from_here(plugin))]
    CommandName {
        /// The plugin.
        plugin: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl HasSource for SetupProblem {
    fn source_error(&self) -> Option<&SourceError> {
        match self {
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}

/// Every scenario of `plugins`, with what its folder adds, in the order of the plugins.
///
/// # Errors
/// Every problem, not just the first.
pub fn resolve(plugins: &[PluginFacts], settings: &Settings) -> Result<Vec<Scenario>, Vec<SetupProblem>> {
    let mut problems = Vec::new();
    let mut scenarios = Vec::new();
    let folders = Folders::of(settings);
    for plugin in plugins {
        match &plugin.declared {
            Declared::Typed(declared) => {
                problems.extend(folders_without_scenario(plugin, declared, &folders));
                for declared in declared {
                    scenarios.push(typed(plugin, declared, settings, &mut problems));
                }
            }
            Declared::Command => scenarios.extend(commands(plugin, &folders, settings, &mut problems)),
        }
    }
    problems.extend(unknown_canaries(&scenarios, plugins, settings));
    if !problems.is_empty() {
        return Err(problems);
    }
    mark_canaries(&mut scenarios, plugins, settings);
    disambiguate(&mut scenarios, plugins);
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
    let mut scenario = base_scenario(plugin, &declared.name, settings, ScenarioShape::Typed);
    scenario.summary.clone_from(&declared.summary);
    scenario.tags.clone_from(&declared.tags);
    scenario.clauses.clone_from(&declared.clauses);
    if let Some(folder) = folder {
        problems.extend(folder.command_keys.iter().map(|key| {
            let of = seen_from_here(&plugin.path);
            wrong(
                folder,
                key,
                format!("`{key}` applies to plain WASI commands, but `{of}` is of the typed world; remove it"),
            )
        }));
        problems.extend(unknown_findings(folder, &codes_of(&declared.clauses)));
        apply_folder(&mut scenario, folder, plugin, settings);
    }
    scenario.needs_session = declared.needs.contains(&Grant::Session);
    let asked = folder.map(|folder| &folder.grants.grants).unwrap_or(&scenario.grants);
    let missing = asked.missing(&declared.needs).into_iter().map(|grant| Ungranted {
        grant,
        problem: format!(
            "the scenario `{}` of `{}` needs the grant `{grant}`, which it does not have; {}",
            declared.name,
            seen_from_here(&plugin.path),
            how_to_grant(grant, &declared.name, plugin, settings)
        ),
    });
    let missing: Vec<Ungranted> = missing.collect();
    scenario.ungranted.extend(missing);
    scenario
}

fn how_to_grant(grant: Grant, name: &str, plugin: &PluginFacts, settings: &Settings) -> String {
    let file = scenario_file(settings, name);
    let file = seen_from_here(&file);
    match settings.scenarios.get(name).filter(|folder| !names(folder, plugin)).and_then(|it| it.plugin.as_deref()) {
        Some(other) => format!("{file} is for `{}`, so its grants do not apply to this one", seen_from_here(other)),
        None if settings.scenarios.contains_key(name) => {
            format!("if you trust it, add `{}` under `[grants]` in {file}", grant.example())
        }
        None => no_folder(grant, name, &file, settings),
    }
}

/// A grant that is missing for want of the whole folder: the wrong suite, or a name that is not quite the scenario's.
fn no_folder(grant: Grant, name: &str, file: &str, settings: &Settings) -> String {
    let near = nearest(name, settings.scenarios.keys().map(String::as_str));
    let near = near.map(|near| format!(" (there is `{near}`)")).unwrap_or_default();
    format!(
        "the suite has no folder `{name}`{near}; name the suite that has it with `--suite DIR`, or, if you trust the \
         plugin, create {file} with `{}` under `[grants]`",
        grant.example()
    )
}

/// One scenario for each folder that names the plugin; without any, one by the file's own name.
fn commands(
    plugin: &PluginFacts,
    named: &Folders<'_>,
    settings: &Settings,
    problems: &mut Vec<SetupProblem>,
) -> Vec<Scenario> {
    let stem = plugin.canonical.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut folders = named.naming(plugin);
    if folders.is_empty() {
        let own = settings.scenarios.get(&stem);
        problems.extend(own.filter(|folder| folder.lacks_its_plugin()).map(|folder| without_folder(folder, plugin)));
        folders.extend(own.filter(|folder| folder.plugin.is_none()));
    }
    if folders.is_empty() {
        if let Err(error) = check_name(&stem) {
            problems.push(SetupProblem::CommandName { plugin: plugin.path.clone(), reason: error.to_string() });
        }
        return vec![base_scenario(plugin, &stem, settings, command(plugin, CommandSpec::default()))];
    }
    folders
        .into_iter()
        .map(|folder| {
            if folder.command.session.is_some() && !folder.grants.grants.has(Grant::Session) {
                let message = "`[session]` needs the grant `session`; add `session = true` under `[grants]`";
                problems.push(wrong(folder, "session", message.to_owned()));
            }
            problems.extend(unknown_findings(folder, &command_codes(&folder.command)));
            let shape = command(plugin, folder.command.clone());
            let mut scenario = base_scenario(plugin, &folder.name, settings, shape);
            scenario.summary = folder.summary.clone().unwrap_or_default();
            scenario.needs_session = folder.command.session.is_some();
            apply_folder(&mut scenario, folder, plugin, settings);
            scenario
        })
        .collect()
}

/// Test programs compare the name that they are called by with their file's.
fn command(plugin: &PluginFacts, spec: CommandSpec) -> ScenarioShape {
    ScenarioShape::Command(Box::new(CommandSpec { program: program(plugin), ..spec }))
}

fn program(plugin: &PluginFacts) -> String {
    plugin.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A command of the folder's name that the folder does not name, although what it names is not there.
fn without_folder(folder: &ScenarioSettings, plugin: &PluginFacts) -> SetupProblem {
    let named = folder.plugin.as_deref().map(seen_from_here).unwrap_or_default();
    let of = seen_from_here(&plugin.path);
    let what = format!(
        "there is no plugin `{named}`, and `{of}`, which has this folder's name, would ignore the folder; correct \
         `plugin`, or remove it"
    );
    wrong(folder, "plugin", what)
}

fn base_scenario(plugin: &PluginFacts, name: &str, settings: &Settings, shape: ScenarioShape) -> Scenario {
    Scenario {
        id: ScenarioId(name.to_owned()),
        plugin: plugin.id,
        name: name.to_owned(),
        summary: String::new(),
        tags: Vec::new(),
        clauses: Vec::new(),
        grants: Default::default(),
        needs_session: false,
        ungranted: Vec::new(),
        limits: settings.limits.clone(),
        retry: Default::default(),
        expected_failures: Vec::new(),
        file: None,
        shape,
        fixture: Default::default(),
        bin: None,
        agents: BTreeMap::new(),
        canary: None,
    }
}

fn apply_folder(scenario: &mut Scenario, folder: &ScenarioSettings, plugin: &PluginFacts, settings: &Settings) {
    let mut known: HashSet<String> = scenario.tags.iter().cloned().collect();
    scenario.tags.extend(folder.tags.iter().filter(|tag| known.insert((*tag).clone())).cloned());
    grant(scenario, &folder.grants, plugin, settings);
    scenario.limits.clone_from(&folder.limits);
    scenario.retry.clone_from(&folder.retry);
    scenario.expected_failures = folder.expected_failures.iter().map(|expected| expected.known.clone()).collect();
    scenario.file.clone_from(&folder.file);
    scenario.fixture.clone_from(&folder.fixture);
    scenario.bin.clone_from(&folder.bin);
    scenario.agents.clone_from(&folder.agents);
}

/// Grants a scenario what it requests and the policy allows. Further requests are reported where it would run.
fn grant(scenario: &mut Scenario, asked: &SourcedGrants, plugin: &PluginFacts, settings: &Settings) {
    scenario.grants.clone_from(&asked.grants);
    let Some(caps) = &settings.caps else { return };
    let excess = caps.excess(asked, &scenario.name, &plugin.digest);
    let allowed = |item: &GrantItem| excess.iter().all(|(beyond, _)| beyond != item);
    scenario.grants = asked.grants.items().into_iter().filter(allowed).collect();
    let told = excess.iter().map(|(item, error)| Ungranted { grant: item.grant(), problem: error.to_string() });
    scenario.ungranted = told.collect();
}

pub(super) fn codes_of(clauses: &[Clause]) -> Vec<&str> {
    clauses.iter().map(|clause| clause.code.as_str()).collect()
}

/// The codes that a plain command can fail with.
pub(super) fn command_codes(command: &CommandSpec) -> Vec<&'static str> {
    let expect = command.expect.as_ref();
    let stdout = expect.and_then(|expect| expect.stdout.as_ref()).map(|_| "stdout");
    let stderr = expect.and_then(|expect| expect.stderr.as_ref()).map(|_| "stderr");
    std::iter::once("exit-code").chain(stdout).chain(stderr).collect()
}

/// Codes of `[[expect-fail]]` that cannot come. A plugin that lists none may use any.
fn unknown_findings(folder: &ScenarioSettings, known: &[&str]) -> Vec<SetupProblem> {
    let codes = folder.expected_failures.iter().flat_map(|expected| &expected.findings);
    let unknown = codes.filter(|(code, _)| !known.is_empty() && !known.contains(&code.as_str()));
    unknown
        .map(|(code, place)| {
            let hint = hint(code, known);
            place.error(format!("the scenario `{}` has no finding `{code}`{hint}", folder.name)).into()
        })
        .collect()
}

fn folders_without_scenario(
    plugin: &PluginFacts,
    declared: &[DeclaredScenario],
    folders: &Folders<'_>,
) -> Vec<SetupProblem> {
    let folders = folders.naming(plugin);
    if folders.is_empty() {
        return Vec::new();
    }
    let known: Vec<&str> = declared.iter().map(|scenario| scenario.name.as_str()).collect();
    let listed: HashSet<&str> = known.iter().copied().collect();
    folders
        .into_iter()
        .filter(|folder| !listed.contains(folder.name.as_str()))
        .map(|folder| {
            let (of, hint) = (seen_from_here(&plugin.path), hint(&folder.name, &known));
            wrong(folder, "plugin", format!("the plugin `{of}` has no scenario `{}`{hint}", folder.name))
        })
        .collect()
}

/// Puts the plugin's label before names that more than one plugin uses.
fn disambiguate(scenarios: &mut [Scenario], plugins: &[PluginFacts]) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in scenarios.iter() {
        *uses.entry(scenario.name.clone()).or_default() += 1;
    }
    let labels: BTreeMap<_, _> = plugins.iter().map(|plugin| (plugin.id, plugin.label.as_str())).collect();
    for scenario in scenarios.iter_mut().filter(|scenario| uses[&scenario.name] > 1) {
        scenario.id = ScenarioId(format!("{}::{}", labels[&scenario.plugin], scenario.name));
    }
}

/// What `name` was probably meant to be, after a semicolon.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    if known.is_empty() { String::new() } else { format!("; {}", did_you_mean(name, known, "there are")) }
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

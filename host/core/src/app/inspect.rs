use std::{collections::BTreeSet, ffi::OsString, path::PathBuf};

use super::{
    error::{Error, Message},
    notices::Notices,
    plugin_files::named_plugins,
    plugins::{ListProblem, ListProblemKind, ListedPlugin, engine, list_each, load_all, open_cache},
    reach,
};
use host_model::{CompileLimits, Declared, DeclaredScenario, Grant, GrantItem, PluginFacts, Redactor};
use host_suite::config::Caps;
use host_wasm::component::{Plugin, Shape};

/// What to inspect.
#[derive(Clone, Debug, Default)]
pub struct InspectSettings {
    /// Files and patterns of plugins.
    pub plugins: Vec<OsString>,
    /// The policy whose effect on the plugins is shown.
    pub policy: Option<PathBuf>,
    /// Limits of compiling a plugin.
    pub compile: CompileLimits,
}

/// What plugins are and could do.
#[derive(Debug)]
pub struct Inspection {
    /// In the order of their names.
    pub plugins: Vec<InspectedPlugin>,
    /// Whether there is a policy.
    pub has_policy: bool,
    /// Why plugins cannot be run.
    pub problems: Vec<Message>,
    /// Removes the secrets that the policy has the host send; they may be part of a name.
    pub redactor: Redactor,
}

/// What a plugin is and could do.
#[derive(Debug)]
pub struct InspectedPlugin {
    /// Its file.
    pub path: PathBuf,
    /// Its form and world, for a person.
    pub kind: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// The SHA-256 of its file.
    pub digest: String,
    /// Why it cannot be run; completes "`FILE` …".
    pub problem: Option<String>,
    /// The scenarios that it declares.
    pub scenarios: Vec<DeclaredScenario>,
    /// The grants that its scenarios need, each with the names of those scenarios.
    pub needs: Vec<(Grant, Vec<String>)>,
    /// Its imports.
    pub imports: Vec<InspectedImport>,
    /// The grants that it could use.
    pub could_use: BTreeSet<Grant>,
    /// What the policy allows it; empty without a policy.
    pub allowed: Vec<GrantItem>,
    /// The smallest policy that it could run with, as far as its file shows.
    pub policy: String,
}

/// An import of a plugin.
#[derive(Debug)]
pub struct InspectedImport {
    /// Its name.
    pub name: String,
    /// What it opens up, for a person.
    pub reach: &'static str,
}

/// Shows what plugins are, what they could reach and which grants they need.
///
/// # Errors
/// A plugin cannot be loaded, or its scenarios cannot be listed.
pub async fn inspect(settings: &InspectSettings, notices: &dyn Notices) -> Result<Inspection, Error> {
    let files = named_plugins(&settings.plugins)?;
    let engine = engine(1, notices)?;
    let cache = open_cache(notices);
    let plugins = load_all(&files, &engine, cache.as_ref(), &settings.compile, notices)?;
    let listed = list_each(&plugins, &engine).await?;
    if listed.iter().any(|listed| matches!(&listed.problem, Some(ListProblem { reason: ListProblemKind::List(_), .. })))
    {
        return Err(Error::setup_all(listed.into_iter().filter_map(|listed| listed.problem)));
    }
    let caps = settings.policy.as_deref().map(Caps::read).transpose().map_err(Error::setup_all)?;
    let secrets = caps.iter().flat_map(Caps::secrets).filter_map(|name| std::env::var(name).ok());
    let redactor = Redactor::new(secrets).map_err(|error| Error::setup(error.to_string()))?;
    let inspected =
        plugins.iter().zip(&listed).map(|(plugin, listed)| InspectedPlugin::of(plugin, listed, caps.as_ref()));
    Ok(Inspection {
        plugins: inspected.collect(),
        has_policy: caps.is_some(),
        problems: listed
            .iter()
            .filter_map(|listed| listed.problem.as_ref())
            .map(|problem| Message::of(problem))
            .collect(),
        redactor,
    })
}

impl InspectedPlugin {
    fn of(plugin: &Plugin, ListedPlugin { facts, problem }: &ListedPlugin, caps: Option<&Caps>) -> Self {
        let imports = plugin.contents.imports.iter();
        Self {
            path: plugin.file.path.clone(),
            kind: kind(plugin),
            bytes: std::fs::metadata(&plugin.file.path).map_or(0, |metadata| metadata.len()),
            digest: format!("sha256:{}", plugin.digest),
            problem: problem.as_ref().map(|problem| problem.reason.to_string()),
            scenarios: match &facts.declared {
                Declared::Command => Vec::new(),
                Declared::Typed(scenarios) => scenarios.clone(),
            },
            needs: needs(facts),
            imports: imports
                .map(|import| InspectedImport { name: import.0.clone(), reach: reach::reach(import) })
                .collect(),
            could_use: reach::could_use(plugin, facts),
            allowed: caps.map(|caps| caps.allowed_to_plugin(&plugin.digest).items()).unwrap_or_default(),
            policy: reach::policy(plugin, facts),
        }
    }
}

fn kind(plugin: &Plugin) -> String {
    let form = if plugin.contents.core_module { "core module" } else { "component" };
    match plugin.contents.shape {
        Shape::Typed => format!("{form} of the world scenario:host/plugin, version 0.1"),
        Shape::Command(version) => format!("{form}, a plain command of {version}"),
    }
}

fn needs(facts: &PluginFacts) -> Vec<(Grant, Vec<String>)> {
    let Declared::Typed(scenarios) = &facts.declared else { return Vec::new() };
    Grant::ALL
        .into_iter()
        .map(|grant| {
            let needing = scenarios.iter().filter(|scenario| scenario.needs.contains(&grant));
            (grant, needing.map(|scenario| scenario.name.clone()).collect::<Vec<_>>())
        })
        .filter(|(_, needing)| !needing.is_empty())
        .collect()
}

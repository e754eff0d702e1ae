//! Loads what a command works on: settings, plugins, scenarios.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{
    args::SuiteArgs,
    caps,
    compiling::Compiling,
    failure::{Failure, chain},
    list::one_line,
    terminal,
};
use host_core::runner::{LinkError, Linkers};
use host_model::{CompileLimits, Declared, PluginFacts, PluginId, PluginInfo, Scenario, shown};
use host_suite::config::{ConfigError, Overrides, ScenarioSettings, Settings, SourceError, SourceSpan, seen_from_here};
use host_suite::plan;
use host_wasm::component::{self, DiscoverError, ListError, Lister, Plugin, PluginFile, Shape};
use host_wasm::engine::{Cache, Engine, MAX_SLOTS};

/// A suite with its plugins, compiled and asked for their scenarios.
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) plugins: Vec<Plugin>,
    pub(super) scenarios: Vec<Scenario>,
}

impl Loaded {
    /// The plugins as the event log names them.
    pub(super) fn plugin_infos(&self) -> Vec<PluginInfo> {
        self.plugins
            .iter()
            .map(|plugin| PluginInfo {
                label: plugin.file.label.clone(),
                path: as_text(&plugin.file.path),
                digest: format!("sha256:{}", plugin.digest),
            })
            .collect()
    }
}

/// The current folder.
///
/// # Errors
/// It was removed, or may not be read.
pub(super) fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::setup(match error.kind() {
            io::ErrorKind::NotFound => "the current folder does not exist any more: it was removed or moved\n\
                                        help: change to a folder that exists (`cd`)"
                .to_owned(),
            _ => format!("cannot find the current folder: {error}\nhelp: change to a folder that you may read (`cd`)"),
        })
    })
}

/// The day in UTC, by which expected failures expire.
pub(super) fn today() -> jiff::civil::Date {
    host_clock::wall().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Loads the suite around the current folder with the plugins that `args` name, and `overrides` over it.
///
/// # Errors
/// Everything that is wrong, told together where possible.
pub(super) async fn load(args: &SuiteArgs, overrides: &Overrides) -> Result<Loaded, Failure> {
    let cwd = current_dir()?;
    let mut settings = settings(&cwd, overrides).map_err(Failure::setup_all)?;
    if let Some(warning) = caps::within_repository(&settings) {
        terminal::warning(warning);
    }
    if settings.jobs > MAX_SLOTS {
        let jobs = settings.jobs;
        terminal::warning(format_args!(
            "{jobs} is more than the most attempts that can run in parallel; the host runs {MAX_SLOTS}"
        ));
        settings.jobs = MAX_SLOTS;
    }
    let files = find(&args.plugins, &settings, &cwd)?;
    let engine = engine(settings.jobs)?;
    let cache = if args.no_cache { None } else { open_cache() };
    let plugins = load_all(&files, &engine, cache.as_ref(), &settings.compile)?;
    let facts = ask_all(&plugins, &engine).await?;
    let scenarios = plan::resolve(&facts, &settings).map_err(Failure::setup_all)?;
    Ok(Loaded { settings, plugins, scenarios })
}

/// The settings around `cwd`, the scenarios' files named as a person there would.
pub(super) fn settings(cwd: &Path, overrides: &Overrides) -> Result<Settings, Vec<ConfigError>> {
    let mut settings = Settings::resolve(cwd, overrides)?;
    for scenario in settings.scenarios.values_mut() {
        scenario.file = scenario.file.take().map(|file| as_text(file.strip_prefix(cwd).unwrap_or(&file)));
    }
    Ok(settings)
}

/// A path for the event log, which is text.
pub(super) fn as_text(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}

/// A path below the current folder without what leads there, as a person would write it.
pub(super) fn as_seen_here(path: &Path) -> PathBuf {
    let cwd = std::env::current_dir().ok();
    cwd.and_then(|cwd| path.strip_prefix(cwd).ok()).unwrap_or(path).to_owned()
}

/// A plugin that a file of the suite names is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    /// Its place is known.
    #[error(transparent)]
    Named(SourceError),
    /// Its place is not.
    #[error(transparent)]
    Given(DiscoverError),
}

/// The files of the plugins that the command line names.
pub(super) fn named_plugins(plugins: &[OsString]) -> Result<Vec<PluginFile>, Failure> {
    component::discover(plugins, Path::new(""))
        .map_err(|problems| Failure::setup_all(problems.into_iter().map(|(_, problem)| problem)))
}

/// The files of the plugins that were `given`, or else of those that the suite names.
pub(super) fn find(given: &[OsString], settings: &Settings, cwd: &Path) -> Result<Vec<PluginFile>, Failure> {
    if !given.is_empty() {
        let scenario = given.iter().find(|name| {
            name.to_str().is_some_and(|name| settings.scenarios.contains_key(name)) && !Path::new(name).exists()
        });
        return match scenario.map(|name| name.to_string_lossy()) {
            Some(name) => Err(Failure::setup(format!(
                "there is no plugin `{name}`; to select the scenario of that name, write it behind `--` (`host run -- {name}`)"
            ))),
            None => named_plugins(given).and_then(|files| match wrong_patterns(settings) {
                wrong if wrong.is_empty() => Ok(files),
                wrong => Err(Failure::setup_all(wrong)),
            }),
        };
    }
    let (names, places): (Vec<OsString>, Vec<Option<&SourceSpan>>) = settings
        .plugins
        .iter()
        .map(|(name, place)| (OsString::from(name), Some(place)))
        .chain(settings.scenarios.values().filter_map(|scenario| {
            Some((scenario.plugin.as_ref()?.as_os_str().to_owned(), scenario.places.get("plugin")))
        }))
        .unzip();
    if names.is_empty() {
        return Err(Failure::setup(match &settings.suite {
            Some(suite) => format!(
                "{} names no plugins: name them there under `plugins`, or on the command line (`host run plugins/*.wasm`)",
                seen_from_here(suite)
            ),
            None => format!(
                "there is no scenarios/suite.toml in {}: name the suite with `--suite PATH`, or plugins on the command \
                 line (`host run plugins/*.wasm`)",
                shown(cwd)
            ),
        }));
    }
    let mut files = component::discover(&names, &settings.base).map_err(|problems| {
        Failure::setup_all(problems.into_iter().map(|(index, problem)| match places[index] {
            Some(place) => FindError::Named(place.error(chain(&problem))),
            None => FindError::Given(problem),
        }))
    })?;
    // As a person in `cwd` would write them.
    for file in &mut files {
        if let Ok(short) = file.path.strip_prefix(cwd) {
            file.path = short.to_owned();
        }
    }
    Ok(files)
}

/// Patterns of the suite that are none: no plugin that is built later makes them one.
fn wrong_patterns(settings: &Settings) -> Vec<SourceError> {
    let wrong = missing(settings, &[]).into_iter().filter(|missing| !missing.may_come);
    wrong.map(|missing| missing.error).collect()
}

/// A plugin that the suite names and that is not there.
pub(super) struct Missing {
    /// What is wrong, at its place.
    pub(super) error: SourceError,
    /// Whether nothing is wrong but that it has to be built.
    pub(super) may_come: bool,
}

/// The plugins that the suite's files name in vain, beside those that were `given` in their place.
pub(super) fn missing(settings: &Settings, given: &[PluginFile]) -> Vec<Missing> {
    let suite = settings.plugins.iter().flat_map(|(name, place)| {
        let problems = component::discover(&[name], &settings.base).err().unwrap_or_default();
        problems.into_iter().map(move |(_, problem)| Missing {
            error: place.error(chain(&problem)),
            may_come: !matches!(problem, DiscoverError::BadPattern { .. }),
        })
    });
    // One that lies elsewhere under its name is that plugin too.
    let is_given = |plugin: &Path| given.iter().any(|file| file.canonical.file_name() == plugin.file_name());
    let lacking = move |scenario: &&ScenarioSettings| {
        scenario.lacks_its_plugin() && !scenario.plugin.as_deref().is_some_and(is_given)
    };
    let folders = settings.scenarios.values().filter(lacking).filter_map(|scenario| {
        let place = scenario.places.get("plugin")?;
        let plugin = seen_from_here(scenario.plugin.as_deref()?);
        let message =
            format!("there is no plugin `{plugin}`, so this folder is not used; build it, or correct its name");
        Some(Missing { error: place.error(message), may_come: true })
    });
    suite.chain(folders).collect()
}

/// An engine for `slots` attempts at once. What it lacks on this machine is said once.
pub(super) fn engine(slots: usize) -> Result<Engine, Failure> {
    let engine = Engine::new(slots)?;
    if let Some(shortage) = engine.shortage() {
        terminal::warning(format_args!(
            "address space is too short for the engine's pool of {slots}, so components start and run \
             slower; lower --jobs, or raise `ulimit -v` ({})",
            one_line(shortage)
        ));
    }
    Ok(engine)
}

/// The user's cache of compiled plugins. Without one, every run compiles; that is said once.
pub(super) fn open_cache() -> Option<Cache> {
    let Some(folder) = cache_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty())) else {
        terminal::warning("there is no folder for the compile cache (no HOME); plugins are compiled anew");
        return None;
    };
    match Cache::open(&folder) {
        Ok(cache) => Some(cache),
        Err(error) => {
            terminal::warning(format_args!("{}; plugins are compiled anew", one_line(&chain(&error))));
            None
        }
    }
}

/// Where the cache is, by the environment.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(given) = variable("HOST_CACHE_DIR") {
        return Some(given.into());
    }
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("host").join("components"))
}

/// Loads the plugins, and says which have to be compiled.
pub(super) fn load_all(
    files: &[PluginFile],
    engine: &Engine,
    cache: Option<&Cache>,
    limits: &CompileLimits,
) -> Result<Vec<Plugin>, Failure> {
    component::load_all(files, engine, cache, limits, &Compiling::on_stderr()).map_err(Failure::setup_all)
}

/// Links the plugins, and asks the typed ones for their scenarios, each distinct content once.
pub(super) async fn ask_all(plugins: &[Plugin], engine: &Engine) -> Result<Vec<PluginFacts>, Failure> {
    let mut facts = Vec::with_capacity(plugins.len());
    let mut problems = Vec::new();
    for asked in ask_each(plugins, engine).await? {
        problems.extend(asked.problem);
        facts.push(asked.facts);
    }
    if problems.is_empty() { Ok(facts) } else { Err(Failure::setup_all(problems)) }
}

/// What is known of a plugin. Where there is a problem, it has no scenarios.
pub(super) struct Asked {
    pub(super) facts: PluginFacts,
    pub(super) problem: Option<AskProblem>,
}

/// The same as [`ask_all`], the problems of each beside what is known of it. A content's problem is told once.
pub(super) async fn ask_each(plugins: &[Plugin], engine: &Engine) -> Result<Vec<Asked>, Failure> {
    let lister = Lister::new(engine).map_err(|error| Failure::setup(format!("{error:#}")))?;
    let mut linkers = Linkers::default();
    let mut known: HashMap<&str, Declared> = HashMap::new();
    let mut all = Vec::with_capacity(plugins.len());
    for (index, plugin) in plugins.iter().enumerate() {
        let (declared, problem) = match known.get(plugin.digest.as_str()) {
            Some(declared) => (declared.clone(), None),
            None => match declare(&lister, &mut linkers, plugin).await {
                Ok(declared) => (declared, None),
                Err(reason) => {
                    let nothing = match plugin.contents.shape {
                        Shape::Command(_) => Declared::Command,
                        Shape::Typed => Declared::Typed(Vec::new()),
                    };
                    (nothing, Some(AskProblem { path: plugin.file.path.clone(), reason }))
                }
            },
        };
        known.entry(&plugin.digest).or_insert_with(|| declared.clone());
        let facts = PluginFacts {
            id: PluginId(index),
            label: plugin.file.label.clone(),
            path: plugin.file.path.clone(),
            canonical: plugin.file.canonical.clone(),
            digest: plugin.digest.clone(),
            declared,
        };
        all.push(Asked { facts, problem });
    }
    Ok(all)
}

/// `FILE`, and why it cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {reason}", shown(path))]
pub(super) struct AskProblem {
    path: PathBuf,
    pub(super) reason: AskReason,
}

/// Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub(super) enum AskReason {
    /// It cannot be linked. What it is can be told all the same.
    #[error(transparent)]
    Link(LinkError),
    /// Its list cannot be used.
    #[error(transparent)]
    List(ListError),
}

async fn declare(lister: &Lister, linkers: &mut Linkers, plugin: &Plugin) -> Result<Declared, AskReason> {
    linkers.check(plugin).map_err(AskReason::Link)?;
    match plugin.contents.shape {
        Shape::Command(_) => Ok(Declared::Command),
        Shape::Typed => lister.list(plugin).await.map(Declared::Typed).map_err(AskReason::List),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let folder = |given: &[(&str, &str)]| {
            cache_folder(|name| given.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(folder(&[]), None);
        assert_eq!(folder(&[("HOME", "relative")]), None);
        assert_eq!(folder(&[("HOME", "/h")]), Some("/h/.cache/host/components".into()));
        assert_eq!(folder(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Some("/c/host/components".into()));
        assert_eq!(folder(&[("HOME", "/h"), ("HOST_CACHE_DIR", "own")]), Some("own".into()));
    }
}

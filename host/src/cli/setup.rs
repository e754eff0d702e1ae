//! Loads what a command works on: settings, plugins, scenarios.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{args::SuiteArgs, failure::Failure};
use crate::{
    component::{self, Lister, LoadError, Plugin, PluginFile, Shape},
    config::{Overrides, Settings},
    engine::{Cache, Engine, MAX_SLOTS},
    model::{Declared, PluginFacts, PluginId, PluginInfo, Scenario},
    plan,
};

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
                path: plugin.file.path.clone(),
                digest: format!("sha256:{}", plugin.digest),
            })
            .collect()
    }
}

/// Loads the suite around the current folder with the plugins that `args` name.
///
/// # Errors
/// Everything that is wrong, told together where possible.
pub(super) async fn load(args: &SuiteArgs, jobs: Option<usize>, agents: &[String]) -> Result<Loaded, Failure> {
    let cwd = std::env::current_dir()?;
    let overrides = Overrides { suite: args.suite.clone(), jobs, lanes: args.lanes.clone(), agents: agents.to_vec() };
    let mut settings = Settings::resolve(&cwd, &overrides).map_err(Failure::setup_all)?;
    if settings.jobs > MAX_SLOTS {
        eprintln!("warning: {} attempts at once are more than this host runs; it runs {MAX_SLOTS}", settings.jobs);
        settings.jobs = MAX_SLOTS;
    }
    let files = find(args, &settings, &cwd)?;
    let engine = Engine::new(settings.jobs)?;
    let cache = if args.no_cache { None } else { open_cache() };
    let plugins = load_all(&files, &engine, cache.as_ref()).map_err(Failure::setup_all)?;
    let facts = ask_all(&plugins, &engine).await?;
    let scenarios = plan::resolve(&facts, &settings).map_err(Failure::setup_all)?;
    Ok(Loaded { settings, plugins, scenarios })
}

fn find(args: &SuiteArgs, settings: &Settings, cwd: &Path) -> Result<Vec<PluginFile>, Failure> {
    if !args.plugins.is_empty() {
        return component::discover(&args.plugins, Path::new("")).map_err(Failure::setup_all);
    }
    let named = settings.scenarios.values().filter_map(|scenario| scenario.plugin.as_ref());
    let names: Vec<String> =
        settings.plugins.iter().cloned().chain(named.map(|path| path.to_string_lossy().into_owned())).collect();
    if names.is_empty() {
        let what = match &settings.suite {
            Some(suite) => format!("{} names no plugins", suite.display()),
            None => format!("there is no suite in {}", cwd.display()),
        };
        return Err(Failure::setup(format!(
            "{what}: name plugins on the command line (`host run plugins/*.wasm`) or under `plugins` in scenarios/suite.toml"
        )));
    }
    let mut files = component::discover(&names, &settings.base).map_err(Failure::setup_all)?;
    // As a person in `cwd` would write them.
    for file in &mut files {
        if let Ok(short) = file.path.strip_prefix(cwd) {
            file.path = short.to_owned();
        }
    }
    Ok(files)
}

/// The user's cache of compiled plugins. Without one, every run compiles; that is said once.
pub(super) fn open_cache() -> Option<Cache> {
    let folder = std::env::var_os("HOST_CACHE_DIR").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(base.join("host").join("components"))
    })?;
    match Cache::open(&folder) {
        Ok(cache) => Some(cache),
        Err(error) => {
            eprintln!("warning: {}; plugins are compiled anew", super::failure::chain(&error));
            None
        }
    }
}

/// Loads the plugins, each distinct content once, on every core.
pub(super) fn load_all(
    files: &[PluginFile],
    engine: &Engine,
    cache: Option<&Cache>,
) -> Result<Vec<Plugin>, Vec<LoadError>> {
    let digests = every(files, |file| component::read(file).map(|bytes| component::digest_of(&bytes)));
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut distinct: Vec<usize> = Vec::new();
    for (index, digest) in digests.iter().enumerate() {
        if let Ok(digest) = digest {
            first.entry(digest).or_insert_with(|| {
                distinct.push(index);
                distinct.len() - 1
            });
        }
    }
    let loaded = every(&distinct, |index| {
        let file = &files[*index];
        // Read again: keeping every file's bytes would hold them all in memory at once.
        let bytes = component::read(file)?;
        component::load(file, &bytes, &component::digest_of(&bytes), engine, cache)
    });
    let mut plugins = Vec::with_capacity(files.len());
    let mut problems = Vec::new();
    let mut loaded: Vec<Result<Plugin, Option<LoadError>>> =
        loaded.into_iter().map(|result| result.map_err(Some)).collect();
    for (file, digest) in files.iter().zip(&digests) {
        let Ok(digest) = digest else { continue };
        match &mut loaded[first[digest.as_str()]] {
            Ok(plugin) => plugins.push(Plugin { file: file.clone(), ..plugin.clone() }),
            // A content that is wrong is told once, by its first file.
            Err(error) => problems.extend(error.take()),
        }
    }
    problems.extend(digests.into_iter().filter_map(Result::err));
    if problems.is_empty() { Ok(plugins) } else { Err(problems) }
}

/// Asks the typed plugins for their scenarios, each distinct content once.
pub(super) async fn ask_all(plugins: &[Plugin], engine: &Engine) -> Result<Vec<PluginFacts>, Failure> {
    let lister = Lister::new(engine).map_err(|error| Failure::setup(format!("{error:#}")))?;
    let mut known: HashMap<&str, Declared> = HashMap::new();
    let mut facts = Vec::with_capacity(plugins.len());
    let mut problems = Vec::new();
    for (index, plugin) in plugins.iter().enumerate() {
        let declared = match known.get(plugin.digest.as_str()) {
            Some(declared) => declared.clone(),
            None => match declare(&lister, plugin).await {
                Ok(declared) => declared,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            },
        };
        known.entry(&plugin.digest).or_insert_with(|| declared.clone());
        facts.push(PluginFacts {
            id: PluginId(index),
            label: plugin.file.label.clone(),
            path: plugin.file.path.clone(),
            canonical: plugin.file.canonical.clone(),
            declared,
        });
    }
    if problems.is_empty() { Ok(facts) } else { Err(Failure::setup_all(problems)) }
}

/// `FILE` and what is wrong with its list.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {source}", path.display())]
pub(super) struct ListProblem {
    path: PathBuf,
    source: component::ListError,
}

async fn declare(lister: &Lister, plugin: &Plugin) -> Result<Declared, ListProblem> {
    match plugin.contents.shape {
        Shape::Command(_) => Ok(Declared::Command),
        Shape::Typed => lister
            .list(plugin)
            .await
            .map(Declared::Typed)
            .map_err(|source| ListProblem { path: plugin.file.path.clone(), source }),
    }
}

/// Does the same for every item on every core, in order.
fn every<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

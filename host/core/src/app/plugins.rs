//! Loads plugins and reads their lists of scenarios.

use std::{any::Any, collections::HashMap, ffi::OsString, path::PathBuf};

use super::{
    error::{Error, Message, chain},
    notices::Notices,
    text::one_line,
};
use host_model::{CompileLimits, Declared, PluginFacts, PluginId, shown};
use host_wasm::component::{self, CompileObserver, Plugin, PluginFile, Shape};
use host_wasm::engine::{Cache, Engine};
use host_wasm::guest::{LinkError, Linkers, ListError, Lister};

/// An engine for `slots` attempts in parallel. Warns if the machine is short of something.
pub(super) fn engine(slots: usize, notices: &dyn Notices) -> Result<Engine, Error> {
    let engine = Engine::new(slots).map_err(|error| Error::of(&error))?;
    if let Some(shortage) = engine.shortage() {
        notices.warning(Message::plain(format!(
            "not enough address space for the engine's pool of {slots}, so components start and run more slowly\n\
             help: lower --jobs, or raise `ulimit -v` ({})",
            one_line(shortage)
        )));
    }
    Ok(engine)
}

/// The user's cache of compiled plugins. Warns if there is none: then every run compiles.
pub(super) fn open_cache(notices: &dyn Notices) -> Option<Cache> {
    let Some(folder) = cache_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty())) else {
        notices.warning(Message::plain("the compile cache is disabled: HOME is not set"));
        return None;
    };
    match Cache::open(&folder) {
        Ok(cache) => Some(cache),
        Err(error) => {
            notices.warning(Message::plain(format!("{}; the compile cache is disabled", one_line(&chain(&error)))));
            None
        }
    }
}

/// Where the cache is, according to the environment.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(given) = variable("HOST_CACHE_DIR") {
        return Some(given.into());
    }
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("host").join("components"))
}

/// Loads the plugins; notices report which have to be compiled.
pub(super) fn load_all(
    files: &[PluginFile],
    engine: &Engine,
    cache: Option<&Cache>,
    limits: &CompileLimits,
    notices: &dyn Notices,
) -> Result<Vec<Plugin>, Error> {
    component::load_all(files, engine, cache, limits, &CompileNotices(notices)).map_err(Error::setup_all)
}

/// Passes on which plugins are compiled.
struct CompileNotices<'a>(&'a dyn Notices);

impl CompileObserver for CompileNotices<'_> {
    fn compiling(&self, file: &PluginFile, bytes: usize) -> Box<dyn Any> {
        self.0.compiling(file, bytes)
    }
}

/// Links the plugins, and lists the scenarios of the typed ones, each distinct content once.
pub(super) async fn list_all(plugins: &[Plugin], engine: &Engine) -> Result<Vec<PluginFacts>, Error> {
    let mut facts = Vec::with_capacity(plugins.len());
    let mut problems = Vec::new();
    for listed in list_each(plugins, engine).await? {
        problems.extend(listed.problem);
        facts.push(listed.facts);
    }
    if problems.is_empty() { Ok(facts) } else { Err(Error::setup_all(problems)) }
}

/// The facts about a plugin. With a problem it has no scenarios.
pub(super) struct ListedPlugin {
    pub(super) facts: PluginFacts,
    pub(super) problem: Option<ListProblem>,
}

/// The same as [`list_all`], with the problem of each plugin next to its facts. A content's problem is reported once.
pub(super) async fn list_each(plugins: &[Plugin], engine: &Engine) -> Result<Vec<ListedPlugin>, Error> {
    let lister = Lister::new(engine).map_err(|error| Error::setup(format!("{error:#}")))?;
    let mut linkers = Linkers::default();
    let mut known: HashMap<&str, Declared> = HashMap::new();
    let mut all = Vec::with_capacity(plugins.len());
    for (index, plugin) in plugins.iter().enumerate() {
        let (declared, problem) = match known.get(plugin.digest.as_str()) {
            Some(declared) => (declared.clone(), None),
            None => match list_plugin(&lister, &mut linkers, plugin).await {
                Ok(declared) => (declared, None),
                Err(reason) => {
                    let nothing = match plugin.contents.shape {
                        Shape::Command(_) => Declared::Command,
                        Shape::Typed => Declared::Typed(Vec::new()),
                    };
                    (nothing, Some(ListProblem { path: plugin.file.path.clone(), reason }))
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
        all.push(ListedPlugin { facts, problem });
    }
    Ok(all)
}

/// Why the file at `path` cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {reason}", shown(path))]
pub(super) struct ListProblem {
    path: PathBuf,
    pub(super) reason: ListProblemKind,
}

/// Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub(super) enum ListProblemKind {
    /// It cannot be linked. It can be inspected all the same.
    #[error(transparent)]
    Link(LinkError),
    /// Its list of scenarios cannot be used.
    #[error(transparent)]
    List(ListError),
}

async fn list_plugin(lister: &Lister, linkers: &mut Linkers, plugin: &Plugin) -> Result<Declared, ListProblemKind> {
    linkers.check(plugin).map_err(ListProblemKind::Link)?;
    match plugin.contents.shape {
        Shape::Command(_) => Ok(Declared::Command),
        Shape::Typed => lister.list(plugin).await.map(Declared::Typed).map_err(ListProblemKind::List),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_sets_the_cache_folder() {
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

//! Loads many plugins on every core, each distinct content once.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    CompileObserver, LoadError, LoadProblem, Plugin, PluginFile,
    load::{Loader, Source},
};
use crate::engine::{Cache, ContentKey, Engine};
use host_model::CompileLimits;

/// The plugin of a content, loaded by the first thread that needs it.
type LoadOnce = Arc<OnceLock<Result<Plugin, LoadProblem>>>;

/// Loads the plugins in `files`, in their order. `watch` observes compilations, which are bounded by `limits`.
///
/// # Errors
/// All problems. The problem of a content is reported once, for its first file.
pub fn load_all(
    files: &[PluginFile],
    engine: &Engine,
    cache: Option<&Cache>,
    limits: &CompileLimits,
    watch: &dyn CompileObserver,
) -> Result<Vec<Plugin>, Vec<LoadError>> {
    let loader = Loader { engine, cache, limits, watch };
    let contents: Mutex<HashMap<ContentKey, LoadOnce>> = Mutex::default();
    let keys = parallel_map(files, |file| {
        catch_panic(|| {
            let source = Source::read(&file.path)?;
            let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
            let content = Arc::clone(contents.entry(source.key.clone()).or_default());
            drop(contents);
            // Threads with the same content wait here.
            content.get_or_init(|| catch_panic(|| loader.load(file, &source)));
            Ok(source.key)
        })
    });
    let contents = contents.into_inner().unwrap_or_else(PoisonError::into_inner);
    let loaded = contents
        .into_iter()
        .filter_map(|(key, content)| Some((key, Arc::into_inner(content)?.into_inner()?.map_err(Some))))
        .collect();
    in_order(files, keys, loaded)
}

/// The plugin of each file by its content's key; each problem is reported once.
fn in_order(
    files: &[PluginFile],
    keys: Vec<Result<ContentKey, LoadProblem>>,
    mut loaded: HashMap<ContentKey, Result<Plugin, Option<LoadProblem>>>,
) -> Result<Vec<Plugin>, Vec<LoadError>> {
    let mut plugins = Vec::with_capacity(files.len());
    let mut problems = Vec::new();
    for (file, key) in files.iter().zip(keys) {
        let problem = match key.map(|key| loaded.get_mut(&key)) {
            Ok(Some(Ok(plugin))) => {
                plugins.push(Plugin { file: file.clone(), ..plugin.clone() });
                None
            }
            Ok(Some(Err(problem))) => problem.take(),
            // Every file must become a plugin or a problem.
            Ok(None) => Some(LoadProblem::Panic { reason: "its content was never loaded".into() }),
            Err(problem) => Some(problem),
        };
        problems.extend(problem.map(|problem| LoadError { path: file.path.clone(), problem }));
    }
    if problems.is_empty() { Ok(plugins) } else { Err(problems) }
}

/// Runs `work`. A panic becomes a problem of this file only.
fn catch_panic<R>(work: impl FnOnce() -> Result<R, LoadProblem>) -> Result<R, LoadProblem> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message =
            panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(LoadProblem::Panic { reason: message.unwrap_or("it panicked").to_owned() })
    })
}

/// Maps all items on all cores, in order.
fn parallel_map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores.min(items.len()) {
            // With fewer threads it takes longer.
            let _ = std::thread::Builder::new().spawn_scoped(scope, worker);
        }
        worker();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_never_loaded_is_an_error() {
        let files = ["a.wasm", "b.wasm"].map(|name| PluginFile {
            path: name.into(),
            canonical: name.into(),
            label: name.into(),
        });
        let keys = || files.iter().map(|_| Ok(ContentKey::of(b"one"))).collect();
        let problems = in_order(&files, keys(), HashMap::new()).err().unwrap();
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            messages.len() == 2 && messages.iter().all(|messages| messages.ends_with("its content was never loaded")),
            "{messages:?}"
        );
        // A problem is reported for the first of its files, and there are still no plugins.
        let broken = Err(Some(LoadProblem::Panic { reason: "broken".into() }));
        let problems = in_order(&files, keys(), [(ContentKey::of(b"one"), broken)].into()).err().unwrap();
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_panic_over_a_file_names_it() {
        let messages = |work: fn() -> Result<(), LoadProblem>| {
            LoadError { path: "a\n.wasm".into(), problem: catch_panic(work).unwrap_err() }.to_string()
        };
        assert_eq!(
            messages(|| panic!("index {}\nis out of range", 3)),
            "`a\\n.wasm` cannot be loaded because of a bug in `host`; please report it: index 3\\nis out of range"
        );
        assert!(messages(|| panic!("plain")).ends_with("report it: plain"));
        assert!(catch_panic(|| Ok(())).is_ok());
    }
}

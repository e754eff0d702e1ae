//! Removes the snapshot of a fixture when no trial of its scenario is left, while others go on: at the run's end little
//! is left to remove.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::spawn_blocking;

use crate::{model::ScenarioId, plan::Plan, sandbox::remove_tree};

/// Snapshots that trials still need, and those that none does.
pub(super) struct Spent {
    needed: Mutex<HashMap<ScenarioId, Needed>>,
    waste: Arc<Waste>,
}

struct Needed {
    trials: usize,
    folder: PathBuf,
}

#[derive(Default)]
struct Waste {
    waiting: Mutex<Waiting>,
    /// Held while a folder is removed.
    removing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    folders: Vec<PathBuf>,
    /// Whether somebody is about to remove them.
    seen_to: bool,
    closed: bool,
}

impl Spent {
    /// For the snapshots of `plan` in `folders`.
    pub(super) fn of(plan: &Plan, folders: impl IntoIterator<Item = (ScenarioId, PathBuf)>) -> Self {
        let mut needed: HashMap<_, _> =
            folders.into_iter().map(|(scenario, folder)| (scenario, Needed { trials: 0, folder })).collect();
        for trial in plan.trials() {
            if let Some(needed) = needed.get_mut(&trial.scenario.id) {
                needed.trials += 1;
            }
        }
        Self { needed: Mutex::new(needed), waste: Arc::default() }
    }

    /// A trial of `scenario` is over. To be called within the runtime, on whose threads for what blocks it removes.
    pub(super) fn over(&self, scenario: &ScenarioId) {
        let mut all = lock(&self.needed);
        let Some(needed) = all.get_mut(scenario) else { return };
        needed.trials = needed.trials.saturating_sub(1);
        if needed.trials > 0 {
            return;
        }
        let Some(Needed { folder, .. }) = all.remove(scenario) else { return };
        let mut waiting = lock(&self.waste.waiting);
        waiting.folders.push(folder);
        if !std::mem::replace(&mut waiting.seen_to, true) {
            let waste = Arc::clone(&self.waste);
            // One thread: the attempts need the others, and the disk.
            spawn_blocking(move || waste.remove());
        }
    }

    /// Removes nothing any more when it returns: what is left is for whoever removes the rest.
    pub(super) fn close(&self) {
        lock(&self.waste.waiting).closed = true;
        drop(lock(&self.waste.removing));
    }
}

impl Waste {
    fn remove(&self) {
        loop {
            let _removing = lock(&self.removing);
            let Some(folder) = self.next() else { return };
            // What would not go is told when the workspace is removed.
            let _ = remove_tree(&folder);
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.folders.pop().filter(|_| !waiting.closed);
        waiting.seen_to = next.is_some();
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

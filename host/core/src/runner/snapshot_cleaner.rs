//! Removes the snapshot of a fixture once the last trial of its scenario is finished, while other trials run. So little is
//! left to remove at the end of the run.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
};

use tokio::task::spawn_blocking;

use host_fs::remove_tree;
use host_model::ScenarioId;
use host_suite::plan::Plan;

/// Folders that are removed in parallel during the run and after it. Removing waits for the disk, and so do attempts.
const MAX_WORKERS_DURING_RUN: usize = 4;
const MAX_WORKERS_AT_END: usize = 16;

/// The snapshots that trials still need, and those that are to be removed.
pub(super) struct SnapshotCleaner {
    needed: Mutex<HashMap<ScenarioId, Needed>>,
    queue: Arc<RemovalQueue>,
}

struct Needed {
    trials: usize,
    folder: PathBuf,
}

#[derive(Default)]
struct RemovalQueue {
    waiting: Mutex<Waiting>,
    /// Read while a folder is removed.
    removing: RwLock<()>,
}

#[derive(Default)]
struct Waiting {
    folders: Vec<PathBuf>,
    /// How many threads remove them.
    workers: usize,
}

impl SnapshotCleaner {
    /// For the snapshots of `plan` in `folders`.
    pub(super) fn of(plan: &Plan, folders: impl IntoIterator<Item = (ScenarioId, PathBuf)>) -> Self {
        let mut needed: HashMap<_, _> =
            folders.into_iter().map(|(scenario, folder)| (scenario, Needed { trials: 0, folder })).collect();
        for trial in plan.trials() {
            if let Some(needed) = needed.get_mut(&trial.scenario.id) {
                needed.trials += 1;
            }
        }
        Self { needed: Mutex::new(needed), queue: Arc::default() }
    }

    /// A trial of `scenario` is finished. Must be called within the runtime: removing happens on its blocking threads.
    pub(super) fn trial_finished(&self, scenario: &ScenarioId) {
        let mut all = lock(&self.needed);
        let Some(needed) = all.get_mut(scenario) else { return };
        needed.trials = needed.trials.saturating_sub(1);
        if needed.trials > 0 {
            return;
        }
        let Some(Needed { folder, .. }) = all.remove(scenario) else { return };
        let mut waiting = lock(&self.queue.waiting);
        waiting.folders.push(folder);
        if waiting.workers < MAX_WORKERS_DURING_RUN {
            waiting.workers += 1;
            let queue = Arc::clone(&self.queue);
            spawn_blocking(move || queue.remove());
        }
    }

    /// Removes what no trial needs, and returns once nothing is being removed any more.
    pub(super) fn close(&self) {
        let helpers = lock(&self.queue.waiting).folders.len().min(MAX_WORKERS_AT_END);
        thread::scope(|scope| {
            for _ in 1..helpers {
                lock(&self.queue.waiting).workers += 1;
                // Without another thread it takes longer.
                if thread::Builder::new().spawn_scoped(scope, || self.queue.remove()).is_err() {
                    lock(&self.queue.waiting).workers -= 1;
                }
            }
            lock(&self.queue.waiting).workers += 1;
            self.queue.remove();
        });
        drop(self.queue.removing.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl RemovalQueue {
    fn remove(&self) {
        loop {
            let _removing = self.removing.read().unwrap_or_else(PoisonError::into_inner);
            let Some(folder) = self.next() else { return };
            // A folder that is left is reported when the workspace is removed.
            let _ = remove_tree(&folder);
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.folders.pop();
        waiting.workers -= usize::from(next.is_none());
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use host_model::{Canary, LaneName, RunRules, Scenario, TrialId};
    use host_suite::config::LaneKind;
    use host_suite::plan::{LanePlan, PlannedTrial};

    #[tokio::test]
    async fn only_snapshots_without_trials_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let name = |number: usize| ScenarioId(format!("s{number}"));
        let folders: Vec<_> = (0..50).map(|number| (name(number), folder.path().join(format!("f{number}")))).collect();
        for (_, snapshot) in &folders {
            fs::create_dir_all(snapshot.join("before/deep")).unwrap();
            fs::write(snapshot.join("before/deep/file"), "x").unwrap();
        }
        let lane = |lane: &str| {
            let trial = |number| {
                let scenario = Arc::new(Scenario { id: name(number), ..Scenario::named("s") });
                let id = TrialId { lane: LaneName(lane.into()), scenario: name(number) };
                Arc::new(PlannedTrial::once(id, scenario, Canary::No, None))
            };
            let kind = LaneKind::Scripted { agent: "right".into() };
            LanePlan::unguarded(LaneName(lane.into()), kind, (0..50).map(trial).collect())
        };
        let lanes = vec![lane("one"), lane("other")];
        let plan = Plan { lanes, jobs: 1, policy: RunRules::default(), canary_skipped: false };
        let snapshot_cleaner = SnapshotCleaner::of(&plan, folders);
        (0..50).for_each(|number| snapshot_cleaner.trial_finished(&name(number)));
        snapshot_cleaner.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 50, "each has a second trial");
        (0..49).for_each(|number| snapshot_cleaner.trial_finished(&name(number)));
        snapshot_cleaner.trial_finished(&ScenarioId("without a fixture".into()));
        snapshot_cleaner.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(folder.path().join("f49/before/deep/file").exists());
    }
}

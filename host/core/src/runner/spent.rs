//! Removes the snapshot of a fixture when no trial of its scenario is left, while others go on: at the run's end little
//! is left to remove.

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

/// Folders that are removed at once while the run goes on, and when it is over. It is the disk that is waited for; the
/// attempts wait for it too.
const MEANWHILE: usize = 4;
const AT_THE_END: usize = 16;

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
    /// Read while a folder is removed.
    removing: RwLock<()>,
}

#[derive(Default)]
struct Waiting {
    folders: Vec<PathBuf>,
    /// How many remove them.
    workers: usize,
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
        if waiting.workers < MEANWHILE {
            waiting.workers += 1;
            let waste = Arc::clone(&self.waste);
            spawn_blocking(move || waste.remove());
        }
    }

    /// Removes what no trial needs, and returns when nobody here removes anything any more.
    pub(super) fn close(&self) {
        let helpers = lock(&self.waste.waiting).folders.len().min(AT_THE_END);
        thread::scope(|scope| {
            for _ in 1..helpers {
                lock(&self.waste.waiting).workers += 1;
                // Where no thread can be had, it takes longer.
                if thread::Builder::new().spawn_scoped(scope, || self.waste.remove()).is_err() {
                    lock(&self.waste.waiting).workers -= 1;
                }
            }
            lock(&self.waste.waiting).workers += 1;
            self.waste.remove();
        });
        drop(self.waste.removing.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Waste {
    fn remove(&self) {
        loop {
            let _removing = self.removing.read().unwrap_or_else(PoisonError::into_inner);
            let Some(folder) = self.next() else { return };
            // What would not go is told when the workspace is removed.
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
    async fn what_no_trial_needs_is_gone_when_it_is_closed_and_the_rest_is_not() {
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
        let spent = Spent::of(&plan, folders);
        (0..50).for_each(|number| spent.over(&name(number)));
        spent.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 50, "each has a second trial");
        (0..49).for_each(|number| spent.over(&name(number)));
        spent.over(&ScenarioId("without a fixture".into()));
        spent.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(folder.path().join("f49/before/deep/file").exists());
    }
}

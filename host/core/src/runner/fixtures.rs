//! The fixtures of a run: snapshots that are taken once, or restored from an earlier run, and saved for `host regrade`.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{prepare_error::PrepareError, recording::write_json};
use host_model::{FIXTURES_FILE, KeptFixture, REPLAY_SCHEMA, RecordedFixture, RecordedFixtures, Scenario, ScenarioId};
use host_suite::plan::Plan;
use host_wasm::component::Plugin;
use host_wasm::sandbox::{Halt, RecordedFixtureError, Snapshot};

/// Snapshots that are made in parallel: making one waits for the disk, or for git.
const AT_ONCE: usize = 8;

/// The image of a fixture that an earlier run saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureImage {
    /// The file.
    pub path: std::path::PathBuf,
    /// Its recorded size.
    pub bytes: u64,
}

/// Takes a snapshot of every fixture of `plan` into `workspace`.
pub(super) fn take(
    plan: &Plan,
    workspace: &Path,
    halt: Halt<'_>,
    problems: &mut Vec<PrepareError>,
) -> HashMap<ScenarioId, Snapshot> {
    let has_some = |scenario: &Scenario| {
        let fixture = &scenario.fixture;
        fixture.root.is_some() || fixture.config.is_some() || fixture.git || !fixture.folders.is_empty()
    };
    each(plan, workspace, problems, |scenario, into| {
        let take =
            || Snapshot::take(&scenario.fixture, into, scenario.limits.max_disk, halt).map_err(PrepareError::from);
        has_some(scenario).then(take)
    })
}

/// Restores the snapshots that an earlier run saved.
pub(super) fn again(
    plan: &Plan,
    workspace: &Path,
    images: &HashMap<ScenarioId, FixtureImage>,
    problems: &mut Vec<PrepareError>,
) -> HashMap<ScenarioId, Snapshot> {
    each(plan, workspace, problems, |scenario, into| {
        let image = images.get(&scenario.id)?;
        let made = Snapshot::restore(&image.path, image.bytes, into);
        Some(made.map_err(|source| recorded(scenario, source)))
    })
}

fn recorded(scenario: &Scenario, source: RecordedFixtureError) -> PrepareError {
    PrepareError::RecordedFixture { scenario: scenario.id.clone(), source }
}

/// Each scenario once, with the folder in `workspace` for its snapshot.
pub(super) fn folders<'a>(plan: &'a Plan, workspace: &Path) -> Vec<(&'a Scenario, PathBuf)> {
    let mut seen = std::collections::HashSet::new();
    let scenarios = plan.trials().map(|trial| &*trial.scenario).filter(|scenario| seen.insert(&scenario.id));
    scenarios.enumerate().map(|(index, scenario)| (scenario, workspace.join(format!("f{}", index + 1)))).collect()
}

/// Makes the snapshot of each scenario once, in a folder of its own.
fn each(
    plan: &Plan,
    workspace: &Path,
    problems: &mut Vec<PrepareError>,
    make: impl Fn(&Scenario, &Path) -> Option<Result<Snapshot, PrepareError>> + Sync,
) -> HashMap<ScenarioId, Snapshot> {
    let mut snapshots = HashMap::new();
    let folders = folders(plan, workspace);
    let made: Vec<_> = folders.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let makes = || {
        while let Some((index, (scenario, folder))) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            folders.get(index).map(|item| (index, item))
        } {
            made[index].get_or_init(|| make(scenario, folder));
        }
    };
    thread::scope(|scope| {
        for _ in 1..folders.len().min(AT_ONCE) {
            // Without another thread it takes longer.
            let _ = thread::Builder::new().spawn_scoped(scope, makes);
        }
        makes();
    });
    for ((scenario, _), made) in folders.iter().zip(made) {
        match made.into_inner().flatten() {
            Some(Ok(snapshot)) => drop(snapshots.insert(scenario.id.clone(), snapshot)),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    snapshots
}

/// Saves the snapshots in the run's new folder `folder`, and returns why some could not be saved.
///
/// # Errors
/// The file system refuses.
pub(super) fn keep(
    plan: &Plan,
    plugins: &[Plugin],
    snapshots: &HashMap<ScenarioId, Snapshot>,
    folder: &Path,
) -> io::Result<HashMap<ScenarioId, String>> {
    fs::create_dir(folder)?;
    let mut lost = HashMap::new();
    let mut fixtures: Vec<RecordedFixture> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for trial in plan.trials() {
        let scenario = &trial.scenario;
        let Some(snapshot) = snapshots.get(&scenario.id).filter(|_| seen.insert(&scenario.id)) else { continue };
        let file = format!("{}-{}.tar", scenario.name, seen.len());
        let kept = match snapshot.save(&folder.join(&file)) {
            Ok(bytes) => KeptFixture::Kept { file, bytes },
            Err(error) => {
                let reason = error.to_string();
                lost.insert(scenario.id.clone(), reason.clone());
                KeptFixture::Lost { reason }
            }
        };
        let plugin = plugins.get(scenario.plugin.0).map(|plugin| plugin.file.label.clone()).unwrap_or_default();
        fixtures.push(RecordedFixture { plugin, scenario: scenario.name.clone(), kept });
    }
    write_json(&folder.join(FIXTURES_FILE), &RecordedFixtures { schema: REPLAY_SCHEMA, fixtures })?;
    Ok(lost)
}

//! Removes the workspaces of killed runs.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::geteuid;

use super::{
    workspace::{remove_workspace, run_of},
    workspace_lock::{self, LockState, Owner},
};
use host_clock::Instant;

/// How long to wait before a directory is tried again in which processes were still active.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Runs whose workspaces were removed.
    pub dead: Vec<DeadRun>,
    /// Workspaces that could not be removed; the next sweep tries again.
    pub problems: Vec<SweepProblem>,
}

/// A run that ended without cleaning up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRun {
    /// Its id.
    pub run: String,
    /// Its run directory.
    pub directory: Option<PathBuf>,
}

/// Why a workspace of a dead run could not be removed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot remove {}, left behind by the dead run {run}: {reason}", folder.display())]
pub struct SweepProblem {
    run: String,
    folder: PathBuf,
    reason: String,
}

/// Removes from `parent` every workspace of this user whose run is dead, except kept ones.
///
/// Supervisors outlive a killed host for a moment, and the processes that they kill may still write. A directory that does
/// not become empty is tried again until the `timeout`, which is counted once for all directories. Blocks.
#[must_use]
pub fn sweep(parent: &Path, timeout: Duration) -> Sweep {
    let deadline = Instant::now() + timeout;
    let mut swept = Sweep::default();
    // Nothing in an unlistable directory is known to be ours.
    let Ok(entries) = fs::read_dir(parent) else { return swept };
    if !is_safe(parent) {
        return swept;
    }
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(run_of) else { continue };
        let folder = entry.path();
        match workspace_lock::inspect(&folder, run) {
            LockState::Foreign => {}
            // Its run, if alive, creates another one.
            LockState::Empty => drop(fs::remove_dir(&folder)),
            // The lock is held until the directory is removed, so no other sweep interferes.
            LockState::Abandoned(_lock, owner) => match (remove(&folder, deadline), owner) {
                (Ok(()), Some(Owner { run, directory, .. })) => swept.dead.push(DeadRun { run, directory }),
                // The run never started, or creates another workspace.
                (Ok(()), None) => {}
                (Err(error), _) => {
                    let reason = error.to_string();
                    swept.problems.push(SweepProblem { run: run.to_owned(), folder, reason });
                }
            },
        }
    }
    swept.dead.sort_by(|one, other| one.run.cmp(&other.run));
    swept
}

/// Whether other users cannot replace a directory of this user.
fn is_safe(parent: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    fs::metadata(parent).is_ok_and(|metadata| {
        let own = [0, geteuid().as_raw()].contains(&metadata.uid());
        own && (metadata.mode() & 0o022 == 0 || metadata.mode() & STICKY != 0)
    })
}

fn remove(folder: &Path, deadline: Instant) -> io::Result<()> {
    loop {
        match remove_workspace(folder) {
            // A run that lost its new directory removes it too.
            Err(_) if fs::symlink_metadata(folder).is_err() => return Ok(()),
            Err(error) if is_retryable(&error) && Instant::now() < deadline => thread::sleep(RETRY_INTERVAL),
            removed => return removed,
        }
    }
}

/// Whether another process changed the tree meanwhile.
fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;

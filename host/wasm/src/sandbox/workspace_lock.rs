//! The lock of a workspace: which run owns it, and whether that run is still alive.
//!
//! A lock, not a process ID: IDs are reused, and mean nothing in another PID namespace. The kernel releases the lock with
//! the process, however it ends. The descriptor is closed on exec, so neither supervisors nor agents hold it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    process::geteuid,
};
use serde::{Deserialize, Serialize};

/// The file in a workspace that is locked while its run is alive.
pub(super) const LOCK_FILE: &str = "run.json";

/// The longest lock file that is read.
const MAX_LOCK_BYTES: u64 = 64 << 10;

/// The content of a lock file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    /// The run's id.
    pub(super) run: String,
    /// The run directory, if its path is UTF-8.
    pub(super) directory: Option<PathBuf>,
    /// Whether the workspace is kept.
    pub(super) keep: bool,
}

/// How [`acquire`] went.
#[derive(Debug)]
pub(super) enum Acquired {
    /// The lock is held until the file is dropped.
    Locked(File),
    /// The file system has no locks: the workspace is never considered abandoned.
    Unsupported,
    /// A sweep considered the new directory abandoned, and removes it.
    Lost,
}

/// Locks the new, empty `folder`.
///
/// A sweep may run between any two of these steps. Without the lock it only removes empty directories, so the holder of the
/// lock on an existing file has won.
pub(super) fn acquire(folder: &Path, owner: &Owner) -> io::Result<Acquired> {
    let path = folder.join(LOCK_FILE);
    let mut file = match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Acquired::Lost),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) if file.metadata()?.nlink() > 0 => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(Acquired::Lost),
        Err(TryLockError::Error(_)) => {
            fs::remove_file(&path)?;
            return Ok(Acquired::Unsupported);
        }
    }
    file.write_all(&serde_json::to_vec(owner)?)?;
    Ok(Acquired::Locked(file))
}

/// What [`inspect`] found.
#[derive(Debug)]
pub(super) enum LockState {
    /// Of a live run, kept, of another user, or not a workspace.
    Foreign,
    /// Empty: the run has just started, or was killed before it locked the directory.
    Empty,
    /// Of a dead run. The lock is held until the file is dropped. Without an owner the run was killed while it locked.
    Abandoned(File, Option<Owner>),
}

/// Whether `folder` is the workspace of the dead `run`. Follows no links.
pub(super) fn inspect(folder: &Path, run: &str) -> LockState {
    try_inspect(folder, run).unwrap_or(LockState::Foreign)
}

/// [`inspect`]; any error means that it is not known to be ours.
fn try_inspect(folder: &Path, run: &str) -> io::Result<LockState> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = File::from(rustix::fs::open(folder, flags, Mode::empty())?);
    if !is_private(&handle.metadata()?) {
        return Ok(LockState::Foreign);
    }
    // Non-blocking, in case it is a pipe.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(&handle, LOCK_FILE, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) if fs::read_dir(folder)?.next().is_none() => return Ok(LockState::Empty),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_private(&metadata) || file.try_lock().is_err() || file.metadata()?.nlink() == 0 {
        return Ok(LockState::Foreign);
    }
    let mut text = Vec::new();
    Read::by_ref(&mut file).take(MAX_LOCK_BYTES).read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(LockState::Abandoned(file, None));
    }
    match serde_json::from_slice::<Owner>(&text) {
        Ok(owner) if owner.run == run && !owner.keep => Ok(LockState::Abandoned(file, Some(owner))),
        _ => Ok(LockState::Foreign),
    }
}

fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0
}

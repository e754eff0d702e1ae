use std::{
    collections::hash_map::RandomState,
    fs::{self, DirBuilder, File, Permissions},
    hash::BuildHasher,
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use host_model::View;

use super::{
    Halt, Snapshot,
    copying::with_path,
    remove_tree,
    workspace_lock::{self, Acquired, LOCK_FILE, Owner},
};

/// Attempts to create a workspace: a sweep can remove a new one that it considers abandoned.
const MAX_TRIES: usize = 16;

/// The directory, outside every repository, that contains the directories of a run's attempts. It is private to this user
/// and is removed with the run, or by the next one (`sweep`) if this one is killed.
///
/// An agent is a process of the same user: it can change the mode and times of any file whose path it knows, and watch any
/// directory whose path it knows (inotify). It knows its own path, and so the workspace's. So everything else is in
/// directories with unguessable names, which are created before any agent runs, when nothing can watch. An attempt uses one
/// of these slots that no live agent knows.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    fixtures: PathBuf,
    /// Free slots.
    slots: Mutex<Vec<PathBuf>>,
    attempts: AtomicU64,
    keep: bool,
    /// Shows that the run is alive while it is open.
    _lock: Option<File>,
}

/// The directories that one attempt owns.
#[derive(Debug)]
pub struct AttemptDirs {
    /// Holds all the others.
    pub base: PathBuf,
    /// Seen by the component as `/`; the agent's working directory.
    pub root: PathBuf,
    /// Seen by the component as `/host/config`; the agent's config dir.
    pub config: PathBuf,
    /// The attempt's own copies of the scenario's further folders, if it has any.
    pub folders: PathBuf,
    /// The agent's HOME.
    pub home: PathBuf,
    /// The agent's TMPDIR.
    pub tmp: PathBuf,
    /// Bytes that the host itself wrote, which do not count toward the limit.
    pub own: AtomicU64,
}

impl Workspace {
    /// Creates the workspace of a run in `parent`, usually the system's directory for temporary files. If the run is killed,
    /// the next one learns from it that `directory` is its run directory. With `keep`, it and the attempts' directories
    /// stay.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(parent: &Path, run: &str, directory: &Path, keep: bool) -> io::Result<Self> {
        let directory = std::path::absolute(directory)?;
        // The lock file is text.
        let directory = directory.to_str().map(PathBuf::from);
        Self::create_locked(parent, &Owner { run: run.to_owned(), directory, keep })
    }

    /// Creates the workspace of a `host check`, which has no run: if it is killed, the next run or check removes it, and
    /// reports `output`, the directory for runs of its suite.
    ///
    /// # Errors
    /// The file system's.
    pub fn for_check(parent: &Path, output: &Path) -> io::Result<Self> {
        let directory = std::path::absolute(output)?.to_str().map(PathBuf::from);
        Self::create_locked(parent, &Owner { run: CHECK.to_owned(), directory, keep: false })
    }

    fn create_locked(parent: &Path, owner: &Owner) -> io::Result<Self> {
        for _ in 0..MAX_TRIES {
            // It removes itself unless it is kept.
            let made = tempfile::Builder::new()
                .prefix(&format!("{PREFIX}{}-", owner.run))
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?;
            let lock = match workspace_lock::acquire(made.path(), owner)? {
                Acquired::Locked(lock) => Some(lock),
                Acquired::Unsupported => None,
                Acquired::Lost => continue,
            };
            let folder = made.path().canonicalize()?;
            let fixtures = create_unguessable(&folder)?;
            // From here on, the workspace removes it.
            let _ = made.keep();
            let slots = Mutex::default();
            return Ok(Self { folder, fixtures, slots, attempts: AtomicU64::new(0), keep: owner.keep, _lock: lock });
        }
        Err(io::Error::other("other runs repeatedly remove the new folder"))
    }

    /// Where the workspace is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The directory for snapshots of fixtures. No agent knows its path.
    #[must_use]
    pub fn fixtures(&self) -> &Path {
        &self.fixtures
    }

    /// Creates slots for so many concurrent attempts. To be called before the first agent starts.
    ///
    /// # Errors
    /// The file system's.
    pub fn reserve(&self, attempts: usize) -> io::Result<()> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.len() < attempts {
            slots.push(create_unguessable(&self.folder)?);
        }
        Ok(())
    }

    /// Whether what is in it stays.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keep
    }

    /// Makes the directories of one attempt. Root and config dir start as `snapshot` says, or empty; with
    /// `own_folders` it has copies of the further folders too.
    ///
    /// # Errors
    /// The file system's; any when `halt` asks for the end.
    pub fn attempt(&self, snapshot: Option<&Snapshot>, own_folders: bool, halt: Halt<'_>) -> io::Result<AttemptDirs> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let slot = slot.map_or_else(|| create_unguessable(&self.folder), Ok)?;
        let made = Self::attempt_in(slot.join(format!("a{number}")), snapshot, own_folders, halt);
        if made.is_err() {
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
        made
    }

    fn attempt_in(
        base: PathBuf,
        snapshot: Option<&Snapshot>,
        own_folders: bool,
        halt: Halt<'_>,
    ) -> io::Result<AttemptDirs> {
        create_private(&base).map_err(|error| with_path(&base, error))?;
        let unfinished = RemoveOnFailure(&base);
        let dirs = AttemptDirs {
            root: base.join("root"),
            config: base.join("config"),
            folders: base.join("folders"),
            home: base.join("home"),
            tmp: base.join("tmp"),
            own: AtomicU64::new(0),
            base: base.clone(),
        };
        for folder in [&dirs.root, &dirs.config] {
            create_private(folder).map_err(|error| with_path(folder, error))?;
        }
        if let Some(snapshot) = snapshot {
            snapshot.copy_to(&dirs.root, &dirs.config, halt)?;
            if own_folders {
                snapshot.copy_folders_to(&dirs.folders, halt)?;
            }
        }
        std::mem::forget(unfinished);
        Ok(dirs)
    }

    /// Removes an attempt's directories, unless they are kept. Where a process of the attempt may have survived
    /// (`unwatched` is false) nothing else is made in its slot.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn release(&self, dirs: &AttemptDirs, unwatched: bool) -> io::Result<Option<PathBuf>> {
        if self.keep {
            return Ok(Some(dirs.base.clone()));
        }
        remove_tree(&dirs.base)?;
        let slot = dirs.base.parent().map(Path::to_owned).filter(|_| unwatched);
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).extend(slot);
        Ok(None)
    }

    /// Removes the workspace, unless it is kept.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn close(&self) -> io::Result<()> {
        if self.keep { Ok(()) } else { remove_workspace(&self.folder) }
    }
}

/// Removes a directory if filling it fails or panics: a full disk would stay full.
struct RemoveOnFailure<'a>(&'a Path);

impl Drop for RemoveOnFailure<'_> {
    fn drop(&mut self) {
        // The rest is removed with the workspace.
        let _ = remove_tree(self.0);
    }
}

/// The name of the run in the workspace of a `host check`.
pub const CHECK: &str = "check";

/// The prefix of workspaces.
const PREFIX: &str = "host-";

/// The run in the name of a workspace: `host-20261122-231500-qkzr-a1B2c3`, or [`CHECK`] in `host-check-a1B2c3`. Other
/// names are not workspaces.
pub(super) fn run_of(name: &str) -> Option<&str> {
    let (run, random) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    let all = |text: &str, length, is: fn(&u8) -> bool| text.len() == length && text.bytes().all(|byte| is(&byte));
    let is_run = || {
        let mut parts = run.split('-');
        all(parts.next()?, 8, u8::is_ascii_digit).then_some(())?;
        all(parts.next()?, 6, u8::is_ascii_digit).then_some(())?;
        all(parts.next()?, 4, u8::is_ascii_lowercase).then_some(())?;
        parts.next().is_none().then_some(())
    };
    let named = all(random, 6, u8::is_ascii_alphanumeric) && (run == CHECK || is_run().is_some());
    named.then_some(run)
}

/// Removes a workspace, its lock file last: if this is killed, the next sweep still recognizes the rest.
///
/// # Errors
/// The first entry that would not go.
pub(super) fn remove_workspace(folder: &Path) -> io::Result<()> {
    match unlock(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // `file_type` does not follow links.
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else if entry.file_name() != LOCK_FILE {
            fs::remove_file(entry.path())?;
        }
    }
    // A sweep may have removed the empty directory already.
    ignore_not_found(fs::remove_file(folder.join(LOCK_FILE)))?;
    ignore_not_found(fs::remove_dir(folder))
}

/// An agent may have changed the permissions of the directory.
fn unlock(folder: &Path) -> io::Result<()> {
    if fs::symlink_metadata(folder)?.permissions().mode() & 0o700 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// A missing file counts as removed.
fn ignore_not_found(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

impl AttemptDirs {
    /// The part of the workspace that the attempt's agents see.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let hidden = self.base.parent()?.parent()?.to_owned();
        Some(View { hidden, shown: self.base.clone() })
    }

    /// Creates the directories that only an agent needs.
    ///
    /// # Errors
    /// The file system's.
    pub fn create_agent_dirs(&self) -> io::Result<()> {
        for folder in [&self.home, &self.tmp] {
            match create_private(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(with_path(folder, error)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // `close` reports errors; this is for paths that never reach it.
        let _ = self.close();
    }
}

/// Creates a directory with an unguessable name.
fn create_unguessable(within: &Path) -> io::Result<PathBuf> {
    /// 2^62 names of 36 characters each, and short enough for the paths of sockets.
    const LENGTH: usize = 12;
    // Keyed by the system's random numbers.
    let random = RandomState::new();
    let mut number = u128::from(random.hash_one(0_u8)) << 64 | u128::from(random.hash_one(1_u8));
    let mut name = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        name.extend(char::from_digit((number % 36) as u32, 36));
        number /= 36;
    }
    let path = within.join(name);
    create_private(&path).map_err(|error| with_path(&path, error))?;
    Ok(path)
}

fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{Fixture, Shortage};

    /// A copy that fails, as on a full disk.
    #[test]
    fn a_partly_created_attempt_is_removed_on_failure() {
        let here = tempfile::tempdir().unwrap();
        let root = here.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("first"), "x").unwrap();
        let workspace = Workspace::for_check(here.path(), here.path()).unwrap();
        let fixture = Fixture { root: Some(root), ..Fixture::default() };
        let into = workspace.folder().join("f1");
        let snapshot = Snapshot::take(&fixture, &into, 1 << 20, &|| false).unwrap();
        let attempt = || workspace.attempt(Some(&snapshot), false, &|| false);
        let made = attempt().unwrap();
        assert!(made.root.join("first").is_file());
        workspace.release(&made, true).unwrap();
        // A socket cannot be copied.
        let _socket = std::os::unix::net::UnixListener::bind(into.join("before/second")).unwrap();
        attempt().unwrap_err();
        let panics = || workspace.attempt(Some(&snapshot), false, &|| panic!("it fell over"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|it| it.unwrap().path());
        // The slots stay, and are empty.
        let slots = entries(workspace.folder()).filter(|path| *path != into);
        let left: Vec<_> = slots.flat_map(|slot| entries(&slot).collect::<Vec<_>>()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// `/dev/full` is always full.
    #[test]
    fn errors_with_paths_keep_their_cause() {
        let written = fs::write("/dev/full", "x").unwrap_err();
        let error = with_path(Path::new("/a/b"), written);
        assert!(error.to_string().starts_with("/a/b: No space left"), "{error}");
        assert_eq!(Shortage::of(&error), Some(Shortage::Room));
        assert_eq!(Shortage::of(&with_path(Path::new("/a"), error)), Some(Shortage::Room));
    }
}

//! The disk use of an attempt: the files in its directories, even locked ones, and unlinked files that are still open.
//!
//! Counting changes nothing, not even access times, which a component can see.

mod unlinked_files;

use std::{
    borrow::Cow,
    collections::HashSet,
    ffi::OsStr,
    fs::{Metadata, Permissions, set_permissions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, OFlags, Stat, fstat, statat},
    io::Errno,
};

use super::{AttemptDirs, copying::ENTRY_BYTES};
use host_fs::open_quietly;

/// The permissions that an owner needs to list a directory.
const OWNER_READ: u32 = 0o500;

/// Nested locked directories that are open at the same time: an agent must not exhaust the host's descriptors.
const MAX_UNLOCKED: usize = 64;

/// The longest path in an attempt's directories: deeper ones take too long.
const MAX_PATH_BYTES: usize = 3_800;

/// The disk use of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// All bytes.
    pub bytes: u64,
    /// Those in unlinked files, which are freed when they are closed.
    pub unlinked_bytes: u64,
}

/// Why the disk use cannot be counted, which counts as exceeding the limit.
#[derive(Debug, thiserror::Error)]
pub enum DiskUseError {
    /// Directories are nested too deeply.
    #[error("the attempt's folders are nested too deeply to be measured")]
    TooDeep,
    /// A directory cannot be listed.
    #[error("cannot read the attempt's folder {}: {reason}", shown(folder))]
    Closed {
        /// The folder, in the attempt's directories.
        folder: PathBuf,
        /// The system's reason.
        #[source]
        reason: io::Error,
    },
}

/// The attempt's directory itself is shown as `.`.
fn shown(folder: &Path) -> Cow<'_, str> {
    if folder.as_os_str().is_empty() { Cow::from("`.`") } else { folder.to_string_lossy() }
}

impl AttemptDirs {
    /// Counts the disk use of the attempt; `processes` are those of its agents. A file with several names counts once, by its
    /// blocks without holes. Files that vanish meanwhile are not counted.
    ///
    /// # Errors
    /// [`DiskUseError`].
    pub fn disk_use(&self, processes: &[i32]) -> Result<DiskUse, DiskUseError> {
        let closed = |error: Errno| DiskUseError::Closed { folder: PathBuf::new(), reason: error.into() };
        let base = match open_quietly(CWD, self.base.as_os_str(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(DiskUse::default()),
            base => base.map_err(closed)?,
        };
        let base_stat = fstat(&base).map_err(closed)?;
        let mut count = Counter { base, bytes: 0, seen: HashSet::new() };
        count.tree()?;
        let unlinked_bytes = unlinked_files::bytes(processes, &self.base, &base_stat);
        let own = self.own.load(Ordering::Relaxed);
        Ok(DiskUse { bytes: count.bytes.saturating_sub(own).saturating_add(unlinked_bytes), unlinked_bytes })
    }

    /// Excludes a file or directory of the host from the disk use.
    pub fn exclude_from_disk_use(&self, entry: &Metadata) {
        let allocated_bytes = if entry.is_dir() { 0 } else { entry.blocks().saturating_mul(512) };
        self.own.fetch_add(ENTRY_BYTES.saturating_add(allocated_bytes), Ordering::Relaxed);
    }
}

struct Counter {
    base: OwnedFd,
    bytes: u64,
    /// Files with several names that were counted.
    seen: HashSet<(u64, u64)>,
}

enum Task {
    Count(PathBuf),
    /// Everything below was counted: dropping this restores the permissions.
    Lock {
        _unlocked: Unlocked,
    },
}

/// A directory that was locked.
struct Unlocked {
    directory: OwnedFd,
    mode: u32,
}

impl Counter {
    fn tree(&mut self) -> Result<(), DiskUseError> {
        let mut tasks = vec![Task::Count(PathBuf::new())];
        let mut unlocked = 0_usize;
        while let Some(task) = tasks.pop() {
            let Task::Count(folder) = task else {
                unlocked -= 1;
                continue;
            };
            if folder.as_os_str().len() > MAX_PATH_BYTES {
                return Err(DiskUseError::TooDeep);
            }
            match self.open(&folder) {
                Ok(directory) => self.look(directory, &folder, &mut tasks),
                Err(Errno::ACCESS) => match Unlocked::unlock(&self.base, &folder) {
                    Ok(opened) => {
                        tasks.push(Task::Lock { _unlocked: opened });
                        unlocked += 1;
                        if unlocked > MAX_UNLOCKED {
                            return Err(DiskUseError::TooDeep);
                        }
                        let directory = self.open(&folder);
                        directory.and_then(|directory| self.look(directory, &folder, &mut tasks))
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            }
            .or_else(|error| match error {
                // Removed or replaced meanwhile.
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Ok(()),
                Errno::NAMETOOLONG => Err(DiskUseError::TooDeep),
                error => Err(DiskUseError::Closed { folder: folder.clone(), reason: error.into() }),
            })?;
        }
        Ok(())
    }

    fn open(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        let directory = open_below(&self.base, folder, OFlags::RDONLY)?;
        // A directory that may be read but not searched lists names without attributes.
        statat(&directory, "..", AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(directory)
    }

    fn look(&mut self, directory: OwnedFd, folder: &Path, tasks: &mut Vec<Task>) -> Result<(), Errno> {
        let mut directory = Dir::new(directory)?;
        while let Some(found) = directory.read() {
            let found = found?;
            let name = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            self.bytes = self.bytes.saturating_add(ENTRY_BYTES);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                tasks.push(Task::Count(folder.join(OsStr::from_bytes(name.to_bytes()))));
            } else if stat.st_nlink < 2 || self.seen.insert((stat.st_dev, stat.st_ino)) {
                self.bytes = self.bytes.saturating_add(allocated_bytes(&stat));
            }
        }
        Ok(())
    }
}

/// The bytes of a file's blocks.
fn allocated_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// Opens a directory below `base` without following links.
fn open_below(base: impl AsFd, folder: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut opened = open_quietly(&base, OsStr::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
    let mut names = folder.iter().peekable();
    if names.peek().is_none() {
        return open_quietly(&base, OsStr::new("."), flags | OFlags::DIRECTORY);
    }
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        let flags = if last { flags } else { OFlags::PATH };
        opened = open_quietly(&opened, name, flags | OFlags::DIRECTORY)?;
    }
    Ok(opened)
}

impl Unlocked {
    /// Unlocks a directory until this is dropped.
    fn unlock(base: &OwnedFd, folder: &Path) -> Result<Self, Errno> {
        let directory = open_below(base, folder, OFlags::PATH)?;
        let mode = fstat(&directory)?.st_mode & 0o7777;
        let opened = Self { directory, mode };
        opened.set(mode | OWNER_READ)?;
        Ok(opened)
    }

    /// By descriptor: the name may refer to something else by now.
    fn set(&self, mode: u32) -> Result<(), Errno> {
        let by_descriptor = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        set_permissions(by_descriptor, Permissions::from_mode(mode))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        let now = fstat(&self.directory).map(|stat| stat.st_mode & 0o7777);
        // The agent may have changed them meanwhile.
        if now == Ok(self.mode | OWNER_READ) {
            let _ = self.set(self.mode);
        }
    }
}

#[cfg(test)]
mod tests;

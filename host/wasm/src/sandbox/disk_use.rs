//! What an attempt holds on the disk: the files in its directories, also where their permissions keep others out, and
//! those that have no name any more.
//!
//! Nothing that is read changes: not even the times at which a directory was last read, which a component can see.

mod nameless;

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

/// What an owner needs to look into a directory.
const OWNER_READ: u32 = 0o500;

/// Closed folders, each in the one before, that are held open at once: descriptors of the host, which an agent must not
/// use up.
const MAX_UNLOCKED: usize = 64;

/// Bytes of a path in an attempt's directories: deeper ones take too long to be reached.
const MAX_PATH_BYTES: usize = 3_800;

/// How much an attempt holds on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes, all together.
    pub bytes: u64,
    /// Those of them that are in files without a name, which go when they are closed.
    pub nameless: u64,
}

/// Why it cannot be counted, which counts as too much.
#[derive(Debug, thiserror::Error)]
pub enum Uncounted {
    /// Folders are nested deeper than a path reaches.
    #[error("the attempt's folders are nested too deeply to be measured")]
    TooDeep,
    /// A folder cannot be looked into.
    #[error("cannot look into the attempt's folder {}: {reason}", shown(folder))]
    Closed {
        /// The folder, in the attempt's directories.
        folder: PathBuf,
        /// The system's reason.
        #[source]
        reason: io::Error,
    },
}

/// The attempt's own folder has no name below itself.
fn shown(folder: &Path) -> Cow<'_, str> {
    if folder.as_os_str().is_empty() { Cow::from("`.`") } else { folder.to_string_lossy() }
}

impl AttemptDirs {
    /// Counts what the attempt holds on the disk; `processes` are those of its agents. A file with several names counts
    /// once, and by its blocks: holes take no room. What vanishes while it counts is not counted.
    ///
    /// # Errors
    /// [`Uncounted`].
    pub fn disk_use(&self, processes: &[i32]) -> Result<DiskUse, Uncounted> {
        let closed = |error: Errno| Uncounted::Closed { folder: PathBuf::new(), reason: error.into() };
        let base = match open_quietly(CWD, self.base.as_os_str(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(DiskUse::default()),
            base => base.map_err(closed)?,
        };
        let base_stat = fstat(&base).map_err(closed)?;
        let mut count = Counter { base, bytes: 0, seen: HashSet::new() };
        count.tree()?;
        let nameless = nameless::bytes(processes, &self.base, &base_stat);
        let own = self.own.load(Ordering::Relaxed);
        Ok(DiskUse { bytes: count.bytes.saturating_sub(own).saturating_add(nameless), nameless })
    }

    /// Notes a file or folder that the host has put there, so that it does not count.
    pub fn put_there(&self, entry: &Metadata) {
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
    /// Everything below was looked at: dropped, it gets its permissions back.
    Lock {
        _unlocked: Unlocked,
    },
}

/// A directory that was closed to its owner.
struct Unlocked {
    directory: OwnedFd,
    mode: u32,
}

impl Counter {
    fn tree(&mut self) -> Result<(), Uncounted> {
        let mut tasks = vec![Task::Count(PathBuf::new())];
        let mut unlocked = 0_usize;
        while let Some(task) = tasks.pop() {
            let Task::Count(folder) = task else {
                unlocked -= 1;
                continue;
            };
            if folder.as_os_str().len() > MAX_PATH_BYTES {
                return Err(Uncounted::TooDeep);
            }
            match self.open(&folder) {
                Ok(directory) => self.look(directory, &folder, &mut tasks),
                Err(Errno::ACCESS) => match Unlocked::unlock(&self.base, &folder) {
                    Ok(opened) => {
                        tasks.push(Task::Lock { _unlocked: opened });
                        unlocked += 1;
                        if unlocked > MAX_UNLOCKED {
                            return Err(Uncounted::TooDeep);
                        }
                        let directory = self.open(&folder);
                        directory.and_then(|directory| self.look(directory, &folder, &mut tasks))
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            }
            .or_else(|error| match error {
                // Gone meanwhile, or no directory any more.
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Ok(()),
                Errno::NAMETOOLONG => Err(Uncounted::TooDeep),
                error => Err(Uncounted::Closed { folder: folder.clone(), reason: error.into() }),
            })?;
        }
        Ok(())
    }

    fn open(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        let directory = open_below(&self.base, folder, OFlags::RDONLY)?;
        // One that may be read but not searched tells names, and nothing of what they stand for.
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

/// Opens a directory below `base`, never through a link.
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
    /// Opens a directory to its owner for a moment.
    fn unlock(base: &OwnedFd, folder: &Path) -> Result<Self, Errno> {
        let directory = open_below(base, folder, OFlags::PATH)?;
        let mode = fstat(&directory)?.st_mode & 0o7777;
        let opened = Self { directory, mode };
        opened.set(mode | OWNER_READ)?;
        Ok(opened)
    }

    /// By the descriptor: its name may stand for something else by now.
    fn set(&self, mode: u32) -> Result<(), Errno> {
        let by_descriptor = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        set_permissions(by_descriptor, Permissions::from_mode(mode))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        let now = fstat(&self.directory).map(|stat| stat.st_mode & 0o7777);
        // The agent may have set others meanwhile.
        if now == Ok(self.mode | OWNER_READ) {
            let _ = self.set(self.mode);
        }
    }
}

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Snapshot, remove_tree};

/// What every file and folder is counted with besides its content: empty ones fill a disk too.
const ENTRY: u64 = 1 << 10;

/// The folder, outside every repository, that holds the directories of a run's attempts. It is private to
/// this user and is removed with the run.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    attempts: AtomicU64,
    keep: bool,
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
    /// The agent's HOME.
    pub home: PathBuf,
    /// The agent's TMPDIR.
    pub tmp: PathBuf,
}

impl Workspace {
    /// Makes the workspace of a run below `parent`, usually the system's folder for temporary files. With
    /// `keep`, it and the attempts' directories stay.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(parent: &Path, run: &str, keep: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("host-{run}-")).tempdir_in(parent)?.keep();
        Ok(Self { folder: folder.canonicalize()?, attempts: AtomicU64::new(0), keep })
    }

    /// Where the workspace is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the directories of one attempt. Root and config dir start as `snapshot` says, or empty.
    ///
    /// # Errors
    /// The file system's.
    pub fn attempt(&self, snapshot: Option<&Snapshot>) -> io::Result<AttemptDirs> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let base = self.folder.join(format!("a{number}"));
        create_private(&base)?;
        let dirs = AttemptDirs {
            root: base.join("root"),
            config: base.join("config"),
            home: base.join("home"),
            tmp: base.join("tmp"),
            base,
        };
        create_private(&dirs.root)?;
        create_private(&dirs.config)?;
        if let Some(snapshot) = snapshot {
            snapshot.copy_to(&dirs.root, &dirs.config)?;
        }
        Ok(dirs)
    }

    /// Removes an attempt's directories, unless they are kept.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn release(&self, dirs: &AttemptDirs) -> io::Result<Option<PathBuf>> {
        if self.keep {
            return Ok(Some(dirs.base.clone()));
        }
        remove_tree(&dirs.base)?;
        Ok(None)
    }

    /// Removes the workspace, unless it is kept.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn close(&self) -> io::Result<()> {
        if self.keep { Ok(()) } else { remove_tree(&self.folder) }
    }
}

impl AttemptDirs {
    /// Makes the directories that only an agent needs.
    ///
    /// # Errors
    /// The file system's.
    pub fn for_agent(&self) -> io::Result<()> {
        for folder in [&self.home, &self.tmp] {
            match create_private(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes that the attempt's files hold. What vanishes while it counts is not counted.
    ///
    /// # Errors
    /// A folder that is nested too deep to be looked into: what is in it cannot be counted.
    pub fn bytes(&self) -> Result<u64, PathBuf> {
        let mut total = 0_u64;
        let mut folders = vec![self.base.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Err(folder),
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                total = total.saturating_add(ENTRY);
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    // Blocks, not length: a file with holes takes less.
                    total = total.saturating_add(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512);
                }
            }
        }
        Ok(total)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // `close` tells what went wrong; this is for the paths that never came to it.
        let _ = self.close();
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

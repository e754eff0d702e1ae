//! Images of directories: one tar file that holds trees exactly, and can make them so again.
//!
//! A tar file and no copies of the trees: it keeps links and modes, and a run directory with links in it would lead
//! whoever uploads or copies it to what they point at.

mod capture;
mod restore;
#[cfg(test)]
mod tests;

use std::{ffi::OsStr, os::fd::AsFd, os::fd::OwnedFd, path::Path};

pub use capture::{Captured, ImageError};
pub use restore::{RestoreError, restore};
use rustix::{fs::OFlags, io::Errno};

use host_fs::open_quietly;

/// How much an image holds. What is larger has no image: half a tree would be judged wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, links and directories together.
    pub entries: usize,
    /// Directories within one another.
    pub depth: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { bytes: 64 << 20, entries: 20_000, depth: 64 }
    }
}

/// A directory with the name that it has in an image: one plain word.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name in the image.
    pub name: &'a str,
    /// Where it is.
    pub folder: &'a Path,
}

fn open_directory(at: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    open_quietly(at, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a folder below `root` name by name, so that none of them can be a link.
fn open_from(root: impl AsFd, folder: &Path) -> Result<OwnedFd, Errno> {
    let mut opened = open_directory(root, OsStr::new("."))?;
    for name in folder {
        opened = open_directory(&opened, name)?;
    }
    Ok(opened)
}

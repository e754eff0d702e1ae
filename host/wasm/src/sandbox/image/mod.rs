//! Images of directories: a tar file from which trees can be restored exactly.
//!
//! A tar file instead of copies: it keeps links and modes, and links in a run directory would lead anyone who uploads or
//! copies it to their targets.

mod capture;
mod restore;
#[cfg(test)]
mod tests;

use std::{ffi::OsStr, os::fd::AsFd, os::fd::OwnedFd, path::Path};

pub use capture::{Captured, ImageError};
pub use restore::{RestoreError, restore};
use rustix::{fs::OFlags, io::Errno};

use host_fs::open_quietly;

/// The limits of an image. Larger trees have none, since half a tree would be judged wrongly.
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

/// A directory and its name in an image, a plain word.
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

/// Opens a directory below `root` name by name, so that no component can be a link.
fn open_from(root: impl AsFd, folder: &Path) -> Result<OwnedFd, Errno> {
    let mut opened = open_directory(root, OsStr::new("."))?;
    for name in folder {
        opened = open_directory(&opened, name)?;
    }
    Ok(opened)
}

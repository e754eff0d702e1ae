//! Paths as a person in the current folder, and as the event log, would write them.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::error::Error;

/// The current folder.
///
/// # Errors
/// It was removed, or may not be read.
pub(super) fn current_dir() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|error| {
        Error::setup(match error.kind() {
            io::ErrorKind::NotFound => "the current folder no longer exists: it was removed or moved\n\
                                        help: change to a folder that exists (`cd`)"
                .to_owned(),
            _ => format!("cannot find the current folder: {error}\nhelp: change to a folder that you may read (`cd`)"),
        })
    })
}

/// A path for the event log, which is text.
pub(super) fn as_text(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}

/// A path below the current folder relative to it, as a person would write it.
#[must_use]
pub fn as_seen_here(path: &Path) -> PathBuf {
    let cwd = std::env::current_dir().ok();
    cwd.and_then(|cwd| path.strip_prefix(cwd).ok()).unwrap_or(path).to_owned()
}

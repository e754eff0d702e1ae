//! Copies of directories that guests and agents wrote, and so may have filled with anything.

use std::{
    collections::VecDeque,
    ffi::{CString, OsStr},
    fs::{DirBuilder, File},
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, statat},
    io::Errno,
};

use super::error::ArtifactError;
use host_fs::{open_beneath, open_directory, open_regular};

/// Places in [`Copied::skipped`].
const MAX_SKIPPED: usize = 100;

/// How much of a tree is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes of all files together. A file that does not fit is left out as a whole; smaller ones may still fit.
    pub bytes: u64,
    /// Files and directories, and what is left out, together.
    pub entries: usize,
    /// Directories within one another.
    pub depth: usize,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { bytes: 64 << 20, entries: 20_000, depth: 64 }
    }
}

/// The result of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was left out, each with its path (odd bytes escaped) and the reason; at most about a hundred lines, the
    /// last of which then counts the others.
    pub skipped: Vec<String>,
}

/// Copies the directory `from` to `to`, which is made if need be and should be empty.
///
/// Symbolic links are neither followed nor copied, wherever in the tree they are, even if the tree changes meanwhile.
/// Pipes, sockets and devices are left out, and nothing can make the copy wait.
/// Copies are readable by the user alone and have none of the original's special permissions.
///
/// # Errors
/// `from` is no readable directory, or `to` cannot be written. What cannot be read within `from` is left out and said.
pub fn copy_tree_bounded(from: &Path, to: &Path, limits: CopyLimits) -> Result<Copied, ArtifactError> {
    let read_error = |source: Errno| ArtifactError::ReadTree { path: from.into(), source: source.into() };
    let root = open_directory(CWD, from).map_err(read_error)?;
    make_directory(to)?;
    let mut copy = Copy { root, to, limits, entries: 0, copied: Copied::default(), left_out: 0 };
    let mut waiting = VecDeque::from([PathBuf::new()]);
    while let Some(folder) = waiting.pop_front() {
        copy.folder(&folder, &mut waiting)?;
    }
    if copy.left_out > 0 {
        copy.copied.skipped.push(format!("and {} more", copy.left_out));
    }
    Ok(copy.copied)
}

struct Copy<'a> {
    root: OwnedFd,
    to: &'a Path,
    limits: CopyLimits,
    entries: usize,
    copied: Copied,
    left_out: usize,
}

impl Copy<'_> {
    /// Copies the files of one folder, and puts its folders on the list: nothing recurses as deep as the tree is, and
    /// only two directories are open at once.
    fn folder(&mut self, folder: &Path, waiting: &mut VecDeque<PathBuf>) -> Result<(), ArtifactError> {
        let names =
            open_beneath(&self.root, folder).and_then(|directory| Ok((self.names(&directory, folder)?, directory)));
        let (names, directory) = match names {
            Ok(found) => found,
            Err(error) => {
                self.skip(folder, &reason(error));
                return Ok(());
            }
        };
        for name in names {
            let name = OsStr::from_bytes(name.as_bytes());
            let path = folder.join(name);
            match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| FileType::from_raw_mode(stat.st_mode))
            {
                Ok(FileType::RegularFile) => self.file(&directory, name, &path)?,
                Ok(FileType::Directory) if path.components().count() > self.limits.depth => {
                    self.skip(&path, &format!("deeper than {} directories", self.limits.depth));
                }
                Ok(FileType::Directory) => match make_directory(&self.to.join(&path)) {
                    Ok(()) => waiting.push_back(path),
                    Err(ArtifactError::CreateDirectory { source, .. }) if is_too_long(&source) => {
                        self.skip(&path, "its path is too long");
                    }
                    Err(error) => return Err(error),
                },
                Ok(other) => self.skip(&path, kind(other)),
                Err(error) => self.skip(&path, &reason(error)),
            }
        }
        Ok(())
    }

    /// The names in a directory, as many as the limit allows, sorted so that equal trees give equal copies.
    fn names(&mut self, directory: &OwnedFd, folder: &Path) -> Result<Vec<CString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if self.entries >= self.limits.entries {
                self.skip(folder, &format!("has more than the limit of {} entries", self.limits.entries));
                break;
            }
            self.entries += 1;
            names.push(entry.file_name().to_owned());
        }
        names.sort();
        Ok(names)
    }

    fn file(&mut self, directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), ArtifactError> {
        let (source, size) = match open_file(directory, name) {
            Ok(opened) => opened,
            Err(error) => {
                self.skip(path, &error);
                return Ok(());
            }
        };
        let left = self.limits.bytes - self.copied.bytes;
        if size > left {
            self.skip(path, &format!("its {size} bytes exceed the {left} left of the limit of {}", self.limits.bytes));
            return Ok(());
        }
        let target = self.to.join(path);
        let mut copy = match File::options().write(true).create_new(true).mode(0o600).open(&target) {
            Ok(copy) => copy,
            Err(error) if is_too_long(&error) => {
                self.skip(path, "its path is too long");
                return Ok(());
            }
            Err(source) => return Err(ArtifactError::Write { path: target, source }),
        };
        // A file that grows meanwhile must not outgrow the bound.
        let bytes = io::copy(&mut source.take(size), &mut copy)
            .map_err(|source| ArtifactError::Write { path: target, source })?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        if self.copied.skipped.len() >= MAX_SKIPPED {
            self.left_out += 1;
            return;
        }
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.copied.skipped.push(format!("{}: {reason}", path.as_os_str().as_bytes().escape_ascii()));
    }
}

/// Opens a file, in the words of a list of what was left out.
pub(super) fn open_file(directory: &OwnedFd, name: &OsStr) -> Result<(File, u64), String> {
    open_regular(directory, name).map(|(file, metadata)| (file, metadata.len())).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => "is not a regular file".to_owned(),
        _ => error.to_string(),
    })
}

fn make_directory(path: &Path) -> Result<(), ArtifactError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ArtifactError::CreateDirectory { path: path.into(), source })
}

fn is_too_long(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidFilename
}

pub(super) fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "not a regular file",
    }
}

pub(super) fn reason(error: Errno) -> String {
    io::Error::from(error).to_string()
}

#[cfg(test)]
mod tests;

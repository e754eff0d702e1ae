//! Lists a tree without its contents.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fmt::Write,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, readlinkat, statat},
    io::Errno,
};

use super::{
    error::ArtifactError,
    quoted::quoted,
    tree::{CopyLimits, kind, reason},
};
use host_fs::{open_beneath, open_directory};

/// Paths that [`Listing::left_out`] names; the rest is only counted.
const MAX_NAMED: usize = 20;

/// The entries below a directory, in the order of their paths. `.git` directories are listed without their content.
pub(super) struct Listing {
    /// The directory, for looking at what it holds.
    pub(super) root: OwnedFd,
    pub(super) entries: Vec<Entry>,
    /// Entries that could not be listed, each with its path and the reason.
    pub(super) left_out: Vec<String>,
    unnamed: usize,
}

pub(super) struct Entry {
    /// Below the listed directory.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Permissions: the lowest twelve bits of its mode.
    pub(super) permissions: u32,
    /// Bytes of a file.
    pub(super) size: u64,
}

#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// With what it points to.
    Link(Vec<u8>),
    /// A pipe, socket or device.
    Other(&'static str),
}

impl Listing {
    /// Lists `folder` within the entries and depth of `limits`.
    ///
    /// # Errors
    /// It is no readable directory.
    pub(super) fn of(folder: &Path, limits: CopyLimits) -> Result<Self, ArtifactError> {
        let root = open_directory(CWD, folder.as_os_str())
            .map_err(|error| ArtifactError::ReadTree { path: folder.into(), source: error.into() })?;
        let mut listing = Self { root, entries: Vec::new(), left_out: Vec::new(), unnamed: 0 };
        let mut waiting = VecDeque::from([PathBuf::new()]);
        while let Some(folder) = waiting.pop_front() {
            if let Err(error) = listing.folder(&folder, limits, &mut waiting) {
                listing.leave_out(&folder, &reason(error));
            }
        }
        listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
        if listing.unnamed > 0 {
            listing.left_out.push(format!("and {} more", listing.unnamed));
        }
        Ok(listing)
    }

    fn folder(&mut self, folder: &Path, limits: CopyLimits, waiting: &mut VecDeque<PathBuf>) -> Result<(), Errno> {
        let directory = open_beneath(&self.root, folder)?;
        for found in Dir::read_from(&directory)? {
            let found = found?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            if self.entries.len() >= limits.entries {
                self.leave_out(folder, &format!("has more than the limit of {} entries", limits.entries));
                waiting.clear();
                break;
            }
            let path = folder.join(name);
            match entry(&directory, name, &path) {
                Ok(entry) => {
                    if entry.kind == Kind::Folder && name != ".git" {
                        if path.components().count() > limits.depth {
                            self.leave_out(&path, &format!("deeper than {} directories", limits.depth));
                        } else {
                            waiting.push_back(path);
                        }
                    }
                    self.entries.push(entry);
                }
                Err(error) => self.leave_out(&path, &reason(error)),
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, reason: &str) {
        if self.left_out.len() >= MAX_NAMED {
            self.unnamed += 1;
            return;
        }
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.left_out.push(format!("{}: {reason}", quoted("", path.as_os_str().as_bytes())));
    }

    /// Whether everything that is there is listed.
    pub(super) fn is_complete(&self) -> bool {
        self.left_out.is_empty()
    }

    /// Whether something may be at `path`, listed or not.
    pub(super) fn may_hold(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return true };
        let found = open_beneath(&self.root, folder)
            .and_then(|directory| statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map(drop));
        !matches!(found, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
    }

    /// One line an entry: kind and permissions, bytes of a file, path, and what a link points to.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let (kind, size, after) = match &entry.kind {
                Kind::File => ('-', entry.size.to_string(), String::new()),
                Kind::Folder => ('d', "-".into(), String::new()),
                Kind::Link(target) => ('l', "-".into(), format!(" -> {}", quoted("", target))),
                Kind::Other(kind) => ('?', "-".into(), format!(" ({kind})")),
            };
            let path = quoted("", entry.path.as_os_str().as_bytes());
            // Writing into a text does not fail.
            let _ = writeln!(text, "{kind}{} {size:>10} {path}{after}", permissions(entry.permissions));
        }
        for left_out in &self.left_out {
            let _ = writeln!(text, "[not listed: {left_out}]");
        }
        text
    }
}

fn entry(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<Entry, Errno> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link(readlinkat(directory, name, Vec::new())?.into_bytes()),
        other => Kind::Other(kind(other)),
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Entry { path: path.to_owned(), kind, permissions: stat.st_mode & 0o7777, size })
}

/// `rwxr-xr-x`, and octal digits where more bits are set.
fn permissions(bits: u32) -> String {
    let letters = (0..9).map(|place| if bits & (0o400 >> place) == 0 { '-' } else { ['r', 'w', 'x'][place % 3] });
    let letters: String = letters.collect();
    if bits > 0o777 { format!("{letters} ({bits:o})") } else { letters }
}

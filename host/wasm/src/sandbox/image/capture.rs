//! Creates images.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::File,
    io::{self, BufWriter, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags, Stat, readlinkat, statat},
    io::Errno,
};
use tar::{Builder, EntryType, Header};

use super::{ImageLimits, Part, open_directory, open_from};
use host_fs::{list_quietly, open_quietly};

/// A file that changed less than this ago may change again with the same times.
const CLOCK_GRANULARITY: Duration = Duration::from_millis(50);

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The trees contain something that an image cannot, or exceed its limits.
    #[error("{0}")]
    Unfit(String),
    /// The image cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The directory entries of trees at one moment; [`Captured::write`] reads the contents.
#[derive(Debug)]
pub struct Captured {
    entries: Vec<Entry>,
    at: SystemTime,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// The index of the part, and the path in it; empty for the part itself.
    part: usize,
    path: PathBuf,
    kind: Kind,
    mode: u32,
    mtime: i64,
    /// Changes with the entry, even if its times are set back.
    change_marks: (u64, i64, u64),
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File(u64),
    Symlink(Vec<u8>),
    Pipe,
}

impl Captured {
    /// Scans `parts`. Links are not followed, and nothing blocks.
    ///
    /// # Errors
    /// [`ImageError::Unfit`].
    pub fn scan(parts: &[Part<'_>], limits: ImageLimits) -> Result<Self, ImageError> {
        let at = SystemTime::now();
        let mut look = Scanner { limits, bytes: 0, entries: Vec::new() };
        for (part, Part { name, folder }) in parts.iter().enumerate() {
            look.part(part, folder).map_err(|(path, reason)| {
                let path = Path::new(name).join(path);
                ImageError::Unfit(format!("{}: {reason}", path.as_os_str().as_bytes().escape_ascii()))
            })?;
        }
        Ok(Self { entries: look.entries, at })
    }

    /// Whether certainly nothing has changed since `earlier`.
    #[must_use]
    pub fn is_unchanged_since(&self, earlier: &Self) -> bool {
        self.entries == earlier.entries && earlier.is_settled()
    }

    /// The kernel's clock for files has a granularity: within it, a second change does not change the times.
    fn is_settled(&self) -> bool {
        let until = self.at.checked_sub(CLOCK_GRANULARITY).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let until = until.map_or(0, |at| {
            i64::try_from(at.as_secs()).unwrap_or(0).saturating_mul(1000) + i64::from(at.subsec_millis())
        });
        self.entries.iter().all(|entry| {
            let (_, seconds, nanoseconds) = entry.change_marks;
            seconds.saturating_mul(1000) + i64::try_from(nanoseconds / 1_000_000).unwrap_or(0) < until
        })
    }

    /// Writes the image to the new file `to`, readable by the user only, and returns its size in bytes. `parts` are those
    /// that were scanned. A failure leaves no file.
    ///
    /// # Errors
    /// [`ImageError`]; a file that changes meanwhile has no image.
    pub fn write(&self, parts: &[Part<'_>], to: &Path) -> Result<u64, ImageError> {
        let written = self.try_write(parts, to);
        if written.is_err() {
            // The first error is reported.
            let _ = std::fs::remove_file(to);
        }
        written
    }

    fn try_write(&self, parts: &[Part<'_>], to: &Path) -> Result<u64, ImageError> {
        let failed = |source| ImageError::Write { path: to.into(), source };
        let file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
        let mut tar = Builder::new(BufWriter::with_capacity(64 << 10, file));
        let mut opened: Option<((usize, PathBuf), OwnedFd)> = None;
        for entry in &self.entries {
            let named = Path::new(parts[entry.part].name).join(&entry.path);
            let mut header = entry.header();
            match &entry.kind {
                Kind::Directory | Kind::Pipe => tar.append_data(&mut header, &named, io::empty()).map_err(failed)?,
                Kind::Symlink(target) => {
                    tar.append_link(&mut header, &named, OsStr::from_bytes(target)).map_err(failed)?;
                }
                Kind::File(size) => {
                    let changed = |what: String| {
                        ImageError::Unfit(format!("{}: {what}", named.as_os_str().as_bytes().escape_ascii()))
                    };
                    let folder = (entry.part, entry.path.parent().unwrap_or(Path::new("")).to_owned());
                    // The files of a directory follow one another.
                    let directory = match opened.take() {
                        Some((known, directory)) if known == folder => directory,
                        _ => open_beneath(parts[folder.0].folder, &folder.1).map_err(|error| changed(reason(error)))?,
                    };
                    let name = entry.path.file_name().unwrap_or_default();
                    let file = open_quietly(&directory, name, OFlags::RDONLY);
                    let file = file.map_err(|error| changed(reason(error)))?;
                    let mut exact = ExactSize { file: File::from(file).take(*size), left: *size };
                    tar.append_data(&mut header, &named, &mut exact).map_err(failed)?;
                    if exact.left > 0 {
                        return Err(changed("changed while it was copied".into()));
                    }
                    opened = Some((folder, directory));
                }
            }
        }
        let file = tar.into_inner().and_then(|buffered| buffered.into_inner().map_err(io::Error::from));
        file.and_then(|file| file.metadata()).map(|metadata| metadata.len()).map_err(failed)
    }
}

impl Entry {
    fn header(&self) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(self.mode & 0o7777);
        header.set_mtime(u64::try_from(self.mtime).unwrap_or(0));
        let (kind, size) = match self.kind {
            Kind::Directory => (EntryType::Directory, 0),
            Kind::File(size) => (EntryType::Regular, size),
            Kind::Symlink(_) => (EntryType::Symlink, 0),
            Kind::Pipe => (EntryType::Fifo, 0),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        header
    }
}

/// A file of a known size: missing bytes are zeros, and are counted in `left`.
struct ExactSize {
    file: io::Take<File>,
    left: u64,
}

impl Read for ExactSize {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left -= read as u64;
        if read > 0 || self.file.limit() == 0 || buffer.is_empty() {
            return Ok(read);
        }
        let missing = usize::try_from(self.file.limit()).unwrap_or(usize::MAX).min(buffer.len());
        buffer[..missing].fill(0);
        self.file.set_limit(self.file.limit() - missing as u64);
        Ok(missing)
    }
}

struct Scanner {
    limits: ImageLimits,
    bytes: u64,
    entries: Vec<Entry>,
}

impl Scanner {
    fn part(&mut self, part: usize, folder: &Path) -> Result<(), (PathBuf, String)> {
        let at_root = |error| (PathBuf::new(), reason(error));
        let root = open_directory(CWD, folder.as_os_str()).map_err(at_root)?;
        let stat = rustix::fs::fstat(&root).map_err(at_root)?;
        self.entries.push(entry(part, PathBuf::new(), Kind::Directory, &stat));
        let mut waiting = VecDeque::from([PathBuf::new()]);
        while let Some(folder) = waiting.pop_front() {
            let first = self.entries.len();
            let unreadable = |error| (folder.clone(), reason(error));
            let directory = open_from(&root, &folder).map_err(unreadable)?;
            for found in list_quietly(&directory).map_err(unreadable)? {
                let found = found.map_err(unreadable)?;
                let name = found.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| (path.clone(), reason(error)))?;
                let kind = self.kind(&directory, &path, &stat).map_err(|reason| (path.clone(), reason))?;
                self.entries.push(entry(part, path, kind, &stat));
                if self.entries.len() > self.limits.entries {
                    return Err((folder, format!("there are more than {} entries", self.limits.entries)));
                }
            }
            // Sorted, so that equal trees are equal.
            self.entries[first..].sort_by(|a, b| a.path.cmp(&b.path));
            let folders = self.entries[first..].iter().filter(|entry| entry.kind == Kind::Directory);
            waiting.extend(folders.map(|entry| entry.path.clone()));
        }
        Ok(())
    }

    fn kind(&mut self, directory: &OwnedFd, path: &Path, stat: &Stat) -> Result<Kind, String> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
                self.bytes = self.bytes.saturating_add(size);
                if self.bytes > self.limits.bytes {
                    return Err(format!("with it there are more than {} bytes", self.limits.bytes));
                }
                Ok(Kind::File(size))
            }
            FileType::Directory if path.components().count() > self.limits.depth => {
                Err(format!("deeper than {} directories", self.limits.depth))
            }
            FileType::Directory => Ok(Kind::Directory),
            FileType::Symlink => {
                let target = readlinkat(directory, path.file_name().unwrap_or_default(), Vec::new()).map_err(reason)?;
                Ok(Kind::Symlink(target.into_bytes()))
            }
            FileType::Fifo => Ok(Kind::Pipe),
            FileType::Socket => Err("a socket".into()),
            _ => Err("a device".into()),
        }
    }
}

fn entry(part: usize, path: PathBuf, kind: Kind, stat: &Stat) -> Entry {
    let change_marks = (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec);
    Entry { part, path, kind, mode: stat.st_mode, mtime: stat.st_mtime, change_marks }
}

fn open_beneath(root: &Path, folder: &Path) -> Result<OwnedFd, Errno> {
    open_from(&open_directory(CWD, root.as_os_str())?, folder)
}

fn reason(error: Errno) -> String {
    io::Error::from(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_trees_are_recognized_after_the_clock_granularity() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "1").unwrap();
        let look = || Captured::scan(&[Part { name: "root", folder: folder.path() }], ImageLimits::default()).unwrap();
        let mut seen = look();
        assert!(!look().is_unchanged_since(&seen), "a second change at once would not show");
        seen.at += Duration::from_secs(1);
        assert!(look().is_unchanged_since(&seen));
        // Even setting back the time of a file does not hide a change.
        let file = File::options().write(true).open(folder.path().join("file")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(!look().is_unchanged_since(&seen));
    }
}

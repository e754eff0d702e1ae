//! Copies trees: measures them first, can be interrupted between chunks, and keeps holes.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use rustix::{fs::SeekFrom, io::Errno};

/// Returns whether the work should stop soon, because the run is ending.
pub type Halt<'a> = &'a (dyn Fn() -> bool + Sync);

/// Counted for each file and directory in addition to its content: empty ones fill a disk too.
pub(super) const ENTRY_BYTES: u64 = 1 << 10;

/// Bytes that are copied between two calls of [`Halt`].
const CHUNK_BYTES: u64 = 8 << 20;

/// How large a tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// The lengths of its files, and [`ENTRY_BYTES`] for each entry: the most that its copy may take.
    pub(super) apparent: u64,
    /// The same without holes: what its copy takes if the file system supports them.
    pub(super) allocated: u64,
}

/// Adds the content of `folder` to `size`, until that exceeds `limit`. Opens every file, so that unreadable ones are
/// reported before anything is copied. `refused` returns what is wrong with a name, if anything.
///
/// # Errors
/// The file system's, and for entries that cannot be copied.
pub(super) fn measure(
    folder: &Path,
    size: &mut Size,
    limit: u64,
    refused: &dyn Fn(&OsStr) -> Option<&'static str>,
    halt: Halt<'_>,
) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| with_path(&folder, error))? {
            let entry = entry?;
            let path = entry.path();
            if halt() {
                return Err(halted());
            }
            if let Some(why) = refused(&entry.file_name()) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} {why}", path.display())));
            }
            size.apparent = size.apparent.saturating_add(ENTRY_BYTES);
            size.allocated = size.allocated.saturating_add(ENTRY_BYTES);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if !kind.is_symlink() {
                let (_, metadata) = open(&path)?;
                size.apparent = size.apparent.saturating_add(metadata.len());
                size.allocated =
                    size.allocated.saturating_add(metadata.len().min(metadata.blocks().saturating_mul(512)));
            }
            if size.apparent > limit {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Creates the directory `to` and copies the content of `from` into it.
pub(super) fn copy_tree(from: &Path, to: &Path, halt: Halt<'_>) -> io::Result<()> {
    create(to).map_err(|error| with_path(to, error))?;
    copy_entries(from, to, halt)
}

/// Creates a private directory and its parents.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Copies the content of `from`. Links are copied as links: a component cannot follow one that leads out of its root.
pub(super) fn copy_entries(from: &Path, to: &Path, halt: Halt<'_>) -> io::Result<()> {
    for entry in fs::read_dir(from).map_err(|error| with_path(from, error))? {
        if halt() {
            return Err(halted());
        }
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::DirBuilder::new().mode(0o755).create(&target).map_err(|error| with_path(&target, error))?;
            copy_entries(&source, &target, halt)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(|error| with_path(&source, error))?;
            symlink(link, &target).map_err(|error| with_path(&target, error))?;
        } else if let Err(error) = copy_file(&source, &target, halt) {
            // An error with a path is about the source.
            return Err(if error.get_ref().is_some() { error } else { with_path(&target, error) });
        }
    }
    Ok(())
}

/// Copies a file with its permissions and holes. Bytes that are appended meanwhile are not copied.
fn copy_file(from: &Path, to: &Path, halt: Halt<'_>) -> io::Result<()> {
    let (mut source, metadata) = open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let length = metadata.len();
    target.set_len(length)?;
    let mut done = 0;
    while let Some((start, end)) = next_data(&source, done, length)? {
        source.seek(io::SeekFrom::Start(start))?;
        target.seek(io::SeekFrom::Start(start))?;
        done = start;
        while done < end {
            if halt() {
                return Err(halted());
            }
            let copied = io::copy(&mut Read::by_ref(&mut source).take(CHUNK_BYTES.min(end - done)), &mut target)?;
            if copied == 0 {
                // The file was truncated meanwhile.
                target.set_len(done)?;
                return target.set_permissions(metadata.permissions());
            }
            done += copied;
        }
    }
    target.set_permissions(metadata.permissions())
}

/// The next range of a file at or after `from` that is not a hole.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // The file system does not support holes.
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some((from, length))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(length).min(length);
    Ok(Some((start, end)).filter(|(start, end)| start < end))
}

/// Opens a file of a tree, without following links or blocking on pipes.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let not_copyable = || {
        let what = format!("{} is not a file, a folder or a symbolic link", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, what)
    };
    // Checked before, since opening a device may have effects.
    if !path.symlink_metadata()?.is_file() {
        return Err(not_copyable());
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| with_path(path, error))?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(not_copyable()) }
}

/// An error with its path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
struct PathError {
    path: PathBuf,
    source: io::Error,
}

/// `error`, which is about `path`, says so. Its cause stays to be found.
pub(super) fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), PathError { path: path.to_owned(), source: error })
}

/// The error of an interrupted copy, which is never shown.
pub(super) fn halted() -> io::Error {
    io::Error::other("it was interrupted")
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    const NEVER: Halt<'static> = &|| false;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("from/sub")).unwrap();
        folder
    }

    #[test]
    fn copies_keep_holes_and_data() {
        let folder = folder();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = File::create(from.join("sub/file")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 20 << 20).unwrap();
        file.set_len(1 << 40).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o751)).unwrap();
        fs::write(from.join("dense"), vec![7; 3 << 20]).unwrap();
        fs::write(from.join("empty"), "").unwrap();
        copy_tree(&from, &to, NEVER).unwrap();
        let copy = fs::metadata(to.join("sub/file")).unwrap();
        assert_eq!((copy.len(), copy.permissions().mode() & 0o777), (1 << 40, 0o751));
        assert!(copy.blocks() * 512 < 16 << 20, "{} blocks", copy.blocks());
        let mut middle = [0; 15];
        let read = File::open(to.join("sub/file")).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&read, &mut middle, (20 << 20) - 1).unwrap();
        assert_eq!(&middle, b"\0in the middle\0");
        assert_eq!(fs::read(to.join("dense")).unwrap(), vec![7; 3 << 20]);
        assert_eq!(fs::read(to.join("empty")).unwrap(), b"");
    }

    #[test]
    fn measuring_stops_at_the_limit() {
        let folder = folder();
        let from = folder.path().join("from");
        File::create(from.join("sub/file")).unwrap().set_len(1 << 40).unwrap();
        symlink("/etc", from.join("link")).unwrap();
        let measured = |limit| {
            let mut size = Size::default();
            measure(&from, &mut size, limit, &|_| None, NEVER).unwrap();
            size
        };
        assert_eq!(measured(u64::MAX), Size { apparent: (1 << 40) + 3 * ENTRY_BYTES, allocated: 3 * ENTRY_BYTES });
        assert!(measured(0).apparent <= ENTRY_BYTES, "the first entry is enough");
        let refused = |name: &OsStr| (name == "file").then_some("is refused");
        let error = measure(&from, &mut Size::default(), u64::MAX, &refused, NEVER).unwrap_err();
        assert!(error.to_string().ends_with("sub/file is refused"), "{error}");
        rustix::fs::mkfifoat(rustix::fs::CWD, from.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let error = measure(&from, &mut Size::default(), u64::MAX, &|_| None, NEVER).unwrap_err();
        assert!(error.to_string().ends_with("pipe is not a file, a folder or a symbolic link"), "{error}");
    }

    /// Between entries, and between the chunks of a file.
    #[test]
    fn an_interrupted_copy_stops_early() {
        let folder = folder();
        let from = folder.path().join("from");
        fs::write(from.join("sub/file"), vec![1; 3 * CHUNK_BYTES as usize]).unwrap();
        for looks in 0..4 {
            let left = AtomicU32::new(looks);
            let halt = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
            let to = folder.path().join(format!("to{looks}"));
            let error = copy_tree(&from, &to, &halt).unwrap_err();
            assert_eq!(error.to_string(), halted().to_string());
            // It checks before the directory, before the file, and before each chunk.
            let file = fs::metadata(to.join("sub/file"));
            assert_eq!(file.is_ok(), looks > 1);
            let allocated = file.map_or(0, |file| file.blocks() * 512);
            assert!(allocated <= u64::from(looks.saturating_sub(2)) * CHUNK_BYTES + (1 << 20), "{looks}: {allocated}");
        }
        let halt = || true;
        assert!(measure(&from, &mut Size::default(), u64::MAX, &|_| None, &halt).is_err());
    }
}

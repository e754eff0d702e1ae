//! Restores trees from an image. The image is untrusted: nothing outside the trees is written.

use std::{
    collections::{HashSet, VecDeque},
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, Timespec, Timestamps, chmodat, fchmod, futimens, mkdirat, mknodat,
        openat, renameat, statat, symlinkat, unlinkat,
    },
    io::Errno,
};
use tar::{Archive, EntryType};

use super::{ImageLimits, Part, open_directory, open_from};
use crate::sandbox::remove_tree;

/// Bytes of an entry in addition to its content, long names included.
const ENTRY_OVERHEAD: u64 = 8 << 10;

/// Why trees could not be restored.
#[derive(Debug, thiserror::Error)]
#[error("the image {}: {reason}", image.display())]
pub struct RestoreError {
    image: PathBuf,
    reason: String,
}

/// Replaces the content of the `parts` by that in `image`, and returns which of them it contains; the others do not change.
/// Directories in both stay the same: a component that has them open sees their new content. `bytes` is the image's size as
/// it was written, and `scratch` a directory on the same file system, private to the attempt.
///
/// # Errors
/// The image is incomplete, too large or invalid; or the file system's. The directories may then be partly restored.
pub fn restore(
    image: &Path,
    bytes: u64,
    parts: &[Part<'_>],
    scratch: &Path,
    limits: ImageLimits,
) -> Result<Vec<bool>, RestoreError> {
    try_restore(image, bytes, parts, scratch, limits)
        .map_err(|reason| RestoreError { image: image.to_owned(), reason: reason.to_string() })
}

fn try_restore(
    image: &Path,
    bytes: u64,
    parts: &[Part<'_>],
    scratch: &Path,
    limits: ImageLimits,
) -> io::Result<Vec<bool>> {
    let mut file = open_image(image, bytes, limits)?;
    let folders = scan(&file, parts, limits)?;
    let mut restored = vec![false; parts.len()];
    for (part, Part { folder, .. }) in parts.iter().enumerate() {
        restored[part] = folders.contains(&(part, PathBuf::new()));
        if restored[part] {
            let root = open_directory(CWD, folder.as_os_str())?;
            clear(root, scratch, |path| folders.contains(&(part, path.to_owned())))?;
        }
    }
    file.rewind()?;
    fill(&file, parts)?;
    Ok(restored)
}

fn open_image(image: &Path, bytes: u64, limits: ImageLimits) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, image, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    if metadata.len() != bytes {
        return Err(invalid(format!("it has {} bytes, not the {bytes} that were written", metadata.len())));
    }
    if bytes > limits.bytes.saturating_add(ENTRY_OVERHEAD.saturating_mul(limits.entries as u64)) {
        return Err(invalid("it is larger than the maximum of an image"));
    }
    Ok(file)
}

/// Reads all names: finds the directories, and refuses an invalid image before anything is changed.
fn scan(file: &File, parts: &[Part<'_>], limits: ImageLimits) -> io::Result<HashSet<(usize, PathBuf)>> {
    let mut folders = HashSet::new();
    let (mut bytes, mut entries) = (0_u64, 0_usize);
    for entry in Archive::new(file).entries()? {
        let entry = entry?;
        let (part, path) = split_name(&entry.path_bytes(), parts)?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > limits.entries || bytes > limits.bytes || path.components().count() > limits.depth + 1 {
            return Err(invalid("it has more entries or bytes than an image may have"));
        }
        match entry.header().entry_type() {
            EntryType::Directory => drop(folders.insert((part, path))),
            EntryType::Regular | EntryType::Symlink | EntryType::Fifo if !path.as_os_str().is_empty() => {}
            other => return Err(invalid(format!("it has an entry of type {other:?}"))),
        }
    }
    Ok(folders)
}

/// Splits the name of an entry into its part and the path in it.
fn split_name(name: &[u8], parts: &[Part<'_>]) -> io::Result<(usize, PathBuf)> {
    let bad = || invalid(format!("the name `{}` is not allowed", name.escape_ascii()));
    let mut components = Path::new(OsStr::from_bytes(name)).components();
    let Some(Component::Normal(first)) = components.next() else { return Err(bad()) };
    let part = parts.iter().position(|part| first == part.name).ok_or_else(bad)?;
    let path = components.as_path();
    if name.contains(&0) || path.components().any(|component| !matches!(component, Component::Normal(_))) {
        return Err(bad());
    }
    Ok((part, path.to_owned()))
}

/// Removes everything below `root` except the directories that are kept.
fn clear(root: OwnedFd, scratch: &Path, is_kept: impl Fn(&Path) -> bool) -> io::Result<()> {
    fchmod(&root, Mode::RWXU)?;
    let mut count = 0_u32;
    let mut waiting = VecDeque::from([PathBuf::new()]);
    while let Some(folder) = waiting.pop_front() {
        let directory = open_from(&root, &folder)?;
        for found in Dir::read_from(&directory)? {
            let found = found?;
            let name = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                unlinkat(&directory, name, AtFlags::empty())?;
                continue;
            }
            // Listing and moving it need permissions.
            chmodat(&directory, name, Mode::RWXU, AtFlags::empty())?;
            if is_kept(&path) {
                waiting.push_back(path);
                continue;
            }
            // Moved out of the component's reach first, since `remove_tree` works by paths.
            let away = loop {
                let away = scratch.join(format!(".gone-{count}"));
                count += 1;
                if away.symlink_metadata().is_err() {
                    break away;
                }
            };
            renameat(&directory, name, CWD, &away)?;
            remove_tree(&away)?;
        }
    }
    Ok(())
}

fn fill(file: &File, parts: &[Part<'_>]) -> io::Result<()> {
    let mut roots = Vec::with_capacity(parts.len());
    for part in parts {
        roots.push(open_directory(CWD, part.folder.as_os_str())?);
    }
    let mut modes = Vec::new();
    for entry in Archive::new(file).entries()? {
        let mut entry = entry?;
        let (part, path) = split_name(&entry.path_bytes(), parts)?;
        // Special permissions are not restored.
        let mode = Mode::from_raw_mode(entry.header().mode()? & 0o777);
        let Some(name) = path.file_name() else {
            modes.push((part, path, mode));
            continue;
        };
        let directory = open_from(&roots[part], path.parent().unwrap_or(Path::new("")))?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                match mkdirat(&directory, name, Mode::RWXU) {
                    // A kept directory.
                    Err(Errno::EXIST) => drop(open_directory(&directory, name)?),
                    made => made?,
                }
                modes.push((part, path, mode));
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| invalid("a symbolic link is dangling"))?;
                symlinkat(OsStr::from_bytes(&target), &directory, name)?;
            }
            EntryType::Fifo => mknodat(&directory, name, FileType::Fifo, mode, 0)?,
            _ => write_file(&directory, name, mode, &mut entry)?,
        }
    }
    // Directories last, the innermost first: a locked one could not be filled.
    for (part, path, mode) in modes.into_iter().rev() {
        fchmod(open_from(&roots[part], &path)?, mode)?;
    }
    Ok(())
}

fn write_file(directory: &OwnedFd, name: &OsStr, mode: Mode, entry: &mut tar::Entry<'_, &File>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    let size = entry.size();
    if io::copy(&mut entry.take(size), &mut file)? != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    fchmod(&file, mode)?;
    let modified = i64::try_from(entry.header().mtime()?).unwrap_or_default();
    let time = Timespec { tv_sec: modified, tv_nsec: 0 };
    Ok(futimens(&file, &Timestamps { last_access: time, last_modification: time })?)
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

//! Opens that follow no link. A path of several components may still go through links in the middle: open its folders
//! one by one ([`open_beneath`]).

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
    path::Arg,
};

/// Neither through a link, nor with a wait for the other end of a pipe, nor with a terminal that takes over.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the directory `name` of the directory `at`.
///
/// # Errors
/// The file system's; `ENOTDIR` or `ELOOP` for a link.
pub fn open_directory(at: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | SAFE, Mode::empty())
}

/// Opens a directory below `root` component by component, so that none of them can be a link. Only names are followed:
/// `..` and a leading `/` are ignored.
///
/// # Errors
/// The file system's.
pub fn open_beneath(root: impl AsFd, folder: &Path) -> Result<OwnedFd, Errno> {
    let mut opened = open_directory(root, ".")?;
    for component in folder.components() {
        if let Component::Normal(name) = component {
            opened = open_directory(&opened, name)?;
        }
    }
    Ok(opened)
}

/// Opens the regular file `name` of the directory `at` for reading.
///
/// # Errors
/// The file system's; `ELOOP` for a link; [`io::ErrorKind::InvalidInput`] for anything else that is not a regular file.
pub fn open_regular(at: impl AsFd, name: impl Arg + Copy) -> io::Result<(File, Metadata)> {
    open_file(at, name, OFlags::RDONLY)
}

/// Whether [`open_regular`] refused something because it is not a regular file. The file system's own errors are others.
#[must_use]
pub fn is_irregular(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

fn open_file(at: impl AsFd, name: impl Arg + Copy, access: OFlags) -> io::Result<(File, Metadata)> {
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    // Before: opening a device can have an effect. After: something else may be there by then.
    let kind = FileType::from_raw_mode(statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
        return Err(irregular());
    }
    let file = File::from(openat(at, name, access | SAFE, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(irregular()) }
}

/// Opens the regular file `name` of the directory `at` for writing, with its content.
///
/// # Errors
/// Those of [`open_regular`].
pub fn open_to_write(at: impl AsFd, name: impl Arg + Copy) -> io::Result<File> {
    open_file(at, name, OFlags::WRONLY).map(|(file, _)| file)
}

/// Creates the file `name` in the directory `at`, where nothing may be, and opens it for writing.
///
/// # Errors
/// The file system's; `EEXIST` where anything is there, a dangling link too.
pub fn create_new(at: impl AsFd, name: impl Arg, mode: Mode) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(at, name, flags, mode)?))
}

/// Copies the open file `from` to the new file `name` in the directory `at`, for the user alone. A file that grows
/// meanwhile is copied to its length of now.
///
/// # Errors
/// The file system's.
pub fn copy(from: &File, at: impl AsFd, name: impl Arg) -> io::Result<File> {
    let length = from.metadata()?.len();
    let mut to = create_new(at, name, Mode::RUSR | Mode::WUSR)?;
    io::copy(&mut from.take(length), &mut to)?;
    Ok(to)
}

/// Opens a file or a directory for reading without a change to its time of access, where only the owner may ask for
/// that.
///
/// # Errors
/// The file system's.
pub fn open_quietly(at: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | SAFE;
    match openat(&at, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&at, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Lists an open directory in the same way.
///
/// # Errors
/// The file system's.
pub fn list_quietly(directory: impl AsFd) -> Result<Dir, Errno> {
    Dir::new(open_quietly(directory, OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY)?)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use rustix::fs::CWD;

    use super::*;

    fn folder() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let opened = open_directory(CWD, folder.path()).unwrap();
        (folder, opened)
    }

    #[test]
    fn a_link_at_the_end_is_not_followed() {
        let (folder, at) = folder();
        fs::write(folder.path().join("file"), "text").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        symlink("sub", folder.path().join("sub-link")).unwrap();
        assert_eq!(open_regular(&at, "file").unwrap().1.len(), 4);
        assert_eq!(open_regular(&at, "link").unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert!(open_directory(&at, "sub").is_ok() && open_directory(&at, "sub-link").is_err());
        let quietly = |name: &str| open_quietly(&at, OsStr::new(name), OFlags::RDONLY);
        assert!(quietly("file").is_ok() && quietly("link").is_err());
    }

    #[test]
    fn a_link_in_the_middle_is_not_followed() {
        let (folder, at) = folder();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        assert!(open_beneath(&at, Path::new("a/b")).is_ok() && open_beneath(&at, Path::new("")).is_ok());
        assert!(open_beneath(&at, Path::new("link/b")).is_err());
        assert!(open_beneath(&at, Path::new("a/../../..")).is_ok(), "`..` leads nowhere");
    }

    #[test]
    fn pipes_sockets_and_devices_are_refused_without_waiting() {
        let (folder, at) = folder();
        rustix::fs::mknodat(&at, "pipe", FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        for name in ["pipe", "socket", ".", "/dev/zero"] {
            assert!(is_irregular(&open_regular(&at, name).unwrap_err()), "{name}");
        }
    }

    #[test]
    fn a_file_that_vanishes_is_missing_or_still_readable() {
        let (folder, at) = folder();
        fs::write(folder.path().join("file"), "text").unwrap();
        let (mut opened, _) = open_regular(&at, "file").unwrap();
        fs::remove_file(folder.path().join("file")).unwrap();
        let mut text = String::new();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert_eq!(open_regular(&at, "file").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir(folder.path()).unwrap();
        assert_eq!(open_beneath(&at, Path::new("a")).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn new_files_replace_nothing() {
        let (folder, at) = folder();
        symlink("nowhere", folder.path().join("link")).unwrap();
        create_new(&at, "new", Mode::RUSR | Mode::WUSR).unwrap().write_all(b"1").unwrap();
        for name in ["new", "link"] {
            assert_eq!(create_new(&at, name, Mode::RUSR).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn copies_have_the_content_for_the_user_alone() {
        use std::os::unix::fs::PermissionsExt;

        let (folder, at) = folder();
        fs::write(folder.path().join("file"), "text").unwrap();
        fs::set_permissions(folder.path().join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
        let (from, _) = open_regular(&at, "file").unwrap();
        copy(&from, &at, "copy").unwrap();
        assert_eq!(fs::read(folder.path().join("copy")).unwrap(), b"text");
        assert_eq!(fs::metadata(folder.path().join("copy")).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(copy(&from, &at, "copy").is_err());
    }
}

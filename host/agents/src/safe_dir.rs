//! Writes below directories that an agent or a component can change at any time.
//!
//! The host is not confined, so a link placed there could make it write anywhere. Each directory is therefore opened
//! relative to its parent, links are not followed, and files are created or the call fails.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, renameat, statat, symlinkat, unlinkat},
    io::Errno,
};

/// An open directory, independent of its path.
#[derive(Debug)]
pub(crate) struct SafeDir(OwnedFd);

impl SafeDir {
    /// Opens `path`, which the host created; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(host_fs::open_directory(CWD, path)?))
    }

    /// Opens the subdirectory `path` and creates missing parts.
    ///
    /// # Errors
    /// A part of the path is not a directory, such as a link, or the path leads outside.
    pub(crate) fn create_dir(&self, path: &Path, mode: u32) -> io::Result<Self> {
        let mut dir = host_fs::open_directory(&self.0, ".")?;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
            match mkdirat(&dir, name, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            dir = host_fs::open_directory(&dir, name)?;
        }
        Ok(Self(dir))
    }

    /// Opens the subdirectory `path`; `None` if it is missing or not a directory.
    pub(crate) fn open_dir(&self, path: &Path) -> Option<Self> {
        host_fs::open_beneath(&self.0, path).ok().map(Self)
    }

    /// The type of the file `path`; `None` if it or its parent directory does not exist.
    pub(crate) fn file_type(&self, path: &Path) -> Option<FileType> {
        let dir = self.open_dir(path.parent()?)?;
        let stat = statat(&dir.0, path.file_name()?, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode))
    }

    /// Moves the file `name` to another directory and replaces an existing file `new` there.
    pub(crate) fn move_to(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, name, &to.0, new)?)
    }

    /// Removes `name`, which is not a directory.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Creates the file `name`.
    ///
    /// # Errors
    /// The name is taken.
    pub(crate) fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        host_fs::create_new(&self.0, name, Mode::from_raw_mode(mode))
    }

    /// Creates a symbolic link to `target`.
    ///
    /// # Errors
    /// The name is taken.
    pub(crate) fn symlink(&self, target: &Path, name: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    /// Creates a named pipe and opens it for reading and writing.
    ///
    /// # Errors
    /// The name is taken.
    pub(crate) fn create_pipe(&self, name: &str) -> io::Result<File> {
        mknodat(&self.0, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Reads the regular file `name` of at most `max_bytes` bytes; `None` if it does not exist.
    pub(crate) fn read_file(&self, name: &str, max_bytes: u64) -> io::Result<Option<String>> {
        let (file, metadata) = match host_fs::open_regular(&self.0, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(io::Error::other("it is a link"));
            }
            opened => opened?,
        };
        let bytes = host_fs::read_bounded(file, &metadata, max_bytes)?;
        String::from_utf8(bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes the file `name`, replacing what has this name.
    pub(crate) fn replace_file(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = format!(".{name}.host-new");
        match unlinkat(&self.0, new.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.create_file(OsStr::new(&new), 0o600)?.write_all(content)?;
        Ok(renameat(&self.0, new.as_str(), &self.0, name)?)
    }
}

/// Creates the file `path` in a directory that the host created.
///
/// # Errors
/// The name is taken.
pub(crate) fn write_new_file(path: &Path, content: &[u8]) -> io::Result<()> {
    host_fs::create_new(CWD, path, Mode::RUSR | Mode::WUSR)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().join(name);
        for name in ["own", "outside", "outside/deep"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("outside/file"), "as it was").unwrap();
        symlink(at("outside"), at("own/folder")).unwrap();
        symlink(at("outside/file"), at("own/file")).unwrap();
        symlink(at("outside/none"), at("own/.models.json.host-new")).unwrap();
        symlink(at("own"), at("link")).unwrap();
        assert!(SafeDir::open(&at("link")).is_err());
        let own = SafeDir::open(&at("own")).unwrap();
        for path in ["folder", "folder/deep", "../outside", "/", "file"] {
            assert!(own.create_dir(Path::new(path), 0o755).is_err(), "{path}");
        }
        assert!(own.create_file(OsStr::new("file"), 0o600).is_err());
        assert!(own.symlink(Path::new("x"), OsStr::new("file")).is_err());
        assert!(own.create_pipe("file").is_err());
        assert!(write_new_file(&at("own/file"), b"x").is_err());
        assert_eq!(own.read_file("file", 100).unwrap_err().to_string(), "it is a link");
        assert_eq!(own.read_file("none", 100).unwrap(), None);
        own.replace_file("models.json", b"new").unwrap();
        own.replace_file("file", b"new").unwrap();
        assert_eq!(own.read_file("file", 3).unwrap().as_deref(), Some("new"));
        assert!(own.read_file("file", 2).is_err());
        assert_eq!(fs::read_to_string(at("outside/file")).unwrap(), "as it was");
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 2);
        let deep = own.create_dir(Path::new("a/b"), 0o700).unwrap();
        deep.create_file(OsStr::new("c"), 0o600).unwrap();
        drop(deep.create_pipe("d").unwrap());
        assert!(at("own/a/b/c").is_file() && at("own/a/b/d").exists());
        assert!(deep.read_file("d", 9).unwrap_err().kind() == io::ErrorKind::InvalidInput);
    }
}

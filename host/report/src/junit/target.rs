//! The file for the document.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// The destination of a document.
pub(super) enum Target {
    /// A file, which is replaced in one piece.
    File(PathBuf),
    /// A pipe or a device, which must stay what it is.
    Stream(File),
}

impl Target {
    /// Empties `path`, so that an old document cannot pass for the new one. One that is not there yet appears with the
    /// document: an empty file is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = match OpenOptions::new().write(true).truncate(true).open(path) {
            // A link that leads nowhere is not there either, and must stay.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                temporary_file(path)?;
                return Ok(Self::File(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::create(path)?,
            opened => opened?,
        };
        if !file.metadata()?.is_file() {
            return Ok(Self::Stream(file));
        }
        // If `path` is a link, its target is replaced.
        let path = path.canonicalize()?;
        temporary_file(&path)?;
        Ok(Self::File(path))
    }

    /// Writes the whole document.
    pub(super) fn write(&mut self, document: &[u8]) -> io::Result<()> {
        match self {
            Self::File(path) => {
                let mut file = temporary_file(path)?;
                file.write_all(document)?;
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
            Self::Stream(file) => file.write_all(document).and_then(|()| file.flush()),
        }
    }
}

/// A new file in the folder of `path`, removed unless it is renamed.
fn temporary_file(path: &Path) -> io::Result<NamedTempFile> {
    host_fs::new_beside(path, host_fs::SHARED)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_document_replaces_the_old_one_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("junit.xml");
        fs::write(&path, "of yesterday").unwrap();
        let mut target = Target::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"", "an old report must not pass for a new one");
        let mut before = File::open(&path).unwrap();
        target.write(b"of today").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"of today");
        let mut seen = String::new();
        before.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "", "it is renamed, not written in place");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let (made, usual) = (fs::metadata(&path).unwrap(), folder.path().join("usual"));
        fs::write(&usual, "").unwrap();
        assert_eq!(made.permissions().mode(), fs::metadata(usual).unwrap().permissions().mode());
    }

    #[test]
    fn no_empty_document_is_ever_visible() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("junit.xml");
        let mut target = Target::open(&path).unwrap();
        assert!(!path.exists());
        target.write(b"<x/>").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"<x/>");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("junit.xml"), folder.path().join("link"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink("junit.xml", &link).unwrap();
        Target::open(&link).unwrap().write(b"<x/>").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"<x/>");
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        Target::open(Path::new("/dev/null")).unwrap().write(b"<x/>").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn an_unwritable_path_is_an_immediate_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Target::open(&folder.path().join("missing/junit.xml")).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Target::open(folder.path()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}

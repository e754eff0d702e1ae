use std::{
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

/// Permissions of a file that others may read as far as the umask allows.
pub const SHARED: u32 = 0o666;

/// A new file in the folder of `path`, which is removed unless it is renamed. The umask limits `mode`.
///
/// # Errors
/// The file system's.
pub fn new_beside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Builder::new().prefix(".new-").permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

/// Replaces a file as a whole: a reader sees the old content or the new, also when this process is killed in between.
/// A link is replaced, not followed. Nothing is forced to the disk: a power failure may lose the newest file.
///
/// # Errors
/// The file system's.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = new_beside(path, mode)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn files_are_replaced_as_a_whole() {
        let here = tempfile::tempdir().unwrap();
        let (path, outside) = (here.path().join("file"), here.path().join("outside"));
        fs::write(&outside, "stays").unwrap();
        symlink(&outside, &path).unwrap();
        for text in ["old", "new"] {
            write_atomic(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&outside).unwrap(), "stays", "a link is not followed");
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let here = tempfile::tempdir().unwrap();
        assert_eq!(write_atomic(&here.path().join("none/x"), b"", SHARED).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(here.path().join("folder")).unwrap();
        assert!(write_atomic(&here.path().join("folder"), b"", SHARED).is_err());
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1, "the new file is removed");
    }
}

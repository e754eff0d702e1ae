//! Reads that follow links: of files that the user named.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Bytes of the largest text file that is read: a suite, a script, a policy, a credential.
pub const MAX_TEXT: u64 = 16 << 20;

/// Reads the file `path` whole, links followed.
///
/// # Errors
/// The file system's; one with help if it is not a regular file, or has more than [`MAX_TEXT`] bytes.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_TEXT)
}

/// The same as text.
///
/// # Errors
/// Those of [`read`]; [`io::ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8; save it as UTF-8"))
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    read_bounded(file, &metadata, most)
}

/// Reads an open file whole.
///
/// # Errors
/// The file system's; [`io::ErrorKind::FileTooLarge`] where it has more than `max` bytes.
pub fn read_bounded(file: File, metadata: &Metadata, max: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let what = format!("it is larger than the limit of {max} bytes; make it smaller");
        io::Error::new(io::ErrorKind::FileTooLarge, what)
    };
    if metadata.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // It may grow, and files of `/proc` have a length of 0.
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// Opens the regular file `path` for reading, links followed. A pipe without a writer is not
/// waited for.
///
/// # Errors
/// The file system's; one with help if it is not a regular file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let regular = |metadata: &Metadata| {
        if metadata.is_file() {
            return Ok(());
        }
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let what = "it is not a regular file but a pipe, a socket or a device; replace it by a file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    };
    // Before: opening a device can have an effect. After: something else may be there by then.
    regular(&fs::metadata(path)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_that_are_not_regular_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("pipe", at("link")).unwrap();
        for name in ["pipe", "socket", "zero", "link"] {
            let error = read(&at(name)).unwrap_err().to_string();
            assert!(error.contains("not a regular file") && error.contains("replace it by a file"), "{name}: {error}");
        }
        assert_eq!(read(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn large_files_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err();
        assert!(error.to_string().contains("the limit of 4 bytes"), "{error}");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Its length is 0.
        assert!(!read(Path::new("/proc/self/status")).unwrap().is_empty());
    }
}

//! Finds files by the names that a listing shows: with U+FFFD if the name is not UTF-8.

use std::{fs::File, io};

use rustix::io::Errno;

use super::{listing::Listing, open::find};

/// Whether a path may contain such a name.
pub(super) fn may_be_lossy(path: &str) -> bool {
    path.contains(char::REPLACEMENT_CHARACTER)
}

/// The bytes of the path in the file system. A name that exists literally is used as it is.
///
/// # Errors
/// The file system's; `ENOENT` if no name or more than one is shown like that.
pub(super) fn find_raw(directory: &File, path: &str) -> io::Result<Vec<u8>> {
    let mut raw: Vec<u8> = Vec::new();
    for name in path.split('/') {
        let from = if raw.is_empty() { b".".to_vec() } else { raw.clone() };
        let shown = if may_be_lossy(name) && !exists(directory, &raw, name) {
            find_by_lossy_name(&find(directory, &from, true)?, name)?
        } else {
            name.as_bytes().to_vec()
        };
        raw.extend(shown);
        raw.push(b'/');
    }
    raw.pop();
    Ok(raw)
}

fn exists(directory: &File, before: &[u8], name: &str) -> bool {
    find(directory, &[before, name.as_bytes()].concat(), false).is_ok()
}

/// The only name in a directory that is shown as `name`.
fn find_by_lossy_name(directory: &File, name: &str) -> io::Result<Vec<u8>> {
    let mut listing = Listing::of(directory)?;
    let mut found = None;
    loop {
        let entries = listing.next()?;
        if entries.is_empty() {
            return found.ok_or_else(|| Errno::NOENT.into());
        }
        for entry in entries.into_iter().filter(|entry| entry.name == name) {
            // Two such names are ambiguous.
            if let Some(raw_name) = entry.raw_name
                && found.replace(raw_name).is_some()
            {
                return Err(Errno::NOENT.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn files_are_found_by_their_lossy_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(at(b"d\xfe/sub")).unwrap();
        fs::write(at(b"d\xfe/sub/f\xff"), "").unwrap();
        fs::write(at(b"one\xfe"), "").unwrap();
        fs::write(at(b"one\xff"), "").unwrap();
        fs::write(at("own\u{fffd}".as_bytes()), "").unwrap();
        fs::write(at(b"own\xff"), "").unwrap();
        let directory = File::open(folder.path()).unwrap();
        let raw = |path: &str| find_raw(&directory, path).map_err(|error| error.kind());
        assert_eq!(raw("d\u{fffd}/sub/f\u{fffd}").unwrap(), b"d\xfe/sub/f\xff");
        assert_eq!(raw("./d\u{fffd}").unwrap(), b"./d\xfe");
        assert_eq!(raw("own\u{fffd}").unwrap(), "own\u{fffd}".as_bytes());
        assert_eq!(raw("one\u{fffd}"), Err(io::ErrorKind::NotFound), "there are two");
        assert_eq!(raw("none\u{fffd}"), Err(io::ErrorKind::NotFound));
        assert!(raw("../d\u{fffd}").is_err());
        assert!(raw("/d\u{fffd}").is_err());
    }
}

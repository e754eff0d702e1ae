//! Reads a directory a few entries at a time, without missing any: neither names that are not UTF-8, nor files next to one
//! that is removed meanwhile.

use std::{fs::File, io};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

/// Entries that are read together. More would cost memory for each listing that a component leaves open.
const MAX_ENTRIES: usize = 64;

/// A directory that is being listed.
pub(super) struct Listing {
    directory: Dir,
}

/// An entry as a component sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: FileType,
    /// The bytes of the name if it is not UTF-8.
    pub(super) raw_name: Option<Vec<u8>>,
}

impl Listing {
    /// Starts a listing of `directory` from its beginning.
    pub(super) fn of(directory: &File) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: Dir::new(openat(directory, ".", flags, Mode::empty())?)? })
    }

    /// The next entries; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while entries.len() < MAX_ENTRIES {
            let Some(found) = self.directory.read() else { break };
            let found = found?;
            let name = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match found.file_type() {
                FileType::Unknown => match statat(self.directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(_) => FileType::Unknown,
                },
                known => known,
            };
            entries.push(Entry::new(name.to_bytes(), kind));
        }
        Ok(entries)
    }
}

impl Entry {
    fn new(name: &[u8], kind: FileType) -> Self {
        let shown = String::from_utf8_lossy(name);
        let raw_name = matches!(shown, std::borrow::Cow::Owned(_)).then(|| name.to_owned());
        Self { name: shown.into_owned(), kind, raw_name }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

    use super::*;

    fn all(folder: &Path) -> Vec<Entry> {
        let mut listing = Listing::of(&File::open(folder).unwrap()).unwrap();
        let mut all = Vec::new();
        loop {
            let entries = listing.next().unwrap();
            assert!(entries.len() <= MAX_ENTRIES);
            if entries.is_empty() {
                return all;
            }
            all.extend(entries);
        }
    }

    #[test]
    fn a_non_utf8_name_is_listed_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        for name in [b"aa".as_slice(), b"b\xff", b"zz", "\u{fffd}".as_bytes()] {
            fs::write(folder.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        let mut entries = all(folder.path());
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<(&str, Option<&[u8]>)> =
            entries.iter().map(|entry| (entry.name.as_str(), entry.raw_name.as_deref())).collect();
        assert_eq!(names, [("aa", None), ("b\u{fffd}", Some(b"b\xff".as_slice())), ("zz", None), ("\u{fffd}", None)]);
    }

    #[test]
    fn large_directories_are_listed_completely_with_their_types() {
        let folder = tempfile::tempdir().unwrap();
        let names: BTreeSet<String> = (0..1_000).map(|number| format!("file-{number}")).collect();
        for name in &names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(all(folder.path()).into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>(), names);
        let other = tempfile::tempdir().unwrap();
        let at = |name: &str| other.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        std::os::unix::fs::symlink("none", at("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let mut kinds: Vec<_> = all(other.path()).into_iter().map(|entry| (entry.name, entry.kind)).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("directory", FileType::Directory), ("link", FileType::Symlink), ("pipe", FileType::Fifo)];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }
}

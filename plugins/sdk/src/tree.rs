//! A folder that something hostile may have written: reading it never panics, hangs or takes unbounded memory.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Why a file of a tree cannot be read as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// Nothing is there.
    #[error("does not exist")]
    Missing,
    /// A folder is there.
    #[error("is a folder")]
    Folder,
    /// A symbolic link is there, or on the way. Links are never followed.
    #[error("is a symbolic link, or behind one")]
    Link,
    /// A FIFO, socket or device is there.
    #[error("is no regular file")]
    Special,
    /// It is over the bound.
    #[error("has {0} bytes, which is too large")]
    TooLarge(u64),
    /// It is a folder with more names than are looked at.
    #[error("holds more than {MAX_NAMES} names")]
    TooManyNames,
    /// It is no text.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// The system said no.
    #[error("cannot be read ({0})")]
    System(String),
}

impl From<std::io::Error> for NotReadable {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // A file where a folder is needed on the way to the path.
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
            _ => Self::System(error.to_string()),
        }
    }
}

/// A folder to read from. Paths are relative to it, with `/` between names.
#[derive(Clone, Debug)]
pub struct Tree {
    base: PathBuf,
}

/// A text for a person is not larger than this.
const MAX_TEXT: u64 = 4 << 20;
/// Names that are looked at in one folder.
const MAX_NAMES: usize = 20_000;

impl Tree {
    /// The tree below `base`.
    #[must_use]
    pub fn at(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// The content of a regular file of at most `max` bytes.
    pub fn read(&self, path: &str, max: u64) -> Result<Vec<u8>, NotReadable> {
        let full = self.resolve(path)?;
        let kind = fs::symlink_metadata(&full)?;
        let size = kind.len();
        match kind.file_type() {
            kind if kind.is_symlink() => return Err(NotReadable::Link),
            kind if kind.is_dir() => return Err(NotReadable::Folder),
            kind if !kind.is_file() => return Err(NotReadable::Special),
            _ if size > max => return Err(NotReadable::TooLarge(size)),
            _ => {}
        }
        let mut content = Vec::new();
        // The size that was told does not bind the file: the read is bounded as well.
        File::open(&full)?.take(max + 1).read_to_end(&mut content)?;
        if content.len() as u64 > max { Err(NotReadable::TooLarge(content.len() as u64)) } else { Ok(content) }
    }

    /// The content of a regular file of at most 4 MiB as text.
    pub fn text(&self, path: &str) -> Result<String, NotReadable> {
        String::from_utf8(self.read(path, MAX_TEXT)?).map_err(|_| NotReadable::NotUtf8)
    }

    /// The names in a folder, sorted; all of them, or an error. `""` is the tree's own folder.
    pub fn names(&self, path: &str) -> Result<Vec<String>, NotReadable> {
        let full = self.resolve(path)?;
        if fs::symlink_metadata(&full)?.is_symlink() {
            return Err(NotReadable::Link);
        }
        all_names(fs::read_dir(&full)?.map(|entry| entry.map(|entry| entry.file_name())))
    }

    /// Whether anything is at the path, a broken link included.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        self.resolve(path).is_ok_and(|full| fs::symlink_metadata(full).is_ok())
    }

    /// The paths below `folder` whose last name is `name`, at most `depth` folders deep. Links are not followed.
    ///
    /// # Errors
    /// A folder cannot be listed, or there are more than 20,000 names: what is left out could be what is looked for.
    pub fn find(&self, folder: &str, name: &str, depth: usize) -> Result<Vec<String>, NotReadable> {
        let mut found = Vec::new();
        let mut budget = MAX_NAMES;
        let mut waiting = vec![(folder.to_owned(), depth)];
        while let Some((folder, depth)) = waiting.pop() {
            let names = match self.names(&folder) {
                // What is no folder has no names.
                Err(NotReadable::Missing | NotReadable::Link) => Vec::new(),
                names => names?,
            };
            for entry in names {
                let Some(left) = budget.checked_sub(1) else { return Err(NotReadable::TooManyNames) };
                budget = left;
                let path = format!("{folder}/{entry}");
                if entry == name {
                    found.push(path);
                } else if depth > 0 {
                    waiting.push((path, depth - 1));
                }
            }
        }
        Ok(found)
    }

    /// The full path, when every folder on the way is a real folder and no name steps out.
    fn resolve(&self, path: &str) -> Result<PathBuf, NotReadable> {
        let mut full = self.base.clone();
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            if name == "." || name == ".." || Path::new(name).components().count() != 1 {
                return Err(NotReadable::Missing);
            }
            full.push(name);
            if names.peek().is_some() {
                let kind = fs::symlink_metadata(&full)?.file_type();
                if kind.is_symlink() {
                    return Err(NotReadable::Link);
                }
                if !kind.is_dir() {
                    return Err(NotReadable::Missing);
                }
            }
        }
        Ok(full)
    }
}

/// The names of a listing. One that ends in an error tells nothing of what is missing.
fn all_names(entries: impl Iterator<Item = io::Result<OsString>>) -> Result<Vec<String>, NotReadable> {
    let mut names = Vec::new();
    for entry in entries {
        if names.len() >= MAX_NAMES {
            return Err(NotReadable::TooManyNames);
        }
        names.push(entry?.to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
#[path = "tree/tests.rs"]
mod tests;

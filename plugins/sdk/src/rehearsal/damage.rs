//! Ways to break a folder that a grader has to withstand.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
};

/// What is done to every file below a folder.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// It is deleted.
    Deleted,
    /// A folder stands in its place.
    Folder,
    /// A symbolic link to itself stands in its place.
    Loop,
    /// A symbolic link out of the root stands in its place.
    LinkOut,
    /// It is empty.
    Empty,
    /// It is no UTF-8.
    Bytes,
    /// It claims to have a tebibyte.
    Huge,
    /// It is cut in half.
    Cut,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Deleted, Self::Folder, Self::Loop, Self::LinkOut, Self::Empty, Self::Bytes, Self::Huge, Self::Cut];

    /// Whether nothing is left to read.
    #[must_use]
    pub fn is_total(self) -> bool {
        !matches!(self, Self::Cut)
    }

    /// Does it to every regular file below a folder, except in a `.git` inside it.
    pub fn apply(self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != ".git" {
                self.apply(&entry.path())?;
            } else if kind.is_file() {
                self.apply_to_file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn apply_to_file(self, path: &Path) -> io::Result<()> {
        let content = fs::read(path)?;
        // Git's objects are read-only, so a file is made anew.
        fs::remove_file(path)?;
        match self {
            Self::Deleted => Ok(()),
            Self::Folder => fs::create_dir(path),
            Self::Loop => symlink(path, path),
            Self::LinkOut => symlink("/etc/passwd", path),
            Self::Empty => fs::write(path, ""),
            Self::Bytes => fs::write(path, [0xff, 0x00, 0xfe, b'\n'].repeat(100)),
            Self::Huge => File::create(path)?.set_len(1 << 40),
            Self::Cut => fs::write(path, &content[..content.len() / 2]),
        }
    }
}

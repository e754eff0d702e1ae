//! Reads a git checkout without git: bounded, without following links, and nothing of its configuration.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{fs::CWD, process::geteuid};

use host_fs::{open_beneath, open_directory, open_regular};

/// Bytes of `HEAD`, a reference, or a `.git` file.
const MAX_SMALL: u64 = 4 << 10;
/// Bytes of `packed-refs`.
const MAX_PACKED: u64 = 64 << 20;
/// References that name one another.
const MAX_DEPTH: usize = 5;

/// A checkout: its files, and where git keeps what it knows of them.
#[derive(Debug)]
pub(super) struct Checkout {
    /// The folder that holds `.git`, canonical.
    pub(super) top: PathBuf,
    /// What belongs to this checkout alone: `HEAD` and the index.
    own: OwnedFd,
    /// What it shares with others: references and objects.
    common: OwnedFd,
    common_path: PathBuf,
}

impl Checkout {
    /// The checkout that `folder` is in. Only a `.git` counts, never a bare repository; and it must belong to this user
    /// or to who owns the folder that it lies in.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let device = fs::metadata(&folder).ok()?.dev();
        for top in folder.ancestors() {
            let around = fs::symlink_metadata(top).ok().filter(|around| around.dev() == device)?;
            let Ok(metadata) = fs::symlink_metadata(top.join(".git")) else { continue };
            if ![geteuid().as_raw(), around.uid()].contains(&metadata.uid()) {
                return None;
            }
            if metadata.is_file() {
                return Self::linked(top);
            }
            // git goes on above a `.git` that is not a repository, too.
            if let Some(found) = Self::plain(top) {
                return Some(found);
            }
        }
        None
    }

    fn plain(top: &Path) -> Option<Self> {
        let common_path = top.join(".git");
        let own = open_directory(CWD, &common_path).ok()?;
        let _ = (open_directory(&own, "objects").ok()?, open_regular(&own, "HEAD").ok()?);
        let common = own.try_clone().ok()?;
        Some(Self { top: top.to_owned(), own, common, common_path })
    }

    /// A checkout whose `.git` is a file that names a folder: a worktree, which that folder names in turn, or a
    /// submodule, whose folder is in the repository of a checkout around it.
    fn linked(top: &Path) -> Option<Self> {
        let link = top.join(".git");
        let text = small(CWD, &link)?;
        let named = Path::new(text.strip_prefix("gitdir:")?.trim());
        let git_dir = top.join(named).canonicalize().ok()?;
        // What lies in the checkout can have come with it.
        if git_dir.starts_with(top)
            || ![geteuid().as_raw(), fs::metadata(top).ok()?.uid()].contains(&fs::metadata(&git_dir).ok()?.uid())
        {
            return None;
        }
        let own = open_directory(CWD, &git_dir).ok()?;
        let in_modules = |around: &Path| git_dir.starts_with(around.join(".git/modules"));
        let common_path = if top.ancestors().skip(1).any(in_modules) {
            git_dir.clone()
        } else {
            let worktrees = git_dir.parent().filter(|folder| folder.ends_with("worktrees"))?;
            let back = git_dir.join(small(&own, "gitdir")?.trim()).canonicalize().ok()?;
            (back == link).then(|| worktrees.parent())??.to_owned()
        };
        let common = open_directory(CWD, &common_path).ok()?;
        Some(Self { top: top.to_owned(), own, common, common_path })
    }

    /// The name of the commit that is checked out.
    pub(super) fn commit(&self) -> Option<String> {
        let mut text = small(&self.own, "HEAD")?;
        for _ in 0..MAX_DEPTH {
            let line = text.trim();
            let Some(name) = line.strip_prefix("ref:").map(str::trim) else {
                return is_commit(line).then(|| line.to_owned());
            };
            if !is_reference(name) {
                return None;
            }
            match beneath(&self.common, name) {
                Some(next) => text = next,
                None => return packed(&self.common, name),
            }
        }
        None
    }

    /// The folder of its objects.
    pub(super) fn objects(&self) -> Option<PathBuf> {
        open_directory(&self.common, "objects").ok().map(|_| self.common_path.join("objects"))
    }

    /// Its index, open, if it has at most `most` bytes.
    pub(super) fn index(&self, most: u64) -> io::Result<File> {
        let (index, metadata) = open_regular(&self.own, "index")?;
        if metadata.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(index) }
    }
}

fn small(at: impl AsFd, path: impl rustix::path::Arg + Copy) -> Option<String> {
    let (file, _) = open_regular(at, path).ok()?;
    let mut text = String::new();
    file.take(MAX_SMALL).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Reads the file of a reference, whose folders may not be links either.
fn beneath(common: &OwnedFd, name: &str) -> Option<String> {
    let (folders, file) = name.rsplit_once('/')?;
    small(&open_beneath(common, Path::new(folders)).ok()?, file)
}

/// Looks for a reference in `packed-refs`.
fn packed(common: &OwnedFd, name: &str) -> Option<String> {
    let mut lines = BufReader::new(open_regular(common, "packed-refs").ok()?.0.take(MAX_PACKED));
    let mut line = Vec::new();
    while {
        line.clear();
        lines.read_until(b'\n', &mut line).ok()?
    } > 0
    {
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        match text.trim_end().split_once(' ') {
            Some((commit, packed)) if packed == name => return is_commit(commit).then(|| commit.to_owned()),
            _ => {}
        }
    }
    None
}

/// The name of an object, in SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A reference as git allows it, and so no path that leads elsewhere.
fn is_reference(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains("..");
    name.starts_with("refs/") && name.split('/').all(is_part) && !name.contains(char::is_control)
}

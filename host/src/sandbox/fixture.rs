//! Snapshots of fixtures: taken once a run, copied for each attempt.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Captured, ImageError, ImageLimits, Part, RestoreError, restore};
use crate::model::Fixture;

/// A scenario's fixture as it was when the run began. Whatever an agent does to the original, every attempt
/// starts the same and is compared with the same.
#[derive(Debug)]
pub struct Snapshot {
    /// The fixture's own files, seen by components at `/host/before`.
    before: Option<PathBuf>,
    /// What roots are copied from: `before`, with a repository where one is asked for.
    root: Option<PathBuf>,
    config: Option<PathBuf>,
    /// Holds the further folders, each by its path in the scenario's folder.
    folders: Option<PathBuf>,
}

/// A fixture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// A file of it cannot be read or copied.
    #[error("cannot copy the fixture {}", path.display())]
    Copy {
        /// The fixture.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It uses a name that belongs to the host.
    #[error("the fixture {} contains `host`, which is reserved in a root; rename it", path.display())]
    Reserved {
        /// The fixture.
        path: PathBuf,
    },
    /// Git does not run, or fails.
    #[error("cannot make the fixture {} a git repository: {reason}", path.display())]
    Git {
        /// The fixture.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// A fixture that was kept cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum RecordedFixtureError {
    /// Its image cannot be used.
    #[error(transparent)]
    Image(#[from] RestoreError),
    /// A folder for it cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Snapshot {
    /// Takes the snapshot of `fixture` into the new folder `into`.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub fn take(fixture: &Fixture, into: &Path) -> Result<Self, FixtureError> {
        let copy = |from: &Path, to: PathBuf| match copy_tree(from, &to) {
            Ok(()) => Ok(to),
            Err(source) => Err(FixtureError::Copy { path: from.to_owned(), source }),
        };
        let before = match &fixture.root {
            Some(root) if root.join("host").symlink_metadata().is_ok() => {
                return Err(FixtureError::Reserved { path: root.clone() });
            }
            Some(root) => Some(copy(root, into.join("before"))?),
            None => None,
        };
        let config = fixture.config.as_deref().map(|config| copy(config, into.join("config"))).transpose()?;
        let folders = (!fixture.folders.is_empty()).then(|| into.join("folders"));
        if let Some(into) = &folders {
            for (name, from) in outermost(&fixture.folders) {
                copy(from, into.join(name))?;
            }
        }
        let root = if fixture.git {
            let root = into.join("repository");
            // Errors name what the user knows: the fixture, not the copy.
            let named = fixture.root.as_deref().unwrap_or(&root);
            match &before {
                Some(before) => {
                    copy_tree(before, &root).map_err(|source| FixtureError::Copy { path: named.to_owned(), source })?
                }
                None => create(&root).map_err(|source| FixtureError::Copy { path: named.to_owned(), source })?,
            }
            commit(&root).map_err(|reason| FixtureError::Git { path: named.to_owned(), reason })?;
            Some(root)
        } else {
            before.clone()
        };
        Ok(Self { before, root, config, folders })
    }

    /// Writes all of it to the new image `to`, for [`Snapshot::recorded`]; returns its size in bytes.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn keep(&self, to: &Path) -> Result<u64, ImageError> {
        // Without a repository the root starts as what is there before.
        let root = if self.root == self.before { &None } else { &self.root };
        let there = [("before", &self.before), ("root", root), ("config", &self.config), ("folders", &self.folders)];
        let there = there.iter().filter_map(|(name, folder)| Some(Part { name, folder: folder.as_deref()? }));
        let parts: Vec<Part<'_>> = there.collect();
        Captured::look(&parts, ImageLimits::default())?.write(&parts, to)
    }

    /// The snapshot that was kept as `image` of `bytes` bytes, made again in the new folder `into`. It needs neither
    /// the fixture nor git.
    ///
    /// # Errors
    /// The image cannot be used, or the file system refuses.
    pub fn recorded(image: &Path, bytes: u64, into: &Path) -> Result<Self, RecordedFixtureError> {
        let names = ["before", "root", "config", "folders"];
        let folders = names.map(|name| into.join(name));
        let scratch = into.join("scratch");
        for folder in folders.iter().chain([&scratch]) {
            create(folder).map_err(|source| RecordedFixtureError::Create { path: folder.clone(), source })?;
        }
        let parts: Vec<Part<'_>> =
            names.into_iter().zip(&folders).map(|(name, folder)| Part { name, folder }).collect();
        let there = restore(image, bytes, &parts, &scratch, ImageLimits::default())?;
        let mut folders = folders.into_iter().zip(there).map(|(folder, there)| there.then_some(folder));
        let mut next = || folders.next().flatten();
        let before = next();
        Ok(Self { root: next().or_else(|| before.clone()), before, config: next(), folders: next() })
    }

    /// The fixture's files as they were.
    #[must_use]
    pub fn before(&self) -> Option<&Path> {
        self.before.as_deref()
    }

    /// The further folders, each by its path in the scenario's folder.
    #[must_use]
    pub fn folders(&self) -> Option<&Path> {
        self.folders.as_deref()
    }

    pub(super) fn copy_folders_to(&self, folders: &Path) -> io::Result<()> {
        self.folders.as_deref().map_or(Ok(()), |from| copy_tree(from, folders))
    }

    pub(super) fn copy_to(&self, root: &Path, config: &Path) -> io::Result<()> {
        if let Some(from) = &self.root {
            copy_entries(from, root)?;
        }
        if let Some(from) = &self.config {
            copy_entries(from, config)?;
        }
        Ok(())
    }
}

/// The folders that are in none of the others: copied with them, one that is would be there twice.
fn outermost(folders: &BTreeMap<String, PathBuf>) -> impl Iterator<Item = (&String, &PathBuf)> {
    let covered = |name: &str| name.match_indices('/').any(|(end, _)| folders.contains_key(&name[..end]));
    folders.iter().filter(move |(name, _)| !covered(name))
}

fn create(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    create(to)?;
    copy_entries(from, to)
}

/// Copies what `from` contains. Links are copied as links, never followed: a component cannot follow one
/// that leads out of its root.
fn copy_entries(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::DirBuilder::new().mode(0o755).create(&target)?;
            copy_entries(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            let what = format!("{} is neither a file nor a folder nor a link", source.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Makes `root` a repository whose one commit holds everything in it. Author and time are fixed, so that the
/// same fixture gives the same commit; nothing of the user's git configuration or hooks takes part.
fn commit(root: &Path) -> Result<(), String> {
    git(root, &["-c", "init.defaultBranch=main", "init", "--quiet", "--template="])?;
    for (key, value) in [("user.name", "Agent"), ("user.email", "agent@scenario.invalid"), ("gc.auto", "0")] {
        git(root, &["config", key, value])?;
    }
    git(root, &["add", "--all", "--force"])?;
    git(root, &["commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message", "Fixture"])
}

/// Where programs are looked for when the environment does not say.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn git(root: &Path, args: &[&str]) -> Result<(), String> {
    const WHEN: &str = "2026-01-01T00:00:00Z";
    let output = Command::new("git")
        .args(args)
        .current_dir(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| SYSTEM_PATH.into()))
        .env("LANG", "C.UTF-8")
        .env("HOME", root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
        .env("GIT_AUTHOR_NAME", "Fixture")
        .env("GIT_AUTHOR_EMAIL", "fixture@scenario.invalid")
        .env("GIT_AUTHOR_DATE", WHEN)
        .env("GIT_COMMITTER_NAME", "Fixture")
        .env("GIT_COMMITTER_EMAIL", "fixture@scenario.invalid")
        .env("GIT_COMMITTER_DATE", WHEN)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is no `git`; install it".to_owned(),
            _ => format!("`git` does not start: {error}"),
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`git {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(git: bool) -> (tempfile::TempDir, Fixture) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("sub/file"), "text").unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        (folder, Fixture { root: Some(root), git, ..Fixture::default() })
    }

    #[test]
    fn attempts_get_copies_and_links_stay_links() {
        let (folder, fixture) = fixture(false);
        let snapshot = Snapshot::take(&fixture, &folder.path().join("snapshot")).unwrap();
        fs::write(fixture.root.unwrap().join("sub/file"), "changed").unwrap();
        let (root, config) = (folder.path().join("r"), folder.path().join("c"));
        create(&root).unwrap();
        create(&config).unwrap();
        snapshot.copy_to(&root, &config).unwrap();
        assert_eq!(fs::read_to_string(root.join("sub/file")).unwrap(), "text");
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert!(!root.join(".git").exists());
    }

    #[test]
    fn a_snapshot_comes_back_from_its_image_without_the_fixture() {
        let (folder, fixture) = fixture(true);
        let path = |name: &str| folder.path().join(name);
        let bytes = Snapshot::take(&fixture, &path("snapshot")).unwrap().keep(&path("i.tar")).unwrap();
        fs::remove_dir_all(fixture.root.unwrap()).unwrap();
        let again = Snapshot::recorded(&path("i.tar"), bytes, &path("again")).unwrap();
        assert_eq!(fs::read_link(again.before().unwrap().join("link")).unwrap(), Path::new("/etc/passwd"));
        assert!(again.root.as_ref().unwrap().join(".git/HEAD").is_file());
        assert!(again.config.is_none());
        assert_ne!(again.before, again.root);
        let bare = Snapshot { root: again.before.clone(), ..again };
        let bytes = bare.keep(&path("bare.tar")).unwrap();
        let bare = Snapshot::recorded(&path("bare.tar"), bytes, &path("bare")).unwrap();
        assert_eq!((bare.root.as_deref(), bare.before()), (Some(&*path("bare/before")), Some(&*path("bare/before"))));
        let error = Snapshot::recorded(&path("i.tar"), bytes + 1, &path("not")).unwrap_err();
        assert!(error.to_string().contains("i.tar"), "{error}");
    }

    #[test]
    fn further_folders_are_copied_once_and_come_back_from_their_image() {
        let (folder, mut fixture) = fixture(false);
        let path = |name: &str| folder.path().join(name);
        for name in ["root/sub", "root", "root-b"] {
            fs::create_dir_all(path(name)).unwrap();
            fixture.folders.insert(name.into(), path(name));
        }
        let names: Vec<_> = outermost(&fixture.folders).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["root", "root-b"]);
        let snapshot = Snapshot::take(&fixture, &path("snapshot")).unwrap();
        let bytes = snapshot.keep(&path("i.tar")).unwrap();
        for snapshot in [snapshot, Snapshot::recorded(&path("i.tar"), bytes, &path("again")).unwrap()] {
            let copy = tempfile::tempdir().unwrap();
            snapshot.copy_folders_to(&copy.path().join("folders")).unwrap();
            for place in [snapshot.folders().unwrap(), &copy.path().join("folders")] {
                assert_eq!(fs::read_to_string(place.join("root/sub/file")).unwrap(), "text");
                assert_eq!(fs::read_link(place.join("root/link")).unwrap(), Path::new("/etc/passwd"));
                assert!(place.join("root-b").is_dir());
            }
        }
    }

    #[test]
    fn a_repository_has_the_same_one_commit_each_time() {
        let (folder, fixture) = fixture(true);
        let head = |name: &str| {
            let into = folder.path().join(name);
            Snapshot::take(&fixture, &into).unwrap();
            fs::read_to_string(into.join("repository/.git/refs/heads/main")).unwrap()
        };
        assert_eq!(head("one"), head("two"));
        assert!(!folder.path().join("one/before/.git").exists());
    }

    #[test]
    fn a_reserved_name_and_a_pipe_are_refused() {
        let (folder, fixture) = fixture(false);
        let root = fixture.root.clone().unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let problem = Snapshot::take(&fixture, &folder.path().join("s1")).unwrap_err();
        assert!(matches!(problem, FixtureError::Copy { .. }), "{problem}");
        fs::create_dir(root.join("host")).unwrap();
        let problem = Snapshot::take(&fixture, &folder.path().join("s2")).unwrap_err();
        assert!(matches!(problem, FixtureError::Reserved { .. }), "{problem}");
    }
}

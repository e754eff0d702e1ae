//! Snapshots of fixtures: taken once per run, copied for each attempt.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use super::{
    Captured, Halt, ImageError, ImageLimits, Part, RestoreError,
    copying::{Size, copy_entries, copy_tree, create, measure},
    repository::{commit_all, reserved_name},
    restore,
};
use host_model::Fixture;

/// A scenario's fixture as it was when the run began. Whatever an agent does to the original, every attempt starts with the
/// same files and is compared with them.
#[derive(Debug)]
pub struct Snapshot {
    /// The fixture's own files, seen by components at `/host/before`.
    before: Option<PathBuf>,
    /// The source of roots: `before`, with a repository if requested.
    root: Option<PathBuf>,
    config: Option<PathBuf>,
    /// Contains the further folders, each by its path in the scenario's folder.
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
    /// It uses a reserved name.
    #[error("the fixture {} contains `host`, which is reserved in a root; rename it", path.display())]
    Reserved {
        /// The fixture.
        path: PathBuf,
    },
    /// It is larger than any attempt may be.
    #[error(
        "the fixture {} exceeds the limit `max-disk`, {disk} bytes, together with what else the scenario copies; make \
         it smaller, or raise `max-disk`",
        path.display()
    )]
    TooLarge {
        /// The fixture's folder with which it became too large.
        path: PathBuf,
        /// The limit, in bytes.
        disk: u64,
    },
    /// There is not enough space for its copy.
    #[error("the fixture {} needs {bytes} bytes, but {} has only {free} left; free some space, or set TMPDIR", path.display(), into.display())]
    NoRoom {
        /// The first of the fixture's folders.
        path: PathBuf,
        /// What its copy takes, in bytes.
        bytes: u64,
        /// Where the copy would be.
        into: PathBuf,
        /// What is left there, in bytes.
        free: u64,
    },
    /// Git is missing or fails.
    #[error("cannot turn the fixture {} into a git repository: {reason}", path.display())]
    Git {
        /// The fixture.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// A saved fixture cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RecordedFixtureError {
    /// Its image cannot be used.
    #[error(transparent)]
    Image(#[from] RestoreError),
    /// A directory for it cannot be created.
    #[error("cannot create the folder {}", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Snapshot {
    /// Validates `fixture` before anything is copied. It may have `disk` bytes, including holes: their copies may have none.
    ///
    /// # Errors
    /// [`FixtureError`]; any if `halt` returns true.
    pub fn check(fixture: &Fixture, disk: u64, halt: Halt<'_>) -> Result<(), FixtureError> {
        measure_fixture(fixture, disk, halt).map(drop)
    }

    /// Takes the snapshot of `fixture`, which may have `disk` bytes, into the new folder `into`.
    ///
    /// # Errors
    /// [`FixtureError`]; any if `halt` returns true.
    pub fn take(fixture: &Fixture, into: &Path, disk: u64, halt: Halt<'_>) -> Result<Self, FixtureError> {
        let size = measure_fixture(fixture, disk, halt)?;
        has_room(fixture, into, size)?;
        let copy = |from: &Path, to: PathBuf| match copy_tree(from, &to, halt) {
            Ok(()) => Ok(to),
            Err(source) => Err(FixtureError::Copy { path: from.to_owned(), source }),
        };
        let before = fixture.root.as_deref().map(|root| copy(root, into.join("before"))).transpose()?;
        let config = fixture.config.as_deref().map(|config| copy(config, into.join("config"))).transpose()?;
        let folders = (!fixture.folders.is_empty()).then(|| into.join("folders"));
        if let Some(into) = &folders {
            for (name, from) in outermost(&fixture.folders) {
                copy(from, into.join(name))?;
            }
        }
        let root = if fixture.git {
            let root = into.join("repository");
            // Errors name the fixture, which the user knows, not the copy.
            let named = fixture.root.as_deref().unwrap_or(&root);
            match &before {
                Some(before) => copy_tree(before, &root, halt)
                    .map_err(|source| FixtureError::Copy { path: named.to_owned(), source })?,
                None => create(&root).map_err(|source| FixtureError::Copy { path: named.to_owned(), source })?,
            }
            commit_all(&root, &into.join("new-repository"), halt)
                .map_err(|reason| FixtureError::Git { path: named.to_owned(), reason })?;
            Some(root)
        } else {
            before.clone()
        };
        Ok(Self { before, root, config, folders })
    }

    /// Writes the snapshot to the new image `to`, for [`Snapshot::restore`]; returns its size in bytes.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn save(&self, to: &Path) -> Result<u64, ImageError> {
        // Without a repository the root starts as `before`.
        let root = if self.root == self.before { &None } else { &self.root };
        let present = [("before", &self.before), ("root", root), ("config", &self.config), ("folders", &self.folders)];
        let present = present.iter().filter_map(|(name, folder)| Some(Part { name, folder: folder.as_deref()? }));
        let parts: Vec<Part<'_>> = present.collect();
        Captured::scan(&parts, ImageLimits::default())?.write(&parts, to)
    }

    /// Restores the snapshot that was saved as `image` of `bytes` bytes in the new directory `into`. It needs neither the
    /// fixture nor git.
    ///
    /// # Errors
    /// The image cannot be used, or the file system's.
    pub fn restore(image: &Path, bytes: u64, into: &Path) -> Result<Self, RecordedFixtureError> {
        let names = ["before", "root", "config", "folders"];
        let folders = names.map(|name| into.join(name));
        let scratch = into.join("scratch");
        for folder in folders.iter().chain([&scratch]) {
            create(folder).map_err(|source| RecordedFixtureError::Create { path: folder.clone(), source })?;
        }
        let parts: Vec<Part<'_>> =
            names.into_iter().zip(&folders).map(|(name, folder)| Part { name, folder }).collect();
        let present = restore(image, bytes, &parts, &scratch, ImageLimits::default())?;
        let mut folders = folders.into_iter().zip(present).map(|(folder, present)| present.then_some(folder));
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

    pub(super) fn copy_folders_to(&self, folders: &Path, halt: Halt<'_>) -> io::Result<()> {
        self.folders.as_deref().map_or(Ok(()), |from| copy_tree(from, folders, halt))
    }

    pub(super) fn copy_to(&self, root: &Path, config: &Path, halt: Halt<'_>) -> io::Result<()> {
        if let Some(from) = &self.root {
            copy_entries(from, root, halt)?;
        }
        if let Some(from) = &self.config {
            copy_entries(from, config, halt)?;
        }
        Ok(())
    }
}

/// The size of a fixture: at most `disk`, in all its folders together.
fn measure_fixture(fixture: &Fixture, disk: u64, halt: Halt<'_>) -> Result<Size, FixtureError> {
    if let Some(root) = fixture.root.as_deref().filter(|root| root.join("host").symlink_metadata().is_ok()) {
        return Err(FixtureError::Reserved { path: root.to_owned() });
    }
    let anything: &dyn Fn(&OsStr) -> Option<&'static str> = &|_| None;
    let in_root = if fixture.git { &reserved_name } else { anything };
    let folders = outermost(&fixture.folders).map(|(_, folder)| (folder, anything));
    let own = fixture.root.iter().map(|root| (root, in_root)).chain(fixture.config.iter().map(|it| (it, anything)));
    let mut size = Size::default();
    for (folder, reserved_name) in own.chain(folders) {
        measure(folder, &mut size, disk, reserved_name, halt)
            .map_err(|source| FixtureError::Copy { path: folder.clone(), source })?;
        if size.apparent > disk {
            return Err(FixtureError::TooLarge { path: folder.clone(), disk });
        }
    }
    Ok(size)
}

/// Whether there is space for a fixture's copy, which must not fill the disk.
fn has_room(fixture: &Fixture, into: &Path, size: Size) -> Result<(), FixtureError> {
    let Some(present) = into.ancestors().find(|folder| folder.is_dir()) else { return Ok(()) };
    // If that is unknown, the copy fails on a full disk.
    let Ok(system) = rustix::fs::statvfs(present) else { return Ok(()) };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if size.allocated <= free {
        return Ok(());
    }
    let path = [&fixture.root, &fixture.config].into_iter().flatten().chain(fixture.folders.values()).next();
    let path = path.cloned().unwrap_or_default();
    Err(FixtureError::NoRoom { path, bytes: size.allocated, into: present.to_owned(), free })
}

/// The folders that are not inside another one, with which they are copied.
fn outermost(folders: &BTreeMap<String, PathBuf>) -> impl Iterator<Item = (&String, &PathBuf)> {
    let covered = |name: &str| name.match_indices('/').any(|(end, _)| folders.contains_key(&name[..end]));
    folders.iter().filter(move |(name, _)| !covered(name))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    const NEVER: Halt<'static> = &|| false;

    fn take(fixture: &Fixture, into: &Path) -> Result<Snapshot, FixtureError> {
        Snapshot::take(fixture, into, 1 << 20, NEVER)
    }

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
        let snapshot = take(&fixture, &folder.path().join("snapshot")).unwrap();
        fs::write(fixture.root.unwrap().join("sub/file"), "changed").unwrap();
        let (root, config) = (folder.path().join("r"), folder.path().join("c"));
        create(&root).unwrap();
        create(&config).unwrap();
        snapshot.copy_to(&root, &config, NEVER).unwrap();
        assert_eq!(fs::read_to_string(root.join("sub/file")).unwrap(), "text");
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert!(!root.join(".git").exists());
    }

    #[test]
    fn a_snapshot_is_restored_from_its_image_without_the_fixture() {
        let (folder, fixture) = fixture(true);
        let path = |name: &str| folder.path().join(name);
        let bytes = take(&fixture, &path("snapshot")).unwrap().save(&path("i.tar")).unwrap();
        fs::remove_dir_all(fixture.root.unwrap()).unwrap();
        let again = Snapshot::restore(&path("i.tar"), bytes, &path("again")).unwrap();
        assert_eq!(fs::read_link(again.before().unwrap().join("link")).unwrap(), Path::new("/etc/passwd"));
        assert!(again.root.as_ref().unwrap().join(".git/HEAD").is_file());
        assert!(again.config.is_none());
        assert_ne!(again.before, again.root);
        let bare = Snapshot { root: again.before.clone(), ..again };
        let bytes = bare.save(&path("bare.tar")).unwrap();
        let bare = Snapshot::restore(&path("bare.tar"), bytes, &path("bare")).unwrap();
        assert_eq!((bare.root.as_deref(), bare.before()), (Some(&*path("bare/before")), Some(&*path("bare/before"))));
        let error = Snapshot::restore(&path("i.tar"), bytes + 1, &path("not")).unwrap_err();
        assert!(error.to_string().contains("i.tar"), "{error}");
    }

    #[test]
    fn nested_folders_are_copied_once_and_restored() {
        let (folder, mut fixture) = fixture(false);
        let path = |name: &str| folder.path().join(name);
        for name in ["root/sub", "root", "root-b"] {
            fs::create_dir_all(path(name)).unwrap();
            fixture.folders.insert(name.into(), path(name));
        }
        let names: Vec<_> = outermost(&fixture.folders).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["root", "root-b"]);
        let snapshot = take(&fixture, &path("snapshot")).unwrap();
        let bytes = snapshot.save(&path("i.tar")).unwrap();
        for snapshot in [snapshot, Snapshot::restore(&path("i.tar"), bytes, &path("again")).unwrap()] {
            let copy = tempfile::tempdir().unwrap();
            snapshot.copy_folders_to(&copy.path().join("folders"), NEVER).unwrap();
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
            take(&fixture, &into).unwrap();
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
        let problem = take(&fixture, &folder.path().join("s1")).unwrap_err();
        assert!(matches!(problem, FixtureError::Copy { .. }), "{problem}");
        fs::create_dir(root.join("host")).unwrap();
        let problem = take(&fixture, &folder.path().join("s2")).unwrap_err();
        assert!(matches!(problem, FixtureError::Reserved { .. }), "{problem}");
    }

    #[test]
    fn a_fixture_over_its_limit_is_refused_before_copying() {
        let (folder, mut fixture) = fixture(false);
        let path = |name: &str| folder.path().join(name);
        let sparse = |name: &str| {
            fs::create_dir_all(path(name)).unwrap();
            fs::File::create(path(name).join("sparse")).unwrap().set_len(1 << 40).unwrap();
            path(name)
        };
        fixture.folders.insert("data".into(), sparse("data"));
        let problem = take(&fixture, &path("s1")).unwrap_err().to_string();
        assert!(problem.contains("data exceeds the limit `max-disk`, 1048576"), "{problem}");
        fixture.config = Some(sparse("config"));
        let problem = take(&fixture, &path("s2")).unwrap_err().to_string();
        assert!(problem.contains("config exceeds the limit") && problem.contains("raise `max-disk`"), "{problem}");
        assert!(Snapshot::check(&fixture, 1 << 41, NEVER).is_err(), "both together");
        Snapshot::check(&fixture, 1 << 42, NEVER).unwrap();
        assert!(!path("s1").exists() && !path("s2").exists());
    }

    #[test]
    fn a_fixture_larger_than_the_free_space_is_refused() {
        let (folder, fixture) = fixture(false);
        let size = Size { apparent: u64::MAX, allocated: u64::MAX };
        let problem = has_room(&fixture, &folder.path().join("new/s"), size).unwrap_err().to_string();
        assert!(problem.contains(" left; free some space, or set TMPDIR"), "{problem}");
        has_room(&fixture, folder.path(), Size { allocated: 1, ..size }).unwrap();
    }

    /// What its configuration names would run as the user.
    #[test]
    fn a_git_fixture_must_not_contain_a_repository() {
        let (folder, mut fixture) = fixture(true);
        let root = fixture.root.clone().unwrap();
        let ran = folder.path().join("ran");
        for git in [".git", "sub/.git", "sub/.GIT"] {
            fs::create_dir(root.join(git)).unwrap();
            fs::write(root.join(git).join("config"), format!("[core]\nfsmonitor = touch {}\n", ran.display())).unwrap();
            let problem = take(&fixture, &folder.path().join("s")).unwrap_err();
            let FixtureError::Copy { source, .. } = &problem else { panic!("{problem}") };
            assert!(source.to_string().contains("belongs to git, but the host creates the repository"), "{source}");
            fs::remove_dir_all(root.join(git)).unwrap();
        }
        assert!(!ran.exists());
        fs::create_dir(root.join("sub/.git")).unwrap();
        fixture.git = false;
        take(&fixture, &folder.path().join("plain")).unwrap();
    }

    /// A bare repository, a HOME of git, filters and hooks, all as plain files.
    #[test]
    fn git_reads_no_configuration_from_a_fixture() {
        let (folder, fixture) = fixture(true);
        let root = fixture.root.clone().unwrap();
        let ran = folder.path().join("ran");
        let trap = format!("touch {}; cat", ran.display());
        let config = format!(
            "[core]\nbare = false\nworktree = {root}\nfsmonitor = {trap:?}\nhooksPath = {root}/hooks\neditor = {trap:?}\n\
             attributesFile = {root}/attributes\n[filter \"x\"]\nclean = {trap:?}\nprocess = {trap:?}\nrequired = true\n\
             [commit]\ngpgSign = true\n[gpg]\nprogram = {trap:?}\n[init]\ntemplateDir = {root}\n[alias]\nadd = \"!{trap}\"\n\
             [include]\npath = {root}/more\n",
            root = root.display()
        );
        for file in ["config", ".gitconfig", ".config/git/config", "more"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), &config).unwrap();
        }
        for file in [".gitattributes", "attributes", ".config/git/attributes", "info/attributes"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "* filter=x diff=x\n").unwrap();
        }
        for folder in ["objects", "refs/heads", "hooks"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let program = format!("#!/bin/sh\n{trap}\n");
        for file in ["hooks/pre-commit", "hooks/post-commit", "hooks/post-index-change", "git", "sh"] {
            fs::write(root.join(file), &program).unwrap();
            fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let modules = format!("[submodule \"s\"]\npath = sub\nurl = ext::{trap}\nupdate = \"!{trap}\"\n");
        fs::write(root.join(".gitmodules"), modules).unwrap();
        let snapshot = take(&fixture, &folder.path().join("s")).unwrap();
        assert!(!ran.exists());
        let made = fs::read_to_string(snapshot.root.unwrap().join(".git/config")).unwrap();
        assert!(!made.contains("touch") && !made.contains("worktree"), "{made}");
        assert!(!folder.path().join("s/new-repository").exists());
    }

    #[test]
    fn git_is_killed_when_the_run_is_interrupted() {
        let (folder, fixture) = fixture(true);
        let root = folder.path().join("r");
        copy_tree(fixture.root.as_deref().unwrap(), &root, NEVER).unwrap();
        let problem = commit_all(&root, &folder.path().join("new"), &|| true);
        // It may have ended before it was looked at.
        assert!(problem.is_ok() || problem.is_err_and(|problem| problem.contains("interrupted")));
    }
}

use std::{fs, path::Path, process::Command};

use super::*;
use crate::Tree;

/// A repository made by the real git, with three commits on `main` and a merge.
struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn empty() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        repository.git("init -q -b main");
        repository
    }

    fn with_history() -> Self {
        let repository = Self::empty();
        repository.commit("a.md", &text(0), "first");
        repository.commit("a.md", &text(1), "second");
        repository.git("checkout -q -b side");
        repository.commit("_archive/deep/b.md", "b", "on the side");
        repository.git("checkout -q main");
        repository.git("mv a.md c.md");
        repository.git("commit -q -m moved");
        repository.git("merge -q --no-ff -m merged side");
        repository
    }

    fn commit(&self, path: &str, content: &str, subject: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.git("add -A");
        self.git(&format!("commit -q -m '{subject}'"));
    }

    fn git(&self, arguments: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", &format!("git -c user.name=t -c user.email=t@example.org -c pack.threads=1 {arguments}")])
            .current_dir(self.path())
            // The same bytes each time, so that a damage of them has the same effect.
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn history(&self) -> Result<Vec<Commit>, GitError> {
        history(&Tree::at(self.path()))
    }

    /// Where a loose object stands.
    fn object(&self, name: &str) -> std::path::PathBuf {
        let id = self.git(&format!("rev-parse {name}"));
        self.path().join(".git/objects").join(&id[..2]).join(&id[2..])
    }
}

fn text(version: usize) -> String {
    (0..200).map(|line| format!("line {line} of {}\n", if line == 100 { version } else { 0 })).collect()
}

fn replace(path: &Path, content: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
}

fn summary(commits: &[Commit]) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<_> = commits
        .iter()
        .map(|commit| (commit.subject.clone(), commit.changed.iter().cloned().collect::<Vec<_>>()))
        .collect();
    all.sort();
    all
}

fn expected() -> Vec<(String, Vec<String>)> {
    [
        ("first", vec!["a.md"]),
        ("merged", vec![]),
        ("moved", vec!["a.md", "c.md"]),
        ("on the side", vec!["_archive/deep/b.md"]),
        ("second", vec!["a.md"]),
    ]
    .map(|(subject, paths)| (subject.to_owned(), paths.into_iter().map(str::to_owned).collect()))
    .into()
}

#[test]
fn loose_objects_are_read() {
    let repository = Repository::with_history();
    let commits = repository.history().unwrap();
    assert_eq!(summary(&commits), expected());
    assert_eq!((commits[0].subject.as_str(), commits[0].parents.len()), ("merged", 2));
    assert_eq!(commits[0].id.to_string(), repository.git("rev-parse HEAD"));
}

#[test]
fn a_repacked_repository_is_read() {
    for repack in ["repack -q -a -d -f --depth=50", "-c repack.useDeltaBaseOffset=false repack -q -a -d -f --depth=50"]
    {
        let repository = Repository::with_history();
        for version in 2..30 {
            let path = format!("folder/file-{}.md", version % 7);
            repository.commit(&path, &text(version), &format!("v{version}"));
        }
        let loose = summary(&repository.history().unwrap());
        repository.git(repack);
        repository.git("pack-refs --all");
        repository.git("prune-packed");
        let has_delta = repository.git("verify-pack -v .git/objects/pack/*.idx | grep -c chain");
        assert_ne!(has_delta, "0", "the pack of the test must hold deltas");
        assert_eq!(summary(&repository.history().unwrap()), loose, "{repack}");
    }
}

#[test]
fn a_detached_head_is_read() {
    let repository = Repository::with_history();
    repository.git("checkout -q --detach HEAD~1");
    assert_eq!(repository.history().unwrap().len(), 3);
}

#[test]
fn a_folder_that_becomes_a_file_is_told() {
    let repository = Repository::empty();
    repository.commit("x/y", "1", "folder");
    fs::remove_dir_all(repository.path().join("x")).unwrap();
    repository.commit("x", "2", "file");
    let newest = &repository.history().unwrap()[0];
    assert_eq!(newest.changed.iter().collect::<Vec<_>>(), ["x", "x/y"]);
}

#[test]
fn what_is_no_repository_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(history(&Tree::at(dir.path())), Err(GitError::File { .. })));
    fs::write(dir.path().join(".git"), "gitdir: /elsewhere").unwrap();
    assert!(matches!(history(&Tree::at(dir.path())), Err(GitError::File { .. })));
    assert!(matches!(Repository::empty().history(), Err(GitError::Reference(_))));
}

#[test]
fn references_that_lead_nowhere_are_an_error() {
    for head in ["ref: HEAD", "ref: refs/heads/none", "ref: ../../etc/passwd", "garbage", ""] {
        let repository = Repository::with_history();
        replace(&repository.path().join(".git/HEAD"), head.as_bytes());
        assert!(matches!(repository.history(), Err(GitError::Reference(_) | GitError::File { .. })), "{head}");
    }
}

#[test]
fn broken_objects_are_an_error() {
    for name in ["HEAD", "HEAD^{tree}", "HEAD~1", "HEAD^2^{tree}"] {
        let repository = Repository::with_history();
        let path = repository.object(name);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 0xff;
        for garbage in [&b""[..], b"garbage", &whole[..whole.len() / 2], &flipped] {
            replace(&path, garbage);
            // A damaged checksum may be noticed or not; what matters is that nothing panics or hangs.
            let _ = repository.history();
        }
        replace(&path, b"garbage");
        assert!(matches!(repository.history(), Err(GitError::Broken { .. })), "{name}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(repository.history(), Err(GitError::Missing(_))), "{name}");
    }
}

#[test]
fn objects_that_name_themselves_end() {
    // A commit that is its own parent, and a tree that contains itself, under ids that are not theirs.
    let repository = Repository::with_history();
    let commit = repository.git("rev-parse HEAD");
    let tree = repository.git("rev-parse HEAD^{tree}");
    let zlib = |content: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(content, 6);
    let body = format!("tree {tree}\nparent {commit}\n\nround\n");
    replace(&repository.object("HEAD"), &zlib(format!("commit {}\0{body}", body.len()).as_bytes()));
    assert_eq!(repository.history().unwrap().len(), 1);

    let repository = Repository::empty();
    repository.commit("x/a", "1", "folder");
    let tree = repository.git("rev-parse HEAD^{tree}");
    let mut body = b"40000 x\0".to_vec();
    body.extend(ObjectId::from_hex(&tree).unwrap().0);
    let mut object = format!("tree {}\0", body.len()).into_bytes();
    object.extend(&body);
    replace(&repository.object("HEAD^{tree}"), &zlib(&object));
    assert_eq!(repository.history(), Err(GitError::TooLarge("64 folders below one another")));
}

#[test]
fn a_bomb_is_refused() {
    let repository = Repository::with_history();
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 64 << 20], 1);
    replace(&repository.object("HEAD"), &bomb);
    assert!(matches!(repository.history(), Err(GitError::Broken { .. })));
}

#[test]
fn damaged_packs_are_an_error_and_never_a_panic() {
    let repository = Repository::with_history();
    repository.git("repack -q -a -d");
    repository.git("prune-packed");
    let folder = repository.path().join(".git/objects/pack");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in files.iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "pack" || suffix == "idx")) {
        let whole = fs::read(path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            replace(path, &damaged);
            let _ = repository.history();
            replace(path, &whole[..at]);
            assert!(
                repository.history().is_err() || at + 40 > whole.len(),
                "{} cut at {at} of {}",
                path.display(),
                whole.len()
            );
        }
        replace(path, &whole);
    }
    assert_eq!(summary(&repository.history().unwrap()), expected());
}

#[test]
fn packs_are_bounded_all_together() {
    let repository = Repository::with_history();
    repository.git("repack -q -a -d");
    let folder = repository.path().join(".git/objects/pack");
    for name in ["zz.pack", "zz.idx"] {
        fs::File::create(folder.join(name)).unwrap().set_len(40 << 20).unwrap();
    }
    assert_eq!(repository.history(), Err(GitError::TooLarge("64 MiB of packs")));
}

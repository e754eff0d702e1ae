use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process,
};

use super::*;

/// A folder for a checkout, and a place that a command of the checkout would write to.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// One with a checkout in `repo` that has one commit of `scenarios/suite.toml`.
    fn with_checkout() -> Self {
        let place = Self::new();
        place.file("repo/scenarios/suite.toml", "");
        place.git("repo", &["init", "--quiet", "--initial-branch=main"]);
        place.commit("repo");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    fn git(&self, folder: &str, args: &[&str]) -> String {
        let mut git = process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]);
        git.args(args).current_dir(self.at(folder)).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        let answer = git.output().unwrap();
        assert!(answer.status.success(), "{args:?}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, folder: &str) {
        self.git(folder, &["add", "--all"]);
        self.git(folder, &["commit", "--quiet", "--message", "m"]);
    }

    fn head(&self, folder: &str) -> String {
        self.git(folder, &["rev-parse", "HEAD"])
    }

    /// A command that leaves a trace, for a configuration.
    fn trap(&self) -> String {
        let script = self.at("trap.sh");
        fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", self.at("ran").display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script.display().to_string()
    }

    async fn revision(&self, folder: &str) -> Option<Revision> {
        let scratch = self.at("scratch");
        let found = revision(&self.at(folder), &scratch).await;
        assert!(!scratch.exists(), "nothing is left");
        assert!(!self.at("ran").exists(), "a command of the checkout ran");
        found
    }
}

fn at(commit: &str, modified: bool) -> Option<Revision> {
    Some(Revision { commit: commit.to_owned(), modified: Some(modified) })
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

#[tokio::test]
async fn a_checkout_has_a_commit_and_a_modified_flag() {
    let place = Place::with_checkout();
    let head = place.head("repo");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false));
    assert_eq!(place.revision("repo").await, at(&head, false));
    place.file("repo/untracked", "");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false), "untracked files do not count");
    place.git("repo", &["pack-refs", "--all"]);
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false), "a packed reference");
    place.file("repo/scenarios/suite.toml", "# changed");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, true));
    place.git("repo", &["add", "scenarios"]);
    assert_eq!(place.revision("repo/scenarios").await, at(&head, true), "staged");
    place.git("repo", &["commit", "--quiet", "--message", "two"]);
    let head = place.head("repo");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false));
    place.git("repo", &["checkout", "--quiet", "--detach"]);
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false), "detached");
}

#[tokio::test]
async fn there_is_no_revision_without_a_checkout_or_a_commit() {
    let place = Place::new();
    fs::create_dir(place.at("plain")).unwrap();
    assert_eq!(place.revision("plain").await, None);
    assert_eq!(place.revision("gone").await, None);
    place.git("plain", &["init", "--quiet"]);
    assert_eq!(place.revision("plain").await, None);
}

#[tokio::test]
async fn worktrees_submodules_and_sha_256_are_read() {
    let place = Place::with_checkout();
    place.git("repo", &["worktree", "add", "--quiet", "-b", "other", "../tree"]);
    place.file("tree/scenarios/new", "");
    place.commit("tree");
    assert_ne!(place.head("tree"), place.head("repo"));
    assert_eq!(place.revision("tree/scenarios").await, at(&place.head("tree"), false));
    place.file("outer/file", "");
    place.git("outer", &["init", "--quiet"]);
    place.git("outer", &["submodule", "--quiet", "add", "../repo", "sub"]);
    assert_eq!(place.revision("outer/sub/scenarios").await, at(&place.head("repo"), false));
    place.file("long/file", "");
    place.git("long", &["init", "--quiet", "--object-format=sha256"]);
    place.commit("long");
    let head = place.head("long");
    assert_eq!((head.len(), place.revision("long").await), (64, at(&head, false)));
}

/// What the issue was: `git status` ran the filter of a bare repository that had been committed as plain files.
#[tokio::test]
async fn a_bare_repository_in_a_suite_has_no_revision() {
    let place = Place::with_checkout();
    let suite = place.at("repo/scenarios");
    let trap = place.trap();
    place.git("repo/scenarios", &["init", "--quiet", "--bare", "."]);
    let config = format!(
        "[core]\nbare = false\nworktree = {}\nfsmonitor = {trap}\nhooksPath = {}\n[filter \"x\"]\nclean = {trap}\nsmudge = {trap}\n\
         required = true\n[include]\npath = {}\n",
        suite.display(),
        suite.display(),
        suite.join("more").display()
    );
    place.file("repo/scenarios/config", &config);
    place.file("repo/scenarios/more", &format!("[core]\nsshCommand = {trap}\npager = {trap}\n"));
    place.file("repo/scenarios/.gitattributes", "* filter=x diff=x\n");
    fs::copy(place.at("repo/.git/index"), suite.join("index")).unwrap();
    let head = place.head("repo");
    // That of the checkout around it.
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false));
    place.file("repo/scenarios/suite.toml", "# changed, so that its content is compared");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, true));
    fs::remove_dir_all(place.at("repo/.git")).unwrap();
    assert_eq!(place.revision("repo/scenarios").await, None);
}

/// A whole `.git` folder can come in an archive. Every key of these names a program.
#[tokio::test]
async fn no_configuration_of_a_checkout_runs_anything() {
    let place = Place::with_checkout();
    let trap = place.trap();
    let head = place.head("repo");
    let git = place.at("repo/.git");
    let more = format!("[filter \"y\"]\nclean = {trap}\nprocess = {trap}\nrequired = true\n");
    place.file("included", &more);
    let config = format!(
        "[core]\nfsmonitor = {trap}\nhooksPath = {git}\nsshCommand = {trap}\npager = {trap}\neditor = {trap}\n\
         attributesFile = {git}/attributes\nalternateRefsCommand = {trap}\n\
         [extensions]\nworktreeConfig = true\npartialClone = evil\n\
         [remote \"evil\"]\nurl = ext::{trap}\npromisor = true\n\
         [filter \"x\"]\nclean = {trap}\nprocess = {trap}\nrequired = true\n\
         [diff \"x\"]\ntextconv = {trap}\ncommand = {trap}\n[diff]\nexternal = {trap}\n\
         [alias]\nstatus = !{trap}\n[credential]\nhelper = !{trap}\n[gpg]\nprogram = {trap}\n\
         [include]\npath = {included}\n[includeIf \"gitdir:{git}\"]\npath = {included}\n\
         [submodule]\nrecurse = true\n",
        git = git.display(),
        included = place.at("included").display(),
    );
    fs::write(git.join("config"), &config).unwrap();
    fs::write(git.join("config.worktree"), &more).unwrap();
    fs::write(git.join("attributes"), "* filter=y\n").unwrap();
    fs::create_dir_all(git.join("info")).unwrap();
    fs::write(git.join("info/attributes"), "* filter=x\n").unwrap();
    for hook in ["post-index-change", "fsmonitor-watchman", "post-checkout", "reference-transaction"] {
        fs::copy(place.at("trap.sh"), git.join(hook)).unwrap();
        fs::create_dir_all(git.join("hooks")).unwrap();
        fs::copy(place.at("trap.sh"), git.join("hooks").join(hook)).unwrap();
    }
    place.file("repo/.gitattributes", "* filter=x diff=x\n");
    place.file("repo/scenarios/.gitattributes", "* filter=y\n");
    place.file("repo/scenarios/suite.toml", "# changed");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, true));
    // A partial clone would fetch what it lacks.
    let tree = place.git("repo", &["-c", "core.fsmonitor=false", "rev-parse", "HEAD^{tree}"]);
    fs::remove_file(git.join("objects").join(&tree[..2]).join(&tree[2..])).unwrap();
    let _ = fs::remove_file(place.at("ran"));
    let revision = place.revision("repo/scenarios").await.unwrap();
    assert_eq!(revision.commit, head);
}

/// A submodule, or a repository that looks like one, has a configuration of its own.
#[tokio::test]
async fn nested_repositories_are_not_entered() {
    let place = Place::with_checkout();
    let trap = place.trap();
    place.file("inner/file", "1");
    place.git("inner", &["init", "--quiet"]);
    place.commit("inner");
    place.git("repo", &["submodule", "--quiet", "add", "../inner", "scenarios/sub"]);
    place.commit("repo");
    let head = place.head("repo");
    let config = place.at("repo/.git/modules/scenarios/sub/config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[filter \"x\"]\nclean = {trap}\n[core]\nfsmonitor = {trap}\n")).unwrap();
    place.file("repo/scenarios/sub/.gitattributes", "* filter=x\n");
    place.file("repo/scenarios/sub/file", "2");
    assert_eq!(place.revision("repo/scenarios").await, at(&head, false), "it is no file of this checkout");
    let of_sub = place.revision("repo/scenarios/sub").await.unwrap();
    assert_eq!(of_sub.modified, Some(true));
}

#[tokio::test]
async fn a_git_file_without_a_back_reference_has_no_revision() {
    let place = Place::with_checkout();
    place.git("repo", &["worktree", "add", "--quiet", "../tree"]);
    let suite = place.at("suite");
    fs::create_dir(&suite).unwrap();
    // A copy of the repository within the suite, the checkout next to it, and a worktree of somebody else.
    place.git("repo", &["clone", "--quiet", ".", "../suite/x"]);
    fs::rename(suite.join("x/.git"), suite.join("bare")).unwrap();
    for target in ["./bare", "../repo/.git", "../repo/.git/worktrees/tree", "../nowhere", "/", ""] {
        fs::write(suite.join(".git"), format!("gitdir: {target}\n")).unwrap();
        assert_eq!(place.revision("suite").await, None, "{target}");
    }
    // One that names it, but lies in it.
    fs::create_dir_all(suite.join("bare/worktrees/w")).unwrap();
    fs::write(suite.join("bare/worktrees/w/gitdir"), suite.join(".git").display().to_string()).unwrap();
    fs::copy(suite.join("bare/HEAD"), suite.join("bare/worktrees/w/HEAD")).unwrap();
    fs::write(suite.join(".git"), "gitdir: ./bare/worktrees/w\n").unwrap();
    assert_eq!(place.revision("suite").await, None);
    fs::remove_file(suite.join(".git")).unwrap();
    symlink("../repo/.git", suite.join(".git")).unwrap();
    assert_eq!(place.revision("suite").await, None, "a link");
    fs::remove_file(suite.join(".git")).unwrap();
    fifo(&suite.join(".git"));
    assert_eq!(place.revision("suite").await, None, "a pipe");
}

#[tokio::test]
async fn odd_files_in_a_repository_are_neither_followed_nor_waited_for() {
    let place = Place::with_checkout();
    let git = place.at("repo/.git");
    let head = place.head("repo");
    place.file("secret", &head);
    let replaced = |name: &str, with: &dyn Fn(&Path)| {
        let (path, aside) = (git.join(name), place.at("aside"));
        fs::rename(&path, &aside).unwrap();
        with(&path);
        (path, aside)
    };
    let restore = |(path, aside): (PathBuf, PathBuf)| {
        let _ = fs::remove_file(&path);
        fs::rename(aside, path).unwrap();
    };
    let secret = place.at("secret");
    for name in ["HEAD", "refs/heads/main", "refs/heads", "objects"] {
        for with in [&(|path: &Path| symlink(&secret, path).unwrap()) as &dyn Fn(&Path), &|path: &Path| fifo(path)] {
            let there = replaced(name, with);
            let revision = place.revision("repo").await;
            assert_eq!(revision, None, "{name}");
            restore(there);
        }
    }
    for text in
        ["ref: ../../secret", "ref: refs/../../secret", "ref: refs/heads/../../x", "ref: /etc/passwd", "", "0123"]
    {
        let there = replaced("HEAD", &|path| fs::write(path, text).unwrap());
        assert_eq!(place.revision("repo").await, None, "{text}");
        restore(there);
    }
    let circle = replaced("refs/heads/main", &|path| fs::write(path, "ref: refs/heads/main").unwrap());
    assert_eq!(place.revision("repo").await, None, "a circle");
    restore(circle);
    // The commit is known; whether anything was modified is not.
    let unknown = Some(Revision { commit: head.clone(), modified: None });
    let large = |path: &Path| File::create(path).unwrap().set_len(MAX_INDEX + 1).unwrap();
    for with in [
        &(|path: &Path| symlink(&secret, path).unwrap()) as &dyn Fn(&Path),
        &|path: &Path| fifo(path),
        &large,
        &|path: &Path| fs::write(path, "DIRC").unwrap(),
    ] {
        let there = replaced("index", with);
        assert_eq!(place.revision("repo").await, unknown);
        restore(there);
    }
    assert_eq!(place.revision("repo").await, at(&head, false));
}

#[test]
fn the_answer_of_git_is_read() {
    assert_eq!(has_changes("# branch.oid 01\n# branch.head (detached)\n"), Some(false));
    assert_eq!(has_changes("# branch.oid 01\n1 .M N... 100644 100644 100644 a b file\n"), Some(true));
    assert_eq!(has_changes(""), None);
}

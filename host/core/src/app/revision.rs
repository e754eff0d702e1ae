//! The git revision that a suite is at, found without reading any configuration that the suite could have brought.
//!
//! The author of a suite can put a whole repository into it: a bare one as plain files, or a `.git` folder in an archive.
//! Its configuration names programs (filters, fsmonitor, hooks, ssh), so git never runs with it. The commit is read here,
//! from the files of the checkout. Git itself finds out whether tracked files were modified, in a repository that the host
//! makes: the checkout's objects, a copy of its index, and only the host's configuration.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncReadExt, process::Command, task::spawn_blocking, time::timeout};

use self::checkout::Checkout;
use host_fs::remove_tree;
use host_model::Revision;
use host_wasm::sandbox::{Installed, installed};

mod checkout;

/// How long git may take: a report is not worth a longer wait.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of git's output that are read. One change is enough.
const MAX_OUTPUT: u64 = 64 << 10;
/// Bytes of the largest index that is copied.
const MAX_INDEX: u64 = 256 << 20;

/// Settings of git's own repository for the comparison: nothing that could run a program.
const SETTINGS: [&str; 8] = [
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=all",
    "protocol.allow=never",
];

/// The revision of the git checkout around `folder`. `None` without one, before the first commit, and where it takes
/// too long. The new folder `scratch` is used on the way, and removed.
pub(super) async fn revision(folder: &Path, scratch: &Path) -> Option<Revision> {
    let folder = folder.to_owned();
    let found = spawn_blocking(move || {
        let checkout = Checkout::around(&folder)?;
        let commit = checkout.commit()?;
        Some((checkout, commit))
    });
    let (checkout, commit) = timeout(TIMEOUT, found).await.ok()?.ok()??;
    let modified = timeout(TIMEOUT, is_modified(checkout, commit.clone(), scratch)).await.ok().flatten();
    // What is left is removed with the folder around it.
    let _ = remove_tree(scratch);
    Some(Revision { commit, modified })
}

/// Whether a tracked file, or the index, differs from `commit`.
async fn is_modified(checkout: Checkout, commit: String, scratch: &Path) -> Option<bool> {
    let Installed { program, path } = installed("git")?;
    let (top, objects, git_dir) = (checkout.top.clone(), checkout.objects()?, scratch.to_owned());
    spawn_blocking(move || make_repository(&checkout, &commit, &git_dir)).await.ok()?.ok()?;
    let mut git = Command::new(program);
    git.arg("--no-pager")
        .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
        .args(["status", "--porcelain=v2", "--branch", "--untracked-files=no"])
        .args(["--ignore-submodules=all", "--no-renames"])
        .current_dir(scratch)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("HOME", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_DIR", scratch)
        .env("GIT_WORK_TREE", top)
        .env("GIT_OBJECT_DIRECTORY", objects)
        .env("GIT_INDEX_FILE", scratch.join("index"))
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut git = git.spawn().ok()?;
    let mut output = Vec::new();
    git.stdout.take()?.take(MAX_OUTPUT).read_to_end(&mut output).await.ok()?;
    let is_cut = output.len() as u64 == MAX_OUTPUT;
    if !is_cut && !git.wait().await.ok()?.success() {
        return None;
    }
    has_changes(&String::from_utf8_lossy(&output))
}

/// A repository of the host's own in the new folder `git_dir`, at `commit`, with a copy of the checkout's index.
fn make_repository(checkout: &Checkout, commit: &str, git_dir: &Path) -> io::Result<()> {
    fs::create_dir(git_dir)?;
    fs::create_dir(git_dir.join("refs"))?;
    let config = match commit.len() {
        40 => "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
        _ => "[core]\n\trepositoryformatversion = 1\n\tbare = false\n[extensions]\n\tobjectFormat = sha256\n",
    };
    fs::write(git_dir.join("config"), config)?;
    fs::write(git_dir.join("HEAD"), format!("{commit}\n"))?;
    let mut index = checkout.index(MAX_INDEX)?;
    let written = index.metadata()?.modified()?;
    let mut copy = File::create_new(git_dir.join("index"))?;
    io::copy(&mut index, &mut copy)?;
    // By its time git knows which files could have changed since without a trace.
    copy.set_modified(written)
}

/// Reads what `git status --porcelain=v2 --branch` prints.
fn has_changes(status: &str) -> Option<bool> {
    status.starts_with("# branch.oid ").then(|| status.lines().any(|line| !line.starts_with("# ")))
}

#[cfg(test)]
mod tests;

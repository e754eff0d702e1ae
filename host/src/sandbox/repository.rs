//! A fixture that is a git repository.

use std::{
    ffi::OsStr,
    io::{self, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::copying::{Halt, halted};

/// How often git is looked at: whether it has ended, and whether it is to.
const LOOK: Duration = Duration::from_millis(5);

/// What is wrong with a name in a fixture that becomes a repository: git would run what a configuration in there names,
/// outside of every sandbox.
pub(super) fn refused(name: &OsStr) -> Option<&'static str> {
    let own = "is git's own, but the host makes the repository (`git = true`); remove it, or `git = true`";
    name.eq_ignore_ascii_case(".git").then_some(own)
}

/// Makes `root` a repository whose one commit holds everything in it. Author and time are fixed, so that the
/// same fixture gives the same commit; nothing of the user's git configuration or hooks takes part.
pub(super) fn commit(root: &Path, halt: Halt<'_>) -> Result<(), String> {
    git(root, &["-c", "init.defaultBranch=main", "init", "--quiet", "--template="], halt)?;
    for (key, value) in [("user.name", "Agent"), ("user.email", "agent@scenario.invalid"), ("gc.auto", "0")] {
        git(root, &["config", key, value], halt)?;
    }
    git(root, &["add", "--all", "--force"], halt)?;
    git(root, &["commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message", "Fixture"], halt)
}

/// Where programs are looked for when the environment does not say.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn git(root: &Path, args: &[&str], halt: Halt<'_>) -> Result<(), String> {
    const WHEN: &str = "2026-01-01T00:00:00Z";
    let child = Command::new("git")
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
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is no `git`; install it".to_owned(),
            _ => format!("`git` does not start: {error}"),
        })?;
    match answer(child, halt) {
        Ok(None) => Ok(()),
        Ok(Some(said)) => Err(format!("`git {}` failed: {}", args.join(" "), said.trim())),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits for git; what it says if it fails.
fn answer(mut git: Child, halt: Halt<'_>) -> io::Result<Option<String>> {
    let stderr = git.stderr.take();
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        // What cannot be read is not told.
        let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut said));
        said
    });
    let status = loop {
        if let Some(status) = git.try_wait()? {
            break status;
        }
        if halt() {
            git.kill()?;
            git.wait()?;
            return Err(halted());
        }
        thread::sleep(LOOK);
    };
    if status.success() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&said.join().unwrap_or_default()).into_owned()))
}

//! Makes a fixture a git repository.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    copying::{Halt, halted},
    programs::{Installed, installed},
};

/// How often to check whether git has exited or should be killed.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What is wrong with a name in a fixture that becomes a repository: git would run commands from a configuration in it,
/// outside any sandbox.
pub(super) fn reserved_name(name: &OsStr) -> Option<&'static str> {
    let own = "belongs to git, but the host creates the repository (`git = true`); remove it, or `git = true`";
    name.eq_ignore_ascii_case(".git").then_some(own)
}

/// Settings with precedence over all files. The repository's own configuration is created here, so they only matter if git
/// reads another one.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "commit.gpgSign=false",
    "safe.bareRepository=explicit",
];

/// Makes `root` a repository with one commit that contains everything in it. Author and time are fixed, so that the same
/// fixture gives the same commit; the user's git configuration and hooks are not used, and nothing in `root` is read as
/// configuration. The new directory `scratch` is used temporarily.
pub(super) fn commit_all(root: &Path, scratch: &Path, halt: Halt<'_>) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot create the repository: {error}");
    // Created in an empty directory: `root` itself may look like a bare repository, with its own configuration.
    fs::create_dir(scratch).map_err(failed)?;
    let git = Git { folder: scratch, git_dir: None };
    git.run(&["-c", "init.defaultBranch=main", "init", "--quiet", "--template="], halt)?;
    let git_dir = root.join(".git");
    fs::rename(scratch.join(".git"), &git_dir).map_err(failed)?;
    fs::remove_dir(scratch).map_err(failed)?;
    let git = Git { folder: root, git_dir: Some(&git_dir) };
    for (key, value) in [("user.name", "Agent"), ("user.email", "agent@scenario.invalid"), ("gc.auto", "0")] {
        git.run(&["config", key, value], halt)?;
    }
    git.run(&["add", "--all", "--force"], halt)?;
    let message = ["--no-verify", "--no-gpg-sign", "--message", "Fixture"];
    git.run(&[&["commit", "--quiet", "--allow-empty"], &message[..]].concat(), halt)
}

/// git in a directory, with an explicit repository if there is one, so that it never searches for another.
struct Git<'a> {
    folder: &'a Path,
    git_dir: Option<&'a Path>,
}

impl Git<'_> {
    fn run(&self, args: &[&str], halt: Halt<'_>) -> Result<(), String> {
        const COMMIT_DATE: &str = "2026-01-01T00:00:00Z";
        let Installed { program, path } = installed("git").ok_or("no absolute folder of PATH has `git`; install it")?;
        let mut git = Command::new(program);
        git.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(args)
            .current_dir(self.folder)
            .env_clear()
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            // Without a HOME there is no `.gitconfig`; an old git reads it whatever the next two say.
            .env("HOME", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(self.folder))
            .env("GIT_AUTHOR_NAME", "Fixture")
            .env("GIT_AUTHOR_EMAIL", "fixture@scenario.invalid")
            .env("GIT_AUTHOR_DATE", COMMIT_DATE)
            .env("GIT_COMMITTER_NAME", "Fixture")
            .env("GIT_COMMITTER_EMAIL", "fixture@scenario.invalid")
            .env("GIT_COMMITTER_DATE", COMMIT_DATE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(git_dir) = self.git_dir {
            git.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", self.folder);
        }
        let child = git.spawn().map_err(|error| format!("cannot start `git`: {error}"))?;
        match wait(child, halt) {
            Ok(None) => Ok(()),
            Ok(Some(stderr_text)) => Err(format!("`git {}` failed: {}", args.join(" "), stderr_text.trim())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Waits for git; returns its stderr if it fails.
fn wait(mut git: Child, halt: Halt<'_>) -> io::Result<Option<String>> {
    let stderr = git.stderr.take();
    let stderr_text = thread::Builder::new().spawn(move || {
        let mut stderr_text = Vec::new();
        // A read error only shortens the message.
        let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut stderr_text));
        stderr_text
    });
    let stderr_text = match stderr_text {
        Ok(stderr_text) => stderr_text,
        Err(error) => {
            git.kill()?;
            git.wait()?;
            return Err(error);
        }
    };
    let status = loop {
        if let Some(status) = git.try_wait()? {
            break status;
        }
        if halt() {
            git.kill()?;
            git.wait()?;
            return Err(halted());
        }
        thread::sleep(POLL_INTERVAL);
    };
    if status.success() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&stderr_text.join().unwrap_or_default()).into_owned()))
}

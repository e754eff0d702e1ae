//! The tools of a scripted agent.

use std::{
    env, fs,
    io::{self, Read, Seek, Write},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    scripted_agent::{Agent, StopCause},
    text::truncate_text,
};
use host_model::{SessionEventKind, Step};

const MAX_OUTPUT: u64 = 64 << 10;

struct ToolOutput {
    output: String,
    is_error: bool,
}

impl Agent<'_> {
    /// Runs a tool with an event before and one after. A tool that fails to run is an error of the script.
    pub(super) fn tool(&mut self, step: &Step) -> Result<(), StopCause> {
        let (name, input) = describe(step)?;
        self.calls += 1;
        let id = format!("call-{}-{}", self.turn, self.calls);
        self.output.event(&SessionEventKind::ToolCall { id: id.clone(), name, input })?;
        let result = perform(step);
        let (output, is_error) = match &result {
            Ok(answered) => (answered.output.clone(), answered.is_error),
            Err(problem) => (problem.clone(), true),
        };
        self.output.event(&SessionEventKind::ToolResult { id, is_error, output })?;
        result.map(drop).map_err(StopCause::Script)
    }
}

fn describe(step: &Step) -> Result<(String, Value), StopCause> {
    let (name, input) = match step {
        Step::Shell(command) => ("shell", json!({ "command": command })),
        Step::Write { path, text } => ("write", json!({ "path": path, "text": text })),
        Step::Append { path, text } => ("append", json!({ "path": path, "text": text })),
        Step::Replace { path, from, to } => ("replace", json!({ "path": path, "from": from, "to": to })),
        Step::Dispatch { worker, task } => ("dispatch", json!({ "worker": worker, "task": task })),
        Step::MessageWorker { worker, text } => ("message-worker", json!({ "worker": worker, "text": text })),
        Step::Tool { name, input, .. } => {
            let input = serde_json::to_value(input).map_err(|error| StopCause::Script(format!("`input`: {error}")))?;
            (name.as_str(), input)
        }
        other => return Err(StopCause::Script(format!("{other:?} is not a tool"))),
    };
    Ok((name.to_owned(), input))
}

fn perform(step: &Step) -> Result<ToolOutput, String> {
    let done = |output: String| Ok(ToolOutput { output, is_error: false });
    match step {
        Step::Shell(command) => shell(command).map_err(|error| format!("`sh -c` cannot be run: {error}")),
        Step::Write { path, text } => {
            path_in_root(path).and_then(|file| with_path(path, fs::write(file, text)))?;
            done(format!("wrote {path}"))
        }
        Step::Append { path, text } => {
            let append =
                |file: PathBuf| fs::File::options().create(true).append(true).open(file)?.write_all(text.as_bytes());
            path_in_root(path).and_then(|file| with_path(path, append(file)))?;
            done(format!("appended to {path}"))
        }
        Step::Replace { path, from, to } => {
            let file = path_in_root(path)?;
            let text = with_path(path, host_fs::read_text(&file))?;
            match text.matches(from.as_str()).count() {
                1 => with_path(path, fs::write(&file, text.replacen(from.as_str(), to, 1)))?,
                count => return Err(format!("{path}: `from` occurs {count} times, not once: {from:?}")),
            }
            done(format!("replaced in {path}"))
        }
        Step::Dispatch { worker, .. } => done(format!("worker {worker} started")),
        Step::MessageWorker { worker, .. } => done(format!("sent to worker {worker}")),
        Step::Tool { output, is_error, .. } => Ok(ToolOutput { output: output.clone(), is_error: *is_error }),
        other => Err(format!("{other:?} is not a tool")),
    }
}

fn with_path<T>(path: &str, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{path}: {error}"))
}

/// The path of a file in the root. Creates its parent directories.
fn path_in_root(path: &str) -> Result<PathBuf, String> {
    let root = env::current_dir().and_then(fs::canonicalize).map_err(|error| format!("the root: {error}"))?;
    resolve(&root, path)
}

/// Resolves a script's path, which must stay in the root even if it has symlinks.
fn resolve(root: &Path, path: &str) -> Result<PathBuf, String> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let Some(name) = Path::new(path).file_name().filter(|_| inside) else {
        return Err(format!("{path:?} does not name a file in the root: use a relative path without `..`"));
    };
    let outside = |it: &Path| format!("{path:?} resolves to a path outside the root, {}", it.display());
    let dir = root.join(path).parent().map_or_else(|| root.to_owned(), Path::to_owned);
    // Checked before anything is created: the existing part must not lead outside.
    let existing = dir.ancestors().find_map(|it| fs::canonicalize(it).ok()).unwrap_or_default();
    if !existing.starts_with(root) {
        return Err(outside(&existing));
    }
    with_path(path, fs::create_dir_all(&dir))?;
    let file = with_path(path, fs::canonicalize(&dir))?.join(name);
    match fs::canonicalize(&file) {
        Ok(real) if !real.starts_with(root) => Err(outside(&real)),
        Err(_) if file.is_symlink() => Err(format!("{path:?} is a dangling symlink")),
        _ => Ok(file),
    }
}

/// The output goes to a file instead of a pipe, so that a background job does not block the agent.
fn shell(command: &str) -> io::Result<ToolOutput> {
    let mut captured = tempfile::tempfile()?;
    let status = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(captured.try_clone()?)
        .stderr(captured.try_clone()?)
        .status()?;
    let length = captured.metadata()?.len();
    captured.rewind()?;
    let mut kept = Vec::new();
    captured.take(MAX_OUTPUT).read_to_end(&mut kept)?;
    let mut output = truncate_text(&kept, length.max(kept.len() as u64), usize::MAX);
    if !status.success() {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output.push_str(&format!("[{status}]"));
    }
    Ok(ToolOutput { output, is_error: !status.success() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("door")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", root.join("dangling")).unwrap();
        assert_eq!(resolve(&root, "a/b/c.md").unwrap(), root.join("a/b/c.md"));
        assert!(root.join("a/b").is_dir());
        assert_eq!(resolve(&root, "./x").unwrap(), root.join("x"));
        for bad in ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "door/x", "door/new/x", "door", "dangling"] {
            assert!(resolve(&root, bad).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_command_returns_output_and_failure() {
        let fine = shell("echo out; echo err >&2").unwrap();
        assert_eq!((fine.output.as_str(), fine.is_error), ("out\nerr\n", false));
        let failed = shell("printf no; exit 3").unwrap();
        assert_eq!((failed.output.as_str(), failed.is_error), ("no\n[exit status: 3]", true));
    }

    #[test]
    fn long_output_is_cut_with_a_note() {
        let much = shell("head -c 100000 /dev/zero | tr '\\0' x").unwrap().output;
        assert!(much.len() < 66_000 && much.ends_with("[cut: 100000 bytes in all]"), "{}", much.len());
    }

    #[test]
    fn background_jobs_are_not_awaited() {
        let start = std::time::Instant::now();
        let job = shell("sleep 20 & echo $!").unwrap().output;
        assert!(start.elapsed().as_secs() < 10);
        drop(Command::new("kill").arg(job.trim()).status());
    }
}

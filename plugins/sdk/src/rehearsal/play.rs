//! Carries out a script in a copy of a fixture.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Script, script::Step};
use crate::{Conclusion, Event, EventKind, Evidence, Record, ToolCall, ToolResult, Tree, Usage};

/// A script that was carried out. Its files live as long as this.
#[derive(Debug)]
pub struct Performance {
    evidence: Evidence,
    root: PathBuf,
    _folder: TempDir,
}

impl Performance {
    /// What a grader sees of it.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    /// The root that the agent left.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Carries out a script in a copy of the fixture, which becomes a git repository with one commit. Sleeps are skipped.
pub fn play(fixture: &Path, script: &Script) -> Result<Performance, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let stage = Stage { root: folder.path().join("root"), home: folder.path().join("home") };
    copy(fixture, &stage.root).map_err(|error| format!("{}: {error}", fixture.display()))?;
    fs::create_dir(&stage.home).map_err(|error| error.to_string())?;
    stage.shell(
        "git init -q -b main && git add -A && \
         git -c user.name=host -c user.email=host@example.org commit -q -m Fixture",
    )?;
    let mut events = Vec::new();
    for (index, step) in script.steps.iter().enumerate() {
        stage.carry_out(step, &mut events).map_err(|error| format!("step {}: {error}", index + 1))?;
    }
    let evidence = Evidence { before: Tree::at(fixture), after: Tree::at(&stage.root), session: record(events) };
    Ok(Performance { evidence, root: stage.root, _folder: folder })
}

fn record(kinds: Vec<EventKind>) -> Record {
    let final_message = kinds
        .iter()
        .rev()
        .find_map(|kind| match kind {
            EventKind::Message(text) => Some(text.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let usage = Usage { input_tokens: None, cached_input_tokens: None, output_tokens: None, cost_micro_usd: None };
    Record {
        events: kinds.into_iter().map(|kind| Event { at_ms: 0, kind }).collect(),
        conclusion: Conclusion { final_message, stop_reason: "end-turn".to_owned(), turns: 1, usage, duration_ms: 0 },
    }
}

struct Stage {
    root: PathBuf,
    home: PathBuf,
}

impl Stage {
    fn carry_out(&self, step: &Step, events: &mut Vec<EventKind>) -> Result<(), String> {
        let mut tool = |name: &str, input: &Value, output: &str, is_error| {
            let id = format!("call-{}", events.len());
            events.push(EventKind::ToolCall(ToolCall {
                id: id.clone(),
                name: name.to_owned(),
                input: input.to_string(),
            }));
            events.push(EventKind::ToolResult(ToolResult { id, is_error, output: output.to_owned() }));
        };
        match step {
            Step::Say { say } => events.push(EventKind::Message(say.clone())),
            Step::Shell { shell } => {
                let output = self.shell(shell)?;
                tool("shell", &json!({ "command": shell }), &output, false);
            }
            Step::Write { write, text } => {
                self.write(write, text)?;
                tool("write", &json!({ "path": write, "text": text }), "", false);
            }
            Step::Append { append, text } => {
                self.write(append, &(self.read(append)? + text))?;
                tool("append", &json!({ "path": append, "text": text }), "", false);
            }
            Step::Replace { replace, from, to } => {
                let old = self.read(replace)?;
                let places = old.matches(from.as_str()).count();
                if places != 1 {
                    return Err(format!("`{from}` stands in `{replace}` {places} times"));
                }
                self.write(replace, &old.replacen(from.as_str(), to, 1))?;
                tool("replace", &json!({ "path": replace, "from": from, "to": to }), "", false);
            }
            Step::Dispatch { dispatch, task } => {
                tool("dispatch", &json!({ "worker": dispatch, "task": task }), "", false)
            }
            Step::MessageWorker { message_worker, text } => {
                tool("message-worker", &json!({ "worker": message_worker, "text": text }), "", false);
            }
            Step::Tool { tool: name, input, output, is_error } => {
                let input = serde_json::to_value(input).map_err(|error| error.to_string())?;
                tool(name, &input, output, *is_error);
            }
            Step::Sleep { .. } | Step::Usage { .. } => {}
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.root.join(path)).map_err(|error| format!("{path}: {error}"))
    }

    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let full = self.root.join(path);
        full.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&full, text))
            .map_err(|error| format!("{path}: {error}"))
    }

    /// Runs a command in the root with an environment of its own. That it fails is an error: a script whose command did
    /// nothing would prove nothing.
    fn shell(&self, command: &str) -> Result<String, String> {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(text) } else { Err(format!("`{command}` failed: {text}")) }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

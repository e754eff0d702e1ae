//! The output of a scripted agent: its stdout and its transcript.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use host_model::SessionEventKind;

/// Prints lines unbuffered, and writes those that are events to a transcript.
pub(super) struct AgentOutput {
    transcript: Option<File>,
}

impl AgentOutput {
    /// The transcript is `sessions/SESSION.jsonl` in `config_dir`; later turns append to it.
    pub(super) fn open(config_dir: Option<&Path>, session: &str) -> io::Result<Self> {
        let Some(config_dir) = config_dir else { return Ok(Self { transcript: None }) };
        if session.contains('/') {
            return Err(io::Error::other(format!("`{session}` is not a session name")));
        }
        let dir = config_dir.join("sessions");
        fs::create_dir_all(&dir)?;
        let file = File::options().create(true).append(true).open(dir.join(format!("{session}.jsonl")))?;
        Ok(Self { transcript: Some(file) })
    }

    pub(super) fn transcribe_prompt(&mut self, turn: u32, prompt: &str) -> io::Result<()> {
        self.transcribe(&json!({ "type": "prompt", "turn": turn, "text": prompt }).to_string())
    }

    pub(super) fn event(&mut self, event: &SessionEventKind) -> io::Result<()> {
        self.line(&serde_json::to_string(event)?)
    }

    pub(super) fn finished(&mut self, stop_reason: &str) -> io::Result<()> {
        self.line(&json!({ "type": "finished", "stop-reason": stop_reason }).to_string())
    }

    /// Prints the last line of an agent that cannot continue.
    pub(super) fn error(&mut self, class: &str, message: &str) -> io::Result<()> {
        self.line(&json!({ "type": "error", "class": class, "message": message }).to_string())
    }

    /// Prints bytes as a line, which is not in the transcript.
    pub(super) fn raw(&mut self, line: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(line)?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    pub(super) fn partial(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.transcribe(line)?;
        self.raw(line.as_bytes())
    }

    fn transcribe(&mut self, line: &str) -> io::Result<()> {
        self.transcript.as_mut().map_or(Ok(()), |file| file.write_all(format!("{line}\n").as_bytes()))
    }
}

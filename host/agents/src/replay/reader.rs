//! Reads a session's replay.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use rustix::fs::CWD;

use host_model::{REPLAY_SCHEMA, ReplayStep};

/// The size limit of a line: an event holds at most a line of an agent and a little more.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// Reads the lines of a replay one by one.
pub(super) struct ReplayReader {
    lines: BufReader<File>,
    number: u64,
    next: Option<ReplayStep>,
}

impl ReplayReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { lines: BufReader::new(host_fs::open_regular(CWD, path)?.0), number: 0, next: None })
    }

    /// Reads the prompt from the first line. The error completes "session N …".
    pub(super) fn prompt(&mut self) -> Result<String, String> {
        // A line of another version may have any other fields.
        #[derive(serde::Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let line = self.line()?;
        match line.as_deref().map(serde_json::from_slice::<Versioned>) {
            Some(Ok(Versioned { schema })) if schema != REPLAY_SCHEMA => Err(format!(
                "was recorded in version {schema}, but this host replays version {REPLAY_SCHEMA}; \
                 use the `host` that recorded it"
            )),
            _ => match line.as_deref().map(serde_json::from_slice) {
                Some(Ok(ReplayStep::Start { prompt, .. })) => Ok(prompt),
                _ => Err("has a replay without a start step at the beginning".into()),
            },
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&ReplayStep>, String> {
        if self.next.is_none() {
            self.next = self.take()?;
        }
        Ok(self.next.as_ref())
    }

    /// The next step; `None` after the last complete line.
    pub(super) fn take(&mut self) -> Result<Option<ReplayStep>, String> {
        if let Some(step) = self.next.take() {
            return Ok(Some(step));
        }
        let Some(line) = self.line()? else { return Ok(None) };
        let step = serde_json::from_slice(&line);
        step.map(Some).map_err(|error| format!("has a replay whose line {} cannot be read: {error}", self.number))
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.number += 1;
        let mut line = Vec::new();
        let read = (&mut self.lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        read.map_err(|error| format!("has a replay whose line {} cannot be read: {error}", self.number))?;
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(format!("has a replay whose line {} is too long", self.number));
        }
        Ok(line.ends_with(b"\n").then_some(line))
    }
}

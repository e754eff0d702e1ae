//! The record of a session. It is written during the session, so that it survives a kill.
//!
//! | file | content |
//! |---|---|
//! | `stream.jsonl` | the agent's stdout as received |
//! | `stderr.txt` | its stderr as received |
//! | `events.jsonl` | the normalized events |
//! | `final-message.txt` | the last message; empty if a later one was unreadable |
//! | `session.json` | ids, turns, exits, usage, duration, outcome, size of each stream |
//!
//! A stream that was cut ends with a note.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::lane::SessionLimits;
use host_model::{Fault, SessionEvent, Usage};

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SessionSummary {
    pub(crate) lane: String,
    /// The host's id, which also marks the session's processes.
    pub(crate) session: String,
    /// The agent's own id.
    pub(crate) agent_session: Option<String>,
    pub(crate) model: Option<String>,
    /// Describes how the operating system confines the agent.
    pub(crate) confinement: String,
    /// `running`, `concluded`, `fault` or `ended` (by the host).
    pub(crate) state: String,
    pub(crate) fault: Option<Fault>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) turns: Vec<TurnSummary>,
    pub(crate) events: u64,
    /// Lines of damaged JSON: any of them may have been a message.
    pub(crate) unreadable_lines: u64,
    /// Lines of which only a part was parsed because they are long, and how many bytes were left out.
    pub(crate) shortened_lines: u64,
    pub(crate) left_out_bytes: u64,
    pub(crate) usage: Usage,
    pub(crate) duration_ms: u64,
    pub(crate) stdout_bytes: u64,
    pub(crate) stderr_bytes: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TurnSummary {
    pub(crate) started_ms: u64,
    pub(crate) finished_ms: Option<u64>,
    /// Describes how the agent's process exited.
    pub(crate) exit: Option<String>,
}

/// The open files of a record. Without a directory everything is discarded.
#[derive(Debug)]
pub(crate) struct Record {
    dir: Option<PathBuf>,
    stream: BoundedFile,
    stderr: BoundedFile,
    events: BoundedFile,
    /// The first write error; nothing is written after it.
    failed: Option<Fault>,
}

impl Record {
    /// Creates the directory `dir` and the files in it.
    pub(crate) fn create(dir: Option<&Path>, limits: &SessionLimits) -> Result<Self, Fault> {
        let max_bytes = limits.max_recorded_bytes;
        let open = |name: &str| {
            let path = dir.map_or_else(PathBuf::new, |dir| dir.join(name));
            let created = dir.map(|_| File::create(&path)).transpose();
            let file = created.map_err(|error| record_fault(&path, &error))?;
            let file = file.map(|file| BufWriter::with_capacity(16 << 10, file));
            Ok(BoundedFile { file, path, max_bytes, received: 0, cut: false })
        };
        if let Some(dir) = dir {
            fs::create_dir_all(dir).map_err(|error| record_fault(dir, &error))?;
        }
        let (stream, stderr, events) = (open("stream.jsonl")?, open("stderr.txt")?, open("events.jsonl")?);
        Ok(Self { dir: dir.map(Path::to_owned), stream, stderr, events, failed: None })
    }

    pub(crate) fn stdout(&mut self, bytes: &[u8]) {
        self.try_write(|it| {
            it.stream.write(bytes, |max_bytes| format!("\n{{\"type\":\"cut\",\"after-bytes\":{max_bytes}}}\n"))
        });
    }

    pub(crate) fn stderr(&mut self, bytes: &[u8]) {
        self.try_write(|it| it.stderr.write(bytes, |max_bytes| format!("\n[cut after {max_bytes} bytes]\n")));
        // A person may be waiting for it, and it is rarely much.
        self.flush();
    }

    pub(crate) fn event(&mut self, event: &SessionEvent) {
        if self.dir.is_none() || self.events.cut {
            return;
        }
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        let at_ms = event.at_ms;
        let note = |max_bytes| {
            format!("{{\"at-ms\":{at_ms},\"type\":\"raw\",\"line\":\"[host: cut after {max_bytes} bytes]\"}}\n")
        };
        self.try_write(|it| it.events.write_whole(&line, note));
    }

    pub(crate) fn flush(&mut self) {
        self.try_write(|it| {
            [&mut it.stream, &mut it.stderr, &mut it.events].into_iter().try_for_each(BoundedFile::flush)
        });
    }

    /// Replaces the small files atomically.
    pub(crate) fn summary(&mut self, summary: &mut SessionSummary, final_message: &str) {
        summary.stdout_bytes = self.stream.received;
        summary.stderr_bytes = self.stderr.received;
        self.flush();
        let Some(dir) = self.dir.clone() else { return };
        let json = serde_json::to_vec_pretty(summary).unwrap_or_default();
        for (name, content) in [("final-message.txt", final_message.as_bytes()), ("session.json", &json)] {
            let path = dir.join(name);
            self.try_write(|_| {
                host_fs::write_atomic(&path, content, host_fs::SHARED).map_err(|error| record_fault(&path, &error))
            });
        }
    }

    /// Why the record is incomplete, if it is.
    pub(crate) fn failure(&self) -> Option<&Fault> {
        self.failed.as_ref()
    }

    fn try_write(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Fault>) {
        if self.failed.is_none() {
            self.failed = write(self).err();
        }
    }
}

#[derive(Debug)]
struct BoundedFile {
    file: Option<BufWriter<File>>,
    path: PathBuf,
    max_bytes: u64,
    received: u64,
    cut: bool,
}

impl BoundedFile {
    fn write(&mut self, bytes: &[u8], note: impl Fn(u64) -> String) -> Result<(), Fault> {
        let room = usize::try_from(self.max_bytes.saturating_sub(self.received)).unwrap_or(usize::MAX);
        self.received += bytes.len() as u64;
        let kept = &bytes[..bytes.len().min(room)];
        self.append(kept)?;
        if kept.len() < bytes.len() { self.mark_cut(note) } else { Ok(()) }
    }

    fn write_whole(&mut self, bytes: &[u8], note: impl Fn(u64) -> String) -> Result<(), Fault> {
        self.received += bytes.len() as u64;
        if self.received > self.max_bytes { self.mark_cut(note) } else { self.append(bytes) }
    }

    fn mark_cut(&mut self, note: impl Fn(u64) -> String) -> Result<(), Fault> {
        if std::mem::replace(&mut self.cut, true) { Ok(()) } else { self.append(note(self.max_bytes).as_bytes()) }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|error| record_fault(&self.path, &error))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(|error| record_fault(&self.path, &error))
    }
}

fn record_fault(path: &Path, error: &io::Error) -> Fault {
    Fault::of_host(format_args!("cannot write the session's record: {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{FaultClass, SessionEventKind};

    fn limits(max_recorded_bytes: u64) -> SessionLimits {
        SessionLimits { max_recorded_bytes, ..SessionLimits::default() }
    }

    #[test]
    fn streams_are_bounded_with_one_note() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::create(Some(dir.path()), &limits(10)).unwrap();
        for _ in 0..3 {
            record.stdout(b"12345678");
            record.stderr(b"abcdefg\n");
        }
        let event = SessionEvent { at_ms: 1, kind: SessionEventKind::Message { text: "long enough".into() } };
        record.event(&event);
        record.event(&event);
        let mut summary = SessionSummary::default();
        record.summary(&mut summary, "bye");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("stream.jsonl"), "1234567812\n{\"type\":\"cut\",\"after-bytes\":10}\n");
        assert_eq!(read("stderr.txt"), "abcdefg\nab\n[cut after 10 bytes]\n");
        assert_eq!(read("final-message.txt"), "bye");
        let cut: SessionEvent = serde_json::from_str(&read("events.jsonl")).unwrap();
        assert_eq!(cut.kind, SessionEventKind::Raw { line: "[host: cut after 10 bytes]".into() });
        assert!(read("session.json").contains("\"stdout-bytes\": 24"));
        assert!(record.failure().is_none());
    }

    #[test]
    fn a_full_disk_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("stream.jsonl")).unwrap();
        let mut record = Record::create(Some(dir.path()), &limits(100)).unwrap();
        record.stdout(b"x");
        record.flush();
        let failure = record.failure().unwrap();
        assert_eq!(failure.class, FaultClass::Resources);
        assert!(failure.message.contains("stream.jsonl"), "{failure}");
    }
}

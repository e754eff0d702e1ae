//! The standard input of an agent that reads its messages from it, line by line.
//!
//! It is a named pipe, since the standard input of the agent's supervisor is the control socket. The pipe is in its own
//! directory, which only this user can enter and which is removed with the attempt. The host also opens it for reading
//! so that opening does not block; the agent sees the end of the input when the host closes it.

use std::{io, path::Path};

use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::unix::pipe, sync::mpsc, task::JoinHandle};

use crate::safe_dir::SafeDir;

/// How many lines may be queued for an agent that does not read: some send many requests before they read a response.
const MAX_QUEUED_LINES: usize = 4096;

/// An agent's standard input. Dropping it closes it and discards queued lines.
#[derive(Debug)]
pub(crate) struct AgentInput {
    dir: TempDir,
    pub(super) lines: InputSender,
    writer: JoinHandle<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct InputSender(mpsc::Sender<Option<String>>);

impl InputSender {
    /// Queues a line. Returns false if the queue is full.
    pub(crate) fn write(&self, line: String) -> bool {
        self.0.try_send(Some(line)).is_ok()
    }
}

impl AgentInput {
    /// Creates the pipe in its own directory below `tmp`.
    pub(crate) fn open(tmp: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("host-input-").tempdir_in(tmp)?;
        let pipe = pipe::Sender::from_file(SafeDir::open(dir.path())?.create_pipe("stdin")?)?;
        let (lines, queue) = mpsc::channel(MAX_QUEUED_LINES);
        Ok(Self { dir, lines: InputSender(lines), writer: tokio::spawn(write(pipe, queue)) })
    }

    /// The path of the pipe, to be opened for reading.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        Path::join(self.dir.path(), "stdin")
    }

    /// Closes the pipe after the queued lines. Does not wait for an agent that does not read.
    pub(crate) fn close(&self) {
        if self.lines.0.try_send(None).is_err() {
            self.writer.abort();
        }
    }
}

impl Drop for AgentInput {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

async fn write(mut pipe: pipe::Sender, mut queue: mpsc::Receiver<Option<String>>) {
    while let Some(Some(line)) = queue.recv().await {
        let written = pipe.write_all(format!("{line}\n").as_bytes()).await;
        if written.is_err() {
            break;
        }
    }
}

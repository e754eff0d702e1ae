//! The standard input of an agent that takes its messages there, line by line.
//!
//! It is a named pipe, since the standard input of the supervisor that starts the agent is the control socket. It lies
//! in a folder of its own that only this user can enter and that goes with the attempt. It is held open for reading too,
//! so that opening it waits for nobody, and the agent sees its end when the host closes it.

use std::{io, path::Path};

use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::unix::pipe, sync::mpsc, task::JoinHandle};

use crate::safe_dir::SafeDir;

/// How many lines may wait for an agent that does not read: some ask many things before they read an answer.
const MAX_QUEUED_LINES: usize = 4096;

/// An agent's standard input. Dropping it closes it, whatever was not written yet.
#[derive(Debug)]
pub(crate) struct Input {
    folder: TempDir,
    lines: InputLines,
    writer: JoinHandle<()>,
}

/// Takes lines for an agent.
#[derive(Clone, Debug)]
pub(crate) struct InputLines(mpsc::Sender<Option<String>>);

impl InputLines {
    /// Queues a line. Returns whether there was room for it.
    pub(crate) fn write(&self, line: String) -> bool {
        self.0.try_send(Some(line)).is_ok()
    }
}

impl Input {
    /// Makes the pipe in a folder of its own below `tmp`.
    pub(crate) fn open(tmp: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("host-input-").tempdir_in(tmp)?;
        let pipe = pipe::Sender::from_file(SafeDir::open(folder.path())?.create_pipe("stdin")?)?;
        let (lines, queue) = mpsc::channel(MAX_QUEUED_LINES);
        Ok(Self { folder, lines: InputLines(lines), writer: tokio::spawn(write(pipe, queue)) })
    }

    /// The pipe, to be opened for reading.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "stdin")
    }

    pub(crate) fn lines(&self) -> InputLines {
        self.lines.clone()
    }

    /// Closes it after what was queued. An agent that does not read holds nobody up.
    pub(crate) fn close(&self) {
        if self.lines.0.try_send(None).is_err() {
            self.writer.abort();
        }
    }
}

impl Drop for Input {
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

//! The stdout and stderr of a component.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use super::Violations;

/// How much of the end stays in memory for messages.
const TAIL_BYTES: usize = 16 << 10;
/// What a component may write in one call.
const MAX_WRITE_BYTES: usize = 64 << 10;

/// A component's stdout or stderr: written to a file immediately, bounded, with its end in memory for messages. The file
/// appears with the first byte. Exceeding the limit ends the attempt.
#[derive(Clone)]
pub struct OutputFile {
    shared: Arc<Mutex<Shared>>,
    violations: Arc<Violations>,
}

struct Shared {
    name: &'static str,
    path: PathBuf,
    file: Option<File>,
    written: u64,
    limit: u64,
    tail: Vec<u8>,
    error: Option<io::Error>,
}

impl OutputFile {
    /// Output to `path`, whose directories are created on demand. `name` is `stdout` or `stderr`.
    #[must_use]
    pub fn new(name: &'static str, path: PathBuf, limit: u64, violations: &Arc<Violations>) -> Self {
        let shared = Shared { name, path, file: None, written: 0, limit, tail: Vec::new(), error: None };
        Self { shared: Arc::new(Mutex::new(shared)), violations: Arc::clone(violations) }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.lock().written
    }

    /// The end of what was written, as text.
    #[must_use]
    pub fn tail(&self) -> String {
        let shared = self.lock();
        let start = shared.tail.len().saturating_sub(TAIL_BYTES);
        String::from_utf8_lossy(&shared.tail[start..]).into_owned()
    }

    /// The file, if anything was written.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let shared = self.lock();
        shared.file.is_some().then(|| shared.path.clone())
    }

    /// The first error of the file; later output is lost.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic can at worst leave an incomplete line.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) -> Result<(), String> {
        let mut shared = self.lock();
        let remaining = usize::try_from(shared.limit - shared.written).unwrap_or(usize::MAX);
        let accepted = &bytes[..bytes.len().min(remaining)];
        shared.keep(accepted);
        if accepted.len() == bytes.len() {
            return Ok(());
        }
        let what = format!(
            "the component wrote more than {} bytes to {}; its limit is `max-output`",
            shared.limit, shared.name
        );
        drop(shared);
        self.violations.limit(what.clone());
        Err(what)
    }
}

impl Shared {
    fn keep(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
        if self.error.is_some() || bytes.is_empty() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => create(&self.path).and_then(|mut file| {
                file.write_all(bytes)?;
                self.file = Some(file);
                Ok(())
            }),
        };
        // A full disk is not the component's fault: the attempt reports it.
        self.error = written.err();
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A pipe that somebody put there is not waited for.
    OpenOptions::new().create(true).write(true).truncate(true).custom_flags(libc::O_NONBLOCK).open(path)
}

impl IsTerminal for OutputFile {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputFile {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for OutputFile {
    async fn ready(&mut self) {}
}

impl OutputStream for OutputFile {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes).map_err(|what| StreamError::Trap(wasmtime::Error::msg(what)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE_BYTES)
    }
}

impl AsyncWrite for OutputFile {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.append(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(limit: u64) -> (tempfile::TempDir, Arc<Violations>, OutputFile) {
        let folder = tempfile::tempdir().unwrap();
        let violations = Arc::new(Violations::default());
        let output = OutputFile::new("stdout", folder.path().join("a/stdout.txt"), limit, &violations);
        (folder, violations, output)
    }

    #[test]
    fn nothing_written_leaves_no_file() {
        let (folder, _, output) = output(10);
        assert_eq!(output.path(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn output_past_its_limit_ends_the_attempt_and_is_truncated() {
        let (_folder, violations, mut output) = output(10);
        output.write(Bytes::from_static(b"12345678")).unwrap();
        assert!(violations.breached().is_none());
        assert!(output.write(Bytes::from_static(b"90abc")).is_err());
        assert!(violations.breached().unwrap().message.contains("stdout"));
        assert_eq!(std::fs::read(output.path().unwrap()).unwrap(), b"1234567890");
        assert_eq!(output.tail(), "1234567890");
    }

    #[test]
    fn the_tail_stays_small() {
        let (_folder, _, mut output) = output(u64::MAX);
        for _ in 0..100 {
            output.write(Bytes::from(vec![b'x'; 10_000])).unwrap();
        }
        assert_eq!(output.tail().len(), TAIL_BYTES);
        assert_eq!(output.written(), 1_000_000);
    }

    #[test]
    fn a_failed_write_is_reported_and_the_component_continues() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "no folder").unwrap();
        let violations = Arc::new(Violations::default());
        let mut output = OutputFile::new("stdout", folder.path().join("a/stdout.txt"), 10, &violations);
        output.write(Bytes::from_static(b"lost")).unwrap();
        assert!(output.take_error().is_some());
        assert!(violations.breached().is_none());
    }
}

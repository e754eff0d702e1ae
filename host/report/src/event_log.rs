//! The run's own log, `events.jsonl`: written by a thread of its own, so that a slow disk holds up neither the run nor
//! its clocks, and read back by reports that have fallen behind.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Sink, is_interrupted};
use host_model::Event;

/// Bytes that may wait for the disk.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Bytes that are written in one go.
const CHUNK_BYTES: usize = 64 << 10;
/// How long the disk may accept nothing.
const STUCK_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a wait checks for the time and for signals.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// As much of the time between two looks at a stuck disk counts at most.
const MAX_CHECK_GAP: Duration = Duration::from_secs(1);

/// Writes each event as one line of JSON to a file. Only whole lines are written, unless the disk is full.
pub struct EventLog {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines that are to be written.
    waiting: Vec<u8>,
    /// How many those are.
    waiting_events: u64,
    /// Bytes that are being written.
    writing: usize,
    /// Events that are in the file.
    written: u64,
    /// For how long the disk has accepted nothing while something waited, and when that was last looked at.
    stuck: Duration,
    last_check: Option<Instant>,
    closed: bool,
    /// How the writing has ended.
    ended: Option<Result<(), (io::ErrorKind, String)>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    fn outcome(&self) -> io::Result<()> {
        match &self.ended {
            Some(Err((kind, message))) => Err(io::Error::new(*kind, message.clone())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn end(&mut self, how: &io::Result<()>) {
        if self.ended.is_none() {
            self.ended = Some(how.as_ref().copied().map_err(|error| (error.kind(), error.to_string())));
        }
        self.waiting = Vec::new();
    }

    /// Ends the writing if the disk accepts nothing for too long. Called again and again while that matters, so that time
    /// in which the host is stopped does not count.
    fn give_up_if_stuck(&mut self) {
        let now = Instant::now();
        let since = self.last_check.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.stuck += since.min(MAX_CHECK_GAP);
        if self.stuck >= STUCK_TIMEOUT {
            let seconds = STUCK_TIMEOUT.as_secs();
            self.end(&Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no write to the disk completed for {seconds} s"),
            )));
        }
    }
}

impl EventLog {
    /// Writes to a new file.
    ///
    /// # Errors
    /// The file exists or cannot be made, or no thread can be started.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::start(path, WholeLines { file: File::create_new(path)?, length: 0, whole: 0 })
    }

    fn start(path: &Path, file: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        // Detached on purpose: a thread that is stuck in a write must not keep the process.
        thread::Builder::new().name("event-log".into()).spawn(move || {
            let ended = write(&writer, file);
            writer.lock().end(&ended);
            writer.changed.notify_all();
        })?;
        Ok(Self { path: path.to_owned(), shared })
    }

    /// Reads events back.
    #[must_use]
    pub fn tail(&self) -> LogTail {
        LogTail { path: self.path.clone(), shared: Arc::clone(&self.shared), reader: None, next: 0, line: Vec::new() }
    }
}

/// A file that ends with a whole line also where the disk is full in the middle of one.
struct WholeLines {
    file: File,
    length: u64,
    whole: u64,
}

impl Write for WholeLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(written) => {
                if let Some(end) = memchr::memrchr(b'\n', &bytes[..written]) {
                    self.whole = self.length + end as u64 + 1;
                }
                self.length += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                // Readers take half a line, too, where it cannot be taken back.
                let _ = self.file.set_len(self.whole);
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for EventLog {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut state = self.shared.lock();
        state.outcome()?;
        state.waiting.extend_from_slice(&line);
        state.waiting_events += 1;
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.lock().outcome()
    }

    fn is_full(&self) -> bool {
        let mut state = self.shared.lock();
        if state.waiting.len() + state.writing < MAX_WAITING_BYTES {
            state.last_check = None;
            return false;
        }
        state.give_up_if_stuck();
        state.ended.is_none()
    }

    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.close();
        let interrupted = is_interrupted();
        let mut state = self.shared.lock();
        while state.ended.is_none() {
            if interrupted() {
                state.end(&Err(io::Error::new(io::ErrorKind::Interrupted, "a signal arrived before it was written")));
            }
            state.give_up_if_stuck();
            state = self.shared.wait(state);
        }
        state.outcome()
    }
}

fn write(shared: &Shared, mut file: impl Write) -> io::Result<()> {
    loop {
        let mut state = shared.lock();
        while state.waiting.is_empty() && !state.closed && state.ended.is_none() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended.is_some() || state.waiting.is_empty() {
            drop(state);
            return file.flush();
        }
        let bytes = std::mem::take(&mut state.waiting);
        let events = std::mem::take(&mut state.waiting_events);
        state.writing = bytes.len();
        drop(state);
        for piece in bytes.chunks(CHUNK_BYTES) {
            file.write_all(piece)?;
            let mut state = shared.lock();
            state.stuck = Duration::ZERO;
            if state.ended.is_some() {
                return Ok(());
            }
        }
        let mut state = shared.lock();
        state.writing = 0;
        state.written += events;
        drop(state);
        shared.changed.notify_all();
    }
}

/// Reads the events of a log that is being written. An event's number is that of its line.
pub struct LogTail {
    path: PathBuf,
    shared: Arc<Shared>,
    reader: Option<BufReader<File>>,
    /// The number of the next line.
    next: u64,
    line: Vec<u8>,
}

impl Clone for LogTail {
    /// Another reader, from the first line on.
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), shared: Arc::clone(&self.shared), reader: None, next: 0, line: Vec::new() }
    }
}

impl LogTail {
    /// The event `number`, which has been handed to the log. Waits until it is written. Numbers only increase from call
    /// to call.
    ///
    /// # Errors
    /// The log cannot be read, or is not written any more.
    pub(super) fn event(&mut self, number: u64) -> io::Result<Event> {
        let mut state = self.shared.lock();
        while state.written <= number {
            if let Some(ended) = &state.ended {
                let why = ended.as_ref().err().map_or("the log is closed", |(_, message)| message);
                let message =
                    format!("the reader was too slow, and the missing events cannot be read from events.jsonl: {why}");
                return Err(io::Error::other(message));
            }
            state = self.shared.wait(state);
        }
        drop(state);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(BufReader::new(File::open(&self.path)?)),
        };
        loop {
            self.line.clear();
            if reader.read_until(b'\n', &mut self.line)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "another program truncated events.jsonl"));
            }
            self.next += 1;
            if self.next > number {
                return Ok(serde_json::from_slice(&self.line)?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::{read_events, sample};

    /// A disk that accepts nothing before it gets a signal.
    struct SlowDisk {
        file: File,
        go: Receiver<()>,
    }

    impl Write for SlowDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            self.file.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow(file: &tempfile::NamedTempFile) -> (EventLog, Sender<()>) {
        let (go, wait) = channel();
        let disk = SlowDisk { file: file.reopen().unwrap(), go: wait };
        (EventLog::start(file.path(), disk).unwrap(), go)
    }

    #[test]
    fn events_are_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        let events = sample::every_kind();
        let mut tail = log.tail();
        for event in &events {
            log.event(event).unwrap();
        }
        for number in [0, 1, 3] {
            assert_eq!(tail.event(number).unwrap(), events[usize::try_from(number).unwrap()]);
        }
        log.finish().unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(read_events(&text[..]).collect::<Result<Vec<_>, _>>().unwrap(), events);
        assert!(EventLog::create(&path).is_err(), "an existing log is never overwritten");
    }

    #[test]
    fn a_slow_disk_delays_and_loses_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut log, go) = slow(&file);
        for event in sample::every_kind() {
            // It would never return.
            log.event(&event).unwrap();
            log.flush().unwrap();
        }
        assert_eq!(file.as_file().metadata().unwrap().len(), 0);
        let writing = thread::spawn(move || while go.send(()).is_ok() {});
        log.finish().unwrap();
        drop(log);
        writing.join().unwrap();
        let text = std::fs::read(file.path()).unwrap();
        assert_eq!(read_events(&text[..]).count(), sample::every_kind().len());
    }

    #[test]
    fn a_failed_log_is_never_full() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut log, go) = slow(&file);
        log.event(&sample::all_pass()[0]).unwrap();
        assert!(!log.is_full());
        log.shared.lock().waiting.resize(MAX_WAITING_BYTES, b'x');
        assert!(log.is_full());
        // The disk breaks.
        drop(go);
        while log.is_full() {
            thread::yield_now();
        }
        assert!(log.flush().is_err() && log.finish().is_err());
        assert!(log.tail().event(0).unwrap_err().to_string().contains("too slow"));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut log = EventLog::start(Path::new("/dev/full"), full).unwrap();
        log.event(&sample::all_pass()[0]).unwrap();
        assert_eq!(log.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

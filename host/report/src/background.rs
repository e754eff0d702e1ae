use std::{
    collections::VecDeque,
    io::{self, Write},
    ops::RangeInclusive,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{LogTail, Sink, is_interrupted};
use host_model::Event;

/// Events, and their bytes, that may wait in memory for a slow reader.
const MAX_EVENTS: usize = 1_024;
const MAX_BYTES: usize = 8 << 20;
/// Events between two moments at which all is made visible.
const BATCH_EVENTS: usize = 64;
/// How long a reader may take nothing at the end of a run before it is given up.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the sink may do something without an event.
const TICK: Duration = Duration::from_secs(1);
/// How often a wait for the end checks for the time and for signals.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A sink on a thread of its own, for what goes to a terminal or a pipe: a reader that stops reading (a pager, Ctrl-S)
/// holds up neither the run nor its signals nor its clocks. What does not fit into memory is read back from the event
/// log. Only at the end of the run is the reader waited for, and given up as broken after 10 s without progress.
pub struct Background {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Event>>,
    bytes: usize,
    /// The number of the last event, and of the last that the sink was given.
    last: Option<u64>,
    delivered: Option<u64>,
    /// Whether events after those of the queue are in the log only.
    spilled: bool,
    unflushed: bool,
    closed: bool,
    /// Whether the sink was given up.
    given_up: bool,
    ended: Option<io::Result<()>>,
}

enum Work {
    Events(Vec<Arc<Event>>),
    /// To be read from the log.
    Spilled(RangeInclusive<u64>),
    Flush,
    Tick,
    Finish,
    GiveUp,
}

impl Background {
    /// Puts `sink` on a thread of its own. `log` gets all events before it.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(sink: impl Sink + 'static, log: LogTail) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Arc::clone(&shared);
        // Detached on purpose: a thread that is stuck in a write must not keep the process.
        thread::Builder::new().name("report".into()).spawn(move || {
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.work(sink, log)));
            let ended = worked.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
            worker.lock().ended = Some(ended);
            worker.changed.notify_all();
        })?;
        Ok(Self { shared })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut sink: impl Sink, mut log: LogTail) -> io::Result<()> {
        loop {
            match self.next() {
                Work::Events(events) => {
                    for event in events {
                        sink.event(&event)?;
                        self.lock().delivered = Some(event.seq);
                    }
                }
                Work::Spilled(numbers) => {
                    for number in numbers {
                        sink.event(&log.event(number)?)?;
                        self.lock().delivered = Some(number);
                    }
                }
                Work::Flush => sink.flush()?,
                Work::Tick => sink.tick()?,
                Work::Finish => return sink.finish(),
                Work::GiveUp => return Err(stuck()),
            }
        }
    }

    /// Waits for something to do.
    fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.given_up {
                return Work::GiveUp;
            }
            if !state.queue.is_empty() {
                let count = state.queue.len().min(BATCH_EVENTS);
                let events: Vec<_> = state.queue.drain(..count).collect();
                if state.queue.is_empty() {
                    state.bytes = 0;
                }
                state.unflushed = true;
                return Work::Events(events);
            }
            if let Some(numbers) = state.spilled_numbers() {
                state.unflushed = true;
                return Work::Spilled(numbers);
            }
            if std::mem::take(&mut state.unflushed) {
                return Work::Flush;
            }
            if state.closed {
                return Work::Finish;
            }
            let (again, waited) = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Work::Tick;
            }
            state = again;
        }
    }
}

impl State {
    /// A few of the events that are in the log only; when there are none, the queue takes events again.
    fn spilled_numbers(&mut self) -> Option<RangeInclusive<u64>> {
        if !self.spilled {
            return None;
        }
        let (first, last) = (self.delivered.map_or(0, |delivered| delivered + 1), self.last?);
        self.spilled = first <= last;
        self.spilled.then(|| first..=last.min(first + BATCH_EVENTS as u64 - 1))
    }

    /// The first error of the sink, or that it is gone.
    fn outcome(&mut self) -> io::Result<()> {
        match &mut self.ended {
            None => Ok(()),
            Some(ended) => std::mem::replace(ended, Ok(())).and(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl Sink for Background {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let bytes = size(event);
        let mut state = self.shared.lock();
        state.outcome()?;
        state.last = Some(event.seq);
        state.spilled |= state.queue.len() >= MAX_EVENTS || state.bytes.saturating_add(bytes) > MAX_BYTES;
        if !state.spilled {
            state.bytes += bytes;
            state.queue.push_back(Arc::new(event.clone()));
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // The thread flushes whenever it has caught up.
        self.shared.lock().outcome()
    }

    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.close();
        let interrupted = is_interrupted();
        let mut state = self.shared.lock();
        // Counted in waits, so that time in which the host is stopped does not count.
        let (mut delivered, mut waited) = (state.delivered, Duration::ZERO);
        loop {
            if let Some(ended) = &mut state.ended {
                return std::mem::replace(ended, Ok(()));
            }
            if state.delivered != delivered {
                (delivered, waited) = (state.delivered, Duration::ZERO);
            }
            if waited >= STUCK_TIMEOUT || interrupted() {
                state.given_up = true;
                return Err(stuck());
            }
            let woken = self.shared.changed.wait_timeout(state, CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner);
            state = woken.0;
            waited += CHECK_INTERVAL;
        }
    }
}

/// How many bytes an event takes as JSON.
fn size(event: &Event) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // An event that cannot be written fails where it is written.
    let _ = serde_json::to_writer(&mut count, event);
    count.0
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its output was not read")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::EventLog;
    use host_model::{EventKind, LaneName};

    fn event(seq: u64) -> Event {
        Event { seq, at_ms: 0, kind: EventKind::LaneOpened { lane: LaneName("l".into()) } }
    }

    #[derive(Clone, Default)]
    struct Seen {
        seqs: Arc<Mutex<Vec<u64>>>,
        fails_at: Option<u64>,
    }

    impl Sink for Seen {
        fn event(&mut self, event: &Event) -> io::Result<()> {
            if self.fails_at == Some(event.seq) {
                return Err(io::Error::other("disk full"));
            }
            self.seqs.lock().unwrap().push(event.seq);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            self.seqs.lock().unwrap().push(u64::MAX);
            Ok(())
        }
    }

    /// A sink whose reader reads nothing before it gets a signal.
    struct Slow(Seen, Option<Receiver<()>>);

    impl Sink for Slow {
        fn event(&mut self, event: &Event) -> io::Result<()> {
            if let Some(go) = self.1.take() {
                go.recv().map_err(io::Error::other)?;
            }
            self.0.event(event)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            self.0.finish()
        }
    }

    fn slow() -> (Slow, Seen, Sender<()>) {
        let (seen, (go, wait)) = (Seen::default(), channel());
        (Slow(seen.clone(), Some(wait)), seen, go)
    }

    struct Log {
        _folder: tempfile::TempDir,
        log: EventLog,
    }

    fn log() -> Log {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::create(&folder.path().join("events.jsonl")).unwrap();
        Log { _folder: folder, log }
    }

    #[test]
    fn everything_arrives_in_order_before_the_end() {
        let seen = Seen::default();
        let mut log = log();
        let mut sink = Background::new(seen.clone(), log.log.tail()).unwrap();
        let all: Vec<u64> = (0..10_000).collect();
        for seq in &all {
            log.log.event(&event(*seq)).unwrap();
            sink.event(&event(*seq)).unwrap();
        }
        sink.finish().unwrap();
        let seqs = seen.seqs.lock().unwrap();
        assert_eq!((&seqs[..10_000], seqs.last()), (&all[..], Some(&u64::MAX)));
    }

    #[test]
    fn a_slow_reader_delays_nothing_and_gets_everything() {
        let (sink, seen, go) = slow();
        let mut log = log();
        let mut sink = Background::new(sink, log.log.tail()).unwrap();
        let count = 5 * MAX_EVENTS as u64;
        // It would never return.
        for seq in 0..count {
            log.log.event(&event(seq)).unwrap();
            sink.event(&event(seq)).unwrap();
        }
        let waiting = sink.shared.lock().queue.len();
        assert!(waiting <= MAX_EVENTS, "{waiting} wait in memory");
        go.send(()).unwrap();
        // Events that arrive while it catches up stay in order, too.
        for seq in count..count + 100 {
            log.log.event(&event(seq)).unwrap();
            sink.event(&event(seq)).unwrap();
        }
        sink.finish().unwrap();
        let seqs = seen.seqs.lock().unwrap();
        let expected: Vec<u64> = (0..count + 100).chain([u64::MAX]).collect();
        assert!(*seqs == expected, "{} of {}", seqs.len(), expected.len());
    }

    #[test]
    fn large_events_wait_in_the_log() {
        let (sink, seen, go) = slow();
        let mut log = log();
        let mut sink = Background::new(sink, log.log.tail()).unwrap();
        let name = "l".repeat(1 << 20);
        for seq in 0..20 {
            let event = Event { kind: EventKind::LaneOpened { lane: LaneName(name.clone()) }, ..event(seq) };
            log.log.event(&event).unwrap();
            sink.event(&event).unwrap();
        }
        assert!(sink.shared.lock().queue.len() <= MAX_BYTES >> 20);
        go.send(()).unwrap();
        sink.finish().unwrap();
        assert_eq!(seen.seqs.lock().unwrap().len(), 21);
    }

    #[test]
    fn sink_errors_are_returned() {
        let log = log();
        let mut sink = Background::new(Seen { fails_at: Some(0), ..Seen::default() }, log.log.tail()).unwrap();
        // Told immediately or at the end: the thread may not have come to it yet.
        let result = (0..3).try_for_each(|seq| sink.event(&event(seq))).and_then(|()| sink.finish());
        assert_eq!(result.unwrap_err().to_string(), "disk full");
    }
}

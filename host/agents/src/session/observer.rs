//! Observers of sessions: they receive events, are notified as soon as one is read, and can wait until all output of
//! the agent has been read.

use std::{fmt, sync::Arc, time::Duration};

use host_model::{SessionEvent, SessionEventKind};
use tokio::sync::{mpsc, watch};

/// How long the reader may take to read the contents of the pipe.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Follows one session.
#[derive(Clone, Debug)]
pub struct Observer {
    events: mpsc::Sender<SessionEvent>,
    progress: Arc<ReadProgress>,
}

impl Observer {
    /// `events` receives every event with its texts cut, whether the component fetches it or not. The agent is blocked
    /// while it is full; `progress` is notified before that.
    #[must_use]
    pub fn new(events: mpsc::Sender<SessionEvent>, progress: Arc<ReadProgress>) -> Self {
        Self { events, progress }
    }

    /// Sends `event`. Returns false if there is no receiver anymore.
    pub async fn send(&self, event: SessionEvent) -> bool {
        if let Err(error) = self.events.try_send(event) {
            let mpsc::error::TrySendError::Full(event) = error else { return false };
            let _held = BlockedGuard::new(&self.progress);
            return self.events.send(event).await.is_ok();
        }
        true
    }

    /// Notifies of an event as soon as it is read.
    pub fn notify(&self, event: &SessionEventKind) {
        (self.progress.on_event)(event);
    }

    /// Registers a reader.
    pub fn reading(&self) -> ReaderGuard {
        self.progress.state.send_modify(|state| state.readers += 1);
        ReaderGuard { progress: Arc::clone(&self.progress), state: self.progress.state.subscribe() }
    }
}

/// The state of reading a session's output.
pub struct ReadProgress {
    on_event: Box<dyn Fn(&SessionEventKind) + Send + Sync>,
    state: watch::Sender<ReadState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ReadState {
    readers: usize,
    /// Whether a reader waits for the host to take an event.
    blocked: bool,
    /// The numbers of the last catch-up request and of the last completed one.
    requested: u64,
    caught_up: u64,
}

impl fmt::Debug for ReadProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadProgress").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Default for ReadProgress {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl ReadProgress {
    /// `on_event` is called with each event when it is read, on the reader's task.
    pub fn new(on_event: impl Fn(&SessionEventKind) + Send + Sync + 'static) -> Self {
        Self { on_event: Box::new(on_event), state: watch::Sender::new(ReadState::default()) }
    }

    /// Waits until everything the agent has written so far is read, and its exit is known if it has exited. Has a
    /// timeout, unless the host itself blocks the reader.
    pub async fn catch_up(&self) {
        let mut state = self.state.subscribe();
        let mut requested = 0;
        self.state.send_modify(|state| {
            state.requested += 1;
            requested = state.requested;
        });
        loop {
            let caught_up = state.wait_for(|state| state.readers == 0 || state.caught_up >= requested);
            let in_time = host_clock::timeout(CATCH_UP_TIMEOUT, caught_up).await.is_ok();
            if in_time || !self.state.borrow().blocked {
                return;
            }
        }
    }
}

/// Registers a reader until it is dropped.
pub struct ReaderGuard {
    progress: Arc<ReadProgress>,
    state: watch::Receiver<ReadState>,
}

impl ReaderGuard {
    /// Waits for a catch-up request. To be awaited when there is nothing to read.
    pub async fn requested(&mut self) {
        // The sender lives as long as this.
        drop(self.state.wait_for(|state| state.requested > state.caught_up).await);
    }

    /// Completes the catch-up request: everything is read.
    pub fn caught_up(&self) {
        self.progress.state.send_modify(|state| state.caught_up = state.requested);
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.progress.state.send_modify(|state| state.readers = state.readers.saturating_sub(1));
    }
}

struct BlockedGuard<'a>(&'a ReadProgress);

impl<'a> BlockedGuard<'a> {
    fn new(progress: &'a ReadProgress) -> Self {
        progress.state.send_modify(|state| state.blocked = true);
        Self(progress)
    }
}

impl Drop for BlockedGuard<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.blocked = false);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn observer(room: usize) -> (Observer, mpsc::Receiver<SessionEvent>, Arc<ReadProgress>) {
        let (events, received) = mpsc::channel(room);
        let progress = Arc::new(ReadProgress::default());
        (Observer::new(events, Arc::clone(&progress)), received, progress)
    }

    fn event() -> SessionEvent {
        SessionEvent { at_ms: 0, kind: SessionEventKind::Message { text: String::new() } }
    }

    #[tokio::test(start_paused = true)]
    async fn catching_up_waits_for_the_reader() {
        let (observer, _received, progress) = observer(1);
        let mut reading = observer.reading();
        let reader = async {
            reading.requested().await;
            sleep(CATCH_UP_TIMEOUT / 2).await;
            reading.caught_up();
        };
        let began = Instant::now();
        tokio::join!(progress.catch_up(), reader);
        assert_eq!(began.elapsed(), CATCH_UP_TIMEOUT / 2);
        drop(reading);
        progress.catch_up().await;
        assert_eq!(began.elapsed(), CATCH_UP_TIMEOUT / 2, "without a reader there is nothing to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn catching_up_has_a_timeout() {
        let (observer, _received, progress) = observer(1);
        let _reading = observer.reading();
        let began = Instant::now();
        progress.catch_up().await;
        assert!(began.elapsed() < 2 * CATCH_UP_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_blocked_by_the_host_is_awaited() {
        let (observer, mut received, progress) = observer(1);
        let mut reading = observer.reading();
        observer.send(event()).await;
        let reader = async {
            observer.send(event()).await;
            reading.requested().await;
            reading.caught_up();
        };
        let host = async {
            sleep(100 * CATCH_UP_TIMEOUT).await;
            received.recv().await
        };
        let began = Instant::now();
        tokio::join!(progress.catch_up(), reader, host);
        assert!(began.elapsed() >= 100 * CATCH_UP_TIMEOUT);
    }
}

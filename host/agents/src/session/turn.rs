//! One turn of a session.

use std::sync::{Arc, Mutex};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    dialect::{Dialect, TurnState},
    exit::AgentExit,
    session::{
        input::InputSender,
        journal::TurnContext,
        output_reader::{LEFTOVER_TIMEOUT, OutputReader, QueuedEvent, ReaderRequest},
        process::AgentStreams,
        process_state::ProcessState,
    },
};
use host_clock::timeout;
use host_model::{Fault, FaultClass, SessionEvent};

/// How many events may wait for the component, whatever their size.
const MAX_WAITING_EVENTS: usize = 1024;

/// A turn that runs or is over. Dropping it stops the reader.
#[derive(Debug)]
pub(crate) struct AgentTurn {
    events: mpsc::Receiver<QueuedEvent>,
    requests: mpsc::Sender<ReaderRequest>,
    state: Arc<Mutex<TurnState>>,
    reader: JoinHandle<()>,
}

impl AgentTurn {
    pub(crate) fn start(
        process: watch::Receiver<ProcessState>,
        streams: AgentStreams,
        dialect: Box<dyn Dialect>,
        context: TurnContext,
        message: &str,
        input: Option<InputSender>,
    ) -> Self {
        let (queue, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let (requests, received) = mpsc::channel(2);
        let state = Arc::new(Mutex::new(TurnState::default()));
        let reader = OutputReader::new(dialect, context, queue, state.clone(), input);
        let reader = tokio::spawn(reader.run(process, streams, received, message.to_owned()));
        Self { events, requests, state, reader }
    }

    /// Begins another turn of a persistent agent after this one is over, without waiting. Returns whether the agent's
    /// output is still read.
    pub(crate) fn begin_another(&mut self, message: &str) -> bool {
        let (queue, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let before = TurnState::with(&self.state, |state| state.outcome.take());
        self.events = events;
        let received = self.requests.try_send(ReaderRequest::Begin(message.to_owned(), queue)).is_ok();
        if !received {
            TurnState::with(&self.state, |state| state.outcome = before);
        }
        received
    }

    /// The next event; `None` once the turn is over.
    pub(crate) async fn next(&mut self) -> Option<SessionEvent> {
        self.events.recv().await.map(|queued| queued.event)
    }

    /// Waits for the end of the turn and discards its events. Returns the agent's stop reason.
    pub(crate) async fn finish(&mut self) -> Result<String, Fault> {
        while self.next().await.is_some() {}
        if self.outcome().is_none() {
            // The agent exited before the turn could begin.
            self.wait_recorded().await;
        }
        self.outcome().unwrap_or_else(|| {
            Err(Fault::new(FaultClass::Internal, "the reader of the agent's output stopped before its end"))
        })
    }

    /// The outcome of the turn, as far as the output was read.
    pub(crate) fn outcome(&self) -> Option<Result<String, Fault>> {
        TurnState::with(&self.state, |state| state.outcome.clone())
    }

    /// The fault of an agent that exited like this without being asked to.
    pub(crate) fn fault_of(&self, exit: &AgentExit) -> Option<Fault> {
        TurnState::with(&self.state, |state| {
            // Its last message may not have been read in time.
            let unread = state.outcome.is_none() && *exit == AgentExit::Code(0);
            if unread { None } else { state.fault_of(exit) }
        })
    }

    /// Stops queueing events: further ones are only observed and recorded.
    pub(crate) fn stop_fetching(&mut self) {
        self.events.close();
        while self.events.try_recv().is_ok() {}
    }

    /// Waits until everything the agent has written so far is read. Has a timeout.
    pub(crate) async fn catch_up(&self) {
        let (reply, replied) = oneshot::channel();
        let caught_up = async {
            // An error means that all output was already read.
            if self.requests.send(ReaderRequest::CatchUp(reply)).await.is_ok() {
                drop(replied.await);
            }
        };
        drop(timeout(LEFTOVER_TIMEOUT, caught_up).await);
    }

    /// Waits until the rest of the output is recorded. Has a timeout.
    pub(crate) async fn wait_recorded(&mut self) {
        if !self.reader.is_finished() && timeout(LEFTOVER_TIMEOUT, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
    }
}

impl Drop for AgentTurn {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

//! One turn of a session: a process whose output is read and understood, to the end of the turn.

use std::sync::{Arc, Mutex};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    dialect::{Dialect, Heard},
    exit::AgentExit,
    session::{
        input::InputLines,
        journal::TurnContext,
        output_reader::{Ask, LEFTOVER_TIME, Pump, Waiting},
        process::AgentStreams,
        process_state::ProcessState,
    },
};
use host_clock::timeout;
use host_model::{Fault, FaultClass, SessionEvent};

/// How many events may wait for the component, whatever their size.
const MAX_WAITING_EVENTS: usize = 1024;

/// A turn that runs or is over. Dropping it stops the reading.
#[derive(Debug)]
pub(crate) struct Turn {
    waiting: mpsc::Receiver<Waiting>,
    asks: mpsc::Sender<Ask>,
    heard: Arc<Mutex<Heard>>,
    pump: JoinHandle<()>,
}

impl Turn {
    pub(crate) fn start(
        process: watch::Receiver<ProcessState>,
        streams: AgentStreams,
        dialect: Box<dyn Dialect>,
        context: TurnContext,
        message: &str,
        input: Option<InputLines>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let (asks, asked) = mpsc::channel(2);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let pump = Pump::new(dialect, context, queue, heard.clone(), input);
        let pump = tokio::spawn(pump.run(process, streams, asked, message.to_owned()));
        Self { waiting, asks, heard, pump }
    }

    /// Begins another turn of an agent that lives on, when this one is over. Waits for nothing. Returns whether the
    /// agent's output is still read.
    pub(crate) fn begin_another(&mut self, message: &str) -> bool {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let before = Heard::with(&self.heard, |heard| heard.outcome.take());
        self.waiting = waiting;
        let asked = self.asks.try_send(Ask::Begin(message.to_owned(), queue)).is_ok();
        if !asked {
            Heard::with(&self.heard, |heard| heard.outcome = before);
        }
        asked
    }

    /// The next event, `None` when the turn is over.
    pub(crate) async fn next(&mut self) -> Option<SessionEvent> {
        self.waiting.recv().await.map(|waiting| waiting.event)
    }

    /// Waits for the end of the turn, dropping its events: the agent's stop reason.
    pub(crate) async fn finish(&mut self) -> Result<String, Fault> {
        while self.next().await.is_some() {}
        if self.outcome().is_none() {
            // The agent ended before it could begin.
            self.settle().await;
        }
        self.outcome().unwrap_or_else(|| {
            Err(Fault::new(FaultClass::Internal, "the reader of the agent's output stopped before its end"))
        })
    }

    /// How the turn ended, as far as the output was read.
    pub(crate) fn outcome(&self) -> Option<Result<String, Fault>> {
        Heard::with(&self.heard, |heard| heard.outcome.clone())
    }

    /// What it means that the agent ended in this way, when nobody had asked it to.
    pub(crate) fn fault_of(&self, exit: &AgentExit) -> Option<Fault> {
        Heard::with(&self.heard, |heard| {
            // Who left in peace may have said its last word where it was not read in time.
            let unread = heard.outcome.is_none() && *exit == AgentExit::Code(0);
            if unread { None } else { heard.fault_of(exit) }
        })
    }

    /// Nothing is fetched any more: what still comes is observed and recorded only.
    pub(crate) fn stop_fetching(&mut self) {
        self.waiting.close();
        while self.waiting.try_recv().is_ok() {}
    }

    /// Waits, a bounded time, until all that the agent has said by now is read.
    pub(crate) async fn catch_up(&self) {
        let (tell, told) = oneshot::channel();
        let caught_up = async {
            // An error means that all output was read already.
            if self.asks.send(Ask::CatchUp(tell)).await.is_ok() {
                drop(told.await);
            }
        };
        drop(timeout(LEFTOVER_TIME, caught_up).await);
    }

    /// Waits, a bounded time, until the last of the output is recorded.
    pub(crate) async fn settle(&mut self) {
        if !self.pump.is_finished() && timeout(LEFTOVER_TIME, &mut self.pump).await.is_err() {
            self.pump.abort();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

//! One turn of a session: a process whose output is read and understood, to the end of the turn.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    input::InputLines,
    journal::TurnContext,
    json::{Read, Wanted},
    lines::{Content, Line},
    process::{AgentExit, AgentStreams, ProcessState},
    pump::{LEFTOVER_TIME, Pump},
};
use host_clock::timeout;
use host_model::{Fault, FaultClass, Redactor, SessionEvent, SessionEventKind};

/// How many events may wait for the component, whatever their size.
const MAX_WAITING_EVENTS: usize = 1024;

/// What a line of an agent means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Event(SessionEventKind),
    /// Nothing that an event should tell: the line is in the record of the stream only.
    Known,
    /// This line is for the agent's standard input.
    Answer(String),
    /// The turn is over.
    Finished {
        stop_reason: String,
    },
    /// The turn is over once the agent's output ends or it is silent for `exit_grace`: until then it may still write to
    /// its files, or start anew by itself. Of several ones the last counts.
    Idle {
        stop_reason: String,
    },
    /// The turn is over once the agent has been silent for this long, or its output ends: words that belong to the turn
    /// may come right behind its end. [`Dialect::settled`] then says how it ended.
    Settling {
        silence: Duration,
    },
    /// A line that may have been a message could not be read: an earlier message is not the final one.
    Lost,
    /// The agent cannot go on.
    Broken(Fault),
}

/// The language of a kind of agent.
pub(crate) trait Dialect: Send {
    /// What it needs of each line of JSON. `None` if its lines are text.
    fn wanted(&self) -> Option<&'static Wanted>;

    /// What a value means; nothing, if it is not understood. Such a line is kept as it is.
    fn json(&mut self, _read: &Read) -> Vec<Said> {
        Vec::new()
    }

    /// What a line means that is not JSON.
    fn text(&mut self, _line: &str) -> Vec<Said> {
        Vec::new()
    }

    /// What a damaged line means, of which the members before the damage are known. It is kept as it is too.
    fn damaged(&mut self, _read: &Read) -> Vec<Said> {
        Vec::new()
    }

    /// Begins a turn, for an agent that is told so on its standard input.
    fn begin(&mut self, _message: &str) -> Vec<Said> {
        Vec::new()
    }

    /// How a turn ended that was [`Said::Settling`].
    fn settled(&mut self) -> Vec<Said> {
        Vec::new()
    }

    /// What a line means, as the reader of a session finds it.
    #[cfg(test)]
    fn read(&mut self, line: &str) -> Vec<Said> {
        let Some(wanted) = self.wanted() else { return self.text(line) };
        let lines = super::json::tests::lines(wanted, format!("{line}\n").as_bytes());
        lines.iter().flat_map(|line| self.take(line, &Redactor::default())).collect()
    }

    /// What a line means, of whatever sort it is.
    fn take(&mut self, line: &Line, redactor: &Redactor) -> Vec<Said> {
        match &line.content {
            Content::Json(read) => self.json(read),
            Content::Damaged(read) => self.damaged(read),
            Content::Text => self.text(&line.text(redactor)),
            Content::Half => Vec::new(),
        }
    }

    /// What it means that the agent's process has ended, and all that it printed was read, before the turn was over.
    /// Nothing, if that is a crash. `stderr` is the end of what it wrote there.
    fn ended(&mut self, _exit: &AgentExit, _stderr: &str) -> Vec<Said> {
        Vec::new()
    }
}

/// A turn that runs or is over. Dropping it stops the reading.
#[derive(Debug)]
pub(crate) struct Turn {
    waiting: mpsc::Receiver<Waiting>,
    asks: mpsc::Sender<Ask>,
    heard: Arc<Mutex<Heard>>,
    pump: JoinHandle<()>,
}

/// What the reader of an agent's output is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To tell when nothing is there to be read.
    CatchUp(oneshot::Sender<()>),
    /// To begin another turn with a message, whose events go to a queue of their own.
    Begin(String, mpsc::Sender<Waiting>),
}

/// An event that waits for the component, with its share of the bytes that may.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) event: SessionEvent,
    #[expect(dead_code, reason = "held until the event is fetched")]
    pub(crate) room: OwnedSemaphorePermit,
}

/// What was heard of a turn, whether the component fetched its events or not.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The stop reason, or why the agent could not go on. The first end of the turn counts.
    pub(crate) outcome: Option<Result<String, Fault>>,
    /// The end of stderr.
    pub(crate) stderr: Vec<u8>,
}

impl Heard {
    pub(crate) fn with<T>(this: &Mutex<Self>, with: impl FnOnce(&mut Self) -> T) -> T {
        with(&mut this.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it means that the agent ended in this way, when nobody had asked it to.
    pub(crate) fn fault_of(&self, exit: &AgentExit) -> Option<Fault> {
        let (class, mut message) = match (&self.outcome, exit) {
            (Some(Err(fault)), _) => return Some(fault.clone()),
            (Some(Ok(_)), AgentExit::Code(0)) => return None,
            (_, AgentExit::NotStarted(reason)) => return Some(Fault::of_launch(reason.clone())),
            (Some(Ok(_)), _) => {
                let lost = "the end of its transcript may be lost";
                (FaultClass::Crash, format!("the agent broke down after it had finished its turn: {exit}; {lost}"))
            }
            (None, _) => (FaultClass::Crash, format!("the agent ended without finishing its turn: {exit}")),
        };
        match String::from_utf8_lossy(&self.stderr).trim() {
            "" => message.push_str("; it wrote nothing to stderr"),
            tail => message.push_str(&format!("; the end of its stderr:\n{tail}{}", hint(tail))),
        }
        Some(Fault::new(class, message))
    }
}

/// What to do about a refusal that an agent tells of.
pub(crate) fn hint(stderr: &str) -> &'static str {
    const REFUSED: [&str; 4] = ["Permission denied", "permission denied", "EACCES", "Operation not permitted"];
    const SHORT: [&str; 6] = [
        "Resource temporarily unavailable",
        "Cannot fork",
        "Cannot allocate memory",
        "Too many open files",
        "No space left on device",
        "Disk quota exceeded",
    ];
    if REFUSED.iter().any(|words| stderr.contains(words)) {
        "\n(a confined agent reaches only what its lane lists: `readable`, `writable`, `connect-ports`)"
    } else if SHORT.iter().any(|words| stderr.contains(words)) {
        "\n(the machine may have run out of something: see `resources` in docs/guides/troubleshooting.md, or lower `--jobs`)"
    } else {
        ""
    }
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

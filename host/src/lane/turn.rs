//! One turn of a session: a process, its output read and understood, to the end of the turn.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    process::{ChildStderr, ChildStdout},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    SessionLimits,
    lines::{Line, Lines},
    process::{AgentExit, AgentProcess, AgentStreams, ProcessState},
    record::{Record, SessionSummary},
};
use crate::model::{Fault, FaultClass, SessionEvent, SessionEventKind, Usage};

/// How many events may wait for the component, whatever their size.
const MAX_WAITING_EVENTS: usize = 1024;
/// How much of stderr a fault's message shows.
const STDERR_TAIL: usize = 4 << 10;
/// How long a stream may still be silent when its agent has ended but a descendant keeps the stream open.
const LEFTOVER_SILENCE: Duration = Duration::from_millis(100);
/// How long such a descendant is listened to at all.
const LEFTOVER_TIME: Duration = Duration::from_secs(1);

/// What a line of an agent means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Event(SessionEventKind),
    /// The turn is over.
    Finished {
        stop_reason: String,
    },
    /// The agent cannot go on.
    Broken(Fault),
}

/// The language of a kind of agent.
pub(crate) trait Dialect: Send {
    /// What `line` means; nothing, if it is not understood. Such a line is kept as it is.
    fn read(&mut self, line: &str) -> Vec<Said>;
}

/// What the turns of a session share.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) started: Instant,
    pub(crate) record: Record,
    pub(crate) summary: SessionSummary,
    pub(crate) final_message: String,
}

impl Journal {
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn usage(&self) -> Usage {
        self.summary.usage.clone()
    }

    /// Brings the small files up to date.
    pub(crate) fn save(&mut self) {
        self.summary.duration_ms = self.now_ms();
        let Self { record, summary, final_message, .. } = self;
        record.summary(summary, final_message);
    }

    fn note(&mut self, kind: SessionEventKind) -> SessionEvent {
        match &kind {
            SessionEventKind::Started { session_id, model } => {
                self.summary.agent_session = Some(session_id.clone());
                self.summary.model.clone_from(model);
            }
            SessionEventKind::Message { text } => self.final_message.clone_from(text),
            SessionEventKind::Usage(usage) => self.summary.usage = usage.clone(),
            _ => {}
        }
        self.summary.events += 1;
        let event = SessionEvent { at_ms: self.now_ms(), kind };
        self.record.event(&event);
        event
    }
}

/// What all turns of a session are given.
#[derive(Clone, Debug)]
pub(crate) struct TurnContext {
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) observer: Option<mpsc::Sender<SessionEvent>>,
    pub(crate) limits: SessionLimits,
}

impl TurnContext {
    pub(crate) fn journal<T>(&self, with: impl FnOnce(&mut Journal) -> T) -> T {
        with(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A turn that runs or is over.
#[derive(Debug)]
pub(crate) struct Turn {
    waiting: mpsc::Receiver<Item>,
    over: Option<Result<String, Fault>>,
    pump: JoinHandle<()>,
}

#[derive(Debug)]
enum Item {
    /// With its share of the bytes that may wait.
    Event(SessionEvent, #[expect(dead_code, reason = "held until the event is fetched")] OwnedSemaphorePermit),
    Over(Result<String, Fault>),
}

impl Turn {
    pub(crate) fn start(
        process: &AgentProcess,
        streams: AgentStreams,
        dialect: Box<dyn Dialect>,
        context: TurnContext,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let room = Arc::new(Semaphore::new(context.limits.max_waiting_bytes as usize));
        let index = context.journal(|journal| {
            let started_ms = journal.now_ms();
            journal.summary.turns.push(super::record::TurnSummary { started_ms, ..Default::default() });
            journal.save();
            journal.summary.turns.len() - 1
        });
        let pump = Pump { dialect, context, room, queue: Some(queue), index };
        Self { waiting, over: None, pump: tokio::spawn(pump.run(process.watch(), streams)) }
    }

    /// The next event, `None` when the turn is over.
    pub(crate) async fn next(&mut self) -> Option<SessionEvent> {
        if self.over.is_some() {
            return None;
        }
        match self.waiting.recv().await {
            Some(Item::Event(event, _)) => Some(event),
            Some(Item::Over(result)) => {
                self.over = Some(result);
                None
            }
            None => {
                self.over = Some(Err(Fault::new(FaultClass::Internal, "the reader of the agent's output stopped")));
                None
            }
        }
    }

    /// Waits for the end of the turn, dropping its events: the agent's stop reason.
    pub(crate) async fn finish(&mut self) -> Result<String, Fault> {
        while self.next().await.is_some() {}
        self.over.clone().unwrap_or_else(|| Ok(String::new()))
    }

    /// How the turn ended, once `next` has answered `None`.
    pub(crate) fn result(&self) -> Option<&Result<String, Fault>> {
        self.over.as_ref()
    }

    /// Nothing is fetched any more: what still comes is observed and recorded only.
    pub(crate) fn stop_fetching(&mut self) {
        self.waiting.close();
        while self.waiting.try_recv().is_ok() {}
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

/// Reads an agent's output until it ends. What it reads is recorded, observed and queued, in this order.
struct Pump {
    dialect: Box<dyn Dialect>,
    context: TurnContext,
    room: Arc<Semaphore>,
    /// `None` once the turn is over.
    queue: Option<mpsc::Sender<Item>>,
    index: usize,
}

impl Pump {
    async fn run(mut self, mut process: watch::Receiver<ProcessState>, streams: AgentStreams) {
        let tail = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = tokio::spawn(keep_stderr(streams.stderr, tail.clone(), self.context.clone()));
        self.read(streams.stdout, &mut process).await;
        let exit = match process.wait_for(|it| it.exit.is_some()).await {
            Ok(state) => state.exit.clone().unwrap_or(AgentExit::Unknown),
            Err(_) => AgentExit::Unknown,
        };
        // A descendant may hold it open for ever.
        if timeout(LEFTOVER_SILENCE, &mut stderr).await.is_err() {
            stderr.abort();
        }
        self.context.journal(|journal| journal.summary.turns[self.index].exit = Some(exit.to_string()));
        let tail = tail.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.over(Err(unfinished(&exit, &tail))).await;
        self.context.journal(Journal::save);
    }

    async fn read(&mut self, stdout: ChildStdout, process: &mut watch::Receiver<ProcessState>) {
        let mut lines = Lines::new(stdout, self.context.limits.max_line_bytes);
        let mut exited: Option<Instant> = None;
        loop {
            if lines.is_drained() {
                self.context.journal(|journal| journal.record.flush());
            }
            let tee = |bytes: &[u8]| self.context.journal(|journal| journal.record.stdout(bytes));
            let line = tokio::select! {
                biased;
                line = lines.next(tee) => line,
                _ = process.wait_for(|it| it.exit.is_some()), if exited.is_none() => {
                    exited = Some(Instant::now());
                    continue;
                }
                () = tokio::time::sleep(LEFTOVER_SILENCE), if exited.is_some() => break,
            };
            match line {
                Ok(Some(line)) => self.line(&line).await,
                Ok(None) => break,
                Err(error) => {
                    let message = format!("cannot read the agent's output: {error}");
                    self.over(Err(Fault::new(FaultClass::Internal, message))).await;
                    break;
                }
            }
            if exited.is_some_and(|at| at.elapsed() > LEFTOVER_TIME) {
                break;
            }
        }
        if let Some(line) = lines.take_rest() {
            self.line(&line).await;
        }
    }

    async fn line(&mut self, line: &Line) {
        let mut said = line.text().map(|text| self.dialect.read(text)).unwrap_or_default();
        if said.is_empty() && line.length > 0 {
            said.push(Said::Event(SessionEventKind::Raw { line: line.lossy(self.context.limits.max_raw_bytes) }));
        }
        for said in said {
            match said {
                Said::Event(kind) => self.event(kind, line.bytes.len()).await,
                Said::Finished { stop_reason } => self.over(Ok(stop_reason)).await,
                Said::Broken(fault) => self.over(Err(fault)).await,
            }
        }
    }

    async fn event(&mut self, kind: SessionEventKind, size: usize) {
        let event = self.context.journal(|journal| journal.note(kind));
        if let Some(observer) = &self.context.observer
            && observer.send(event.clone()).await.is_err()
        {
            self.context.observer = None;
        }
        let Some(queue) = &self.queue else { return };
        let most = self.context.limits.max_waiting_bytes;
        let share = u32::try_from(size).unwrap_or(most).clamp(1, most.max(1));
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(share) => room,
            () = queue.closed() => return self.queue = None,
        };
        let Ok(room) = room else { return };
        if queue.send(Item::Event(event, room)).await.is_err() {
            self.queue = None;
        }
    }

    /// The first end of the turn counts; later ones change nothing.
    async fn over(&mut self, result: Result<String, Fault>) {
        let Some(queue) = self.queue.take() else { return };
        let result = self.context.journal(|journal| {
            journal.summary.turns[self.index].finished_ms = Some(journal.now_ms());
            journal.save();
            match journal.record.failure() {
                // Who reads an incomplete record would judge wrongly.
                Some(failure) if result.is_ok() => Err(failure.clone()),
                _ => result,
            }
        });
        drop(queue.send(Item::Over(result)).await);
    }
}

fn unfinished(exit: &AgentExit, stderr: &[u8]) -> Fault {
    let mut message = format!("the agent ended without finishing its turn: {exit}");
    let tail = String::from_utf8_lossy(stderr);
    match tail.trim() {
        "" => message.push_str("; it wrote nothing to stderr"),
        tail => message.push_str(&format!("; the end of its stderr:\n{tail}")),
    }
    Fault::new(FaultClass::Crash, message)
}

async fn keep_stderr(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>, context: TurnContext) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        context.journal(|journal| journal.record.stderr(&buffer[..read]));
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..read]);
        let surplus = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..surplus);
    }
}

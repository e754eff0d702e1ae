//! Reads an agent's output until it ends. What is read is recorded, observed and queued, in this order.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::ChildStdout,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    dialect::{Dialect, Heard, Said},
    exit::AgentExit,
    json::line::{Content, Line},
    session::{
        event_preview::observed,
        input::InputLines,
        journal::{Journal, TurnContext},
        line_reader::Lines,
        observer::{Observer, Reading},
        process::AgentStreams,
        process_state::ProcessState,
        trailing_output::Settling,
    },
};
use host_clock::{Instant, timeout};
use host_model::{Fault, FaultClass, RedactingStream, Redactor, SessionEvent, SessionEventKind};

/// How much of stderr a fault's message shows.
const STDERR_TAIL: usize = 4 << 10;
/// How much is kept of a line of text that is longer than it may be.
const SHOWN_OF_TEXT: usize = 64 << 10;
/// A turn in which the model did nothing at all.
const WITHOUT_A_WORD: &str = "the agent ended its turn without a message or a tool call; check its transcript, and the \
                              lane's credentials, model and provider";
/// How long a stream may still be silent when its agent has ended but a descendant keeps the stream open.
const LEFTOVER_SILENCE: Duration = Duration::from_millis(100);
/// How long such a descendant is listened to at all.
pub(crate) const LEFTOVER_TIME: Duration = Duration::from_secs(1);

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

/// The reader of one turn.
pub(crate) struct Pump {
    dialect: Box<dyn Dialect>,
    context: TurnContext,
    room: Arc<Semaphore>,
    /// `None` once the turn is over, or nobody fetches its events.
    queue: Option<mpsc::Sender<Waiting>>,
    heard: Arc<Mutex<Heard>>,
    /// The turn's place in the summary.
    index: usize,
    /// The end of the turn, if the agent does not go on, and when that is certain.
    idle: Option<(String, Instant)>,
    settling: Option<Settling>,
    /// Whether the agent has said or called anything in this turn, and whether its provider made it wait.
    acted: bool,
    backed_off: bool,
    redactor: Redactor,
    /// Where lines for the agent go, if it has a standard input.
    input: Option<InputLines>,
}

impl Pump {
    /// Enters the turn in the journal.
    pub(crate) fn new(
        dialect: Box<dyn Dialect>,
        context: TurnContext,
        queue: mpsc::Sender<Waiting>,
        heard: Arc<Mutex<Heard>>,
        input: Option<InputLines>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(context.limits.max_waiting_bytes as usize));
        let index = context.enter_turn();
        let redactor = context.journal(|journal| journal.redactor.clone());
        Self {
            dialect,
            context,
            room,
            queue: Some(queue),
            heard,
            index,
            idle: None,
            settling: None,
            acted: false,
            backed_off: false,
            redactor,
            input,
        }
    }

    /// Reads to the end. Who sends over `asked` is answered when nothing is there to be read.
    pub(crate) async fn run(
        mut self,
        mut process: watch::Receiver<ProcessState>,
        streams: AgentStreams,
        asked: mpsc::Receiver<Ask>,
        message: String,
    ) {
        let mut reading = self.context.observer.as_ref().map(Observer::reading);
        let said = self.dialect.begin(&message);
        self.take_in(said, 1).await;
        // Ends with this future, whoever holds stderr open.
        let mut stderr = JoinSet::new();
        stderr.spawn(keep_stderr(
            streams.stderr,
            self.redactor.stream(),
            self.context.journal.clone(),
            self.heard.clone(),
        ));
        self.read(streams.stdout, &mut process, asked, &mut reading).await;
        self.settle().await;
        self.over_if_idle();
        let exit = match process.wait_for(|it| it.exit().is_some()).await {
            Ok(state) => state.exit().cloned().unwrap_or(AgentExit::Unknown),
            Err(_) => AgentExit::Unknown,
        };
        // A descendant may hold it open for ever.
        drop(timeout(LEFTOVER_SILENCE, stderr.join_next()).await);
        stderr.abort_all();
        self.context.journal(|journal| journal.summary.turns[self.index].exit = Some(exit.to_string()));
        let unfinished = Heard::with(&self.heard, |heard| heard.outcome.is_none().then(|| heard.stderr.clone()));
        if let Some(stderr) = unfinished {
            let said = self.dialect.ended(&exit, String::from_utf8_lossy(&stderr).trim());
            self.take_in(said, 1).await;
        }
        if let Some(fault) = Heard::with(&self.heard, |heard| heard.fault_of(&exit)) {
            self.over(Err(fault));
        }
        self.context.journal(Journal::save);
    }

    async fn read(
        &mut self,
        stdout: ChildStdout,
        process: &mut watch::Receiver<ProcessState>,
        mut asked: mpsc::Receiver<Ask>,
        reading: &mut Option<Reading>,
    ) {
        let limits = &self.context.limits;
        let mut lines = match self.dialect.wanted() {
            Some(wanted) => Lines::of_json(stdout, wanted, limits.max_raw_bytes, self.redactor.clone()),
            None => Lines::of_text(stdout, limits.max_line_bytes, limits.max_raw_bytes.max(SHOWN_OF_TEXT)),
        };
        let mut shown = self.redactor.stream();
        let mut exited: Option<Instant> = None;
        let mut begun: Option<String> = None;
        let mut settled = false;
        let mut caught_up: Option<oneshot::Sender<()>> = None;
        let mut flushed = true;
        loop {
            if std::mem::take(&mut settled) {
                self.settle().await;
                // Who asked may have stopped waiting.
                caught_up.take().map(|tell| tell.send(()));
            }
            let idle_until = self.idle.as_ref().map(|(_, until)| *until);
            let settled_at = self.settling.as_ref().map(Settling::until);
            if let Some(message) = begun.take() {
                let said = self.dialect.begin(&message);
                self.take_in(said, 1).await;
            }
            let tee = |bytes: &[u8]| {
                let shown = shown.push(bytes);
                self.context.journal(|journal| journal.record.stdout(&shown));
                // An agent that writes a long line is not silent.
                if let Some(observer) = self.context.observer.as_ref().filter(|_| !bytes.contains(&b'\n')) {
                    observer.heard(&SessionEventKind::Raw { line: String::new() });
                }
            };
            let line = tokio::select! {
                biased;
                line = lines.next(tee) => line,
                // The next line has to be waited for.
                () = std::future::ready(()), if !flushed => {
                    self.context.journal(|journal| journal.record.flush());
                    flushed = true;
                    continue;
                }
                Some(ask) = asked.recv() => {
                    match ask {
                        // Nothing is there that could still belong to a turn whose end has come.
                        Ask::CatchUp(tell) => (caught_up, settled) = (Some(tell), true),
                        Ask::Begin(message, queue) => {
                            self.queue = Some(queue);
                            self.index = self.context.enter_turn();
                            (self.acted, self.backed_off) = (false, false);
                            begun = Some(message);
                        }
                    }
                    continue;
                }
                () = asked_to_catch_up(reading) => {
                    if self.settling.is_some() {
                        settled = true;
                        continue;
                    }
                    reading.as_ref().inspect(|reading| reading.caught_up());
                    continue;
                }
                _ = process.wait_for(|it| it.exit().is_some()), if exited.is_none() => {
                    exited = Some(Instant::now());
                    continue;
                }
                () = host_clock::sleep(LEFTOVER_SILENCE), if exited.is_some() => break,
                () = sleep_until(settled_at), if settled_at.is_some() => {
                    settled = true;
                    continue;
                }
                () = sleep_until(idle_until), if idle_until.is_some() => {
                    self.over_if_idle();
                    continue;
                }
            };
            flushed = false;
            match line {
                Ok(Some(line)) => self.line(line).await,
                Ok(None) => break,
                Err(error) => {
                    self.over(Err(Fault::of_host("cannot read the agent's output", &error)));
                    break;
                }
            }
            if exited.is_some_and(|at| at.elapsed() > LEFTOVER_TIME) {
                break;
            }
        }
        if let Some(line) = lines.take_rest() {
            self.line(line).await;
        }
        self.context.journal(|journal| journal.record.stdout(&shown.finish()));
    }

    async fn line(&mut self, line: Line) {
        if let Some(settling) = &mut self.settling {
            settling.heard();
        }
        let left_out = line.left_out();
        let damaged = matches!(line.content, Content::Damaged(_));
        if damaged || left_out > 0 {
            self.context.journal(|journal| journal.read_in_part(left_out, damaged));
        }
        let mut said = self.dialect.take(&line, &self.redactor);
        if (said.is_empty() || damaged) && line.length > 0 {
            // Before it is cut: what is left of a secret would not be known.
            let raw = line.lossy(self.context.limits.max_raw_bytes, &self.redactor);
            said.push(Said::Event(SessionEventKind::Raw { line: raw }));
        }
        let size = usize::try_from(line.length).unwrap_or(usize::MAX);
        // What it says may have to wait for room, and is held once.
        drop(line);
        self.take_in(said, size).await;
    }

    async fn take_in(&mut self, said: Vec<Said>, size: usize) {
        for said in said {
            if matches!(said, Said::Event(SessionEventKind::Started { .. })) {
                self.idle = None;
            }
            match said {
                Said::Event(kind) => self.event(kind, size).await,
                Said::Known => {}
                Said::Lost => self.context.journal(|journal| journal.final_message.clear()),
                Said::Settling { silence } => {
                    self.settling = Some(Settling::new(silence, self.context.limits.exit_grace));
                }
                Said::Answer(line) => {
                    if self.input.as_ref().is_none_or(|input| !input.write(line)) {
                        let message = "the agent does not read its standard input";
                        self.over(Err(Fault::new(FaultClass::Protocol, message)));
                    }
                }
                Said::Finished { stop_reason } => self.ended_well(&stop_reason),
                Said::Idle { stop_reason } => {
                    self.idle = Some((stop_reason, Instant::now() + self.context.limits.exit_grace));
                }
                Said::Broken(fault) => self.over(Err(self.redactor.fault(fault))),
            }
        }
    }

    async fn event(&mut self, kind: SessionEventKind, size: usize) {
        match &kind {
            SessionEventKind::Message { text } if text.trim().is_empty() => {}
            SessionEventKind::Message { .. } | SessionEventKind::ToolCall { .. } => self.acted = true,
            SessionEventKind::BackOff(_) => self.backed_off = true,
            _ => {}
        }
        let event = self.context.journal(|journal| journal.note(kind));
        if let Some(observer) = &self.context.observer {
            observer.heard(&event.kind);
            if !observer.send(observed(&event, self.context.limits.max_observed_bytes)).await {
                self.context.observer = None;
            }
        }
        let Some(queue) = &self.queue else { return };
        let most = self.context.limits.max_waiting_bytes;
        let share = u32::try_from(size).unwrap_or(most).clamp(1, most.max(1));
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(share) => room,
            () = queue.closed() => return self.queue = None,
        };
        let Ok(room) = room else { return };
        if queue.send(Waiting { event, room }).await.is_err() {
            self.queue = None;
        }
    }

    /// It did not go on.
    fn over_if_idle(&mut self) {
        if let Some((stop_reason, _)) = self.idle.take() {
            self.ended_well(&stop_reason);
        }
    }

    /// Nothing more comes that belongs to the turn.
    async fn settle(&mut self) {
        if self.settling.take().is_some() {
            let said = self.dialect.settled();
            self.take_in(said, 1).await;
        }
    }

    /// The agent says that its turn has ended well. One in which it did nothing is for the component to judge, unless
    /// its provider made it wait before: some adapters end so when they give up.
    fn ended_well(&mut self, stop_reason: &str) {
        if self.acted {
            return self.over(Ok(self.redactor.text(stop_reason).into_owned()));
        }
        if self.backed_off {
            return self.over(Err(Fault::new(FaultClass::Overload, WITHOUT_A_WORD)));
        }
        let turn = self.index + 1;
        self.context.journal(|journal| journal.notes.push(format!("turn {turn}: {WITHOUT_A_WORD}")));
        self.over(Ok(self.redactor.text(stop_reason).into_owned()));
    }

    /// The first end of the turn counts; later ones change nothing.
    fn over(&mut self, result: Result<String, Fault>) {
        if Heard::with(&self.heard, |heard| heard.outcome.is_some()) {
            return;
        }
        let result = self.context.journal(|journal| {
            journal.summary.turns[self.index].finished_ms = Some(journal.now_ms());
            journal.save();
            match journal.record.failure() {
                // Who reads an incomplete record would judge wrongly.
                Some(failure) if result.is_ok() => Err(failure.clone()),
                _ => result,
            }
        });
        Heard::with(&self.heard, |heard| heard.outcome = Some(result));
        // What was queued can still be fetched.
        self.queue = None;
    }
}

/// For ever, without an end.
async fn sleep_until(end: Option<Instant>) {
    match end {
        Some(end) => host_clock::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

async fn asked_to_catch_up(reading: &mut Option<Reading>) {
    match reading {
        Some(reading) => reading.asked().await,
        None => std::future::pending().await,
    }
}

/// Knows nobody but the journal: while a descendant that survives holds stderr open, nobody else waits for it.
async fn keep_stderr(
    mut stderr: impl AsyncRead + Unpin,
    mut shown: RedactingStream,
    journal: Arc<Mutex<Journal>>,
    heard: Arc<Mutex<Heard>>,
) {
    let keep = |bytes: &[u8]| {
        Journal::with(&journal, |journal| journal.record.stderr(bytes));
        Heard::with(&heard, |heard| {
            heard.stderr.extend_from_slice(bytes);
            let surplus = heard.stderr.len().saturating_sub(STDERR_TAIL);
            heard.stderr.drain(..surplus);
        });
    };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        keep(&shown.push(&buffer[..read]));
    }
    keep(&shown.finish());
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::{
        json::shape::Wanted,
        lane::SessionLimits,
        session::{
            observer::Intake,
            record::{Record, SessionSummary},
            turn::Turn,
        },
    };

    struct Deaf;

    impl Dialect for Deaf {
        fn wanted(&self) -> Option<&'static Wanted> {
            None
        }
    }

    #[tokio::test]
    async fn who_holds_the_streams_open_does_not_hold_the_observer() {
        let mut survivor = tokio::process::Command::new("sh")
            .args(["-c", "echo up; exec sleep 1013"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let streams = AgentStreams { stdout: survivor.stdout.take().unwrap(), stderr: survivor.stderr.take().unwrap() };
        let limits = SessionLimits::default();
        let record = Record::create(None, &limits).unwrap();
        let summary = SessionSummary::default();
        let redactor = Redactor::default();
        let journal = Journal::new(record, summary, redactor);
        let (observer, mut observed) = mpsc::channel(1);
        let observer = Some(Observer::new(observer, Arc::new(Intake::default())));
        let context = TurnContext { journal: Arc::new(Mutex::new(journal)), observer, limits };
        let (_known, state) = watch::channel(ProcessState::default());
        let turn = Turn::start(state, streams, Box::new(Deaf), context, "", None);
        timeout(Duration::from_secs(5), observed.recv()).await.unwrap().expect("it is read");
        drop(turn);
        assert!(timeout(Duration::from_secs(5), observed.recv()).await.expect("nobody holds it").is_none());
        assert!(survivor.try_wait().unwrap().is_none());
    }
}

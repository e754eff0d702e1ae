//! Reads an agent's output until it ends. Each event is recorded, observed and queued, in this order.

use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    process::ChildStdout,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    dialect::{Dialect, ParsedLine, TurnState},
    exit::AgentExit,
    json::line::{LineContent, OutputLine},
    session::{
        event_preview::preview,
        input::InputSender,
        journal::{Journal, TurnContext},
        line_reader::LineReader,
        observer::{Observer, ReaderGuard},
        process::AgentStreams,
        process_state::ProcessState,
        stderr::record_stderr,
        timer::sleep_until,
        trailing_output::TrailingOutput,
    },
};
use host_clock::{Instant, timeout};
use host_model::{Fault, FaultClass, Redactor, SessionEvent, SessionEventKind};

/// How many bytes of a text line are kept if the line exceeds its limit.
const MAX_TEXT_PREVIEW: usize = 64 << 10;
/// For a turn in which the model did nothing at all.
const EMPTY_TURN: &str = "the agent ended its turn without a message or a tool call; check its transcript, and the \
                          lane's credentials, model and provider";
/// How long to wait for more output after the agent has exited, if a descendant keeps the stream open.
const LEFTOVER_SILENCE: Duration = Duration::from_millis(100);
/// How long such a descendant is read from in total.
pub(crate) const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum ReaderRequest {
    /// Reply once there is nothing left to read.
    CatchUp(oneshot::Sender<()>),
    /// Begin another turn with this message; its events go to this queue.
    Begin(String, mpsc::Sender<QueuedEvent>),
}

/// An event that waits for the component, with its share of the queue's bytes.
#[derive(Debug)]
pub(crate) struct QueuedEvent {
    pub(crate) event: SessionEvent,
    #[expect(dead_code, reason = "held until the event is fetched")]
    pub(crate) room: OwnedSemaphorePermit,
}

/// Reads the output of one process, turn by turn.
pub(crate) struct OutputReader {
    dialect: Box<dyn Dialect>,
    context: TurnContext,
    room: Arc<Semaphore>,
    /// `None` once the turn is over, or nobody fetches its events.
    queue: Option<mpsc::Sender<QueuedEvent>>,
    state: Arc<Mutex<TurnState>>,
    /// The turn's index in the summary.
    index: usize,
    /// The stop reason of a turn that ends unless the agent resumes, and when that is certain.
    idle: Option<(String, Instant)>,
    /// Set once the turn has ended, while output that belongs to it may still follow.
    trailing: Option<TrailingOutput>,
    /// Whether this turn had a message or a tool call, and whether the provider made the agent wait.
    acted: bool,
    backed_off: bool,
    redactor: Redactor,
    /// The agent's standard input, if it has one.
    input: Option<InputSender>,
}

impl OutputReader {
    /// Enters the turn in the journal.
    pub(crate) fn new(
        dialect: Box<dyn Dialect>,
        context: TurnContext,
        queue: mpsc::Sender<QueuedEvent>,
        state: Arc<Mutex<TurnState>>,
        input: Option<InputSender>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(context.limits.max_waiting_bytes as usize));
        let index = context.enter_turn();
        let redactor = context.journal(|journal| journal.redactor.clone());
        Self {
            dialect,
            context,
            room,
            queue: Some(queue),
            state,
            index,
            idle: None,
            trailing: None,
            acted: false,
            backed_off: false,
            redactor,
            input,
        }
    }

    pub(crate) async fn run(
        mut self,
        mut process: watch::Receiver<ProcessState>,
        streams: AgentStreams,
        requests: mpsc::Receiver<ReaderRequest>,
        message: String,
    ) {
        let mut reading = self.context.observer.as_ref().map(Observer::reading);
        let parsed = self.dialect.begin_turn(&message);
        self.apply(parsed, 1).await;
        // Ends with this future, even if a descendant holds stderr open.
        let mut stderr = JoinSet::new();
        stderr.spawn(record_stderr(
            streams.stderr,
            self.redactor.stream(),
            self.context.journal.clone(),
            self.state.clone(),
        ));
        self.read(streams.stdout, &mut process, requests, &mut reading).await;
        self.finish_trailing().await;
        self.finish_idle();
        let exit = match process.wait_for(|it| it.exit.is_some()).await {
            Ok(state) => state.exit.clone().unwrap_or(AgentExit::Unknown),
            Err(_) => AgentExit::Unknown,
        };
        // A descendant may hold it open forever.
        drop(timeout(LEFTOVER_SILENCE, stderr.join_next()).await);
        stderr.abort_all();
        self.context.journal(|journal| journal.summary.turns[self.index].exit = Some(exit.to_string()));
        let unfinished = TurnState::with(&self.state, |state| state.outcome.is_none().then(|| state.stderr.clone()));
        if let Some(stderr) = unfinished {
            let parsed = self.dialect.process_exited(&exit, String::from_utf8_lossy(&stderr).trim());
            self.apply(parsed, 1).await;
        }
        if let Some(fault) = TurnState::with(&self.state, |state| state.fault_of(&exit)) {
            self.finish(Err(fault));
        }
        self.context.journal(Journal::save);
    }

    async fn read(
        &mut self,
        stdout: ChildStdout,
        process: &mut watch::Receiver<ProcessState>,
        mut requests: mpsc::Receiver<ReaderRequest>,
        reading: &mut Option<ReaderGuard>,
    ) {
        let mut lines = self.line_reader(stdout);
        let mut redacted = self.redactor.stream();
        let mut exited: Option<Instant> = None;
        let mut flushed = true;
        loop {
            let idle_until = self.idle.as_ref().map(|(_, until)| *until);
            let trailing_until = self.trailing.as_ref().map(|trailing| trailing.until);
            let tee = |bytes: &[u8]| {
                let redacted = redacted.push(bytes);
                self.context.journal(|journal| journal.record.stdout(&redacted));
                // An agent that writes a long line is not idle.
                if let Some(observer) = self.context.observer.as_ref().filter(|_| !bytes.contains(&b'\n')) {
                    observer.notify(&SessionEventKind::Raw { line: String::new() });
                }
            };
            let line = tokio::select! {
                biased;
                line = lines.next(tee) => line,
                // The next line has to be waited for.
                () = future::ready(()), if !flushed => {
                    self.context.journal(|journal| journal.record.flush());
                    flushed = true;
                    continue;
                }
                Some(request) = requests.recv() => {
                    self.handle(request).await;
                    continue;
                }
                () = catch_up_requested(reading) => {
                    match self.trailing {
                        Some(_) => self.finish_trailing().await,
                        None => drop(reading.as_ref().inspect(|reading| reading.caught_up())),
                    }
                    continue;
                }
                () = process_exit(process), if exited.is_none() => {
                    exited = Some(Instant::now());
                    continue;
                }
                () = host_clock::sleep(LEFTOVER_SILENCE), if exited.is_some() => break,
                () = sleep_until(trailing_until), if trailing_until.is_some() => {
                    self.finish_trailing().await;
                    continue;
                }
                () = sleep_until(idle_until), if idle_until.is_some() => {
                    self.finish_idle();
                    continue;
                }
            };
            flushed = false;
            match line {
                Ok(Some(line)) => self.handle_line(line).await,
                Ok(None) => break,
                Err(error) => {
                    self.finish(Err(Fault::of_host("cannot read the agent's output", &error)));
                    break;
                }
            }
            if exited.is_some_and(|at| at.elapsed() > LEFTOVER_TIMEOUT) {
                break;
            }
        }
        if let Some(line) = lines.take_rest() {
            self.handle_line(line).await;
        }
        self.context.journal(|journal| journal.record.stdout(&redacted.finish()));
    }

    fn line_reader(&self, stdout: ChildStdout) -> LineReader<ChildStdout> {
        let limits = &self.context.limits;
        match self.dialect.wanted_fields() {
            Some(wanted) => LineReader::of_json(stdout, wanted, limits.max_raw_bytes, self.redactor.clone()),
            None => LineReader::of_text(stdout, limits.max_line_bytes, limits.max_raw_bytes.max(MAX_TEXT_PREVIEW)),
        }
    }

    async fn handle(&mut self, request: ReaderRequest) {
        match request {
            ReaderRequest::CatchUp(reply) => {
                // Nothing is left to read that could belong to a turn that has ended.
                self.finish_trailing().await;
                // The sender may have stopped waiting.
                let _ = reply.send(());
            }
            ReaderRequest::Begin(message, queue) => {
                self.queue = Some(queue);
                self.index = self.context.enter_turn();
                (self.acted, self.backed_off) = (false, false);
                let parsed = self.dialect.begin_turn(&message);
                self.apply(parsed, 1).await;
            }
        }
    }

    async fn handle_line(&mut self, line: OutputLine) {
        if let Some(trailing) = &mut self.trailing {
            trailing.line_received();
        }
        let omitted_bytes = line.omitted_bytes();
        let damaged = matches!(line.content, LineContent::Damaged(_));
        if damaged || omitted_bytes > 0 {
            self.context.journal(|journal| journal.count_partial_line(omitted_bytes, damaged));
        }
        let mut parsed = self.dialect.parse_line(&line, &self.redactor);
        if (parsed.is_empty() || damaged) && line.length > 0 {
            // Redacted before it is cut: the rest of a secret would not be recognized.
            let raw = line.lossy(self.context.limits.max_raw_bytes, &self.redactor);
            parsed.push(ParsedLine::Event(SessionEventKind::Raw { line: raw }));
        }
        let size = usize::try_from(line.length).unwrap_or(usize::MAX);
        // Its events may have to wait for room; do not hold the text twice meanwhile.
        drop(line);
        self.apply(parsed, size).await;
    }

    async fn apply(&mut self, parsed: Vec<ParsedLine>, size: usize) {
        for parsed in parsed {
            if matches!(parsed, ParsedLine::Event(SessionEventKind::Started { .. })) {
                self.idle = None;
            }
            match parsed {
                ParsedLine::Event(kind) => self.handle_event(kind, size).await,
                ParsedLine::Ignored => {}
                ParsedLine::LostMessage => self.context.journal(|journal| journal.final_message.clear()),
                ParsedLine::FinishedAfterSilence { silence } => {
                    self.trailing = Some(TrailingOutput::new(silence, self.context.limits.exit_grace));
                }
                ParsedLine::Reply(line) => {
                    if self.input.as_ref().is_none_or(|input| !input.write(line)) {
                        let message = "the agent does not read its standard input";
                        self.finish(Err(Fault::new(FaultClass::Protocol, message)));
                    }
                }
                ParsedLine::Finished { stop_reason } => self.finish_well(&stop_reason),
                ParsedLine::Idle { stop_reason } => {
                    self.idle = Some((stop_reason, Instant::now() + self.context.limits.exit_grace));
                }
                ParsedLine::Failed(fault) => self.finish(Err(self.redactor.fault(fault))),
            }
        }
    }

    async fn handle_event(&mut self, kind: SessionEventKind, size: usize) {
        match &kind {
            SessionEventKind::Message { text } if text.trim().is_empty() => {}
            SessionEventKind::Message { .. } | SessionEventKind::ToolCall { .. } => self.acted = true,
            SessionEventKind::BackOff(_) => self.backed_off = true,
            _ => {}
        }
        let event = self.context.journal(|journal| journal.record_event(kind));
        if let Some(observer) = &self.context.observer {
            observer.notify(&event.kind);
            if !observer.send(preview(&event, self.context.limits.max_observed_bytes)).await {
                self.context.observer = None;
            }
        }
        let Some(queue) = &self.queue else { return };
        let max = self.context.limits.max_waiting_bytes;
        let share = u32::try_from(size).unwrap_or(max).clamp(1, max.max(1));
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(share) => room,
            () = queue.closed() => return self.queue = None,
        };
        let Ok(room) = room else { return };
        if queue.send(QueuedEvent { event, room }).await.is_err() {
            self.queue = None;
        }
    }

    /// Ends a turn whose agent did not resume.
    fn finish_idle(&mut self) {
        if let Some((stop_reason, _)) = self.idle.take() {
            self.finish_well(&stop_reason);
        }
    }

    /// Ends a turn that had ended before: no more output that belongs to it follows.
    async fn finish_trailing(&mut self) {
        if self.trailing.take().is_some() {
            let parsed = self.dialect.finish_turn();
            self.apply(parsed, 1).await;
        }
    }

    /// Ends a turn that succeeded according to the agent. If the agent did nothing, that is for the component to judge,
    /// unless the provider made it wait: some adapters end their turn like this when they give up.
    fn finish_well(&mut self, stop_reason: &str) {
        if self.acted {
            return self.finish(Ok(self.redactor.text(stop_reason).into_owned()));
        }
        if self.backed_off {
            return self.finish(Err(Fault::new(FaultClass::Overload, EMPTY_TURN)));
        }
        let turn = self.index + 1;
        self.context.journal(|journal| journal.notes.push(format!("turn {turn}: {EMPTY_TURN}")));
        self.finish(Ok(self.redactor.text(stop_reason).into_owned()));
    }

    /// Ends the turn. The first end counts; later ones change nothing.
    fn finish(&mut self, result: Result<String, Fault>) {
        if TurnState::with(&self.state, |state| state.outcome.is_some()) {
            return;
        }
        let result = self.context.journal(|journal| {
            journal.summary.turns[self.index].finished_ms = Some(journal.now_ms());
            journal.save();
            match journal.record.failure() {
                // An incomplete record would be judged wrongly.
                Some(failure) if result.is_ok() => Err(failure.clone()),
                _ => result,
            }
        });
        TurnState::with(&self.state, |state| state.outcome = Some(result));
        // Queued events can still be fetched.
        self.queue = None;
    }
}

/// Unlike what it awaits, its result may be held across other waits.
async fn process_exit(process: &mut watch::Receiver<ProcessState>) {
    drop(process.wait_for(|it| it.exit.is_some()).await);
}

async fn catch_up_requested(reading: &mut Option<ReaderGuard>) {
    match reading {
        Some(reading) => reading.requested().await,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::{
        json::wanted_fields::WantedFields,
        lane::SessionLimits,
        session::{
            observer::ReadProgress,
            record::{Record, SessionSummary},
            turn::AgentTurn,
        },
    };

    struct IgnoringDialect;

    impl Dialect for IgnoringDialect {
        fn wanted_fields(&self) -> Option<&'static WantedFields> {
            None
        }
    }

    #[tokio::test]
    async fn open_streams_do_not_keep_the_observer() {
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
        let observer = Some(Observer::new(observer, Arc::new(ReadProgress::default())));
        let context = TurnContext { journal: Arc::new(Mutex::new(journal)), observer, limits };
        let (_known, state) = watch::channel(ProcessState::default());
        let turn = AgentTurn::start(state, streams, Box::new(IgnoringDialect), context, "", None);
        timeout(Duration::from_secs(5), observed.recv()).await.unwrap().expect("it is read");
        drop(turn);
        assert!(timeout(Duration::from_secs(5), observed.recv()).await.expect("the observer is released").is_none());
        assert!(survivor.try_wait().unwrap().is_none());
    }
}

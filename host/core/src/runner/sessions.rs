use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::fs::{AtFlags, CWD};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{
    executor::Feed,
    patience::Patience,
    progress::look_for_changes,
    recording::{Transcript, Trees},
    timings::Timings,
};
use host_agents::{Lane, Observer, ReadProgress, Remarks, Session, SessionLimits, SessionSpec};
use host_model::{Conclusion, Fault, FaultClass, Limits, Report, SessionEvent, SessionEventKind, Usage};
use host_wasm::sandbox::AttemptDirs;

/// Sessions of one attempt.
const SESSIONS: usize = 16;
/// Events of a session that may wait for the dispatcher; beyond them the agent waits.
const WAITING: usize = 32;
/// What of one session goes into the event log; its record has it all.
const LOGGED_EVENTS: u64 = 5_000;
const LOGGED_BYTES: usize = 8 << 20;

/// The files of a session's record that mean the same in every lane.
const SHOWN: &[&str] = &["events.jsonl", "final-message.txt", "session.json"];

/// The sessions of one attempt. They live outside the component's Store, so that they can be ended, and waited
/// for, after the component is gone.
pub(super) struct Sessions {
    lane: Option<Arc<dyn Lane>>,
    script: Option<PathBuf>,
    bin: Option<PathBuf>,
    dirs: Arc<AttemptDirs>,
    record: PathBuf,
    trees: Arc<Trees>,
    feed: Feed,
    limits: Limits,
    /// Whether the config dir began with files of the scenario.
    seeded: bool,
    used: AtomicBool,
    list: tokio::sync::Mutex<Vec<Arc<tokio::sync::Mutex<Entry>>>>,
    /// A start under way. It is a task of its own, since the component's call may be dropped in the middle of
    /// it, and the agent that is then just starting must be waited for too.
    starting: tokio::sync::Mutex<Option<JoinHandle<Result<Entry, Fault>>>>,
    fault: Mutex<Option<Fault>>,
    /// How far the output of each session is read.
    intakes: Mutex<Vec<Arc<ReadProgress>>>,
    timings: Arc<Timings>,
}

/// Whether there is anything in a folder.
fn holds_something(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// What is started: by which lane, with which script, and the programs that the scenario brings.
pub(super) type Started = (Option<Arc<dyn Lane>>, Option<PathBuf>, Option<PathBuf>);

struct Entry {
    session: Box<dyn Session>,
    patience: Arc<Patience>,
    transcript: Transcript,
    /// What it used, once that is known for good.
    used: Option<Usage>,
    forwarder: Option<JoinHandle<Usage>>,
}

impl Sessions {
    /// For an attempt with `dirs`, whose records go to folders `session-N` below `record`.
    pub(super) fn new(
        (lane, script, bin): Started,
        dirs: Arc<AttemptDirs>,
        record: PathBuf,
        feed: Feed,
        limits: Limits,
        timings: Arc<Timings>,
        seeded: bool,
    ) -> Self {
        let trees = Arc::new(Trees::new(Arc::clone(&dirs), record.clone()));
        Self {
            lane,
            script,
            bin,
            dirs,
            record,
            trees,
            feed,
            limits,
            seeded,
            used: AtomicBool::new(false),
            list: tokio::sync::Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            fault: Mutex::default(),
            intakes: Mutex::default(),
            timings,
        }
    }

    /// The first fault of any session: it decides the attempt, whatever the component made of it.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a provider makes an agent wait, if one does. To be asked when no call is under way.
    pub(super) async fn backing_off(&self) -> Option<String> {
        for entry in &*self.list.lock().await {
            if let Some(reason) = entry.lock().await.patience.backing_off() {
                return Some(reason);
            }
        }
        None
    }

    /// Whether any session was started.
    pub(super) fn used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes the folder in which [`Shown::fill`] puts what a component may see of the record of session `number`.
    pub(super) fn make_shown(&self, number: usize) -> Result<Shown, Fault> {
        let folder = self.dirs.base.join(format!("session-{number}"));
        let opened = fs::create_dir(&folder).and_then(|()| {
            self.dirs.exclude_from_disk_use(&fs::symlink_metadata(&folder)?);
            Ok(host_fs::open_directory(CWD, &folder)?)
        });
        let (dirs, record) = (Arc::clone(&self.dirs), self.record_of(number));
        opened.map(|opened| Shown { folder, opened, record, dirs }).map_err(not_shown)
    }

    /// The folder of the record of session `number`, from 1.
    pub(super) fn record_of(&self, number: usize) -> PathBuf {
        self.record.join(format!("session-{number}"))
    }

    /// Starts a session and returns its place in the attempt, from 0.
    pub(super) async fn start(&self, prompt: String) -> Result<usize, Fault> {
        let started = self.try_start(prompt).await;
        self.note(started)
    }

    async fn try_start(&self, prompt: String) -> Result<usize, Fault> {
        let launch = |what: String| Fault::new(FaultClass::Launch, what);
        let lane = self.lane.clone().ok_or_else(|| launch("the lane has no agent".into()))?;
        let place = self.list.lock().await.len();
        if place >= SESSIONS {
            let what = format!("an attempt may start {SESSIONS} sessions, and it wants one more");
            return Err(Fault::new(FaultClass::Limit, what));
        }
        let made = self.dirs.create_agent_dirs();
        made.map_err(|error| Fault::of_host("cannot make the agent's directories", &error))?;
        let (observer, events) = mpsc::channel(WAITING);
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let patience = Patience::new(&self.limits);
        self.intakes.lock().unwrap_or_else(PoisonError::into_inner).push(patience.intake());
        self.timings.session_asked(place + 1);
        let timings = Arc::clone(&self.timings);
        let watched = patience.wants_progress().then(|| Arc::clone(&self.dirs));
        let told = forward(events, self.feed.clone(), number, timings);
        let forwarder = tokio::spawn(watching(watched, Arc::clone(&patience), told));
        let mut transcript = Transcript::begin(&self.record_of(place + 1), &prompt, Arc::clone(&self.trees));
        let spec = SessionSpec {
            root: self.dirs.root.clone(),
            config_dir: self.dirs.config.clone(),
            home: self.dirs.home.clone(),
            tmp: self.dirs.tmp.clone(),
            bin: self.bin.clone(),
            view: self.dirs.view(),
            prompt,
            script: self.script.clone(),
            record_dir: Some(self.record_of(place + 1)),
            limits: SessionLimits::default(),
            observer: Some(Observer::new(observer, patience.intake())),
        };
        if place > 0 || (!self.seeded && holds_something(&self.dirs.config)) {
            self.feed.touched().await;
        }
        self.used.store(true, Ordering::Relaxed);
        let mut starting = self.starting.lock().await;
        *starting = Some(tokio::spawn(async move {
            let session = lane.start(spec).await.inspect_err(|fault| transcript.broke("start", fault))?;
            Ok(Entry { session, patience, transcript, used: None, forwarder: Some(forwarder) })
        }));
        self.started(&mut starting).await?;
        Ok(place)
    }

    /// Waits for the start under way, if there is one.
    async fn started(&self, starting: &mut Option<JoinHandle<Result<Entry, Fault>>>) -> Result<(), Fault> {
        let Some(task) = starting else { return Ok(()) };
        let ended = task.await;
        *starting = None;
        let entry = ended.unwrap_or_else(|error| {
            Err(Fault::new(FaultClass::Internal, format!("starting the agent failed: {error}")))
        })?;
        let unconfined = entry.session.unconfined();
        // Before anything is waited for: a call that is dropped meanwhile must not lose the session.
        self.list.lock().await.push(Arc::new(tokio::sync::Mutex::new(entry)));
        if let Some(what) = unconfined {
            self.feed.report(Report::Unconfined { what }).await;
        }
        Ok(())
    }

    pub(super) async fn next_event(&self, place: usize) -> Result<Option<SessionEvent>, Fault> {
        let entry = self.entry(place).await?;
        let answer = entry.lock().await.next_event().await;
        self.note(answer)
    }

    pub(super) async fn send(&self, place: usize, message: String) -> Result<(), Fault> {
        let entry = self.entry(place).await?;
        let mut entry = entry.lock().await;
        if let Err(fault) = entry.finish_turn().await {
            return self.note(Err(fault));
        }
        let Entry { session, patience, transcript, .. } = &mut *entry;
        let answer = match patience.wait(session.send(message.clone())).await {
            Ok(answer) => answer,
            Err(fault) if session.abort(&fault) => Err(fault),
            // Its turn is over. What is left, the end of its process and the next start, has limits of its own.
            Err(_) => session.send(message.clone()).await,
        };
        transcript.sent(&message, &answer);
        self.note(answer)
    }

    pub(super) async fn conclude(&self, place: usize) -> Result<Conclusion, Fault> {
        let entry = self.entry(place).await?;
        let mut entry = entry.lock().await;
        // The agent's turn takes the agent's time; ending it takes the host's.
        if let Err(fault) = entry.finish_turn().await {
            return self.note(Err(fault));
        }
        let Entry { session, transcript, used, .. } = &mut *entry;
        let answer = session.conclude().await;
        transcript.concluded(&answer);
        if let Ok(conclusion) = &answer {
            *used = Some(conclusion.usage.clone());
            self.timings.session_concluded(place + 1);
        }
        self.note(answer)
    }

    /// Waits until what the agents have written by now is read.
    pub(super) async fn catch_up(&self) {
        let intakes = self.intakes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut catching_up: JoinSet<()> =
            intakes.into_iter().map(|intake| async move { intake.catch_up().await }).collect();
        while catching_up.join_next().await.is_some() {}
    }

    /// Ends every session: asks, and after `grace` kills. Returns when no descendant is left and every event
    /// has been told, with what the sessions used.
    ///
    /// # Errors
    /// A fault that names what survives.
    pub(super) async fn end(&self, grace: Duration) -> Result<Usage, Fault> {
        // A start that failed has left nothing behind.
        let _ = self.started(&mut *self.starting.lock().await).await;
        let entries = self.list.lock().await.clone();
        let mut usage = Usage::default();
        let mut survivors = Ok(());
        for (number, entry) in (1..).zip(entries) {
            let mut entry = entry.lock().await;
            match entry.session.end(grace).await {
                // The agent had broken before, and the component never asked.
                Ok(Some(fault)) => {
                    entry.transcript.broke("end", &fault);
                    drop(self.note::<()>(Err(fault)));
                }
                Ok(None) => {}
                Err(fault) => survivors = survivors.and(Err(fault)),
            }
            if let Some(lost) = entry.transcript.take_loss() {
                let what = format!("artifacts: `host regrade` cannot replay this attempt: {lost}");
                self.feed.report(Report::Cut { what }).await;
            }
            self.remark(number, entry.session.remarks()).await;
            // The observer's sender goes with the session: the forwarder ends when all is told.
            entry.session = Box::new(Ended);
            // Left in its place until it has ended: this call may be dropped and made again.
            if let Some(forwarder) = &mut entry.forwarder {
                let told = forwarder.await.unwrap_or_default();
                entry.forwarder = None;
                entry.used.get_or_insert(told);
            }
            usage = usage.plus(entry.used.as_ref().unwrap_or(&Usage::default()));
        }
        survivors.map(|()| usage)
    }

    async fn remark(&self, session: u32, remarks: Remarks) {
        for note in remarks.notes {
            self.feed.report(Report::Note { text: format!("session {session}, {note}") }).await;
        }
        if let Some(what) = remarks.cut {
            self.feed.report(Report::Cut { what: format!("session {session}: {what}") }).await;
        }
    }

    /// A session of an attempt that can still end well: after a fault every call is answered with it.
    async fn entry(&self, place: usize) -> Result<Arc<tokio::sync::Mutex<Entry>>, Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let list = self.list.lock().await;
        list.get(place).cloned().ok_or_else(|| Fault::new(FaultClass::Internal, "the session is gone"))
    }

    fn note<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &answer {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| fault.clone());
        }
        answer
    }
}

impl Entry {
    async fn next_event(&mut self) -> Result<Option<SessionEvent>, Fault> {
        let answer = loop {
            match self.patience.wait(self.session.next_event()).await {
                Ok(answer) => break answer,
                Err(fault) if self.session.abort(&fault) => break Err(fault),
                // It has come to its end just now.
                Err(_) => {}
            }
        };
        self.transcript.next_event(&answer);
        answer
    }

    /// Waits for the end of the turn, dropping its events for the component; they are recorded.
    async fn finish_turn(&mut self) -> Result<(), Fault> {
        while self.next_event().await?.is_some() {}
        Ok(())
    }
}

/// The folder that a component sees at `/host/session`. It is made and opened before the agent runs and filled
/// after it has ended, so nothing that the agent put in its place is followed or waited for.
pub(super) struct Shown {
    pub(super) folder: PathBuf,
    opened: OwnedFd,
    record: PathBuf,
    dirs: Arc<AttemptDirs>,
}

impl Shown {
    /// Copies what a component may see. The streams as received are left out: they tell which agent it was.
    pub(super) fn fill(&self) -> Result<(), Fault> {
        SHOWN.iter().try_for_each(|name| self.copy(name)).map_err(not_shown)
    }

    fn copy(&self, name: &str) -> io::Result<()> {
        let (from, _) = host_fs::open_regular(CWD, &self.record.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no regular file any more"))
            }
            _ => error,
        })?;
        match rustix::fs::unlinkat(&self.opened, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        let to = host_fs::copy(&from, &self.opened, name)?;
        // The host's record of a session: its size is the agent's talk, not what the attempt stores.
        self.dirs.exclude_from_disk_use(&to.metadata()?);
        Ok(())
    }
}

/// Tells the dispatcher what a session's observer sees, up to a bound, and returns the last usage seen.
async fn forward(mut events: mpsc::Receiver<SessionEvent>, feed: Feed, session: u32, timings: Arc<Timings>) -> Usage {
    let (mut told, mut bytes, mut cut) = (0_u64, 0_usize, 0_u64);
    let mut usage = Usage::default();
    let mut spoke = false;
    while let Some(event) = events.recv().await {
        if !std::mem::replace(&mut spoke, true) {
            timings.session_spoke(session as usize);
        }
        if let SessionEventKind::Usage(known) = &event.kind {
            usage = known.clone();
        }
        bytes = bytes.saturating_add(weight(&event.kind));
        if told < LOGGED_EVENTS && bytes <= LOGGED_BYTES {
            told += 1;
            feed.session(session, event).await;
        } else {
            cut += 1;
        }
    }
    if cut > 0 {
        let what = format!("{cut} more events of session {session} are only in its record, not in the event log");
        feed.report(Report::Cut { what }).await;
    }
    usage
}

/// Carries out `task`, and looks for changes of `dirs` meanwhile.
async fn watching<T>(dirs: Option<Arc<AttemptDirs>>, patience: Arc<Patience>, task: impl Future<Output = T>) -> T {
    // Ends with this future.
    let mut looks = JoinSet::new();
    if let Some(dirs) = dirs {
        looks.spawn(look_for_changes(dirs, patience));
    }
    task.await
}

/// About how many bytes an event takes in the log.
fn weight(kind: &SessionEventKind) -> usize {
    match kind {
        SessionEventKind::Message { text } => text.len(),
        SessionEventKind::ToolCall { name, input, .. } => name.len() + input.to_string().len(),
        SessionEventKind::ToolResult { output, .. } => output.len(),
        SessionEventKind::Raw { line } => line.len(),
        SessionEventKind::BackOff(back_off) => back_off.reason.len(),
        SessionEventKind::Started { .. } | SessionEventKind::Usage(_) => 64,
    }
}

fn not_shown(error: io::Error) -> Fault {
    Fault::of_host("cannot show the session's record to the component", &error)
}

/// Stands where a session was.
struct Ended;

impl Session for Ended {
    fn next_event(&mut self) -> host_agents::LaneFuture<'_, Option<SessionEvent>> {
        Box::pin(async { Err(ended()) })
    }

    fn send(&mut self, _message: String) -> host_agents::LaneFuture<'_, ()> {
        Box::pin(async { Err(ended()) })
    }

    fn conclude(&mut self) -> host_agents::LaneFuture<'_, Conclusion> {
        Box::pin(async { Err(ended()) })
    }

    fn end(&mut self, _grace: Duration) -> host_agents::LaneFuture<'_, Option<Fault>> {
        Box::pin(async { Ok(None) })
    }
}

fn ended() -> Fault {
    Fault::new(FaultClass::Internal, "the session has been ended")
}

mod forward;
mod view;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use tracing::{Instrument, debug, debug_span};

use self::forward::forward;
pub(super) use self::view::SessionView;
use super::{
    executor::AttemptEvents,
    progress::watch_changes,
    recording::{Transcript, TreeRecorder},
    timings::Timings,
    watchdog::Watchdog,
};
use host_agents::{Lane, Observer, ReadProgress, Remarks, Session, SessionLimits, SessionSpec};
use host_model::{Conclusion, Fault, FaultClass, Limits, Report, SessionEvent, Usage};
use host_wasm::{guest::GuestSessions, sandbox::AttemptDirs};

const MAX_SESSIONS: usize = 16;
/// Events of a session that may wait for the dispatcher; when there are more, the agent waits.
const MAX_WAITING_EVENTS: usize = 32;
/// The sessions of one attempt. They live outside the component's Store, so that they can be ended, and waited
/// for, after the component is gone.
pub(super) struct Sessions {
    lane: Option<Arc<dyn Lane>>,
    script: Option<PathBuf>,
    bin: Option<PathBuf>,
    dirs: Arc<AttemptDirs>,
    record: PathBuf,
    trees: Arc<TreeRecorder>,
    events: AttemptEvents,
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

fn holds_something(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// What is started: by which lane, with which script, and the programs that the scenario brings.
pub(super) type Started = (Option<Arc<dyn Lane>>, Option<PathBuf>, Option<PathBuf>);

struct Entry {
    session: Box<dyn Session>,
    watchdog: Arc<Watchdog>,
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
        events: AttemptEvents,
        limits: Limits,
        timings: Arc<Timings>,
        seeded: bool,
    ) -> Self {
        let trees = Arc::new(TreeRecorder::new(Arc::clone(&dirs), record.clone()));
        Self {
            lane,
            script,
            bin,
            dirs,
            record,
            trees,
            events,
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

    /// The first fault of any session: it decides the attempt, whatever the component returns.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a provider makes an agent wait, if one does. Must be called when no other call is in progress.
    pub(super) async fn backing_off(&self) -> Option<String> {
        for entry in &*self.list.lock().await {
            if let Some(reason) = entry.lock().await.watchdog.backing_off() {
                return Some(reason);
            }
        }
        None
    }

    pub(super) fn used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes the folder in which the component sees the record of session `number`.
    pub(super) fn make_view(&self, number: usize) -> Result<SessionView, Fault> {
        SessionView::create(&self.dirs, number, self.record_of(number))
    }

    /// The folder of the record of session `number`, from 1.
    pub(super) fn record_of(&self, number: usize) -> PathBuf {
        self.record.join(format!("session-{number}"))
    }

    async fn try_start(&self, prompt: String) -> Result<usize, Fault> {
        let launch = |what: String| Fault::new(FaultClass::Launch, what);
        let lane = self.lane.clone().ok_or_else(|| launch("the lane has no agent".into()))?;
        let place = self.list.lock().await.len();
        if place >= MAX_SESSIONS {
            let what = format!("the attempt exceeds {MAX_SESSIONS} sessions");
            return Err(Fault::new(FaultClass::Limit, what));
        }
        let made = self.dirs.create_agent_dirs();
        made.map_err(|error| Fault::of_host("cannot create the agent's directories", &error))?;
        let (observer, received) = mpsc::channel(MAX_WAITING_EVENTS);
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let watchdog = Watchdog::new(&self.limits);
        self.intakes.lock().unwrap_or_else(PoisonError::into_inner).push(watchdog.intake());
        self.timings.session_asked(place + 1);
        let timings = Arc::clone(&self.timings);
        let watched = watchdog.wants_progress().then(|| Arc::clone(&self.dirs));
        let told = forward(received, self.events.clone(), number, timings);
        let forwarder = tokio::spawn(watching(watched, Arc::clone(&watchdog), told));
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
            observer: Some(Observer::new(observer, watchdog.intake())),
        };
        if place > 0 || (!self.seeded && holds_something(&self.dirs.config)) {
            self.events.setup_changed().await;
        }
        self.used.store(true, Ordering::Relaxed);
        let mut starting = self.starting.lock().await;
        let start = async move {
            debug!("starting");
            let session = lane.start(spec).await.inspect_err(|fault| {
                debug!(class = fault.class.as_str(), reason = fault.message, "not started");
                transcript.broke("start", fault);
            })?;
            debug!("started");
            Ok(Entry { session, watchdog, transcript, used: None, forwarder: Some(forwarder) })
        };
        *starting = Some(tokio::spawn(start.instrument(debug_span!("session", number))));
        self.started(&mut starting).await?;
        Ok(place)
    }

    /// Waits for the start under way, if there is one.
    async fn started(&self, starting: &mut Option<JoinHandle<Result<Entry, Fault>>>) -> Result<(), Fault> {
        let Some(task) = starting else { return Ok(()) };
        let ended = task.await;
        *starting = None;
        let entry = ended.unwrap_or_else(|error| {
            Err(Fault::new(FaultClass::Internal, format!("cannot start the agent: {error}")))
        })?;
        let unconfined = entry.session.unconfined();
        // Before anything is waited for: a call that is dropped meanwhile must not lose the session.
        self.list.lock().await.push(Arc::new(tokio::sync::Mutex::new(entry)));
        if let Some(what) = unconfined {
            self.events.report(Report::Unconfined { what }).await;
        }
        Ok(())
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
                self.events.report(Report::Cut { what }).await;
            }
            self.remark(number, entry.session.remarks()).await;
            // The observer's sender goes with the session: the forwarder ends when all events are sent.
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
            self.events.report(Report::Note { text: format!("session {session}, {note}") }).await;
        }
        if let Some(what) = remarks.cut {
            self.events.report(Report::Cut { what: format!("session {session}: {what}") }).await;
        }
    }

    /// A session of an attempt that can still end well: after a fault every call is answered with it.
    async fn entry(&self, place: usize) -> Result<Arc<tokio::sync::Mutex<Entry>>, Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let list = self.list.lock().await;
        list.get(place).cloned().ok_or_else(|| Fault::new(FaultClass::Internal, "the session ended unexpectedly"))
    }

    fn note<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &answer {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| fault.clone());
        }
        answer
    }
}

#[async_trait]
impl GuestSessions for Sessions {
    async fn start(&self, prompt: String) -> Result<usize, Fault> {
        let started = self.try_start(prompt).await;
        self.note(started)
    }

    async fn next_event(&self, place: usize) -> Result<Option<SessionEvent>, Fault> {
        let entry = self.entry(place).await?;
        let answer = entry.lock().await.next_event().await;
        self.note(answer)
    }

    async fn send(&self, place: usize, message: String) -> Result<(), Fault> {
        let entry = self.entry(place).await?;
        let mut entry = entry.lock().await;
        if let Err(fault) = entry.finish_turn().await {
            return self.note(Err(fault));
        }
        let Entry { session, watchdog, transcript, .. } = &mut *entry;
        let answer = match watchdog.wait(session.send(message.clone())).await {
            Ok(answer) => answer,
            Err(fault) if session.abort(&fault) => Err(fault),
            // Its turn is over. What is left, the end of its process and the next start, has limits of its own.
            Err(_) => session.send(message.clone()).await,
        };
        transcript.sent(&message, &answer);
        self.note(answer)
    }

    async fn conclude(&self, place: usize) -> Result<Conclusion, Fault> {
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
}

impl Entry {
    async fn next_event(&mut self) -> Result<Option<SessionEvent>, Fault> {
        let answer = loop {
            match self.watchdog.wait(self.session.next_event()).await {
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

/// Carries out `task`, and watches for changes of `dirs` meanwhile.
async fn watching<T>(dirs: Option<Arc<AttemptDirs>>, watchdog: Arc<Watchdog>, task: impl Future<Output = T>) -> T {
    // Ends with this future.
    let mut looks = JoinSet::new();
    if let Some(dirs) = dirs {
        looks.spawn(watch_changes(dirs, watchdog));
    }
    task.await
}

/// Takes the place of a session that has ended.
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
    Fault::new(FaultClass::Internal, "the session was ended")
}

//! Replays the sessions of an earlier run. No process of any kind is started.

mod reader;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::CWD;

use self::reader::ReplayReader;
use crate::lane::{Lane, LaneFuture, Session, SessionSpec};
use host_model::{
    Conclusion, Fault, FaultClass, LaneKind, REPLAY_FILE, RecordedTree, ReplayStep, SessionEvent, tree_file,
};

/// The size limit of a copied file.
const MAX_COPIED_BYTES: u64 = 80 << 20;
const RECORD_FILES: &[&str] = &["stream.jsonl", "stderr.txt", "events.jsonl", "final-message.txt", "session.json"];

/// Restores root and config dir of a session from a saved tree of the given size in bytes.
pub type Restore = Arc<dyn Fn(&Path, u64, &SessionSpec) -> Result<(), String> + Send + Sync>;

/// Checks the record that an earlier run left in `dir`, which need not exist.
///
/// # Errors
/// What is missing to replay it.
pub fn replayable(dir: &Path) -> Result<(), String> {
    for number in 1.. {
        let file = dir.join(format!("session-{number}")).join(REPLAY_FILE);
        if file.parent().is_none_or(|dir| dir.symlink_metadata().is_err()) {
            break;
        }
        if !is_dir(file.parent()) {
            return Err(format!("session {number} has no directory in the record"));
        }
        check_replay(&file).map_err(|reason| format!("session {number} {reason}"))?;
    }
    Ok(())
}

/// A link to a directory does not count.
fn is_dir(path: Option<&Path>) -> bool {
    path.and_then(|path| path.symlink_metadata().ok()).is_some_and(|metadata| metadata.is_dir())
}

/// Reads a whole replay. The error completes "session N …".
fn check_replay(file: &Path) -> Result<(), String> {
    let mut steps = ReplayReader::open(file).map_err(|error| format!("has no replay: {error}"))?;
    steps.prompt()?;
    loop {
        let tree = match steps.take()? {
            None => return Err("is incomplete: its record has no end".into()),
            Some(ReplayStep::Fault { .. }) => return Ok(()),
            Some(ReplayStep::Concluded { tree: RecordedTree::Kept { .. }, .. }) => return Ok(()),
            Some(ReplayStep::Concluded { tree, .. } | ReplayStep::TurnEnd { tree }) => tree,
            Some(_) => continue,
        };
        if let RecordedTree::Lost { reason } = tree {
            return Err(format!("has no complete record of root and config dir: {reason}"));
        }
    }
}

/// Replays the sessions of one recorded attempt in their original order.
#[derive(Clone)]
pub struct Replay {
    kind: LaneKind,
    dir: PathBuf,
    restore: Restore,
    shared: Arc<Mutex<ReplayState>>,
}

#[derive(Default)]
struct ReplayState {
    sessions: u32,
    /// The number of the restored tree, counted from 1.
    tree: u32,
    diverged: Option<String>,
}

impl Replay {
    /// Replays sessions of a lane of `kind` from the attempt's record in `dir`.
    #[must_use]
    pub fn new(kind: LaneKind, dir: PathBuf, restore: Restore) -> Self {
        Self { kind, dir, restore, shared: Arc::default() }
    }

    /// Where the component diverged from the record, if it did.
    #[must_use]
    pub fn diverged(&self) -> Option<String> {
        lock(&self.shared).diverged.clone()
    }

    fn begin(&self, spec: SessionSpec) -> Result<ReplaySession, Fault> {
        // A failed start does not count as a session, as in the recorded attempt.
        let number = lock(&self.shared).sessions + 1;
        let record = self.dir.join(format!("session-{number}"));
        if record.symlink_metadata().is_err() {
            let what = match number {
                1 => "the component starts a session, but the recorded attempt had none".to_owned(),
                _ => format!("the component starts a session {number}, but the recorded attempt had {}", number - 1),
            };
            return Err(diverged(&self.shared, what));
        }
        let unusable = |what: String| Fault::new(FaultClass::Internal, format!("session {number} {what}"));
        if !is_dir(Some(&record)) {
            return Err(unusable("has no directory in the record".into()));
        }
        let file = record.join(REPLAY_FILE);
        let mut steps = ReplayReader::open(&file).map_err(|error| unusable(format!("has no replay: {error}")))?;
        let prompt = steps.prompt().map_err(unusable)?;
        if prompt != spec.prompt {
            let what = describe_difference("starts the session with another prompt", &prompt, &spec.prompt);
            return Err(diverged(&self.shared, what));
        }
        if let Some(to) = &spec.record_dir {
            copy_record(&record, to).map_err(|error| unusable(format!("cannot be copied: {error}")))?;
        }
        if let Some(ReplayStep::Fault { call, fault }) = steps.peek().map_err(unusable)?
            && call == "start"
        {
            return Err(fault.clone());
        }
        lock(&self.shared).sessions = number;
        Ok(ReplaySession { steps, lane: self.clone(), spec, turn_over: false, fault: None, conclusion: None })
    }
}

impl Lane for Replay {
    fn kind(&self) -> LaneKind {
        self.kind
    }

    fn start(&self, spec: SessionSpec) -> LaneFuture<'_, Box<dyn Session>> {
        Box::pin(async move { Ok(Box::new(self.begin(spec)?) as Box<dyn Session>) })
    }
}

struct ReplaySession {
    steps: ReplayReader,
    lane: Replay,
    spec: SessionSpec,
    turn_over: bool,
    fault: Option<Fault>,
    conclusion: Option<Conclusion>,
}

impl ReplaySession {
    async fn next(&mut self) -> Result<Option<SessionEvent>, Fault> {
        self.check_open()?;
        if self.turn_over || self.conclusion.is_some() {
            return Ok(None);
        }
        match self.take()? {
            Some(ReplayStep::Event(event)) => {
                if let Some(observer) = &self.spec.observer {
                    observer.notify(&event.kind);
                    if !observer.send(event.clone()).await {
                        self.spec.observer = None;
                    }
                }
                Ok(Some(event))
            }
            Some(ReplayStep::TurnEnd { tree }) => {
                self.restore_tree(&tree)?;
                self.turn_over = true;
                Ok(None)
            }
            other => Err(self.unexpected(other, "waits for the agent")),
        }
    }

    async fn send_message(&mut self, message: String) -> Result<(), Fault> {
        while self.next().await?.is_some() {}
        if self.conclusion.is_some() {
            let fault = Fault::new(FaultClass::Protocol, "cannot send a message: the session is concluded");
            return Err(self.fail(fault));
        }
        match self.take()? {
            Some(ReplayStep::Send { message: recorded }) if recorded == message => {
                self.turn_over = false;
                Ok(())
            }
            Some(ReplayStep::Send { message: recorded }) => {
                let what = describe_difference("sends another message", &recorded, &message);
                Err(self.diverge(what))
            }
            other => Err(self.unexpected(other, "sends a message")),
        }
    }

    async fn conclude_once(&mut self) -> Result<Conclusion, Fault> {
        self.check_open()?;
        if let Some(conclusion) = &self.conclusion {
            return Ok(conclusion.clone());
        }
        while self.next().await?.is_some() {}
        match self.take()? {
            Some(ReplayStep::Concluded { final_message, stop_reason, turns, usage, duration_ms, tree }) => {
                self.restore_tree(&tree)?;
                let duration = Duration::from_millis(duration_ms);
                let conclusion = Conclusion { final_message, stop_reason, turns, usage, duration };
                self.conclusion = Some(conclusion.clone());
                Ok(conclusion)
            }
            other => Err(self.unexpected(other, "concludes the session")),
        }
    }

    /// A fault that broke the session counts, even if the component did not reach it.
    fn end_now(&mut self) -> Result<Option<Fault>, Fault> {
        while let (None, None) = (&self.fault, &self.conclusion) {
            match self.take() {
                Ok(Some(ReplayStep::Fault { fault, .. })) => drop(self.fail(fault)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        Ok(self.fault.clone())
    }

    fn take(&mut self) -> Result<Option<ReplayStep>, Fault> {
        let step = self.steps.take();
        step.map_err(|what| self.fail(Fault::new(FaultClass::Internal, format!("the session {what}"))))
    }

    /// The fault of a component that diverges from the record.
    fn unexpected(&mut self, recorded: Option<ReplayStep>, does: &str) -> Fault {
        let recorded = match recorded {
            Some(ReplayStep::Fault { fault, .. }) => return self.fail(fault),
            Some(ReplayStep::Send { message }) => format!("the recorded component then sent {}", excerpt(&message)),
            Some(ReplayStep::Concluded { .. }) => "the recorded component then concluded the session".into(),
            Some(_) => "the record has another step there".into(),
            None => "the record ends there".into(),
        };
        self.diverge(format!("the component {does}, but {recorded}"))
    }

    /// Restores root and config dir. Trees are numbered across all sessions of the attempt: going back would show the
    /// component a state that no agent left behind.
    fn restore_tree(&mut self, tree: &RecordedTree) -> Result<(), Fault> {
        let (number, bytes) = match tree {
            RecordedTree::Kept { number, bytes } => (*number, *bytes),
            RecordedTree::Lost { reason } => {
                let what = format!("the root and config dir of that moment were not saved: {reason}");
                return Err(self.diverge(what));
            }
        };
        let now = lock(&self.lane.shared).tree;
        if number < now {
            let what = "the component uses its sessions in another order than the recorded component";
            return Err(self.diverge(what.to_owned()));
        }
        lock(&self.lane.shared).tree = number;
        (self.lane.restore)(&self.lane.dir.join(tree_file(number)), bytes, &self.spec).map_err(|reason| {
            self.fail(Fault::new(FaultClass::Internal, format!("cannot restore root and config dir: {reason}")))
        })
    }

    fn diverge(&mut self, what: String) -> Fault {
        let fault = diverged(&self.lane.shared, what);
        self.fail(fault)
    }

    fn check_open(&self) -> Result<(), Fault> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault).clone()
    }
}

impl Session for ReplaySession {
    fn next_event(&mut self) -> LaneFuture<'_, Option<SessionEvent>> {
        Box::pin(self.next())
    }

    fn send(&mut self, message: String) -> LaneFuture<'_, ()> {
        Box::pin(self.send_message(message))
    }

    fn conclude(&mut self) -> LaneFuture<'_, Conclusion> {
        Box::pin(self.conclude_once())
    }

    fn end(&mut self, _grace: Duration) -> LaneFuture<'_, Option<Fault>> {
        Box::pin(async { self.end_now() })
    }
}

/// A component that makes a call which was not recorded cannot be judged without an agent.
fn diverged(shared: &Mutex<ReplayState>, what: String) -> Fault {
    lock(shared).diverged.get_or_insert_with(|| what.clone());
    Fault::new(FaultClass::Protocol, format!("this cannot be graded without an agent: {what}; use `host run`"))
}

fn lock(shared: &Mutex<ReplayState>) -> MutexGuard<'_, ReplayState> {
    // Every change is complete by itself.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Describes that a component uses another text than recorded.
fn describe_difference(does: &str, recorded: &str, now: &str) -> String {
    let same = recorded.chars().zip(now.chars()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| excerpt(&text.chars().skip(same.saturating_sub(10)).collect::<String>());
    format!(
        "the component {does} than was recorded; from the first difference on it says {}, not {}",
        from(now),
        from(recorded)
    )
}

fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let short: String = text.chars().take(MAX_CHARS).collect();
    let more = if short.len() < text.len() { " …" } else { "" };
    format!("`{}`{more}", short.escape_debug())
}

/// Copies the files of a record. Missing ones are skipped.
fn copy_record(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for name in RECORD_FILES {
        let (file, _) = match host_fs::open_regular(CWD, &from.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        io::copy(&mut file.take(MAX_COPIED_BYTES), &mut File::create_new(to.join(name))?)?;
    }
    Ok(())
}

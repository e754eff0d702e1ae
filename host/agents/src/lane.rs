//! The interface of all lanes and sessions.

use std::{future::Future, path::PathBuf, pin::Pin, time::Duration};

use host_model::{Conclusion, Confinement, Fault, LaneKind, Redactor, SessionEvent, View};

use crate::session::observer::Observer;

/// How a lane protects its surroundings. By default agents are confined and there are no secrets.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// What agents may access in addition to their attempt's directories and their script.
    pub confinement: Confinement,
    /// The secrets agents receive; no record or event may contain them.
    pub redactor: Redactor,
}

/// The limits of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Longer text lines are cut. JSON lines may have any length.
    pub max_line_bytes: usize,
    /// How many bytes of a line a `raw` event holds.
    pub max_raw_bytes: usize,
    /// How many bytes of each text of an event the observer receives; the record has all of it.
    pub max_observed_bytes: usize,
    /// How many bytes of each stream are recorded on disk.
    pub max_recorded_bytes: u64,
    /// How many bytes of events may wait for the component before the agent is blocked.
    pub max_waiting_bytes: u32,
    /// How long an agent may take to exit after its last turn, and its descendants after SIGTERM.
    pub exit_grace: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_line_bytes: 1 << 20,
            max_raw_bytes: 16 << 10,
            max_observed_bytes: 16 << 10,
            max_recorded_bytes: 64 << 20,
            max_waiting_bytes: 256 << 10,
            exit_grace: Duration::from_secs(2),
        }
    }
}

/// What a session needs to start. All paths are absolute.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The attempt's root: the agent's working directory.
    pub root: PathBuf,
    /// The attempt's config dir.
    pub config_dir: PathBuf,
    /// The agent's `HOME`.
    pub home: PathBuf,
    /// The agent's `TMPDIR`.
    pub tmp: PathBuf,
    /// A directory of programs that comes first in the agent's `PATH`: the scenario's stubs and shims. The agent itself
    /// is not looked up there.
    pub bin: Option<PathBuf>,
    /// Which files are hidden from the agent, see [`View`].
    pub view: Option<View>,
    /// The first message.
    pub prompt: String,
    /// The script of a scripted agent.
    pub script: Option<PathBuf>,
    /// Where the streams are recorded; agents have no access to it.
    pub record_dir: Option<PathBuf>,
    /// The limits.
    pub limits: SessionLimits,
    /// Receives every event, whether the component fetches it or not.
    pub observer: Option<Observer>,
}

/// The result of a call to a lane or session. The future may be dropped at any await, and the call made again.
pub type LaneFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// A configured kind of agent.
pub trait Lane: Send + Sync {
    /// The kind of the lane.
    fn kind(&self) -> LaneKind;

    /// Starts an agent and sends it the first message.
    fn start(&self, spec: SessionSpec) -> LaneFuture<'_, Box<dyn Session>>;

    /// The secrets of its agents. Sessions redact them on their own; files that agents leave behind are not redacted.
    fn redactor(&self) -> Redactor {
        Redactor::default()
    }
}

/// Remarks about a session that are not faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Notes for people.
    pub notes: Vec<String>,
    /// Describes output of the agent that no event contains.
    pub cut: Option<String>,
}

/// A live conversation. A fault is final: every later call returns the same one. Dropping a session kills the agent and
/// all its descendants without waiting.
pub trait Session: Send {
    /// Waits for the next event; `None` when the agent has finished its turn.
    fn next_event(&mut self) -> LaneFuture<'_, Option<SessionEvent>>;

    /// Waits for the end of the turn, discards its events, and sends the agent another message.
    fn send(&mut self, message: String) -> LaneFuture<'_, ()>;

    /// Waits for the end of the turn and ends the agent with all its descendants. Repeated calls return the same
    /// result.
    fn conclude(&mut self) -> LaneFuture<'_, Conclusion>;

    /// Ends the agent with all its descendants: SIGTERM, then SIGKILL after `grace`. Returns when none is left, at the
    /// latest about 17 s after `grace`. May be called again, also to shorten the grace.
    ///
    /// Returns a fault that happened before this call, even if it was returned before: the agent crashed, exited
    /// without finishing its turn, or reported an error. It is not a fault that an agent was still busy, nor what it
    /// does because it is ended.
    ///
    /// An error names processes that survived.
    fn end(&mut self, grace: Duration) -> LaneFuture<'_, Option<Fault>>;

    /// Ends the session because of `fault`, which is recorded. Returns false if the session or the turn had already
    /// ended: then the next result is already available.
    fn abort(&mut self, _fault: &Fault) -> bool {
        true
    }

    /// Takes the remarks: each is returned once.
    fn remarks(&mut self) -> Remarks {
        Remarks::default()
    }

    /// Describes which part of the requested confinement the operating system cannot enforce.
    fn unconfined(&self) -> Option<String> {
        None
    }
}

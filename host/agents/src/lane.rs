//! What every lane and session offers, whatever its kind.

use std::{future::Future, path::PathBuf, pin::Pin, time::Duration};

use host_model::{Conclusion, Confinement, Fault, LaneKind, Redactor, SessionEvent, View};

use crate::session::observer::Observer;

/// How a lane guards what is around its agents. The default confines them, and knows no secret.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// What agents may use besides their attempt's own directories, and their script.
    pub confinement: Confinement,
    /// The secrets that agents are given, which no record or event may show.
    pub redactor: Redactor,
}

/// The bounds of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A longer line of an agent that prints text is cut. One of JSON may have any length.
    pub max_line_bytes: usize,
    /// How much of a line a `raw` event holds.
    pub max_raw_bytes: usize,
    /// How much of each text of an event the observer gets; the record has it all.
    pub max_observed_bytes: usize,
    /// How much each recorded stream holds on disk.
    pub max_recorded_bytes: u64,
    /// How much may wait until the component fetches it; beyond it the agent is made to wait.
    pub max_waiting_bytes: u32,
    /// How long an agent that finished its last turn may take to exit, and its leftovers to heed SIGTERM.
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
    /// A folder of programs that come before all others in the agent's `PATH`: stubs and shims of the scenario. The
    /// agent itself is not looked for there.
    pub bin: Option<PathBuf>,
    /// What the agent does not see, see [`View`].
    pub view: Option<View>,
    /// The first message.
    pub prompt: String,
    /// The script of a scripted agent.
    pub script: Option<PathBuf>,
    /// Where the streams are kept; out of the agent's reach.
    pub record_dir: Option<PathBuf>,
    /// The bounds.
    pub limits: SessionLimits,
    /// Follows the session, whether the component fetches its events or not.
    pub observer: Option<Observer>,
}

/// The answer of a lane or session. It may be dropped at any await, and the call made again.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// A kind of agent, configured.
pub trait Lane: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> LaneKind;

    /// Starts an agent and gives it its first message.
    fn start(&self, spec: SessionSpec) -> Answer<'_, Box<dyn Session>>;

    /// What its agents know and nobody else may. Its sessions keep to that themselves; files that agents leave do not.
    fn redactor(&self) -> Redactor {
        Redactor::default()
    }
}

/// What is remarkable about a session, though it is not a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// For a person.
    pub notes: Vec<String>,
    /// What of its agent's output no event shows.
    pub cut: Option<String>,
}

/// A live conversation. A fault is for good: every later call answers with the same one. Dropping a session kills
/// the agent with all its descendants, without anybody waiting for it.
pub trait Session: Send {
    /// Waits for the next event; `None` when the agent has finished its turn.
    fn next_event(&mut self) -> Answer<'_, Option<SessionEvent>>;

    /// Waits for the end of the turn, dropping its events, and gives the agent another message.
    fn send(&mut self, message: String) -> Answer<'_, ()>;

    /// Waits for the end of the turn and ends the agent with all its descendants. The answer stays the same.
    fn conclude(&mut self) -> Answer<'_, Conclusion>;

    /// Ends the agent with all its descendants: SIGTERM, and SIGKILL after `grace`. Returns when none is left,
    /// and at the latest some 17 s after `grace`. It may be called again, also to shorten the grace.
    ///
    /// Answers with the fault that had happened before this was called, whether an earlier call answered with it or
    /// not: the agent had crashed, had ended without finishing its turn, or had reported an error. An agent that was
    /// still busy, and what it does because it is ended, is no fault.
    ///
    /// An error names processes that survive all the same.
    fn end(&mut self, grace: Duration) -> Answer<'_, Option<Fault>>;

    /// The host ends the session because of `fault`, which goes into its record. Returns false where the session had
    /// come to an end, or the turn had, before that: then the next answer is there already.
    fn give_up(&mut self, _fault: &Fault) -> bool {
        true
    }

    /// What is remarkable about it, each once.
    fn remarks(&mut self) -> Remarks {
        Remarks::default()
    }

    /// What the operating system does not hold its agent to, although the lane asks for it.
    fn unconfined(&self) -> Option<String> {
        None
    }
}

//! Lanes: live conversations with configured agents. There is one module per kind of agent behind one trait.
//!
//! A [`Lane`] starts a [`Session`], which the runner drives for the component. Every agent runs under a supervisor (see
//! [`supervise()`]), and its output is read in bounded memory and recorded.

mod agent_program;
mod confine;
mod conversation;
mod dialect;
mod exit;
mod external;
mod json;
mod kinds;
mod lane;
mod replay;
mod safe_dir;
mod scripted_agent;
mod session;
mod supervise;
mod text;

pub use confine::confinement_available;
pub use external::{
    environment::{missing_credentials, secrets, short_secrets},
    version::{AgentVersion, VersionProblem},
};
pub use host_model::LaneKind;
pub use kinds::{create_lane, find_program, shadowing_program, version};
pub use lane::{Lane, LaneFuture, Protection, Remarks, Session, SessionLimits, SessionSpec};
pub use replay::{Replay, Restore, replayable};
pub use scripted_agent::{ScriptedAgentOptions, run_agent};
pub use session::{
    observer::{Observer, ReadProgress, ReaderGuard},
    process::HostProgram,
};
pub use supervise::{
    attempts::attempt_processes,
    orphans::{SESSION_MARKER, become_subreaper, kill_orphans},
    start::SupervisorOptions,
    supervisor::supervise,
    suspension::suspend_agents,
};

//! Lanes: live conversations with configured agents. There is one module per kind of agent behind one trait.
//!
//! A [`Lane`] starts a [`Session`], which the runner drives for the component. Every agent runs under a supervisor (see
//! [`supervise`]), and its output is read in bounded memory and recorded.

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
pub use kinds::{find_program, lane, shadowed, version};
pub use lane::{Answer, Guard, Lane, Remarks, Session, SessionLimits, SessionSpec};
pub use replay::{Replay, Replayable, Restore, replayable};
pub use scripted_agent::{AgentArgs, run_agent};
pub use session::{
    observer::{Intake, Observer, ReaderGuard},
    process::HostProgram,
};
pub use supervise::{
    attempts::agents_processes,
    orphans::{SESSION_MARKER, become_subreaper, kill_orphans},
    start::SuperviseArgs,
    supervisor::supervise,
    suspension::suspend_agents,
};

//! The kinds of lanes: one module per kind, and the registry that finds it.

mod acp;
mod claude;
mod codex;
mod command;
mod pi;
mod provider_error;
mod scripted;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use host_model::{AgentSettings, Confinement, LaneKind};

use crate::{
    agent_program::AgentProgram,
    external::{
        self, ExternalLane,
        version::{AgentVersion, VersionProblem},
    },
    lane::{Guard, Lane},
    session::process::HostProgram,
};

/// The lane of an agent. `host` is the program whose hidden modes supervise agents. Of a scripted agent the kind alone
/// counts.
#[must_use]
pub fn lane(settings: &AgentSettings, host: HostProgram, guard: Guard) -> Arc<dyn Lane> {
    match program(settings.kind) {
        Some(program) => Arc::new(ExternalLane::new(program, settings.clone(), host, guard)),
        None => Arc::new(scripted::ScriptedLane::new(host, guard)),
    }
}

/// The program of a kind; none for the embedded agent.
fn program(kind: LaneKind) -> Option<&'static dyn AgentProgram> {
    match kind {
        LaneKind::Scripted => None,
        LaneKind::Claude => Some(&claude::Claude),
        LaneKind::Codex => Some(&codex::Codex),
        LaneKind::Pi => Some(&pi::Pi),
        LaneKind::Acp => Some(&acp::Acp),
        LaneKind::Command => Some(&command::CommandProgram),
    }
}

/// The program that a lane starts, or whose script it has an interpreter run.
///
/// # Errors
/// Where it was looked for, and what to do.
pub fn find_program(settings: &AgentSettings) -> Result<PathBuf, String> {
    Ok(external::program::find(program_name(settings), settings)?.program)
}

/// Runs the agent's program with `--version`, for at most 20 s, with nothing in its environment but a `PATH` and folders
/// that are removed afterwards, confined as the lane's agents are, and compares what it says with what the lane asks for.
///
/// # Errors
/// There is no such program, it tells no version, or one that will not do.
pub async fn version(
    settings: &AgentSettings,
    host: HostProgram,
    confinement: &Confinement,
) -> Result<AgentVersion, VersionProblem> {
    external::version::version(program_name(settings), settings, host, confinement).await
}

/// What in a scenario's directory `bin` may run in the place of the lane's agent; `None` where nothing does, and where
/// the lane has no credentials.
#[must_use]
pub fn shadowed(settings: &AgentSettings, bin: &Path) -> Option<String> {
    external::shadowed::shadowed(program_name(settings), settings, bin)
}

/// The name of the lane's program where the kind has one.
fn program_name(settings: &AgentSettings) -> Option<&'static str> {
    program(settings.kind).and_then(AgentProgram::name)
}

//! The kinds of lanes: one module per kind, and the registry.

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

use host_model::{AgentSettings, Confinement, LaneKind, Usage};

use crate::{
    agent_program::AgentProgram,
    dialect::ParsedLine,
    external::{
        self, ExternalLane,
        version::{AgentVersion, VersionProblem},
    },
    lane::{Lane, Protection},
    session::process::HostProgram,
};

/// Creates the lane of an agent. `host` is the program whose hidden modes supervise agents. For a scripted agent only
/// the kind matters.
#[must_use]
pub fn create_lane(settings: &AgentSettings, host: HostProgram, protection: Protection) -> Arc<dyn Lane> {
    match program(settings.kind) {
        Some(program) => Arc::new(ExternalLane::new(program, settings.clone(), host, protection)),
        None => Arc::new(scripted::ScriptedLane { host, protection }),
    }
}

/// The program of a kind; `None` for the scripted agent.
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

/// Finds the program that a lane starts, or the script it starts with an interpreter.
///
/// # Errors
/// The program was not found; the text names the directories and a fix.
pub fn find_program(settings: &AgentSettings) -> Result<PathBuf, String> {
    Ok(external::program::find(program_name(settings), settings)?.program)
}

/// Runs the agent's program with `--version` for at most 20 s and compares the version with the one the lane requires.
/// The environment has only a `PATH` and temporary directories, and the program is confined like the lane's agents.
///
/// # Errors
/// There is no such program, it reports no version, or the version does not match.
pub async fn version(
    settings: &AgentSettings,
    host: HostProgram,
    confinement: &Confinement,
) -> Result<AgentVersion, VersionProblem> {
    external::version::version(program_name(settings), settings, host, confinement).await
}

/// Explains which program in a scenario's `bin` directory could run instead of the lane's agent. `None` if there is
/// none, or if the lane has no credentials.
#[must_use]
pub fn shadowing_program(settings: &AgentSettings, bin: &Path) -> Option<String> {
    external::shadowed::shadowing_program(program_name(settings), settings, bin)
}

/// Counts the chunks of a long message or output. Every twentieth produces an event, so that the agent is not idle.
#[derive(Default)]
struct ChunkCounter(u32);

impl ChunkCounter {
    fn count(&mut self) -> Vec<ParsedLine> {
        self.0 = (self.0 + 1) % 20;
        if self.0 == 0 { Vec::new() } else { vec![ParsedLine::Ignored] }
    }
}

/// The usage of input (that was not cached, read from the cache and written to it) and output, and its cost in dollars.
/// All zeros mean that no model was reached, or that the provider did not report the usage.
fn usage([new, cached, written, output]: [Option<u64>; 4], usd: Option<f64>) -> Usage {
    let input = [new, cached, written].into_iter().flatten().reduce(u64::saturating_add);
    if input.unwrap_or(0) == 0 && output.unwrap_or(0) == 0 {
        return Usage::default();
    }
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        output_tokens: output,
        cost_micro_usd: usd.filter(|usd| usd.is_finite() && *usd >= 0.0).map(|usd| (usd * 1e6).round() as u64),
    }
}

/// The default name of the lane's program.
fn program_name(settings: &AgentSettings) -> Option<&'static str> {
    program(settings.kind).and_then(AgentProgram::name)
}

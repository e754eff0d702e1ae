//! The trait of agents that are external programs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use host_model::{AgentSettings, Fault, LaneKind};

use crate::{conversation::Conversation, dialect::Dialect};

/// A kind of agent that runs as an external program.
pub(crate) trait AgentProgram: Send + Sync {
    fn kind(&self) -> LaneKind;

    /// The default name of the program, if the kind has one.
    fn name(&self) -> Option<&'static str> {
        None
    }

    /// The variables this kind sets, including the one for its config dir. The lane's own variables override them.
    fn variables(&self, _settings: &AgentSettings, _config_dir: &Path) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    /// Writes what the agent needs into its config dir. Called before every session, including later ones of an
    /// attempt.
    fn prepare(&self, _settings: &AgentSettings, _config_dir: &Path) -> Result<(), String> {
        Ok(())
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault>;

    /// Whether one process takes all messages on its standard input.
    fn is_persistent(&self) -> bool {
        false
    }

    fn dialect(&self, conversation: &Conversation, settings: &AgentSettings) -> Box<dyn Dialect>;
}

pub(crate) struct TurnRequest<'a> {
    pub(crate) settings: &'a AgentSettings,
    /// Counted from 1.
    pub(crate) turn: u32,
    pub(crate) message: &'a str,
    /// The agent's own id of the session, once it is known.
    pub(crate) conversation_id: Option<String>,
    /// A directory for temporary files of this turn.
    pub(crate) tmp_dir: &'a Path,
    /// The host's id of the session.
    pub(crate) session_id: &'a str,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) args: Vec<OsString>,
    /// The file to use as standard input; empty input if absent.
    pub(crate) stdin: Option<PathBuf>,
}

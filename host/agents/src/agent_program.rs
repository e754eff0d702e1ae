//! The trait that every kind of agent that is a program of its own implements.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use host_model::{AgentSettings, Fault, LaneKind};

use crate::{conversation::Conversation, dialect::Dialect};

/// What a kind of agent must say to be run as a program of its own.
pub(crate) trait AgentProgram: Send + Sync {
    /// Its kind.
    fn kind(&self) -> LaneKind;

    /// The name of its program, where it has one.
    fn name(&self) -> Option<&'static str>;

    /// Its own variables, the one of its config dir included. The lane's come over them.
    fn variables(&self, settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)>;

    /// Writes what it needs into its config dir. Called before every session, also where another one has run.
    fn prepare(&self, _settings: &AgentSettings, _config_dir: &Path) -> Result<(), String> {
        Ok(())
    }

    /// What to start for a message.
    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault>;

    /// Whether it takes further messages on its standard input, instead of being started again.
    fn is_persistent(&self) -> bool {
        false
    }

    /// How the output of the next turn is read.
    fn dialect(&self, thread: &Conversation, settings: &AgentSettings) -> Box<dyn Dialect>;
}

/// A message that a program is to be started for.
pub(crate) struct TurnRequest<'a> {
    pub(crate) settings: &'a AgentSettings,
    /// From 1.
    pub(crate) turn: u32,
    pub(crate) message: &'a str,
    /// The agent's own name for the session, once it is known.
    pub(crate) conversation_id: Option<String>,
    /// Where a file for this turn may be put.
    pub(crate) tmp_dir: &'a Path,
    /// The host's name for the session.
    pub(crate) session_id: &'a str,
}

/// How a program is started for a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) args: Vec<OsString>,
    /// The file that is its standard input; empty when absent.
    pub(crate) stdin: Option<PathBuf>,
}

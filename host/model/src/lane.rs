use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// A kind of agent that a lane can run.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum LaneKind {
        /// The embedded agent that carries out a script; needs no network, key or program.
        #[default]
        Scripted = "scripted",
        /// Claude Code.
        Claude = "claude",
        /// Codex.
        Codex = "codex",
        /// Pi.
        Pi = "pi",
        /// Any agent that speaks the Agent Client Protocol.
        Acp = "acp",
        /// Any program that takes a prompt and prints lines.
        Command = "command",
    }
}

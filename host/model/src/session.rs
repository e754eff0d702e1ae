use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The usage of a session. `None` means that the agent did not report it: unknown is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Usage {
    /// Tokens read, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Cost in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
}

impl Usage {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The sum; what only one side knows stays known.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (known, None) | (None, known) => known,
            }
        }
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            cached_input_tokens: sum(self.cached_input_tokens, other.cached_input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            cost_micro_usd: sum(self.cost_micro_usd, other.cost_micro_usd),
        }
    }
}

/// The provider asked the agent to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BackOff {
    /// Which try this was, from 1, when the agent says so.
    pub attempt: Option<u32>,
    /// Milliseconds until the next try, when the agent says so.
    pub delay_ms: Option<u64>,
    /// The reason in the agent's words.
    pub reason: String,
}

/// An event of a session, in the same terms for every lane. Mirrors `scenario:host/agent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum SessionEventKind {
    /// The agent started.
    Started {
        /// The agent's own name for the session.
        session_id: String,
        /// The model that it says it uses.
        model: Option<String>,
    },
    /// Text that the agent addressed to the person.
    Message {
        /// The text.
        text: String,
    },
    /// The agent asked for a tool.
    ToolCall {
        /// Pairs the call with its result.
        id: String,
        /// The tool's name as the agent gave it.
        name: String,
        /// The arguments.
        input: serde_json::Value,
    },
    /// A tool returned.
    ToolResult {
        /// The call that it answers.
        id: String,
        /// Whether the tool reported an error.
        is_error: bool,
        /// Its result, as text.
        output: String,
    },
    /// The usage so far; each event replaces the one before.
    Usage(Usage),
    /// The provider asked the agent to wait.
    BackOff(BackOff),
    /// A line without a meaning common to all lanes, as received (lossily decoded, bounded).
    Raw {
        /// The line.
        line: String,
    },
}

/// One event of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SessionEvent {
    /// Milliseconds since the session started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: SessionEventKind,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// The agent's last message to the person; empty when there was none.
    pub final_message: String,
    /// Why the agent stopped, in the agent's words.
    pub stop_reason: String,
    /// The first prompt and every message sent after it.
    pub turns: u32,
    /// The usage of the whole session.
    pub usage: Usage,
    /// From start to conclusion.
    pub duration: Duration,
}

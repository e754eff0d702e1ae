//! What was asked of the server, in order.

use serde_json::Value;

/// An interface of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
}

/// A model call.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the URL said: scenario, agent, mode and label.
    pub prefix: String,
    /// The interface.
    pub api: Api,
    /// The model that was asked for.
    pub model: String,
    /// The key that was sent, without the word `Bearer`.
    pub key: Option<String>,
    /// The tools that the agent declared, sorted.
    pub tools: Vec<String>,
    /// What was sent.
    pub body: Value,
    /// The response.
    pub answered: Answered,
}

/// What the server made of a model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The script's answer, by its number from 0, with the tool it calls.
    Step {
        /// The number of the step.
        number: usize,
        /// The tool that it calls, if any.
        tool: Option<String>,
    },
    /// It was a worker's call.
    Worker,
    /// A fault, in the words of its mode or of the script.
    Fault(String),
    /// The script has no answer, or there is no script.
    Problem(String),
}

impl Request {
    /// Whether the script was gone on with.
    pub fn is_step(&self) -> bool {
        matches!(self.answered, Answered::Step { .. })
    }
}

//! What an agent sends: its whole conversation so far, and where that stands in a script.

use serde_json::Value;

use super::tools::Tools;

/// What agents put into the mouth of their user without having been told anything.
const NOTICES: &[&str] =
    &["<system-reminder>", "<environment_context>", "<subagent_notification>", "<user_instructions>", "Tool loaded."];

/// A conversation, the same for each of the three interfaces.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) tools: Tools,
    pub(super) entries: Vec<Entry>,
}

/// One entry of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// A text of the user's side.
    User(String),
    /// A text of the model.
    Said,
    /// What a tool answered.
    Result { id: String, output: String },
}

/// A place in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 0.
    pub(super) turn: usize,
    /// Tool calls that were answered in this turn.
    pub(super) done: usize,
    /// Whether the turn had ended already: the agent asks once more, of its own accord.
    pub(super) again: bool,
}

impl Conversation {
    pub(super) fn of(body: &Value, entries: Vec<Entry>) -> Self {
        Self {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            tools: Tools::declared(body),
            entries,
        }
    }

    /// What the user's side said before the model answered.
    pub(super) fn opening(&self) -> Vec<String> {
        let before = self.entries.iter().map_while(|entry| match entry {
            Entry::User(text) => Some(text),
            _ => None,
        });
        before.filter(|text| !is_notice(text)).cloned().collect()
    }

    pub(super) fn place(&self) -> Place {
        let mut place = Place { turn: 0, done: 0, again: false };
        for entry in &self.entries {
            match entry {
                Entry::Said => place.again = true,
                Entry::Result { .. } => {
                    place.done += 1;
                    place.again = false;
                }
                Entry::User(text) if place.again && !is_notice(text) => {
                    place = Place { turn: place.turn + 1, done: 0, again: false };
                }
                Entry::User(_) => {}
            }
        }
        place
    }

    pub(super) fn result_of(&self, call: &str) -> Option<&str> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Result { id, output } if id == call => Some(output.as_str()),
            _ => None,
        })
    }
}

fn is_notice(text: &str) -> bool {
    NOTICES.iter().any(|notice| text.trim_start().starts_with(notice))
}

/// The texts of a `content`: a string, or blocks of which some have a text.
pub(super) fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

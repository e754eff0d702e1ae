//! State that the turns of a session share: each turn has its own process and parser.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::dialect::ParsedLine;
use host_model::{SessionEventKind, Usage};

#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation(Arc<Mutex<ConversationState>>);

#[derive(Debug, Default)]
struct ConversationState {
    root: PathBuf,
    id: Option<String>,
    usage: Usage,
    answered: bool,
}

impl Conversation {
    /// The conversation of an agent whose working directory is `root`.
    pub(crate) fn in_root(root: &Path) -> Self {
        Self(Arc::new(Mutex::new(ConversationState { root: root.to_owned(), ..ConversationState::default() })))
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.with(|known| known.root.clone())
    }

    fn with<T>(&self, with: impl FnOnce(&mut ConversationState) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The agent's own id of the session.
    pub(crate) fn id(&self) -> Option<String> {
        self.with(|known| known.id.clone())
    }

    /// The event of a session that started with this id. An empty id means that the agent did not report it.
    pub(crate) fn started(&self, session_id: String, model: Option<String>) -> Option<ParsedLine> {
        if session_id.is_empty() {
            return None;
        }
        self.with(|known| known.id = Some(session_id.clone()));
        Some(ParsedLine::Event(SessionEventKind::Started { session_id, model }))
    }

    /// The usage of the whole session.
    #[cfg(test)]
    pub(crate) fn usage(&self) -> Usage {
        self.with(|known| known.usage.clone())
    }

    /// Adds to the usage and returns the sum.
    pub(crate) fn add_usage(&self, more: &Usage) -> Usage {
        self.with(|known| {
            known.usage = known.usage.plus(more);
            known.usage.clone()
        })
    }

    pub(crate) fn set_usage(&self, usage: &Usage) {
        self.with(|known| known.usage.clone_from(usage));
    }

    /// Whether the model has answered yet. Before that, a refusal is caused by the login, the model or the
    /// configuration.
    pub(crate) fn answered(&self) -> bool {
        self.with(|known| known.answered)
    }

    pub(crate) fn set_answered(&self) {
        self.with(|known| known.answered = true);
    }
}

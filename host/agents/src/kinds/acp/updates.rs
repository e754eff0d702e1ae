//! The updates of a session: messages, tool calls and states.

use serde_json::Value;

use crate::{
    dialect::ParsedLine,
    json::values::{content_text, name, text},
    kinds::acp::{
        AcpDialect, MAX_MESSAGE_BYTES,
        notices::{CodexNotice, Notice, codex_notice, notice},
    },
};
use host_model::SessionEventKind;

impl AcpDialect {
    pub(super) fn handle_notification(&mut self, params: &Value) -> Vec<ParsedLine> {
        let session = name(params, "sessionId");
        // Updates of another session, such as a sub-agent's, are not for the person.
        let known = self.conversation.id();
        if known.is_some_and(|known| !session.is_empty() && session != known) {
            return Vec::new();
        }
        self.update(&params["update"])
    }

    fn update(&mut self, update: &Value) -> Vec<ParsedLine> {
        match text(update, "sessionUpdate") {
            "agent_message_chunk" if self.busy => self.chunk(update),
            "tool_call" | "tool_call_update" => self.call(update),
            "session_info_update" => self.state(update),
            "agent_message_chunk"
            | "agent_thought_chunk"
            | "user_message_chunk"
            | "usage_update"
            | "available_commands_update"
            | "current_mode_update"
            | "config_option_update" => self.chunks.count(),
            _ => Vec::new(),
        }
    }

    fn state(&mut self, update: &Value) -> Vec<ParsedLine> {
        match codex_notice(update) {
            Some(CodexNotice::BackOff(back_off)) => {
                return vec![ParsedLine::Event(SessionEventKind::BackOff(back_off))];
            }
            Some(CodexNotice::Failed) => self.failed = true,
            Some(CodexNotice::Active) => self.failed = false,
            None => {}
        }
        self.chunks.count()
    }

    fn chunk(&mut self, update: &Value) -> Vec<ParsedLine> {
        let id = name(update, "messageId");
        let content = &update["content"];
        let chunk = match content {
            Value::Object(_) => text(content, "text").to_owned(),
            content => content_text(content),
        };
        let chunk = chunk.as_str();
        if id.is_empty() {
            match notice(chunk) {
                Some(Notice::BackOff(back_off)) => return vec![ParsedLine::Event(SessionEventKind::BackOff(back_off))],
                Some(Notice::Noise) => return Vec::new(),
                None => {}
            }
        }
        let mut parsed = if id == self.message_id { Vec::new() } else { self.flush_message() };
        self.message_id = id;
        if !self.message_id.is_empty() {
            // One without an id may be from the adapter.
            self.conversation.set_answered();
        }
        let room = if self.message_cut { 0 } else { MAX_MESSAGE_BYTES.saturating_sub(self.message.len()) };
        self.message_cut |= chunk.len() > room;
        self.message.push_str(&chunk[..chunk.floor_char_boundary(room)]);
        if parsed.is_empty() {
            parsed = self.chunks.count();
        }
        parsed
    }

    /// Ends the message being received, if there is one.
    pub(super) fn flush_message(&mut self) -> Vec<ParsedLine> {
        let mut text = std::mem::take(&mut self.message).trim().to_owned();
        if text.is_empty() {
            return Vec::new();
        }
        if std::mem::take(&mut self.message_cut) {
            text.push_str(&format!(" … [cut after {} MiB]", MAX_MESSAGE_BYTES >> 20));
        }
        self.acted = true;
        self.conversation.set_answered();
        vec![ParsedLine::Event(SessionEventKind::Message { text })]
    }

    fn call(&mut self, update: &Value) -> Vec<ParsedLine> {
        let mut parsed = self.flush_message();
        self.acted = true;
        self.conversation.set_answered();
        parsed.extend(self.calls.update(update));
        if parsed.is_empty() { self.chunks.count() } else { parsed }
    }
}

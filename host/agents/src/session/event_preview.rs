//! Limits the size of events for observers, which may follow many sessions.

use serde_json::Value;

use crate::text::truncate_text;
use host_model::{BackOff, SessionEvent, SessionEventKind};

/// Cuts each text of `event` to about `max_bytes` bytes. A larger tool input becomes a text.
pub(crate) fn preview(event: &SessionEvent, max_bytes: usize) -> SessionEvent {
    let cut = |text: &String| truncate_text(text.as_bytes(), text.len() as u64, max_bytes);
    let kind = match &event.kind {
        SessionEventKind::Started { session_id, model } => {
            SessionEventKind::Started { session_id: cut(session_id), model: model.as_ref().map(cut) }
        }
        SessionEventKind::Message { text } => SessionEventKind::Message { text: cut(text) },
        SessionEventKind::ToolCall { id, name, input } => {
            SessionEventKind::ToolCall { id: cut(id), name: cut(name), input: cut_input(input, max_bytes) }
        }
        SessionEventKind::ToolResult { id, is_error, output } => {
            SessionEventKind::ToolResult { id: cut(id), is_error: *is_error, output: cut(output) }
        }
        SessionEventKind::Usage(usage) => SessionEventKind::Usage(usage.clone()),
        SessionEventKind::BackOff(back_off) => {
            SessionEventKind::BackOff(BackOff { reason: cut(&back_off.reason), ..back_off.clone() })
        }
        // It is already limited and has a note on what was cut.
        SessionEventKind::Raw { line } => SessionEventKind::Raw { line: line.clone() },
    };
    SessionEvent { at_ms: event.at_ms, kind }
}

fn cut_input(input: &Value, max_bytes: usize) -> Value {
    let text = input.to_string();
    if text.len() <= max_bytes {
        input.clone()
    } else {
        truncate_text(text.as_bytes(), text.len() as u64, max_bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_texts_are_cut() {
        let call = |input: Value| SessionEvent {
            at_ms: 7,
            kind: SessionEventKind::ToolCall { id: "1".into(), name: "write".into(), input },
        };
        let small = call(serde_json::json!({ "text": "é" }));
        assert_eq!(preview(&small, 20), small);
        let large = preview(&call(serde_json::json!({ "text": "x".repeat(100) })), 20);
        assert_eq!(large, call("{\"text\":\"xxxxxxxxxxx … [cut: 111 bytes in all]".into()));
        let said = SessionEvent { at_ms: 1, kind: SessionEventKind::Message { text: "y".repeat(30) } };
        let SessionEventKind::Message { text } = preview(&said, 20).kind else { panic!("unexpected kind") };
        assert_eq!(text, format!("{} … [cut: 30 bytes in all]", "y".repeat(20)));
    }
}

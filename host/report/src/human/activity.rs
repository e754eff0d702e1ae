//! Describes the last activity of a running trial in a few words.

use super::renderer::back_off;
use crate::text::inline;
use host_model::{Report, SessionEventKind};

/// An event of its session; `None` if it is not worth showing.
pub(super) fn in_session(kind: &SessionEventKind) -> Option<String> {
    Some(match kind {
        SessionEventKind::Started { .. } => "agent started".into(),
        SessionEventKind::Message { text } => format!("says {}", inline(text)),
        SessionEventKind::ToolCall { name, .. } => format!("calls {}", inline(name)),
        SessionEventKind::ToolResult { is_error: false, .. } => "tool returned".into(),
        SessionEventKind::ToolResult { is_error: true, .. } => "tool failed".into(),
        SessionEventKind::BackOff(wait) => format!("waits: {}", inline(&back_off(wait))),
        SessionEventKind::Usage(_) | SessionEventKind::Raw { .. } => return None,
    })
}

/// A report of its component; `None` if it is not worth showing.
pub(super) fn reported(report: &Report) -> Option<String> {
    Some(match report {
        Report::Step { name } => format!("step {}", inline(name)),
        Report::Note { text } => format!("notes {}", inline(text)),
        Report::Attachment { name, .. } => format!("attaches {}", inline(name)),
        Report::Denied { what } => format!("denied: {}", inline(what)),
        Report::Metric { .. } | Report::Cut { .. } | Report::Left { .. } | Report::Unconfined { .. } => return None,
    })
}

//! The model's values as the bindings of `scenario:host` have them.

use host_model::{BackOff, Conclusion, Fault, SessionEvent, SessionEventKind, Usage};

use super::bindings::scenario::host::agent;

impl From<Fault> for agent::SessionFault {
    fn from(fault: Fault) -> Self {
        Self { class: fault.class.as_str().to_owned(), message: fault.message }
    }
}

impl From<Usage> for agent::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            cost_micro_usd: usage.cost_micro_usd,
        }
    }
}

impl From<Conclusion> for agent::Conclusion {
    fn from(conclusion: Conclusion) -> Self {
        Self {
            final_message: conclusion.final_message,
            stop_reason: conclusion.stop_reason,
            turns: conclusion.turns,
            usage: conclusion.usage.into(),
            duration_ms: u64::try_from(conclusion.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<SessionEvent> for agent::Event {
    fn from(event: SessionEvent) -> Self {
        let kind = match event.kind {
            SessionEventKind::Started { session_id, model } => {
                agent::EventKind::Started(agent::Started { session_id, model })
            }
            SessionEventKind::Message { text } => agent::EventKind::Message(text),
            SessionEventKind::ToolCall { id, name, input } => {
                agent::EventKind::ToolCall(agent::ToolCall { id, name, input: input.to_string() })
            }
            SessionEventKind::ToolResult { id, is_error, output } => {
                agent::EventKind::ToolResult(agent::ToolResult { id, is_error, output })
            }
            SessionEventKind::Usage(usage) => agent::EventKind::Usage(usage.into()),
            SessionEventKind::BackOff(BackOff { attempt, delay_ms, reason }) => {
                agent::EventKind::BackOff(agent::BackOff { attempt, delay_ms, reason })
            }
            SessionEventKind::Raw { line } => agent::EventKind::Raw(line),
        };
        Self { at_ms: event.at_ms, kind }
    }
}

//! A conversation with the lane's agent, and what is kept of it.

use crate::{Conclusion, Event, EventKind, SessionFault, ToolCall, bindings::scenario::host::agent};

/// A live conversation with the lane's agent.
///
/// Every call gives a [`SessionFault`] when the session broke. The host has noted the fault and its class by then, so
/// a scenario only passes it on with `?`.
#[derive(Debug)]
pub struct Session {
    handle: agent::Session,
    events: Vec<Event>,
}

impl Session {
    /// Starts the agent in the root and gives it its first prompt.
    pub fn start(prompt: &str) -> Result<Self, SessionFault> {
        Ok(Self { handle: agent::Session::start(prompt)?, events: Vec::new() })
    }

    /// Runs one prompt to its end: start, one turn, conclude.
    pub fn run(prompt: &str) -> Result<Record, SessionFault> {
        Self::start(prompt)?.conclude()
    }

    /// Waits for the next event and keeps it; `None` when the agent waits for the person.
    pub fn next_event(&mut self) -> Result<Option<&Event>, SessionFault> {
        match self.handle.next_event()? {
            Some(event) => {
                self.events.push(event);
                Ok(self.events.last())
            }
            None => Ok(None),
        }
    }

    /// Waits for the end of the turn and gives the events of the session so far.
    pub fn finish_turn(&mut self) -> Result<&[Event], SessionFault> {
        while self.next_event()?.is_some() {}
        Ok(&self.events)
    }

    /// Ends the turn, and gives the agent another message.
    pub fn send(&mut self, message: &str) -> Result<(), SessionFault> {
        self.finish_turn()?;
        self.handle.send(message)
    }

    /// Waits for the end of the turn and ends the agent. The root does not change any more after this.
    pub fn conclude(mut self) -> Result<Record, SessionFault> {
        self.finish_turn()?;
        let conclusion = self.handle.conclude()?;
        Ok(Record { events: self.events, conclusion })
    }
}

/// What a whole session showed.
#[derive(Clone, Debug)]
pub struct Record {
    /// Every event, in order.
    pub events: Vec<Event>,
    /// How it ended.
    pub conclusion: Conclusion,
}

impl Record {
    /// The agent's last message to the person; empty when there was none.
    #[must_use]
    pub fn final_message(&self) -> &str {
        &self.conclusion.final_message
    }

    /// Everything that the agent said to the person, in order, the final message last. What it gave to tools is not
    /// among it.
    #[must_use]
    pub fn messages(&self) -> Vec<&str> {
        let mut messages: Vec<&str> = self
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Message(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        if messages.last() != Some(&self.final_message()) {
            messages.push(self.final_message());
        }
        messages
    }

    /// All that it said to the person as one text.
    #[must_use]
    pub fn said(&self) -> String {
        self.messages().join("\n\n")
    }

    /// The tool calls, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// What the tool call with this id answered, if it did.
    #[must_use]
    pub fn tool_output(&self, id: &str) -> Option<&str> {
        self.events.iter().find_map(|event| match &event.kind {
            EventKind::ToolResult(result) if result.id == id => Some(result.output.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;

    fn record(messages: &[&str], final_message: &str) -> Record {
        let usage = Usage { input_tokens: None, cached_input_tokens: None, output_tokens: None, cost_micro_usd: None };
        Record {
            events: messages
                .iter()
                .map(|&text| Event { at_ms: 0, kind: EventKind::Message(text.to_owned()) })
                .collect(),
            conclusion: Conclusion {
                final_message: final_message.to_owned(),
                stop_reason: "end-turn".to_owned(),
                turns: 1,
                usage,
                duration_ms: 0,
            },
        }
    }

    #[test]
    fn the_final_message_is_counted_once() {
        assert_eq!(record(&["a", "b"], "b").messages(), ["a", "b"]);
        assert_eq!(record(&["a"], "b").messages(), ["a", "b"]);
        assert_eq!(record(&[], "").said(), "");
    }
}

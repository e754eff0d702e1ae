//! The tool calls of an ACP session. Each is reported in several updates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    dialect::ParsedLine,
    json::values::{content_text, list, name, text},
};
use host_model::SessionEventKind;

/// How many calls may be open at a time; beyond that, calls are forgotten, ordered by id.
const MAX_OPEN_CALLS: usize = 1024;
/// The size limits of the terminal output of one call, and of all open calls.
const MAX_OUTPUT: usize = 1 << 20;
const MAX_TOTAL_OUTPUT: usize = 8 << 20;
/// The size limit of a call's id, name and kind, and of arguments kept until the call ends.
const MAX_WORD: usize = 1 << 10;
/// The size limit of a title, which for some adapters is the command.
const MAX_TITLE: usize = 16 << 10;

/// The calls that have not ended.
#[derive(Default)]
pub(super) struct ToolCalls {
    open: BTreeMap<String, ToolCallState>,
    /// The size of their terminal output.
    output_bytes: usize,
}

#[derive(Default)]
struct ToolCallState {
    name: String,
    kind: String,
    input: Value,
    output: String,
    /// Bytes of the output that exceeded the limit.
    cut: usize,
    failed: bool,
    reported: bool,
}

impl ToolCalls {
    /// Applies an update. Returns the call once its arguments are known, then its result.
    pub(super) fn update(&mut self, update: &Value) -> Vec<ParsedLine> {
        let id = word(&name(update, "toolCallId"));
        if self.open.len() >= MAX_OPEN_CALLS && !self.open.contains_key(&id) {
            let forgotten = self.open.pop_first();
            self.output_bytes -= forgotten.map_or(0, |(_, call)| call.output.len());
        }
        let call = self.open.entry(id.clone()).or_default();
        self.output_bytes += call.apply(update, MAX_TOTAL_OUTPUT - self.output_bytes);
        let status = text(update, "status");
        let over = matches!(status, "completed" | "failed");
        let known = call.input.as_object().is_some_and(|input| !input.is_empty());
        let mut parsed = Vec::new();
        if !call.reported && (known || over) {
            call.reported = true;
            call.infer_command();
            // The arguments are not needed again.
            let (name, input) = (call.name.clone(), call.input.take());
            parsed.push(ParsedLine::Event(SessionEventKind::ToolCall { id: id.clone(), name, input }));
        }
        if over && let Some(mut call) = self.open.remove(&id) {
            self.output_bytes -= call.output.len();
            let is_error = status == "failed" || call.failed;
            if call.cut > 0 {
                call.output.push_str(&format!(" … ({} bytes cut)", call.cut));
            }
            let output = output(update, call.output);
            parsed.push(ParsedLine::Event(SessionEventKind::ToolResult { id, is_error, output }));
        }
        parsed
    }
}

impl ToolCallState {
    /// pi-acp sends a command as the title of a call without arguments.
    fn infer_command(&mut self) {
        if self.kind == "execute" && self.input.as_object().is_none_or(serde_json::Map::is_empty) {
            self.input = json!({ "command": std::mem::replace(&mut self.name, self.kind.clone()) });
        }
    }

    /// Applies an update with at most `room` bytes of output. Returns how many were taken.
    fn apply(&mut self, update: &Value, room: usize) -> usize {
        let titles = ["name", "title", "kind"].map(|key| text(update, key));
        if self.name.is_empty() {
            self.name = beginning(titles.iter().find(|it| !it.is_empty()).copied().unwrap_or_default(), MAX_TITLE);
        }
        if self.kind.is_empty() {
            self.kind = word(text(update, "kind"));
        }
        let input = &update["rawInput"];
        let is_first = self.input.is_null() && !input.is_null() && !self.reported;
        if input.as_object().is_some_and(|input| !input.is_empty()) {
            self.input = if self.reported { Value::Null } else { input.clone() };
        } else if is_first {
            // Kept until the call ends: arguments that are not an object may be replaced.
            let text = input.to_string();
            self.input = if text.len() <= MAX_WORD { input.clone() } else { json!(word(&text)) };
        }
        let meta = &update["_meta"];
        let before = self.output.len();
        for key in ["terminal_output", "terminal_output_delta"] {
            let output_bytes = text(&meta[key], "data");
            let room =
                MAX_OUTPUT.saturating_sub(self.output.len()).min(room.saturating_sub(self.output.len() - before));
            let kept = output_bytes.floor_char_boundary(room);
            self.output.push_str(&output_bytes[..kept]);
            self.cut += output_bytes.len() - kept;
        }
        self.failed |= meta["terminal_exit"]["exit_code"].as_i64().is_some_and(|code| code != 0);
        self.output.len() - before
    }
}

/// The beginning of a text that is kept until its call ends.
fn word(text: &str) -> String {
    beginning(text, MAX_WORD)
}

fn beginning(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

/// The output of a tool: as the agent received it, what its terminal showed, or what is shown to people.
fn output(update: &Value, terminal: String) -> String {
    match &update["rawOutput"] {
        Value::String(output) => output.clone(),
        _ if !terminal.is_empty() => terminal,
        Value::Null => {
            let output_bytes = list(update, "content").iter().map(|content| text(&content["content"], "text"));
            output_bytes.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        }
        output => content_text(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory used by open calls, in bytes.
    fn memory_of(calls: &ToolCalls) -> usize {
        let of = |(id, call): (&String, &ToolCallState)| {
            id.len() + call.name.len() + call.kind.len() + call.output.len() + call.input.to_string().len()
        };
        calls.open.iter().map(of).sum()
    }

    #[test]
    fn open_calls_use_bounded_memory() {
        let long = "x".repeat(1 << 20);
        let mut calls = ToolCalls::default();
        for number in 0..2 * MAX_OPEN_CALLS {
            let id = format!("{number:04}{long}");
            let update = match number % 3 {
                0 => json!({ "toolCallId": id, "title": long, "rawInput": { "path": long } }),
                1 => json!({ "toolCallId": id, "kind": long, "rawInput": [long] }),
                _ => json!({ "toolCallId": id, "_meta": { "terminal_output": { "data": long } } }),
            };
            calls.update(&update);
        }
        assert_eq!(calls.open.len(), MAX_OPEN_CALLS);
        assert!(
            memory_of(&calls) < MAX_TOTAL_OUTPUT + MAX_OPEN_CALLS * (MAX_TITLE + 4 * MAX_WORD),
            "{}",
            memory_of(&calls)
        );
    }

    #[test]
    fn excess_output_is_cut_and_space_is_freed() {
        let data = "x".repeat(MAX_OUTPUT);
        let output_bytes =
            |id: usize| json!({ "toolCallId": format!("{id:02}"), "_meta": { "terminal_output": { "data": data } } });
        let over = |id: usize| json!({ "toolCallId": format!("{id:02}"), "status": "completed" });
        let ended = |calls: &mut ToolCalls, id: usize| {
            let parsed = calls.update(&over(id));
            let Some(ParsedLine::Event(SessionEventKind::ToolResult { output, .. })) = parsed.last() else {
                panic!("no result")
            };
            output.clone()
        };
        let mut calls = ToolCalls::default();
        for id in 0..10 {
            calls.update(&output_bytes(id));
        }
        assert_eq!(ended(&mut calls, 9), format!(" … ({MAX_OUTPUT} bytes cut)"));
        assert_eq!(ended(&mut calls, 0).len(), MAX_OUTPUT);
        calls.update(&output_bytes(10));
        assert_eq!(ended(&mut calls, 10).len(), MAX_OUTPUT, "finished calls free their space");
        assert_eq!(calls.output_bytes, memory_of(&calls) - 8 * "02null".len());
    }
}

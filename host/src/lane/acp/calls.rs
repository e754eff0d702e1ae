//! The tool calls of an ACP session: what is told of one comes in several updates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{
    external::{list, part, text, texts_of},
    turn::Said,
};
use crate::model::SessionEventKind;

/// How many calls may be under way at once; of more the oldest are forgotten, by their names.
const UNDER_WAY: usize = 1024;
/// How much of what a terminal shows is kept.
const OUTPUT: usize = 1 << 20;

/// The calls that are not over.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<String, Call>);

/// A tool call as far as it is known.
#[derive(Default)]
struct Call {
    name: String,
    kind: String,
    input: Value,
    output: String,
    failed: bool,
    told: bool,
}

impl Calls {
    /// What an update tells of a call: the call, once its arguments are known, then its result.
    pub(super) fn update(&mut self, update: &Value) -> Vec<Said> {
        let id = text(update, "toolCallId").to_owned();
        if self.0.len() >= UNDER_WAY && !self.0.contains_key(&id) {
            self.0.pop_first();
        }
        let call = self.0.entry(id.clone()).or_default();
        call.take_in(update);
        let status = text(update, "status");
        let over = matches!(status, "completed" | "failed");
        let known = call.input.as_object().is_some_and(|input| !input.is_empty());
        let mut said = Vec::new();
        if !call.told && (known || over) {
            call.told = true;
            call.settle();
            let (name, input) = (call.name.clone(), call.input.clone());
            said.push(Said::Event(SessionEventKind::ToolCall { id: id.clone(), name, input }));
        }
        if over && let Some(call) = self.0.remove(&id) {
            let is_error = status == "failed" || call.failed;
            let output = output(update, call.output);
            said.push(Said::Event(SessionEventKind::ToolResult { id, is_error, output }));
        }
        said
    }
}

impl Call {
    /// pi-acp tells a command as the title of a call without arguments.
    fn settle(&mut self) {
        if self.kind == "execute" && self.input.as_object().is_none_or(serde_json::Map::is_empty) {
            self.input = json!({ "command": std::mem::replace(&mut self.name, self.kind.clone()) });
        }
    }

    fn take_in(&mut self, update: &Value) {
        let titles = ["name", "title", "kind"].map(|key| text(update, key));
        if self.name.is_empty() {
            self.name = titles.iter().find(|it| !it.is_empty()).copied().unwrap_or_default().to_owned();
        }
        if self.kind.is_empty() {
            self.kind = text(update, "kind").to_owned();
        }
        let input = part(update, "rawInput");
        if input.as_object().is_some_and(|input| !input.is_empty()) || (self.input.is_null() && !input.is_null()) {
            self.input = input.clone();
        }
        let meta = part(update, "_meta");
        for key in ["terminal_output", "terminal_output_delta"] {
            let shown = text(part(meta, key), "data");
            let room = OUTPUT.saturating_sub(self.output.len());
            self.output.push_str(&shown[..shown.floor_char_boundary(room)]);
        }
        self.failed |= part(part(meta, "terminal_exit"), "exit_code").as_i64().is_some_and(|code| code != 0);
    }
}

/// What a tool answered: as the agent got it, what its terminal showed, or what is shown to a person.
fn output(update: &Value, terminal: String) -> String {
    match part(update, "rawOutput") {
        Value::String(output) => output.clone(),
        _ if !terminal.is_empty() => terminal,
        Value::Null => {
            let shown = list(update, "content").iter().map(|content| text(part(content, "content"), "text"));
            shown.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        }
        output => texts_of(output),
    }
}

//! The lane kind `acp`: any agent that speaks the Agent Client Protocol, version 1. One process takes all messages.
//!
//! The host is the client: `initialize`, `session/new`, `session/set_mode` where the agent has a mode that asks for
//! nothing, then `session/prompt` for each message. It offers neither files nor terminals, and grants every permission
//! that is asked for all the same, as the other kinds do.
//!
//! | line | event |
//! |---|---|
//! | answer to `session/new` | started |
//! | `agent_message_chunk` | message, when it is whole: before a tool call, another message or the end |
//! | `tool_call`, `tool_call_update` | tool call, once its arguments are known, then its result |
//! | answer to `session/prompt` | usage where it is told, then the end of the turn |
//! | pieces of messages and thoughts, states | one of twenty raw |
//! | anything else | raw |
//!
//! Some adapters tell as messages what are none: that they try again, warnings, a banner. Those that were seen are told
//! by their words, see `notice`. A turn that ends well without a word or a tool call is a fault, since `pi-acp` ends so
//! when its provider refuses: `overload` after a back-off, `launch` if the model has never answered, else `crash`.
//!
//! The messages are read by hand, and not with the types of the crate `agent-client-protocol`: a line must be kept as it
//! came and an unknown kind, field or version of it do no harm, and the crate would own both ends of the pipe. What is
//! sent and understood is held to that crate by `host/tests/acp_library.rs`.
//!
//! An error as answer is a fault, see [`super::external::Refusal`]; -32000 means that a login is in want. A cost is not
//! taken over: adapters tell one also for models whose price they do not know.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde_json::{Value, json};

use super::{
    LaneKind,
    external::{Asked, Invocation, Program, Refusal, Thread, integer, list, part, refused_to_start, text, texts_of},
    process::AgentExit,
    turn::{Dialect, Said},
};
use crate::model::{AgentSettings, BackOff, Fault, FaultClass, SessionEventKind, Usage};

#[cfg(test)]
mod tests;

/// How many pieces of a message make one event.
const PIECES: u32 = 20;
/// How much of one message is kept.
const MESSAGE: usize = 1 << 20;
/// The numbers of the two requests before the first prompt's.
const INITIALIZE: u64 = 0;
const NEW_SESSION: u64 = 1;
/// The number of another one, above those of all prompts.
const SET_MODE: u64 = 1 << 32;
/// Modes in which adapters ask for nothing: of `claude-agent-acp` and of `codex-acp`. What an agent may do is the
/// confinement's to say.
const ASKS_NOTHING: [&str; 2] = ["bypassPermissions", "agent-full-access"];

/// Any agent that speaks ACP.
pub(super) struct Acp;

impl Program for Acp {
    fn kind(&self) -> LaneKind {
        LaneKind::Acp
    }

    fn name(&self) -> Option<&'static str> {
        None
    }

    /// It may be an adapter of any agent, so that every agent's variables are set.
    fn variables(&self, settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)> {
        let adapted = [&super::claude::Claude as &dyn Program, &super::codex::Codex, &super::pi::Pi];
        adapted.into_iter().flat_map(|program| program.variables(settings, config_dir)).collect()
    }

    fn invocation(&self, asked: &Asked<'_>) -> Result<Invocation, Fault> {
        Ok(Invocation { args: asked.settings.args.iter().map(OsString::from).collect(), stdin: None })
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn dialect(&self, thread: &Thread, settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(AcpDialect { thread: thread.clone(), mode: settings.mode.clone(), ..AcpDialect::default() })
    }
}

#[derive(Default)]
struct AcpDialect {
    thread: Thread,
    /// The mode that the lane asks for.
    mode: Option<String>,
    /// The first message, until the session is there.
    first: Option<String>,
    /// The number of the last prompt.
    prompt: u64,
    /// Whether it is not answered.
    busy: bool,
    /// The message that is coming in, and its name.
    message: String,
    message_id: String,
    calls: BTreeMap<String, Call>,
    pieces: u32,
    /// Whether the model has done anything in this turn, and whether it was waited for.
    acted: bool,
    backed_off: bool,
}

/// A tool call as far as it is known.
#[derive(Default)]
struct Call {
    name: String,
    input: Value,
    output: String,
    failed: bool,
    told: bool,
}

impl Dialect for AcpDialect {
    fn begin(&mut self, message: &str) -> Vec<Said> {
        if self.thread.id().is_some() {
            return vec![self.prompt(message)];
        }
        self.first = Some(message.to_owned());
        let capabilities = json!({ "fs": { "readTextFile": false, "writeTextFile": false }, "terminal": false });
        vec![request(INITIALIZE, "initialize", &json!({ "protocolVersion": 1, "clientCapabilities": capabilities }))]
    }

    fn read(&mut self, line: &str) -> Vec<Said> {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return Vec::new() };
        match (text(&value, "method"), value.get("id")) {
            ("session/update", None) => self.update(part(part(&value, "params"), "update")),
            ("", Some(id)) => self.answer(id.as_u64(), &value),
            (_, None) => Vec::new(),
            (method, Some(id)) => vec![asked(method, id, part(&value, "params"))],
        }
    }

    fn ended(&mut self, exit: &AgentExit, stderr: &str) -> Vec<Said> {
        refused_to_start(exit, stderr, self.thread.answered())
    }
}

impl AcpDialect {
    fn prompt(&mut self, message: &str) -> Said {
        self.prompt = self.prompt.max(NEW_SESSION) + 1;
        self.busy = true;
        (self.acted, self.backed_off) = (false, false);
        let session = self.thread.id().unwrap_or_default();
        let prompt = json!([{ "type": "text", "text": message }]);
        request(self.prompt, "session/prompt", &json!({ "sessionId": session, "prompt": prompt }))
    }

    fn answer(&mut self, id: Option<u64>, value: &Value) -> Vec<Said> {
        let result = part(value, "result");
        match id {
            Some(INITIALIZE | NEW_SESSION | SET_MODE) if value.get("error").is_some() => {
                vec![self.broken(part(value, "error"))]
            }
            Some(INITIALIZE) if self.first.is_some() => match integer(result, "protocolVersion") {
                Some(1) => {
                    let cwd = self.thread.root().display().to_string();
                    vec![request(NEW_SESSION, "session/new", &json!({ "cwd": cwd, "mcpServers": [] })), Said::Known]
                }
                version => {
                    let told = version.map_or("none".to_owned(), |version| version.to_string());
                    let message = format!("the agent speaks version {told} of ACP, but this host speaks version 1");
                    vec![Said::Broken(Fault::new(FaultClass::Launch, message))]
                }
            },
            Some(NEW_SESSION) => self.started(result),
            Some(SET_MODE) => self.first.take().map(|first| self.prompt(&first)).into_iter().collect(),
            Some(id) if self.busy && id == self.prompt => {
                self.busy = false;
                match value.get("error") {
                    Some(error) => vec![self.broken(error)],
                    None => self.finished(result),
                }
            }
            _ => Vec::new(),
        }
    }

    fn started(&mut self, result: &Value) -> Vec<Said> {
        let id = text(result, "sessionId").to_owned();
        if id.is_empty() || self.first.is_none() {
            return Vec::new();
        }
        self.thread.set_id(&id);
        let model = Some(text(part(result, "models"), "currentModelId")).filter(|model| !model.is_empty());
        let started = SessionEventKind::Started { session_id: id.clone(), model: model.map(str::to_owned) };
        let next = match self.wanted_mode(part(result, "modes")) {
            Ok(Some(mode)) => request(SET_MODE, "session/set_mode", &json!({ "sessionId": id, "modeId": mode })),
            Ok(None) => {
                let first = self.first.take().unwrap_or_default();
                self.prompt(&first)
            }
            Err(problem) => Said::Broken(Fault::new(FaultClass::Launch, problem)),
        };
        vec![Said::Event(started), next]
    }

    /// The mode that the session is to be put into, if it is not in it.
    fn wanted_mode(&self, modes: &Value) -> Result<Option<String>, String> {
        let offered: Vec<&str> = list(modes, "availableModes").iter().map(|mode| text(mode, "id")).collect();
        let wanted = match self.mode.as_deref() {
            Some(mode) if !offered.contains(&mode) => {
                let offered =
                    if offered.is_empty() { "none".to_owned() } else { format!("`{}`", offered.join("`, `")) };
                return Err(format!("the lane asks for the mode `{mode}`, but the agent offers {offered}"));
            }
            Some(mode) => Some(mode),
            None => ASKS_NOTHING.into_iter().find(|mode| offered.contains(mode)),
        };
        Ok(wanted.filter(|mode| *mode != text(modes, "currentModeId")).map(str::to_owned))
    }

    fn finished(&mut self, result: &Value) -> Vec<Said> {
        let mut said = self.tell_message();
        let used = part(result, "usage");
        let output = integer(used, "outputTokens");
        let total = integer(used, "totalTokens").filter(|total| *total > 0);
        if let Some(total) = total {
            // Adapters differ in whether their `inputTokens` hold the cached ones; the total does.
            let this = Usage {
                input_tokens: Some(total.saturating_sub(output.unwrap_or(0))),
                cached_input_tokens: integer(used, "cachedReadTokens"),
                output_tokens: output,
                cost_micro_usd: None,
            };
            said.push(Said::Event(SessionEventKind::Usage(self.thread.add_usage(&this))));
        }
        said.push(match text(result, "stopReason") {
            reason @ ("" | "cancelled") => {
                let message = format!("the agent broke off its turn: stop reason `{reason}`");
                Said::Broken(Fault::new(FaultClass::Crash, message))
            }
            "end_turn" if !self.acted => {
                let class = match (self.backed_off, self.thread.answered()) {
                    (true, _) => FaultClass::Overload,
                    (false, false) => FaultClass::Launch,
                    (false, true) => FaultClass::Crash,
                };
                let message = "the agent ended its turn without a word, as when its provider refuses it; look at its \
                               transcript, and at the lane's credentials, model and provider";
                Said::Broken(Fault::new(class, message))
            }
            reason => Said::Finished { stop_reason: reason.to_owned() },
        });
        said
    }

    /// The words of an error may have come as a message.
    fn broken(&mut self, error: &Value) -> Said {
        let code = part(error, "code").as_i64();
        let details = texts_of(part(error, "data"));
        let message = std::mem::take(&mut self.message);
        let words: Vec<&str> =
            [text(error, "message"), &details, message.trim()].into_iter().filter(|it| !it.is_empty()).collect();
        let status = (code == Some(-32000)).then_some(401);
        let answered = self.thread.answered();
        Said::Broken(Refusal { status, code: "", words: &words.join(": "), answered }.fault())
    }

    fn update(&mut self, update: &Value) -> Vec<Said> {
        match text(update, "sessionUpdate") {
            "agent_message_chunk" if self.busy => self.chunk(update),
            "tool_call" => self.call(update),
            "tool_call_update" => self.call(update),
            "agent_message_chunk"
            | "agent_thought_chunk"
            | "user_message_chunk"
            | "usage_update"
            | "available_commands_update"
            | "session_info_update"
            | "current_mode_update"
            | "config_option_update" => self.piece(),
            _ => Vec::new(),
        }
    }

    fn piece(&mut self) -> Vec<Said> {
        self.pieces = (self.pieces + 1) % PIECES;
        if self.pieces == 0 { Vec::new() } else { vec![Said::Known] }
    }

    fn chunk(&mut self, update: &Value) -> Vec<Said> {
        let id = text(update, "messageId");
        let words = text(part(update, "content"), "text");
        if id.is_empty()
            && let Some(notice) = notice(words)
        {
            self.backed_off |= matches!(notice[..], [Said::Event(SessionEventKind::BackOff(_))]);
            return notice;
        }
        let mut said = if id == self.message_id { Vec::new() } else { self.tell_message() };
        self.message_id = id.to_owned();
        if self.message.len() + words.len() <= MESSAGE {
            self.message.push_str(words);
        }
        if said.is_empty() {
            said = self.piece();
        }
        said
    }

    /// The message that has come in, if there is one.
    fn tell_message(&mut self) -> Vec<Said> {
        let text = std::mem::take(&mut self.message).trim().to_owned();
        if text.is_empty() {
            return Vec::new();
        }
        self.acted = true;
        self.thread.set_answered();
        vec![Said::Event(SessionEventKind::Message { text })]
    }

    fn call(&mut self, update: &Value) -> Vec<Said> {
        let id = text(update, "toolCallId").to_owned();
        let mut said = self.tell_message();
        self.acted = true;
        self.thread.set_answered();
        let call = self.calls.entry(id.clone()).or_default();
        let titles = ["name", "title", "kind"].map(|key| text(update, key));
        if call.name.is_empty() {
            call.name = titles.iter().find(|it| !it.is_empty()).copied().unwrap_or_default().to_owned();
        }
        let input = part(update, "rawInput");
        if input.as_object().is_some_and(|input| !input.is_empty()) || (call.input.is_null() && !input.is_null()) {
            call.input = input.clone();
        }
        let known = call.input.as_object().is_some_and(|input| !input.is_empty());
        let meta = part(update, "_meta");
        for key in ["terminal_output", "terminal_output_delta"] {
            call.output.push_str(text(part(meta, key), "data"));
        }
        call.failed |= part(part(meta, "terminal_exit"), "exit_code").as_i64().is_some_and(|code| code != 0);
        let status = text(update, "status");
        let over = matches!(status, "completed" | "failed");
        if !call.told && (known || over) {
            call.told = true;
            let (name, input) = (call.name.clone(), call.input.clone());
            said.push(Said::Event(SessionEventKind::ToolCall { id: id.clone(), name, input }));
        }
        if over && let Some(call) = self.calls.remove(&id) {
            let is_error = status == "failed" || call.failed;
            let output = output(update, call.output);
            said.push(Said::Event(SessionEventKind::ToolResult { id, is_error, output }));
        }
        if said.is_empty() { self.piece() } else { said }
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

/// What a message of an adapter means that is not the model's: it comes whole, and without a name.
fn notice(words: &str) -> Option<Vec<Said>> {
    // pi-acp 0.0.34.
    if let Some(rest) = words.strip_prefix("Retrying (attempt ") {
        let number =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse::<u32>().ok());
        let delay = rest.split_once("waiting ").and_then(|(_, delay)| number(delay));
        let delay_ms = delay.map(|seconds| u64::from(seconds) * 1000);
        let back_off = BackOff { attempt: number(rest), delay_ms, reason: words.to_owned() };
        return Some(vec![Said::Event(SessionEventKind::BackOff(back_off))]);
    }
    // Of the same, and codex-acp 2.6.
    let banner = words.starts_with("pi v") && words.ends_with("---\n");
    (banner || words.starts_with("Retry finished") || words.starts_with("Warning: ")).then(Vec::new)
}

/// Answers a request of the agent's.
fn asked(method: &str, id: &Value, params: &Value) -> Said {
    let options = list(params, "options");
    let allowed = options.iter().find(|option| text(option, "kind").starts_with("allow"));
    let answer = match (method, allowed) {
        ("session/request_permission", Some(option)) => {
            json!({ "result": { "outcome": { "outcome": "selected", "optionId": part(option, "optionId") } } })
        }
        ("session/request_permission", None) => json!({ "result": { "outcome": { "outcome": "cancelled" } } }),
        _ => json!({ "error": { "code": -32601, "message": "this client has no such method" } }),
    };
    let mut answer = answer;
    answer["jsonrpc"] = "2.0".into();
    answer["id"] = id.clone();
    Said::Answer(answer.to_string())
}

fn request(id: u64, method: &str, params: &Value) -> Said {
    Said::Answer(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
}

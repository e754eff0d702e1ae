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
//! | `session_info_update` of codex-acp | back-off, and whether the turn has failed |
//! | pieces of messages and thoughts, states | one of twenty raw |
//! | anything else, and whatever is of another session | raw |
//!
//! Some adapters tell as messages what are none: that they try again, warnings, a banner. Those that were seen are told
//! by their words, see `notices`. codex-acp ends a failed turn well, too, and tells the error as a message. A turn that
//! ends well without a word or a tool call is a fault, since `pi-acp` ends so when its provider refuses: `overload`
//! after a back-off, `launch` if the model has never answered, else `crash`.
//!
//! The messages are read by hand, and not with the types of the crate `agent-client-protocol`: a line must be kept as it
//! came and an unknown kind, field or version of it do no harm, and the crate would own both ends of the pipe. What is
//! sent and understood is held to that crate by `host/tests/acp_library.rs`.
//!
//! An error as answer is a fault, see [`super::external::Refusal`]; -32000 means that a login is in want, and what is
//! not known otherwise is a fault of class `launch` before the first prompt. A turn that the agent's own bound ends
//! (`max_turn_requests`) is one of class `limit`. A cost is not taken over: adapters tell one also for models whose
//! price they do not know.

mod calls;
mod notices;
#[cfg(test)]
mod tests;
mod wire;

use std::{ffi::OsString, path::Path};

use serde_json::{Value, json};

use self::{
    calls::Calls,
    notices::{Notice, OfCodex, notice, of_codex},
    wire::{asked, model, request, words},
};
use super::{
    LaneKind,
    external::{Asked, Invocation, Program, Refusal, Thread, integer, list, part, refused_to_start, text},
    process::AgentExit,
    turn::{Dialect, Said},
};
use crate::model::{AgentSettings, BackOff, Fault, FaultClass, SessionEventKind, Usage};

/// How many pieces of a message make one event.
const PIECES: u32 = 20;
/// How much of one message is kept.
const MESSAGE: usize = 1 << 20;
/// The numbers of the two requests before the first prompt's.
const INITIALIZE: u64 = 0;
const NEW_SESSION: u64 = 1;
/// The number of another one, above those of all prompts.
const SET_MODE: u64 = 1 << 32;
/// The error that says that the agent must be logged in.
const LOGIN_WANTED: i64 = -32000;
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
        let own = adapted.into_iter().flat_map(|program| program.variables(settings, config_dir));
        own.chain(super::codex::config_of_adapter(settings).map(|config| ("CODEX_CONFIG", config.into()))).collect()
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
    /// The message that is coming in, whether there was too much of it, and its name.
    message: String,
    cut: bool,
    message_id: String,
    calls: Calls,
    pieces: u32,
    /// Whether the model has done anything in this turn, and whether it was waited for.
    acted: bool,
    backed_off: bool,
    /// Whether the adapter tells that the turn has failed, however it ends it.
    failed: bool,
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
            ("session/update", None) => self.notified(part(&value, "params")),
            ("", Some(id)) => self.answer(id.as_u64(), &value),
            (_, None) => Vec::new(),
            (method, Some(id)) => vec![asked(method, id, part(&value, "params"))],
        }
    }

    fn ended(&mut self, exit: &AgentExit, stderr: &str) -> Vec<Said> {
        let why = refused_to_start(exit, stderr, self.thread.answered());
        // What has come of a message is told, although its end is missing.
        let mut said = self.tell_message();
        said.extend(why);
        said
    }
}

impl AcpDialect {
    fn prompt(&mut self, message: &str) -> Said {
        self.prompt = self.prompt.max(NEW_SESSION) + 1;
        self.busy = true;
        (self.acted, self.backed_off, self.failed) = (false, false, false);
        let session = self.thread.id().unwrap_or_default();
        let prompt = json!([{ "type": "text", "text": message }]);
        request(self.prompt, "session/prompt", &json!({ "sessionId": session, "prompt": prompt }))
    }

    fn answer(&mut self, id: Option<u64>, value: &Value) -> Vec<Said> {
        let result = part(value, "result");
        match id {
            Some(INITIALIZE | NEW_SESSION | SET_MODE) if value.get("error").is_some() => {
                vec![self.not_begun(part(value, "error"))]
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
        if self.first.is_none() {
            return Vec::new();
        }
        if id.is_empty() {
            let message = "the agent did not name the session in its answer to `session/new`";
            return vec![Said::Broken(Fault::new(FaultClass::Protocol, message))];
        }
        self.thread.set_id(&id);
        let started = SessionEventKind::Started { session_id: id.clone(), model: model(result) };
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
        let error = (self.failed && self.message_id.is_empty()).then(|| std::mem::take(&mut self.message));
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
        let broken = |class, message: &str| Said::Broken(Fault::new(class, message));
        said.push(match text(result, "stopReason") {
            "" => broken(FaultClass::Protocol, "the agent ended its turn without a stop reason"),
            _ if self.failed => {
                let (words, answered) = (error.as_deref().unwrap_or_default(), self.thread.answered());
                Said::Broken(Refusal { words, answered, ..Refusal::default() }.fault())
            }
            "cancelled" => broken(FaultClass::Crash, "the agent broke off its turn: stop reason `cancelled`"),
            "max_turn_requests" => {
                broken(FaultClass::Limit, "the agent ran into its own bound: stop reason `max_turn_requests`")
            }
            "end_turn" if !self.acted => {
                let class = match (self.backed_off, self.thread.answered()) {
                    (true, _) => FaultClass::Overload,
                    (false, false) => FaultClass::Launch,
                    (false, true) => FaultClass::Crash,
                };
                let message = "the agent ended its turn without a word, as when its provider refuses it; look at its \
                               transcript, and at the lane's credentials, model and provider";
                broken(class, message)
            }
            reason => Said::Finished { stop_reason: reason.to_owned() },
        });
        said
    }

    /// The words of an error may have come as a message.
    fn broken(&mut self, error: &Value) -> Said {
        let message = std::mem::take(&mut self.message);
        Said::Broken(self.refusal(error, message.trim()))
    }

    /// An error before the first prompt. What nobody knows better is the lane's: it would be the same again.
    fn not_begun(&self, error: &Value) -> Said {
        let mut fault = self.refusal(error, "");
        if fault.class == FaultClass::Crash {
            fault =
                Fault::new(FaultClass::Launch, format!("the agent did not begin its session: {}", words(error, "")));
        }
        Said::Broken(fault)
    }

    fn refusal(&self, error: &Value, message: &str) -> Fault {
        let status = (part(error, "code").as_i64() == Some(LOGIN_WANTED)).then_some(401);
        Refusal { status, code: "", words: &words(error, message), answered: self.thread.answered() }.fault()
    }

    fn notified(&mut self, params: &Value) -> Vec<Said> {
        let session = text(params, "sessionId");
        // Another session, such as a sub-agent's, is not the person's.
        let known = self.thread.id();
        if known.is_some_and(|known| !session.is_empty() && session != known) {
            return Vec::new();
        }
        self.update(part(params, "update"))
    }

    fn update(&mut self, update: &Value) -> Vec<Said> {
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
            | "config_option_update" => self.piece(),
            _ => Vec::new(),
        }
    }

    fn piece(&mut self) -> Vec<Said> {
        self.pieces = (self.pieces + 1) % PIECES;
        if self.pieces == 0 { Vec::new() } else { vec![Said::Known] }
    }

    fn state(&mut self, update: &Value) -> Vec<Said> {
        match of_codex(update) {
            Some(OfCodex::BackOff(back_off)) => return self.back_off(back_off),
            Some(OfCodex::Failed) => self.failed = true,
            Some(OfCodex::Active) => self.failed = false,
            None => {}
        }
        self.piece()
    }

    fn back_off(&mut self, back_off: BackOff) -> Vec<Said> {
        self.backed_off = true;
        vec![Said::Event(SessionEventKind::BackOff(back_off))]
    }

    fn chunk(&mut self, update: &Value) -> Vec<Said> {
        let id = text(update, "messageId");
        let words = text(part(update, "content"), "text");
        if id.is_empty() {
            match notice(words) {
                Some(Notice::BackOff(back_off)) => return self.back_off(back_off),
                Some(Notice::Noise) => return Vec::new(),
                None => {}
            }
        }
        let mut said = if id == self.message_id { Vec::new() } else { self.tell_message() };
        self.message_id = id.to_owned();
        if !id.is_empty() {
            // One without a name may be the adapter's.
            self.thread.set_answered();
        }
        let room = if self.cut { 0 } else { MESSAGE.saturating_sub(self.message.len()) };
        self.cut |= words.len() > room;
        self.message.push_str(&words[..words.floor_char_boundary(room)]);
        if said.is_empty() {
            said = self.piece();
        }
        said
    }

    /// The message that has come in, if there is one.
    fn tell_message(&mut self) -> Vec<Said> {
        let mut text = std::mem::take(&mut self.message).trim().to_owned();
        if text.is_empty() {
            return Vec::new();
        }
        if std::mem::take(&mut self.cut) {
            text.push_str(&format!(" … [cut after {} MiB]", MESSAGE >> 20));
        }
        self.acted = true;
        self.thread.set_answered();
        vec![Said::Event(SessionEventKind::Message { text })]
    }

    fn call(&mut self, update: &Value) -> Vec<Said> {
        let mut said = self.tell_message();
        self.acted = true;
        self.thread.set_answered();
        said.extend(self.calls.update(update));
        if said.is_empty() { self.piece() } else { said }
    }
}

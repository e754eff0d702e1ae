//! The lane kind `acp`: any agent that speaks the Agent Client Protocol, version 1. One process takes all messages.
//!
//! The host is the client. It sends `initialize`, `session/new`, `session/set_mode` if the agent has a mode without
//! permission requests, then `session/prompt` for each message. It offers neither files nor terminals, and grants every
//! permission, as the other kinds do.
//!
//! | line | event |
//! |---|---|
//! | response to `session/new` | started |
//! | `agent_message_chunk` | message, once complete: before a tool call, another message or the end |
//! | `tool_call`, `tool_call_update` | tool call, once its arguments are known, then its result |
//! | response to `session/prompt` | usage if reported, then the end of the turn |
//! | `session_info_update` of codex-acp | back-off, and whether the turn has failed |
//! | chunks of messages and thoughts, states | every twentieth is raw |
//! | anything else, and updates of other sessions | raw |
//!
//! Some adapters send retries, warnings and banners as messages. Known ones are recognized by their text, see
//! `notices`. codex-acp also ends failed turns normally and sends the error as a message.
//!
//! Some agents send the last message right after the response to the prompt. It belongs to the turn, which ends after a
//! short silence.
//!
//! Every request is answered, an unknown one with an error, as long as its id is readable.
//!
//! Messages are parsed by hand instead of with the types of the crate `agent-client-protocol`: lines must be recorded
//! as received, unknown kinds, fields and versions must do no harm, and the crate would own both ends of the pipe.
//! `host/cli/tests/agents/acp_library.rs` checks the messages against that crate.
//!
//! An error response is a fault, see [`ProviderError`]; -32000 means that a login is
//! required. Before the first prompt, unknown errors are faults of class `launch`. A turn that exceeds the agent's own
//! limit (`max_turn_requests`) is a fault of class `limit`. Costs are ignored: adapters report them even for models
//! whose price they do not know.

mod messages;
mod notices;
mod start;
#[cfg(test)]
mod tests;
mod tool_calls;
mod updates;

use std::{ffi::OsString, path::Path, time::Duration};

use serde_json::{Value, json};

use self::{
    messages::{RequestId, WANTED, answer_request, error_reply, error_text, request},
    tool_calls::ToolCalls,
};
use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::{Dialect, ParsedLine},
    exit::AgentExit,
    json::{
        line::ParsedJson,
        values::{integer, name, text},
        wanted_fields::WantedFields,
    },
    kinds::{
        ChunkCounter, claude, codex, pi,
        provider_error::{ProviderError, launch_failure},
    },
};
use host_model::{AgentSettings, Fault, FaultClass, LaneKind, SessionEventKind, Usage};

const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How long an agent must be silent after the end of its turn: if it said or did something, and if it did not, so that
/// more is expected.
const TRAILING_SILENCE: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(1)];
/// The ids of the two requests before the first prompt.
const INITIALIZE: u64 = 0;
const NEW_SESSION: u64 = 1;
/// The id of another request, above those of all prompts.
const SET_MODE: u64 = 1 << 32;
/// The error code of an agent that requires a login.
const LOGIN_REQUIRED: &str = "-32000";
pub(crate) struct Acp;

impl AgentProgram for Acp {
    fn kind(&self) -> LaneKind {
        LaneKind::Acp
    }

    /// It may be an adapter of any agent, so the variables of all agents are set.
    fn variables(&self, settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)> {
        let adapted = [&claude::Claude as &dyn AgentProgram, &codex::Codex, &pi::Pi];
        let own = adapted.into_iter().flat_map(|program| program.variables(settings, config_dir));
        own.chain(codex::config_of_adapter(settings).map(|config| ("CODEX_CONFIG", config.into()))).collect()
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault> {
        Ok(Invocation { args: request.settings.args.iter().map(OsString::from).collect(), stdin: None })
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn dialect(&self, conversation: &Conversation, settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(AcpDialect {
            conversation: conversation.clone(),
            mode: settings.mode.clone(),
            ..AcpDialect::default()
        })
    }
}

#[derive(Default)]
struct AcpDialect {
    conversation: Conversation,
    /// The mode that the lane requests.
    mode: Option<String>,
    /// The first message, until the session has started.
    first_message: Option<String>,
    /// The id of the last prompt.
    prompt_id: u64,
    /// Whether its turn is running.
    busy: bool,
    /// Its response, once received.
    final_result: Option<Value>,
    /// The message being received, whether it was cut, and its id.
    message: String,
    message_cut: bool,
    message_id: String,
    calls: ToolCalls,
    chunks: ChunkCounter,
    /// Whether the model did anything in this turn.
    acted: bool,
    /// Whether the adapter reported that the turn failed, however it ends it.
    failed: bool,
}

impl Dialect for AcpDialect {
    fn begin_turn(&mut self, message: &str) -> Vec<ParsedLine> {
        if self.conversation.id().is_some() {
            return vec![self.prompt(message)];
        }
        self.first_message = Some(message.to_owned());
        let capabilities = json!({ "fs": { "readTextFile": false, "writeTextFile": false }, "terminal": false });
        vec![request(INITIALIZE, "initialize", &json!({ "protocolVersion": 1, "clientCapabilities": capabilities }))]
    }

    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        Some(&WANTED)
    }

    fn parse_json(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        match &json.value {
            // A batch of messages, as older versions of JSON-RPC have them.
            Value::Array(messages) => {
                let messages = messages.iter().filter(|message| message.is_object());
                messages.flat_map(|message| self.handle_message(message, &RequestId::of(message, None))).collect()
            }
            message => self.handle_message(message, &RequestId::of(message, json.id.as_deref())),
        }
    }

    fn parse_damaged(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let message = &json.value;
        let id = RequestId::of(message, json.id.as_deref());
        if message.get("method").is_some() {
            let problem = "the request is not valid JSON";
            return id.is_some().then(|| error_reply(&id, -32700, problem)).into_iter().collect();
        }
        if self.expects_reply(&id) {
            let problem = format!("the agent's response to request {id} is not valid JSON");
            return vec![ParsedLine::failed(FaultClass::Protocol, problem)];
        }
        vec![ParsedLine::LostMessage]
    }

    fn finish_turn(&mut self) -> Vec<ParsedLine> {
        let Some(result) = self.final_result.take() else { return Vec::new() };
        self.busy = false;
        self.finish(&result)
    }

    fn process_exited(&mut self, exit: &AgentExit, stderr: &str) -> Vec<ParsedLine> {
        let why = launch_failure(exit, stderr, self.conversation.answered());
        // An incomplete message is reported, too.
        let mut parsed = self.flush_message();
        parsed.extend(why);
        parsed
    }
}

impl AcpDialect {
    fn handle_message(&mut self, message: &Value, id: &RequestId) -> Vec<ParsedLine> {
        let params = &message["params"];
        match message.get("method") {
            Some(Value::String(method)) if method == "session/update" => {
                let mut parsed = self.handle_notification(params);
                // A notification that expects a response.
                parsed.extend(id.is_some().then(|| id.reply(&json!({ "result": null }))));
                parsed
            }
            Some(Value::String(_)) if !id.is_some() => Vec::new(),
            Some(Value::String(method)) => vec![answer_request(method, id, params)],
            Some(_) if id.is_some() => vec![error_reply(id, -32600, "the method of a request must be a string")],
            Some(_) => Vec::new(),
            None if self.expects_reply(id) => self.handle_response(id.number(), message),
            // Neither a request nor a response.
            None if id.is_some() && message.get("result").is_none() && message.get("error").is_none() => {
                vec![error_reply(id, -32600, "a request must have a method")]
            }
            None => Vec::new(),
        }
    }

    /// Whether the agent owes a response to the request `id`.
    fn expects_reply(&self, id: &RequestId) -> bool {
        match id.number() {
            Some(INITIALIZE | NEW_SESSION | SET_MODE) => self.first_message.is_some(),
            Some(id) => self.busy && self.final_result.is_none() && id == self.prompt_id,
            None => false,
        }
    }

    fn handle_response(&mut self, id: Option<u64>, value: &Value) -> Vec<ParsedLine> {
        let result = &value["result"];
        // Some agents write both, one of them as null.
        let error = value.get("error").filter(|error| !error.is_null());
        match (id, error) {
            (Some(INITIALIZE | NEW_SESSION | SET_MODE), Some(error)) => vec![self.start_error(error)],
            (Some(INITIALIZE), None) => match integer(result, "protocolVersion") {
                Some(1) => {
                    let cwd = self.conversation.root().display().to_string();
                    vec![
                        request(NEW_SESSION, "session/new", &json!({ "cwd": cwd, "mcpServers": [] })),
                        ParsedLine::Ignored,
                    ]
                }
                version => {
                    let shown = version.map_or("none".to_owned(), |version| version.to_string());
                    let message =
                        format!("the agent supports version {shown} of ACP, but this host supports version 1");
                    vec![ParsedLine::failed(FaultClass::Launch, message)]
                }
            },
            (Some(NEW_SESSION), None) => self.started(result),
            (Some(SET_MODE), None) => {
                self.first_message.take().map(|first_message| self.prompt(&first_message)).into_iter().collect()
            }
            (_, Some(error)) => {
                self.busy = false;
                // The error may have been sent as a message.
                let message = std::mem::take(&mut self.message);
                vec![ParsedLine::Failed(self.provider_error(error, message.trim()))]
            }
            (_, None) => {
                let well =
                    !self.failed && !matches!(text(result, "stopReason"), "" | "cancelled" | "max_turn_requests");
                if !well {
                    self.busy = false;
                    return self.finish(result);
                }
                let silence = TRAILING_SILENCE[usize::from(!self.acted && self.message.trim().is_empty())];
                self.final_result = Some(result.clone());
                vec![ParsedLine::FinishedAfterSilence { silence }]
            }
        }
    }

    fn finish(&mut self, result: &Value) -> Vec<ParsedLine> {
        let error = (self.failed && self.message_id.is_empty()).then(|| std::mem::take(&mut self.message));
        let mut parsed = self.flush_message();
        let used = &result["usage"];
        let output = integer(used, "outputTokens");
        let total = integer(used, "totalTokens").filter(|total| *total > 0);
        if let Some(total) = total {
            // Adapters differ in whether `inputTokens` includes cached tokens; the total does.
            let this = Usage {
                input_tokens: Some(total.saturating_sub(output.unwrap_or(0))),
                cached_input_tokens: integer(used, "cachedReadTokens"),
                output_tokens: output,
                cost_micro_usd: None,
            };
            parsed.push(ParsedLine::Event(SessionEventKind::Usage(self.conversation.add_usage(&this))));
        }
        parsed.push(match text(result, "stopReason") {
            "" => ParsedLine::failed(FaultClass::Protocol, "the agent ended its turn without a stop reason"),
            _ if self.failed => {
                let (message, answered) = (error.as_deref().unwrap_or_default(), self.conversation.answered());
                ParsedLine::Failed(ProviderError { message, answered, ..ProviderError::default() }.fault())
            }
            "cancelled" => ParsedLine::failed(FaultClass::Crash, "the agent stopped its turn: stop reason `cancelled`"),
            "max_turn_requests" => ParsedLine::failed(
                FaultClass::Limit,
                "the agent exceeded its own limit: stop reason `max_turn_requests`",
            ),
            reason => ParsedLine::Finished { stop_reason: reason.to_owned() },
        });
        parsed
    }

    fn provider_error(&self, error: &Value, message: &str) -> Fault {
        let status = (name(error, "code").trim() == LOGIN_REQUIRED).then_some(401);
        ProviderError { status, code: "", message: &error_text(error, message), answered: self.conversation.answered() }
            .fault()
    }
}

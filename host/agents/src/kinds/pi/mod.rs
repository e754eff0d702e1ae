//! The lane kind `pi`: Pi, one `pi --mode json` per turn.
//!
//! | line | event |
//! |---|---|
//! | `session` | started; the model is reported later, with each answer |
//! | `message_end` of the assistant | message with its texts, unless it was aborted; usage |
//! | `tool_execution_start`, `tool_execution_end` | tool call, its result |
//! | `auto_retry_start`, `summarization_retry_scheduled` | back-off |
//! | `agent_settled` | the end of the turn, with the last answer's `stopReason`. Before 0.80, the exit of the program after `agent_end` |
//! | `message_update`, `tool_execution_update` | every twentieth is raw, so that an agent that writes a long answer is not idle |
//! | `agent_start`, `turn_start`, `message_start`, `turn_end`, `agent_end`, other `message_end` | none: they repeat other lines |
//! | anything else | raw |
//!
//! Pi always exits with 0. Usage is the sum over all answers, including failed ones; a cost of zero means that Pi has
//! no prices for the model.

use std::{ffi::OsString, io, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::{Dialect, ParsedLine},
    exit::AgentExit,
    json::{
        line::ParsedJson,
        values::{content_text, decimal, flag, integer, name, text},
        wanted_fields::WantedFields,
    },
    kinds::{
        ChunkCounter,
        provider_error::{ProviderError, launch_failure},
        usage,
    },
    safe_dir::SafeDir,
};
use host_model::{AgentSettings, BackOff, Fault, FaultClass, LaneKind, SessionEventKind};

#[cfg(test)]
mod tests;

/// The file in the config dir that lists providers.
const MODELS_FILE: &str = "models.json";
const MAX_MODELS_BYTES: u64 = 4 << 20;

const WANTED: WantedFields = WantedFields {
    facts: &[
        "type",
        "id",
        "message.role",
        "message.stopReason",
        "message.errorMessage",
        "message.usage.*",
        "message.content.type",
        "toolCallId",
        "toolName",
        "isError",
        "attempt",
        "delayMs",
        "errorMessage",
    ],
    texts: &["message.content", "message.content.text"],
};

pub(crate) struct Pi;

impl AgentProgram for Pi {
    fn kind(&self) -> LaneKind {
        LaneKind::Pi
    }

    fn name(&self) -> Option<&'static str> {
        Some("pi")
    }

    fn variables(&self, _settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("PI_CODING_AGENT_DIR", config_dir.into()),
            ("PI_OFFLINE", "1".into()),
            ("PI_TELEMETRY", "0".into()),
            ("PI_SKIP_VERSION_CHECK", "1".into()),
        ]
    }

    /// A provider's URL can only be set in `models.json`.
    fn prepare(&self, settings: &AgentSettings, config_dir: &Path) -> Result<(), String> {
        let Some(provider) = &settings.provider else { return Ok(()) };
        let (Some(name), Some(url)) = (provider.name(), &provider.base_url) else { return Ok(()) };
        let api = provider.api.as_deref().unwrap_or("anthropic-messages");
        let url = url.trim_end_matches('/');
        // The URL that clients of these APIs expect.
        let url = if api.starts_with("openai") { format!("{url}/v1") } else { url.to_owned() };
        let mut entry = Map::from_iter([("baseUrl".into(), url.into()), ("api".into(), api.into())]);
        // Pi ignores a provider without a key.
        let key = provider.key_variable.as_ref().map_or("none".to_owned(), |variable| format!("${variable}"));
        entry.insert("apiKey".into(), key.into());
        if let Some(model) = &settings.model {
            entry.insert("models".into(), json!([{ "id": model }]));
        }
        let path = config_dir.join(MODELS_FILE);
        add_provider(config_dir, name, entry)
            .map_err(|error| format!("cannot configure the provider in {}: {error}", path.display()))
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault> {
        let mut args: Vec<OsString> = vec!["--mode".into(), "json".into()];
        let provider = request.settings.provider.as_ref().and_then(|provider| provider.name());
        if let Some(provider) = provider {
            args.extend(["--provider".into(), provider.into()]);
        }
        if let Some(model) = &request.settings.model {
            args.extend(["--model".into(), model.into()]);
        }
        if let Some(conversation) = &request.conversation_id {
            args.extend(["--session".into(), conversation.into()]);
        }
        args.extend(request.settings.args.iter().map(OsString::from));
        // A message that looks like a flag is not one, and one that begins with `@` is not a file. Not every version
        // supports `--`.
        let is_special = request.message.starts_with(['@', '-']);
        let message = if is_special { format!(" {}", request.message) } else { request.message.to_owned() };
        args.push(message.into());
        Ok(Invocation { args, stdin: None })
    }

    fn dialect(&self, conversation: &Conversation, _settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(PiDialect { conversation: conversation.clone(), ..PiDialect::default() })
    }
}

/// Adds a provider to the models file. Other seeded settings of the provider, such as prices, stay.
fn add_provider(config_dir: &Path, name: &str, entry: Map<String, Value>) -> io::Result<()> {
    let dir = SafeDir::open(config_dir)?;
    let mut models = match dir.read_file(MODELS_FILE, MAX_MODELS_BYTES)? {
        Some(text) => serde_json::from_str(&text)?,
        None => json!({}),
    };
    let object = models.as_object_mut().ok_or_else(|| io::Error::other("it is not a JSON object"))?;
    let providers = object.entry("providers").or_insert_with(|| json!({})).as_object_mut();
    let known = providers.ok_or_else(|| io::Error::other("its `providers` is not a JSON object"))?;
    match known.get_mut(name).and_then(Value::as_object_mut) {
        Some(seeded) => entry.into_iter().for_each(|(key, value)| {
            if key != "models" || !seeded.contains_key("models") {
                seeded.insert(key, value);
            }
        }),
        None => drop(known.insert(name.to_owned(), Value::Object(entry))),
    }
    dir.replace_file(MODELS_FILE, models.to_string().as_bytes())
}

#[derive(Default)]
struct PiDialect {
    conversation: Conversation,
    chunks: ChunkCounter,
    stop_reason: String,
    error: String,
    /// Whether the agent has finished, as far as is known.
    ended: bool,
}

impl Dialect for PiDialect {
    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        Some(&WANTED)
    }

    fn parse_damaged(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let (value, message) = (&json.value, &json.value["message"]);
        let is_answer = text(value, "type") == "message_end" && matches!(text(message, "role"), "assistant" | "");
        if is_answer { vec![ParsedLine::LostMessage] } else { Vec::new() }
    }

    fn parse_json(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let value = &json.value;
        match text(value, "type") {
            "session" => self.conversation.started(name(value, "id"), None).into_iter().collect(),
            "message_end" => self.message(&value["message"]),
            "tool_execution_start" => vec![ParsedLine::Event(SessionEventKind::ToolCall {
                id: name(value, "toolCallId"),
                name: text(value, "toolName").to_owned(),
                input: value["args"].clone(),
            })],
            "tool_execution_end" => vec![ParsedLine::Event(SessionEventKind::ToolResult {
                id: name(value, "toolCallId"),
                is_error: flag(value, "isError").unwrap_or(false),
                output: content_text(&value["result"]["content"]),
            })],
            "auto_retry_start" | "summarization_retry_scheduled" => {
                vec![ParsedLine::Event(SessionEventKind::BackOff(BackOff {
                    attempt: integer(value, "attempt").and_then(|attempt| u32::try_from(attempt).ok()),
                    delay_ms: integer(value, "delayMs"),
                    reason: text(value, "errorMessage").to_owned(),
                }))]
            }
            "agent_settled" => vec![self.end_of_turn()],
            "message_update" | "tool_execution_update" => self.chunks.count(),
            "agent_start" | "agent_end" => {
                self.ended = text(value, "type") == "agent_end";
                vec![ParsedLine::Ignored]
            }
            "turn_start" | "message_start" | "turn_end" | "auto_retry_end" => vec![ParsedLine::Ignored],
            _ => Vec::new(),
        }
    }

    fn process_exited(&mut self, exit: &AgentExit, stderr: &str) -> Vec<ParsedLine> {
        if self.ended && *exit == AgentExit::Code(0) {
            return vec![match self.end_of_turn() {
                ParsedLine::Idle { stop_reason } => ParsedLine::Finished { stop_reason },
                other => other,
            }];
        }
        launch_failure(exit, stderr, self.conversation.answered())
    }
}

impl PiDialect {
    fn message(&mut self, message: &Value) -> Vec<ParsedLine> {
        if text(message, "role") != "assistant" {
            return vec![ParsedLine::Ignored];
        }
        self.stop_reason = text(message, "stopReason").to_owned();
        self.error = text(message, "errorMessage").to_owned();
        let mut parsed = Vec::new();
        if !matches!(self.stop_reason.as_str(), "error" | "aborted") {
            self.conversation.set_answered();
            let texts: Vec<&str> = match &message["content"] {
                Value::String(text) => vec![text],
                content => {
                    let blocks = content.as_array().into_iter().flatten();
                    blocks.filter(|block| text(block, "type") == "text").map(|block| text(block, "text")).collect()
                }
            };
            let texts: Vec<&str> = texts.into_iter().filter(|it| !it.is_empty()).collect();
            if !texts.is_empty() {
                parsed.push(ParsedLine::Event(SessionEventKind::Message { text: texts.join("\n") }));
            }
        }
        let used = &message["usage"];
        let tokens = ["input", "cacheRead", "cacheWrite", "output"].map(|key| integer(used, key));
        let used = usage(tokens, decimal(&used["cost"], "total").filter(|usd| *usd > 0.0));
        if !used.is_unknown() {
            parsed.push(ParsedLine::Event(SessionEventKind::Usage(self.conversation.add_usage(&used))));
        }
        if parsed.is_empty() { vec![ParsedLine::Ignored] } else { parsed }
    }

    fn end_of_turn(&self) -> ParsedLine {
        match self.stop_reason.as_str() {
            "error" => {
                let (message, answered) = (self.error.as_str(), self.conversation.answered());
                ParsedLine::Failed(ProviderError { message, answered, ..ProviderError::default() }.fault())
            }
            "aborted" => ParsedLine::failed(FaultClass::Crash, "the agent stopped: its turn was interrupted"),
            // There was no answer.
            "" => ParsedLine::Idle { stop_reason: "settled".to_owned() },
            reason => ParsedLine::Idle { stop_reason: reason.to_owned() },
        }
    }
}

//! The lane kind `codex`: Codex, one `codex exec` per turn.
//!
//! | line | event |
//! |---|---|
//! | `thread.started` | started; without the model |
//! | `item.completed` of `agent_message` | message |
//! | `item.started` and `item.completed` of `command_execution`, `file_change`, `mcp_tool_call`, `web_search`, `collab_tool_call` (workers, named by its `tool`) and other tools | tool call, then its result |
//! | `error`, `Reconnecting... N/M` | back-off; Codex does not report the delay |
//! | `turn.completed` | usage, then the end of the turn once the process has exited: it still writes to its databases |
//! | `turn.failed` | the end of the turn, see [`ProviderError`] |
//! | anything else: `reasoning`, `todo_list`, and `error` items, which are warnings | raw |
//!
//! `usage` covers the whole thread, including earlier turns (0.169). Codex never reports a cost.

use std::{collections::HashSet, ffi::OsString, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::{Dialect, ParsedLine},
    exit::AgentExit,
    json::{
        line::ParsedJson,
        values::{content_text, integer, name, text},
        wanted_fields::WantedFields,
    },
    kinds::provider_error::{ProviderError, launch_failure},
};
use host_model::{AgentSettings, BackOff, Fault, FaultClass, LaneKind, Provider, SessionEventKind, Usage};

#[cfg(test)]
mod tests;

const WANTED: WantedFields = WantedFields {
    facts: &[
        "type",
        "thread_id",
        "message",
        "error.message",
        "usage.*",
        "item.id",
        "item.type",
        "item.status",
        "item.exit_code",
        "item.server",
        "item.tool",
        "item.error.message",
    ],
    texts: &["item.text"],
};

pub(crate) struct Codex;

impl AgentProgram for Codex {
    fn kind(&self) -> LaneKind {
        LaneKind::Codex
    }

    fn name(&self) -> Option<&'static str> {
        Some("codex")
    }

    fn variables(&self, _settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)> {
        vec![("CODEX_HOME", config_dir.into())]
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault> {
        let mut args: Vec<OsString> = vec!["exec".into()];
        if request.conversation_id.is_some() {
            args.push("resume".into());
        }
        args.extend(
            ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"].map(OsString::from),
        );
        if let Some(model) = &request.settings.model {
            args.extend(["--model".into(), model.into()]);
        }
        // Passed on the command line so that a seeded `config.toml` stays unchanged.
        args.extend(overrides(request.settings).into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        args.extend(request.settings.args.iter().map(OsString::from));
        if let Some(conversation) = &request.conversation_id {
            args.push(conversation.into());
        }
        // A message that looks like a flag is not one, and a single dash does not mean standard input.
        let message = if request.message == "-" { " -" } else { request.message };
        args.extend(["--".into(), message.into()]);
        Ok(Invocation { args, stdin: None })
    }

    fn dialect(&self, conversation: &Conversation, _settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(CodexDialect {
            conversation: conversation.clone(),
            open_items: HashSet::new(),
            error: String::new(),
            too_old: false,
        })
    }
}

/// Overrides of `config.toml`.
fn overrides(settings: &AgentSettings) -> Vec<String> {
    let off = ["check_for_update_on_startup", "analytics.enabled", "feedback.enabled", "features.plugins"];
    let mut overrides: Vec<String> = off.map(|key| format!("{key}=false")).into();
    let Some(provider) = &settings.provider else { return overrides };
    // A JSON string is also a TOML string.
    let quoted = |text: &str| Value::from(text).to_string();
    if let Some(name) = provider.name() {
        overrides.push(format!("model_provider={}", quoted(name)));
        let keys = provider_keys(provider);
        overrides.extend(keys.iter().map(|(key, value)| format!("model_providers.{name}.{key}={}", quoted(value))));
    }
    overrides
}

/// The settings in `config.toml` for a provider with a URL.
fn provider_keys(provider: &Provider) -> Vec<(&'static str, String)> {
    let (Some(name), Some(url)) = (provider.name(), &provider.base_url) else { return Vec::new() };
    let url = format!("{}/v1", url.trim_end_matches('/'));
    let mut keys = vec![("name", name.to_owned()), ("base_url", url), ("wire_api", "responses".to_owned())];
    keys.extend(provider.key_variable.clone().map(|variable| ("env_key", variable)));
    keys
}

/// The same settings for codex-acp, in its variable `CODEX_CONFIG`, if the lane sets both URL and key. Without its own
/// provider, Codex asks OpenAI for the list of models and waits for the response.
pub(crate) fn config_of_adapter(settings: &AgentSettings) -> Option<String> {
    let provider = settings.provider.as_ref().filter(|it| it.base_url.is_some() && it.key_variable.is_some())?;
    let name = provider.name()?;
    let keys: Map<String, Value> =
        provider_keys(provider).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    Some(json!({ "model_provider": name, "model_providers": { name: keys } }).to_string())
}

struct CodexDialect {
    conversation: Conversation,
    /// Items with a reported call and no result yet. Ids start over in each turn.
    open_items: HashSet<String>,
    /// The last error that was not a back-off.
    error: String,
    /// Whether it prints `{"id":…,"msg":{…}}`, a format without session id and end of turn.
    too_old: bool,
}

impl Dialect for CodexDialect {
    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        Some(&WANTED)
    }

    fn parse_json(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let value = &json.value;
        if value["msg"].is_object() && value["type"].is_null() {
            self.too_old = true;
        }
        match text(value, "type") {
            "thread.started" => self.conversation.started(name(value, "thread_id"), None).into_iter().collect(),
            "item.started" => self.item(&value["item"], false),
            "item.completed" => self.item(&value["item"], true),
            "error" => self.error(text(value, "message")),
            "turn.completed" => self.completed(&value["usage"]),
            "turn.failed" => {
                let error = &value["error"];
                let message = error.as_str().unwrap_or_else(|| text(error, "message"));
                vec![self.failed(message)]
            }
            _ => Vec::new(),
        }
    }

    fn parse_damaged(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let (value, item) = (&json.value, &json.value["item"]);
        let is_message = text(value, "type") == "item.completed" && text(item, "type") == "agent_message";
        if is_message { vec![ParsedLine::LostMessage] } else { Vec::new() }
    }

    fn process_exited(&mut self, exit: &AgentExit, stderr: &str) -> Vec<ParsedLine> {
        if self.too_old {
            let message =
                "this version of Codex prints its events in an older format (0.39 does so); install a newer one";
            return vec![ParsedLine::failed(FaultClass::Launch, message)];
        }
        if !self.error.is_empty() && matches!(exit, AgentExit::Code(1..128)) {
            return vec![self.failed("")];
        }
        launch_failure(exit, stderr, self.conversation.answered())
    }
}

impl CodexDialect {
    fn item(&mut self, item: &Value, completed: bool) -> Vec<ParsedLine> {
        let kind = text(item, "type");
        match kind {
            "agent_message" if completed => {
                self.conversation.set_answered();
                if text(item, "text").trim().is_empty() {
                    return vec![ParsedLine::Ignored];
                }
                vec![ParsedLine::Event(SessionEventKind::Message { text: text(item, "text").to_owned() })]
            }
            // Messages, plans and warnings are not tools.
            "" | "agent_message" | "reasoning" | "todo_list" | "error" | "user_message" => Vec::new(),
            _ => {
                self.conversation.set_answered();
                self.tool(kind, item, completed)
            }
        }
    }

    /// Some tools are reported only when they are done.
    fn tool(&mut self, kind: &str, item: &Value, completed: bool) -> Vec<ParsedLine> {
        let id = name(item, "id");
        let mut parsed = Vec::new();
        if self.open_items.insert(id.clone()) {
            let (name, input) = call(kind, item);
            parsed.push(ParsedLine::Event(SessionEventKind::ToolCall { id: id.clone(), name, input }));
        }
        if completed {
            // A finished item is not reported again.
            self.open_items.remove(&id);
            let failed = matches!(text(item, "status"), "failed" | "declined");
            let code = name(item, "exit_code");
            let is_error = failed || !matches!(code.trim(), "" | "0");
            parsed.push(ParsedLine::Event(SessionEventKind::ToolResult { id, is_error, output: output(item) }));
        }
        // An `item.started` that was reported before.
        if parsed.is_empty() { vec![ParsedLine::Ignored] } else { parsed }
    }

    fn error(&mut self, message: &str) -> Vec<ParsedLine> {
        match back_off(message) {
            Some(back_off) => vec![ParsedLine::Event(SessionEventKind::BackOff(back_off))],
            None => {
                self.error = message.to_owned();
                Vec::new()
            }
        }
    }

    fn completed(&mut self, usage: &Value) -> Vec<ParsedLine> {
        let count = |key: &str| integer(usage, key);
        let used = Usage {
            input_tokens: count("input_tokens"),
            cached_input_tokens: count("cached_input_tokens"),
            output_tokens: count("output_tokens"),
            cost_micro_usd: None,
        };
        let mut parsed = Vec::new();
        // All zeros mean that the provider did not report usage.
        if used.input_tokens.unwrap_or(0) > 0 || used.output_tokens.unwrap_or(0) > 0 {
            self.conversation.set_usage(&used);
            parsed.push(ParsedLine::Event(SessionEventKind::Usage(used)));
        }
        parsed.push(ParsedLine::Idle { stop_reason: "completed".into() });
        parsed
    }

    fn failed(&self, message: &str) -> ParsedLine {
        let message = if message.is_empty() { &self.error } else { message };
        ParsedLine::Failed(
            ProviderError { message, answered: self.conversation.answered(), ..ProviderError::default() }.fault(),
        )
    }
}

/// The name and arguments of a tool call.
fn call(kind: &str, item: &Value) -> (String, Value) {
    let copy = |key: &str| item[key].clone();
    match kind {
        "command_execution" => (kind.into(), json!({ "command": copy("command") })),
        "file_change" => (kind.into(), json!({ "changes": copy("changes") })),
        "web_search" => (kind.into(), json!({ "query": copy("query") })),
        // Tools for workers: `spawn_agent`, `send_input`, `wait`.
        "collab_tool_call" if !text(item, "tool").is_empty() => {
            let input = json!({ "prompt": copy("prompt"), "receiver_thread_ids": copy("receiver_thread_ids") });
            (text(item, "tool").into(), input)
        }
        "mcp_tool_call" => (format!("{}.{}", text(item, "server"), text(item, "tool")), copy("arguments")),
        _ => {
            let mut input = item.as_object().cloned().unwrap_or_default();
            input.retain(|key, _| !matches!(key.as_str(), "id" | "type" | "status"));
            (kind.into(), Value::Object(input))
        }
    }
}

/// The output of a tool.
fn output(item: &Value) -> String {
    let error = text(&item["error"], "message");
    if error.is_empty() && text(item, "type") == "collab_tool_call" {
        let copy = |key: &str| item[key].clone();
        let (receivers, states) = (copy("receiver_thread_ids"), copy("agents_states"));
        return json!({ "receiver_thread_ids": receivers, "agents_states": states }).to_string();
    }
    match (&item["aggregated_output"], &item["result"]) {
        _ if !error.is_empty() => error.to_owned(),
        (Value::String(output), _) => output.clone(),
        (_, Value::Null) => text(item, "status").to_owned(),
        (_, result) => match &result["content"] {
            Value::Null => content_text(result),
            content => content_text(content),
        },
    }
}

/// `Reconnecting... 1/5 (reason)`; `Re-connecting... 1/5` in 0.47.
pub(crate) fn back_off(message: &str) -> Option<BackOff> {
    let rest =
        ["Reconnecting...", "Re-connecting..."].iter().find_map(|prefix| message.strip_prefix(prefix))?.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let reason = rest.split_once('(').map_or(rest, |(_, reason)| reason.strip_suffix(')').unwrap_or(reason));
    Some(BackOff { attempt: rest[..digits].parse().ok(), delay_ms: None, reason: reason.to_owned() })
}

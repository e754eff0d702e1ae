//! The lane kind `claude`: Claude Code, one `claude -p` per turn.
//!
//! | line | event |
//! |---|---|
//! | `system` / `init` | started |
//! | `system` / `api_retry` | back-off |
//! | `assistant`, block `text` | message, unless it is from a sub-agent or is a provider error |
//! | `assistant`, block `tool_use`; `user`, block `tool_result` | tool call and its result, also of sub-agents |
//! | `result` | its text as a message if the last step of the turn had none; usage; then the end of the turn, unless another `init` follows |
//! | anything else, including `thinking` blocks | raw |
//!
//! A message of the model is printed as several lines, one per block.
//!
//! If a worker that received a message finishes after the turn, Claude Code resumes on its own, with another `init` and
//! another `result`; the last one counts.
//!
//! Both `is_error` and a `subtype` that begins with `error_` mark a failure, whatever the other says. A turn that
//! exceeds the agent's own limits (`--max-turns`, `--max-budget-usd`) is a fault of class `limit`; for other failures
//! see [`ProviderError`].
//!
//! Usage is the sum over the models of `model_usage_since_last_result`; the field `usage` includes failed attempts and
//! excludes sub-agents. A cost counts only if every model's price is known: Claude Code makes up a price for models it
//! does not know and says so in `costBasis`.

use std::{ffi::OsString, path::Path};

use serde_json::Value;

use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::{Dialect, ParsedLine},
    exit::AgentExit,
    json::{
        line::ParsedJson,
        values::{content_text, decimal, flag, integer, list, name, text},
        wanted_fields::WantedFields,
    },
    kinds::{
        provider_error::{ProviderError, launch_failure},
        usage,
    },
};
use host_model::{AgentSettings, BackOff, Fault, FaultClass, LaneKind, SessionEventKind, Usage};

#[cfg(test)]
mod tests;

/// Printed instead of an empty answer (up to 2.1).
const NO_CONTENT: &str = "(no content)";
/// The model of messages that no model wrote, such as errors.
const SYNTHETIC_MODEL: &str = "<synthetic>";
const WANTED: WantedFields = WantedFields {
    facts: &[
        "type",
        "subtype",
        "session_id",
        "model",
        "error",
        "error_status",
        "attempt",
        "retry_delay_ms",
        "is_api_error_message",
        "parent_tool_use_id",
        "is_error",
        "stop_reason",
        "terminal_reason",
        "errors",
        "api_error",
        "api_error_type",
        "api_error_status",
        "total_cost_usd",
        "usage.*",
        "modelUsage.*",
        "model_usage_since_last_result.*",
        "message.model",
        "message.content.type",
        "message.content.id",
        "message.content.name",
        "message.content.tool_use_id",
        "message.content.is_error",
    ],
    texts: &["result", "message.content", "message.content.text"],
};

pub(crate) struct Claude;

impl AgentProgram for Claude {
    fn kind(&self) -> LaneKind {
        LaneKind::Claude
    }

    fn name(&self) -> Option<&'static str> {
        Some("claude")
    }

    fn variables(&self, settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&str, OsString)> = vec![("CLAUDE_CONFIG_DIR", config_dir.into())];
        let quiet = [
            "DISABLE_TELEMETRY",
            "DISABLE_AUTOUPDATER",
            "DISABLE_ERROR_REPORTING",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        ];
        variables.extend(quiet.map(|name| (name, "1".into())));
        if rustix::process::geteuid().is_root() {
            // Otherwise it refuses to run without asking for permissions.
            variables.push(("IS_SANDBOX", "1".into()));
        }
        if let Some(url) = settings.provider.as_ref().and_then(|provider| provider.base_url.as_ref()) {
            variables.push(("ANTHROPIC_BASE_URL", url.into()));
        }
        variables
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault> {
        let mut args: Vec<OsString> =
            ["-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions"]
                .map(OsString::from)
                .into();
        if let Some(model) = &request.settings.model {
            args.extend(["--model".into(), model.into()]);
        }
        if let Some(conversation) = &request.conversation_id {
            args.extend(["--resume".into(), conversation.into()]);
        }
        args.extend(request.settings.args.iter().map(OsString::from));
        // A message that looks like a flag is not one.
        args.extend(["--".into(), request.message.into()]);
        Ok(Invocation { args, stdin: None })
    }

    fn dialect(&self, conversation: &Conversation, _settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(ClaudeDialect {
            conversation: conversation.clone(),
            error: String::new(),
            last_message: String::new(),
            ends_with_message: false,
        })
    }
}

struct ClaudeDialect {
    conversation: Conversation,
    /// The last error code.
    error: String,
    /// The last message of this turn, and whether no tool was called after it.
    last_message: String,
    ends_with_message: bool,
}

impl Dialect for ClaudeDialect {
    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        Some(&WANTED)
    }

    fn parse_json(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        let value = &json.value;
        match (text(value, "type"), text(value, "subtype")) {
            ("system", "init") => {
                let model = Some(text(value, "model")).filter(|model| !model.is_empty()).map(str::to_owned);
                self.conversation.started(name(value, "session_id"), model).into_iter().collect()
            }
            ("system", "api_retry") => vec![ParsedLine::Event(SessionEventKind::BackOff(self.back_off(value)))],
            ("assistant", _) => self.assistant(value),
            ("user", _) => results(value),
            ("result", _) => self.result(value),
            _ => Vec::new(),
        }
    }

    fn parse_damaged(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        if text(&json.value, "type") == "assistant" { vec![ParsedLine::LostMessage] } else { Vec::new() }
    }

    fn process_exited(&mut self, exit: &AgentExit, stderr: &str) -> Vec<ParsedLine> {
        launch_failure(exit, stderr, self.conversation.answered())
    }
}

impl ClaudeDialect {
    fn back_off(&mut self, value: &Value) -> BackOff {
        let error = text(value, "error");
        self.error = error.to_owned();
        let reason = match integer(value, "error_status") {
            Some(status) => format!("{error} ({status})"),
            None => error.to_owned(),
        };
        let attempt = integer(value, "attempt").and_then(|attempt| u32::try_from(attempt).ok());
        BackOff { attempt, delay_ms: integer(value, "retry_delay_ms"), reason }
    }

    fn assistant(&mut self, value: &Value) -> Vec<ParsedLine> {
        let synthetic = text(&value["message"], "model") == SYNTHETIC_MODEL;
        if synthetic || flag(value, "is_api_error_message") == Some(true) {
            // Not a message of the model. The `result` that follows reports the error.
            self.error = text(value, "error").to_owned();
            return Vec::new();
        }
        let is_main_agent = value["parent_tool_use_id"].is_null();
        let content = &value["message"]["content"];
        if let (Some(text), true) = (content.as_str(), is_main_agent) {
            self.conversation.set_answered();
            return self.message(text).into_iter().collect();
        }
        let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
        if !blocks.is_empty() {
            self.conversation.set_answered();
        }
        let mut parsed = Vec::new();
        for block in blocks {
            match text(block, "type") {
                "text" if is_main_agent => parsed.extend(self.message(text(block, "text"))),
                "tool_use" => {
                    self.ends_with_message = false;
                    parsed.push(ParsedLine::Event(SessionEventKind::ToolCall {
                        id: name(block, "id"),
                        name: text(block, "name").to_owned(),
                        input: block["input"].clone(),
                    }));
                }
                _ => {}
            }
        }
        parsed
    }

    /// A message event, unless the text is empty.
    fn message(&mut self, text: &str) -> Option<ParsedLine> {
        if matches!(text.trim(), "" | NO_CONTENT) {
            return None;
        }
        (self.last_message, self.ends_with_message) = (text.to_owned(), true);
        Some(ParsedLine::Event(SessionEventKind::Message { text: text.to_owned() }))
    }

    fn result(&mut self, value: &Value) -> Vec<ParsedLine> {
        let mut parsed = Vec::new();
        let used = usage_of_turn(value);
        if !used.is_unknown() {
            parsed.push(ParsedLine::Event(SessionEventKind::Usage(self.conversation.add_usage(&used))));
        }
        let subtype = text(value, "subtype");
        let is_error = flag(value, "is_error").unwrap_or(subtype != "success") || subtype.starts_with("error_");
        let result = text(value, "result");
        let known = self.ends_with_message || result.trim() == self.last_message.trim();
        if !is_error && !known {
            parsed.splice(0..0, self.message(result));
        }
        // Anything that follows is another turn.
        (self.last_message, self.ends_with_message) = (String::new(), false);
        parsed.push(if !is_error {
            let reasons = [text(value, "stop_reason"), text(value, "terminal_reason"), subtype];
            let stop_reason = reasons.into_iter().find(|reason| !reason.is_empty()).unwrap_or_default().to_owned();
            ParsedLine::Idle { stop_reason }
        } else if subtype.starts_with("error_max") {
            let message = format!("the agent exceeded its own limit: {}", errors(value));
            ParsedLine::failed(FaultClass::Limit, message)
        } else {
            let (kind, connection) = (text(value, "api_error_type"), text(value, "api_error"));
            let code = [kind, connection, &self.error].join(" ");
            let provider_error = ProviderError {
                status: integer(value, "api_error_status"),
                code: &code,
                message: &errors(value),
                answered: self.conversation.answered(),
            };
            ParsedLine::Failed(provider_error.fault())
        });
        parsed
    }
}

fn results(value: &Value) -> Vec<ParsedLine> {
    let blocks = list(&value["message"], "content").iter();
    let results = blocks.filter(|block| text(block, "type") == "tool_result");
    let events = results.map(|block| SessionEventKind::ToolResult {
        id: name(block, "tool_use_id"),
        is_error: flag(block, "is_error").unwrap_or(false),
        output: content_text(&block["content"]),
    });
    events.map(ParsedLine::Event).collect()
}

/// The error messages of a `result`.
fn errors(value: &Value) -> String {
    let errors: Vec<&str> = list(value, "errors").iter().filter_map(Value::as_str).collect();
    match text(value, "result") {
        "" if errors.is_empty() => text(value, "subtype").to_owned(),
        "" => errors.join("; "),
        result => result.to_owned(),
    }
}

fn usage_of_turn(value: &Value) -> Usage {
    let models = ["model_usage_since_last_result", "modelUsage"].map(|key| value[key].as_object());
    let Some(models) = models.into_iter().flatten().find(|models| !models.is_empty()) else {
        let keys = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"];
        return usage(keys.map(|key| integer(&value["usage"], key)), decimal(value, "total_cost_usd"));
    };
    let keys = ["inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens"];
    let count = |key| models.values().filter_map(|model| integer(model, key)).reduce(u64::saturating_add);
    let known = models.values().all(|model| text(model, "costBasis") != "unknown");
    let costs: Option<Vec<f64>> = models.values().map(|model| decimal(model, "costUSD")).collect();
    usage(keys.map(count), costs.filter(|_| known).map(|costs| costs.iter().sum()))
}

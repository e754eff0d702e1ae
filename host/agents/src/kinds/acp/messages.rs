//! The protocol's messages: those the host sends, and fields that appear in several places of others.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    dialect::ParsedLine,
    json::{
        values::{as_integer, content_text, list, text},
        wanted_fields::WantedFields,
    },
};

pub(super) const WANTED: WantedFields = WantedFields {
    facts: &[
        "id",
        "method",
        "error.code",
        "error.message",
        "params.sessionId",
        "params.options.*",
        "params.update.sessionUpdate",
        "params.update.messageId",
        "params.update.toolCallId",
        "params.update.status",
        "params.update.kind",
        "params.update.name",
        "params.update.title",
        "params.update._meta.codex.threadStatus.type",
        "params.update._meta.codex.error.*",
        "params.update._meta.terminal_exit.exit_code",
        "result.protocolVersion",
        "result.sessionId",
        "result.stopReason",
        "result.usage.*",
        "result.modes.*",
        "result.models.currentModelId",
        "result.configOptions.category",
        "result.configOptions.currentValue",
    ],
    texts: &["params.update.content", "params.update.content.text"],
};

pub(super) fn model(session: &Value) -> Option<String> {
    let options = list(session, "configOptions").iter();
    let option = options.filter(|option| text(option, "category") == "model").map(|it| text(it, "currentValue"));
    let candidates = std::iter::once(text(&session["models"], "currentModelId")).chain(option);
    candidates.into_iter().find(|model| !model.is_empty()).map(str::to_owned)
}

/// The text of an error; `message` is an error text reported elsewhere.
pub(super) fn error_text(error: &Value, message: &str) -> String {
    let details = content_text(&error["data"]);
    let words = [text(error, "message"), &details, message];
    words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(": ")
}

#[derive(Debug)]
pub(super) struct RequestId(Option<String>, Option<u64>);

impl RequestId {
    /// The id of `message`. `written` is how a number was written.
    pub(super) fn of(message: &Value, written: Option<&str>) -> Self {
        let Some(id) = message.get("id") else { return Self(None, None) };
        let plain = written.filter(|it| it.parse::<f64>().is_ok() && serde_json::from_str::<Value>(it).is_ok());
        let written = plain.map_or_else(|| id.to_string(), str::to_owned);
        Self(Some(written), as_integer(id))
    }

    /// Whether there is an id. A message without one is a notification.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.1
    }

    /// Answers the request with `body`, a result or an error.
    pub(super) fn reply(&self, body: &Value) -> ParsedLine {
        let body = body.to_string();
        ParsedLine::Reply(format!("{{\"jsonrpc\":\"2.0\",\"id\":{self},{}", &body[1..]))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("null"))
    }
}

pub(super) fn answer_request(method: &str, id: &RequestId, params: &Value) -> ParsedLine {
    if method != "session/request_permission" {
        return error_reply(id, -32601, "this client does not support this method");
    }
    let outcome = match allowed(list(params, "options")) {
        Some(option) => json!({ "outcome": "selected", "optionId": &option["optionId"] }),
        None => json!({ "outcome": "cancelled" }),
    };
    id.reply(&json!({ "result": { "outcome": outcome } }))
}

/// The option that allows the action: one that the protocol marks as such, or else the first that does not refuse.
fn allowed(options: &[Value]) -> Option<&Value> {
    let mut named = options.iter().filter(|option| !option["optionId"].is_null());
    let allows = named.clone().find(|option| text(option, "kind").starts_with("allow"));
    allows.or_else(|| {
        named.find(|option| {
            let words = ["kind", "optionId", "name"].map(|key| text(option, key).to_lowercase()).join(" ");
            let refuses = ["reject", "deny", "refuse", "cancel", "abort", "disallow", "never", "stop"];
            !refuses.iter().any(|word| words.contains(word)) && !words.split(' ').any(|word| word == "no")
        })
    })
}

pub(super) fn error_reply(id: &RequestId, code: i32, message: &str) -> ParsedLine {
    id.reply(&json!({ "error": { "code": code, "message": message } }))
}

pub(super) fn request(id: u64, method: &str, params: &Value) -> ParsedLine {
    ParsedLine::Reply(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
}

//! The messages of the protocol: those that the host sends, and what is told in several places of others.

use serde_json::{Value, json};

use super::super::{
    external::{list, part, text, texts_of},
    turn::Said,
};

/// The model that the session says it uses, in either of the places for it.
pub(super) fn model(session: &Value) -> Option<String> {
    let options = list(session, "configOptions").iter();
    let option = options.filter(|option| text(option, "category") == "model").map(|it| text(it, "currentValue"));
    let told = std::iter::once(text(part(session, "models"), "currentModelId")).chain(option);
    told.into_iter().find(|model| !model.is_empty()).map(str::to_owned)
}

/// What an error says in words; `message` is what else was said of it.
pub(super) fn words(error: &Value, message: &str) -> String {
    let details = texts_of(part(error, "data"));
    let words = [text(error, "message"), &details, message];
    words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(": ")
}

/// Answers a request of the agent's.
pub(super) fn asked(method: &str, id: &Value, params: &Value) -> Said {
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

pub(super) fn request(id: u64, method: &str, params: &Value) -> Said {
    Said::Answer(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
}

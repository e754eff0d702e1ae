//! Anthropic Messages.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    conversation::{Conversation, Entry, texts},
};

pub(super) fn entries(body: &Value) -> Vec<Entry> {
    let mut entries = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let said = texts(&message["content"]);
        match message["role"].as_str() {
            Some("assistant") => entries.extend(said.iter().map(|_| Entry::Said)),
            Some("user") => {
                for block in message["content"].as_array().into_iter().flatten() {
                    if block["type"] == "tool_result" {
                        let id = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
                        entries.push(Entry::Result { id, output: texts(&block["content"]).concat() });
                    }
                }
                entries.extend(said.into_iter().map(Entry::User));
            }
            _ => {}
        }
    }
    entries
}

pub(super) fn whole(id: usize, conversation: &Conversation, answer: &Answer) -> Value {
    let mut message = opened(id, conversation, answer);
    message["content"] = json!(blocks(answer));
    message["stop_reason"] = json!(stop_reason(answer));
    message["usage"]["output_tokens"] = json!(answer.usage.output_tokens.unwrap_or(0));
    message
}

/// The events of a stream: name and data.
pub(super) fn events(id: usize, conversation: &Conversation, answer: &Answer) -> Vec<(&'static str, Value)> {
    let message = opened(id, conversation, answer);
    let mut events = vec![("message_start", json!({ "type": "message_start", "message": message }))];
    for (index, block) in blocks(answer).into_iter().enumerate() {
        let (empty, deltas) = if block["type"] == "text" {
            let text = block["text"].as_str().unwrap_or_default();
            let deltas = words(text).map(|word| json!({ "type": "text_delta", "text": word })).collect();
            (json!({ "type": "text", "text": "" }), deltas)
        } else {
            let input = json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() });
            let mut empty = block.clone();
            empty["input"] = json!({});
            (empty, vec![input])
        };
        let start = json!({ "type": "content_block_start", "index": index, "content_block": empty });
        events.push(("content_block_start", start));
        for delta in deltas {
            let delta = json!({ "type": "content_block_delta", "index": index, "delta": delta });
            events.push(("content_block_delta", delta));
        }
        events.push(("content_block_stop", json!({ "type": "content_block_stop", "index": index })));
    }
    let delta = json!({ "stop_reason": stop_reason(answer), "stop_sequence": null });
    let usage = json!({ "output_tokens": answer.usage.output_tokens.unwrap_or(0) });
    events.push(("message_delta", json!({ "type": "message_delta", "delta": delta, "usage": usage })));
    events.push(("message_stop", json!({ "type": "message_stop" })));
    events
}

pub(super) fn overloaded() -> (&'static str, Value) {
    let error = json!({ "type": "overloaded_error", "message": "Overloaded" });
    ("error", json!({ "type": "error", "error": error }))
}

fn opened(id: usize, conversation: &Conversation, answer: &Answer) -> Value {
    let cached = answer.usage.cached_input_tokens.unwrap_or(0);
    // Cached tokens are counted apart here.
    let input = answer.usage.input_tokens.unwrap_or(0).saturating_sub(cached);
    json!({
        "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": conversation.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached,
            "output_tokens": 0,
        },
    })
}

fn blocks(answer: &Answer) -> Vec<Value> {
    let text = answer.text.as_ref().map(|text| json!({ "type": "text", "text": text }));
    let call = answer
        .call
        .as_ref()
        .map(|call| json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.input }));
    text.into_iter().chain(call).collect()
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.call.is_some() { "tool_use" } else { "end_turn" }
}

/// A text in the parts in which models send it.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

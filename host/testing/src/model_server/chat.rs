//! OpenAI Chat Completions.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    conversation::{Conversation, Entry, texts},
    messages::words,
};

pub(super) fn entries(body: &Value) -> Vec<Entry> {
    let mut entries = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let said = texts(&message["content"]);
        match message["role"].as_str() {
            Some("user") => entries.extend(said.into_iter().map(Entry::User)),
            Some("assistant") => entries.extend(said.iter().map(|_| Entry::Said)),
            Some("tool") => {
                let id = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
                entries.push(Entry::Result { id, output: said.concat() });
            }
            _ => {}
        }
    }
    entries
}

pub(super) fn whole(id: usize, conversation: &Conversation, answer: &Answer) -> Value {
    let mut message = json!({ "role": "assistant", "content": answer.text });
    if answer.call.is_some() {
        message["tool_calls"] = json!(calls(answer));
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason(answer) });
    let mut whole = base(id, conversation, "chat.completion");
    whole["choices"] = json!([choice]);
    whole["usage"] = usage(answer);
    whole
}

/// The chunks of a stream; they have no names.
pub(super) fn chunks(id: usize, conversation: &Conversation, answer: &Answer) -> Vec<Value> {
    let chunk = |delta: Value, finish_reason: Option<&str>| {
        let mut chunk = base(id, conversation, "chat.completion.chunk");
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
        chunk
    };
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
    chunks
        .extend(words(answer.text.as_deref().unwrap_or_default()).map(|word| chunk(json!({ "content": word }), None)));
    if answer.call.is_some() {
        chunks.push(chunk(json!({ "tool_calls": calls(answer) }), None));
    }
    chunks.push(chunk(json!({}), Some(finish_reason(answer))));
    let mut last = base(id, conversation, "chat.completion.chunk");
    last["choices"] = json!([]);
    last["usage"] = usage(answer);
    chunks.push(last);
    chunks
}

pub(super) fn overloaded() -> Value {
    json!({ "error": { "message": "Overloaded", "type": "overloaded_error", "code": 529, "param": null } })
}

fn base(id: usize, conversation: &Conversation, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl_{id}"), "object": object, "created": 1_700_000_000, "model": conversation.model,
    })
}

fn calls(answer: &Answer) -> Vec<Value> {
    let call = answer.call.iter().map(|call| {
        let function = json!({ "name": call.name, "arguments": call.input.to_string() });
        json!({ "index": 0, "id": call.id, "type": "function", "function": function })
    });
    call.collect()
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.call.is_some() { "tool_calls" } else { "stop" }
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = (answer.usage.input_tokens.unwrap_or(0), answer.usage.output_tokens.unwrap_or(0));
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": { "cached_tokens": answer.usage.cached_input_tokens.unwrap_or(0) },
    })
}

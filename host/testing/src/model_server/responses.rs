//! OpenAI Responses.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    conversation::{Conversation, Entry, texts},
    messages::words,
};

pub(super) fn entries(body: &Value) -> Vec<Entry> {
    if let Some(text) = body["input"].as_str() {
        return vec![Entry::User(text.to_owned())];
    }
    let mut entries = Vec::new();
    for item in body["input"].as_array().into_iter().flatten() {
        let said = texts(&item["content"]);
        match (item["type"].as_str().unwrap_or("message"), item["role"].as_str()) {
            ("message", Some("user")) => entries.extend(said.into_iter().map(Entry::User)),
            ("message", Some("assistant")) => entries.extend(said.iter().map(|_| Entry::Said)),
            (kind, _) if kind.ends_with("_call_output") => {
                let id = item["call_id"].as_str().unwrap_or_default().to_owned();
                entries.push(Entry::Result { id, output: texts(&item["output"]).concat() });
            }
            _ => {}
        }
    }
    entries
}

pub(super) fn whole(id: usize, conversation: &Conversation, answer: &Answer) -> Value {
    let mut response = opened(id, conversation);
    response["status"] = json!("completed");
    response["output"] = json!(items(id, answer));
    response["usage"] = usage(answer);
    response
}

/// The events of a stream: name and data.
pub(super) fn events(id: usize, conversation: &Conversation, answer: &Answer) -> Vec<(&'static str, Value)> {
    let mut events = vec![("response.created", json!({ "response": opened(id, conversation) }))];
    for (index, item) in items(id, answer).into_iter().enumerate() {
        let place = |rest: Value| {
            let mut event = json!({ "item_id": item["id"], "output_index": index });
            event
                .as_object_mut()
                .into_iter()
                .for_each(|event| event.extend(rest.as_object().cloned().unwrap_or_default()));
            event
        };
        let mut added = item.clone();
        added["status"] = json!("in_progress");
        added[if item["type"] == "message" { "content" } else { "arguments" }] =
            if item["type"] == "message" { json!([]) } else { json!("") };
        events.push(("response.output_item.added", json!({ "output_index": index, "item": added })));
        if item["type"] == "message" {
            let text = item["content"][0]["text"].as_str().unwrap_or_default();
            let part = json!({ "type": "output_text", "text": "", "annotations": [] });
            events.push(("response.content_part.added", place(json!({ "content_index": 0, "part": part }))));
            for word in words(text) {
                events.push(("response.output_text.delta", place(json!({ "content_index": 0, "delta": word }))));
            }
            events.push(("response.output_text.done", place(json!({ "content_index": 0, "text": text }))));
            let part = json!({ "content_index": 0, "part": item["content"][0] });
            events.push(("response.content_part.done", place(part)));
        } else {
            let arguments = &item["arguments"];
            events.push(("response.function_call_arguments.delta", place(json!({ "delta": arguments }))));
            events.push(("response.function_call_arguments.done", place(json!({ "arguments": arguments }))));
        }
        events.push(("response.output_item.done", json!({ "output_index": index, "item": item })));
    }
    events.push(("response.completed", json!({ "response": whole(id, conversation, answer) })));
    numbered(events)
}

pub(super) fn overloaded(id: usize, conversation: &Conversation) -> (&'static str, Value) {
    let mut response = opened(id, conversation);
    response["status"] = json!("failed");
    response["error"] = json!({ "code": "server_is_overloaded", "message": "Overloaded" });
    ("response.failed", json!({ "type": "response.failed", "sequence_number": 1, "response": response }))
}

fn numbered(mut events: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    for (number, (name, event)) in events.iter_mut().enumerate() {
        event["type"] = json!(*name);
        event["sequence_number"] = json!(number);
    }
    events
}

fn opened(id: usize, conversation: &Conversation) -> Value {
    json!({
        "id": format!("resp_{id}"), "object": "response", "created_at": 1_700_000_000, "model": conversation.model,
        "status": "in_progress", "output": [], "usage": null,
    })
}

fn items(id: usize, answer: &Answer) -> Vec<Value> {
    let message = answer.text.as_ref().map(|text| {
        let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
        json!({
            "type": "message", "id": format!("msg_{id}"), "status": "completed", "role": "assistant", "content": content,
        })
    });
    let call = answer.call.as_ref().map(|call| {
        let mut item = json!({
            "type": "function_call", "id": format!("fc_{id}"), "status": "completed", "call_id": call.id,
            "name": call.name, "arguments": call.input.to_string(),
        });
        if let Some(namespace) = &call.namespace {
            item["namespace"] = json!(namespace);
        }
        item
    });
    message.into_iter().chain(call).collect()
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = (answer.usage.input_tokens.unwrap_or(0), answer.usage.output_tokens.unwrap_or(0));
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": answer.usage.cached_input_tokens.unwrap_or(0) },
        "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": input + output,
    })
}

//! Looks into JSON of which nothing is certain: what is missing, or of another type, is not there.

use serde_json::Value;

/// The text under `key`; empty when there is none.
pub(in crate::lane) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number under `key`; one that came as a decimal counts too.
pub(in crate::lane) fn integer(value: &Value, key: &str) -> Option<u64> {
    let number = value.get(key)?;
    number.as_u64().or_else(|| number.as_f64().filter(|it| *it >= 0.0 && it.is_finite()).map(|it| it.round() as u64))
}

/// What is under `key`; null when there is nothing.
pub(in crate::lane) fn part<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// The list under `key`; empty when there is none.
pub(in crate::lane) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A tool's answer as text: a text, or a list of blocks with texts; anything else as JSON.
pub(in crate::lane) fn texts_of(content: &Value) -> String {
    match content {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let text_of = |block: &Value| match block.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => block.to_string(),
            };
            blocks.iter().map(text_of).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

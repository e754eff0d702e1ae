//! Accessors for unreliable JSON: a value of another type counts as missing.

use serde_json::Value;

/// The string under `key`; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A string or number under `key` as a string; empty if there is none.
pub(crate) fn name(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The integer under `key`, also if it is written as a decimal or a string.
pub(crate) fn integer(value: &Value, key: &str) -> Option<u64> {
    as_integer(value.get(key)?)
}

/// An integer, however it is written.
pub(crate) fn as_integer(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = match value {
        Value::String(text) => match text.trim().parse::<u64>() {
            Ok(number) => return Some(number),
            Err(_) => text.trim().parse().ok()?,
        },
        other => other.as_f64()?,
    };
    (number >= 0.0 && number.is_finite()).then(|| number.round() as u64)
}

/// The decimal number under `key`, also if it is written as a string.
pub(crate) fn decimal(value: &Value, key: &str) -> Option<f64> {
    let number = match value.get(key)? {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    Some(number).filter(|it: &f64| it.is_finite())
}

/// The boolean under `key`, also if it is written as a string or number; `None` if there is none.
pub(crate) fn flag(value: &Value, key: &str) -> Option<bool> {
    match value.get(key)? {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_f64().map(|it| it != 0.0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The list under `key`; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A tool's output as text: a string or a list of blocks with texts; anything else as JSON.
pub(crate) fn content_text(content: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_flags_are_parsed_leniently() {
        let values = json!({
            "int": 3, "decimal": 2.6, "text": " 7 ", "negative": -1, "big": "18446744073709551615", "huge": "1e999",
            "word": "many", "none": null, "yes": "True", "one": 1, "no": false,
        });
        let integers = ["int", "decimal", "text", "negative", "big", "huge", "word", "none", "missing"];
        let found = integers.map(|key| integer(&values, key));
        assert_eq!(found, [Some(3), Some(3), Some(7), None, Some(u64::MAX), None, None, None, None]);
        assert_eq!(decimal(&values, "decimal"), Some(2.6));
        assert_eq!((decimal(&values, "text"), decimal(&values, "huge")), (Some(7.0), None));
        let flags = ["yes", "one", "no", "word", "none", "missing"].map(|key| flag(&values, key));
        assert_eq!(flags, [Some(true), Some(true), Some(false), None, None, None]);
        assert_eq!((name(&values, "int"), name(&values, "none")), ("3".to_owned(), String::new()));
    }
}

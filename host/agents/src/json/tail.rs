//! The end of a line of damaged JSON: a request may have its `id` there.

use serde_json::Value;

use crate::json::line::ParsedJson;

/// How many bytes of the end are kept.
const MAX_TAIL: usize = 256;

/// Appends `bytes` and keeps only the end.
pub(super) fn append(tail: &mut Vec<u8>, bytes: &[u8]) {
    let new = &bytes[bytes.len().saturating_sub(MAX_TAIL)..];
    let surplus = (tail.len() + new.len()).saturating_sub(MAX_TAIL);
    tail.drain(..surplus.min(tail.len()));
    tail.extend_from_slice(new);
}

/// Finds an `id` that is the last member of the line, unless one came before the damage.
pub(super) fn find_id(read: &mut ParsedJson, tail: &[u8]) {
    let Value::Object(members) = &mut read.value else { return };
    if members.contains_key("id") {
        return;
    }
    let tail = String::from_utf8_lossy(tail);
    let Some(rest) = tail.trim_end().strip_suffix('}') else { return };
    let Some((before, id)) = rest.rsplit_once("\"id\"") else { return };
    let Some(id) = id.trim_start().strip_prefix(':').map(str::trim) else { return };
    // In a nested object it would not be the last one.
    if !before.trim_end().ends_with([',', '{']) {
        return;
    }
    if let Ok(value @ (Value::Number(_) | Value::String(_))) = serde_json::from_str::<Value>(id) {
        read.id = value.is_number().then(|| id.to_owned());
        members.insert("id".to_owned(), value);
    }
}

//! The kept part of a value that is being parsed, within a budget.
//!
//! Wanted fields are kept first, the rest as long as it fits. When it does not fit anymore, long texts are shortened in
//! several steps, including earlier ones; after the last step, further values are left out.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::{
    json::{
        text_buffer::TextBuffer,
        wanted_fields::{FieldPosition, FieldRank},
    },
    text::truncate_text,
};
use host_model::Redactor;

/// The budget for unwanted values, and for wanted values in lists, including the cost of nodes.
pub(super) const BUDGET: usize = 2 << 20;
/// The cost of a node without its text.
const NODE_COST: usize = 40;
/// The size limits of unwanted texts, in steps.
const TEXT_LIMITS: [usize; 7] = [1 << 20, 256 << 10, 64 << 10, 16 << 10, 4 << 10, 1 << 10, 256];
/// The size limit of a fact.
const MAX_FACT: usize = 64 << 10;
/// The size limit of a text for people.
pub(crate) const MAX_TEXT: usize = 1 << 20;

#[derive(Debug)]
pub(super) enum Node {
    Scalar(Value),
    Text { bytes: Vec<u8>, length: u64, rank: FieldRank },
    List { items: Vec<Node>, omitted: u64 },
    Object { members: BTreeMap<String, Node>, omitted: u64 },
}

#[derive(Debug)]
pub(super) struct OpenNode {
    pub(super) node: Node,
    pub(super) position: FieldPosition,
    pub(super) key: String,
}

#[derive(Debug, Default)]
pub(super) struct Budget {
    other: usize,
    needed: usize,
    step: usize,
    /// Whether no more unwanted values fit.
    full: bool,
    /// Bytes of members and items that were left out.
    pub(super) omitted: u64,
}

impl Budget {
    /// The size limit of a text at `position`.
    pub(super) fn text_limit(&self, position: FieldPosition) -> usize {
        match position.rank {
            FieldRank::Text => MAX_TEXT,
            FieldRank::Fact => MAX_FACT,
            FieldRank::Other if self.full => 0,
            FieldRank::Other => TEXT_LIMITS[self.step],
        }
    }

    /// Whether there is room for a value at `position`, for which the texts in `frames` may be shortened. `size` is
    /// that of its key and text.
    pub(super) fn admit(&mut self, position: FieldPosition, size: usize, frames: &mut [OpenNode]) -> bool {
        let size = NODE_COST + size;
        if position.is_wanted() {
            if position.is_repeated {
                self.needed += size;
            }
            return !position.is_repeated || self.needed <= BUDGET;
        }
        while self.other + size > BUDGET && self.shorten(frames) {}
        if !self.full {
            self.other += size;
        }
        !self.full
    }

    /// Makes room for a growing unwanted text, which may be shortened itself.
    pub(super) fn fit(&mut self, text: &mut TextBuffer, frames: &mut [OpenNode]) {
        while self.other + NODE_COST + text.bytes.len() > BUDGET && self.shorten(frames) {
            text.shorten(TEXT_LIMITS[self.step]);
        }
    }

    /// Shortens all unwanted texts by one step. Returns false after the last step.
    fn shorten(&mut self, frames: &mut [OpenNode]) -> bool {
        if self.full || self.step + 1 == TEXT_LIMITS.len() {
            self.full = true;
            return false;
        }
        self.step += 1;
        let freed: usize = frames.iter_mut().map(|frame| frame.node.shorten(TEXT_LIMITS[self.step])).sum();
        self.other = self.other.saturating_sub(freed);
        true
    }
}

impl Node {
    /// Shortens each unwanted text to `max_bytes` bytes. Returns how many bytes that frees.
    fn shorten(&mut self, max_bytes: usize) -> usize {
        match self {
            Self::Text { bytes, rank: FieldRank::Other, .. } if bytes.len() > max_bytes => {
                let freed = bytes.len() - max_bytes;
                bytes.truncate(max_bytes);
                bytes.shrink_to_fit();
                freed
            }
            Self::Scalar(_) | Self::Text { .. } => 0,
            Self::List { items, .. } => items.iter_mut().map(|item| item.shorten(max_bytes)).sum(),
            Self::Object { members, .. } => members.values_mut().map(|member| member.shorten(max_bytes)).sum(),
        }
    }

    /// Converts the node to a value with a note wherever something was left out. Adds the omitted bytes to `omitted`.
    pub(super) fn into_value(self, redactor: &Redactor, omitted: &mut u64) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::Text { bytes, length, .. } if bytes.len() as u64 == length => {
                let lossy = |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
                Value::String(String::from_utf8(bytes).unwrap_or_else(lossy))
            }
            Self::Text { bytes, length, .. } => {
                *omitted += length - bytes.len() as u64;
                // Leaves out what may be the beginning of a cut secret.
                Value::String(truncate_text(&redactor.stream().push(&bytes), length, usize::MAX))
            }
            Self::List { items, omitted: items_out } => {
                let items = items.into_iter().map(|item| item.into_value(redactor, omitted));
                let note = (items_out > 0).then(|| Value::from(format!("… [cut: {items_out} more items]")));
                items.chain(note).collect()
            }
            Self::Object { members, omitted: members_out } => {
                let mut map: Map<String, Value> =
                    members.into_iter().map(|(key, member)| (key, member.into_value(redactor, omitted))).collect();
                if members_out > 0 {
                    map.insert("…".into(), format!("[cut: {members_out} more members]").into());
                }
                Value::Object(map)
            }
        }
    }
}

/// Parses a word or number; `None` if it is neither.
pub(super) fn scalar(token: &str) -> Option<Value> {
    Some(match token {
        "true" | "True" => true.into(),
        "false" | "False" => false.into(),
        "null" | "None" | "undefined" | "NaN" | "-NaN" | "nan" | "Infinity" | "-Infinity" | "inf" | "-inf" => {
            Value::Null
        }
        _ => {
            if let Ok(number) = token.parse::<u64>() {
                return Some(number.into());
            }
            if let Ok(number) = token.parse::<i64>() {
                return Some(number.into());
            }
            let number = token.parse::<f64>().ok()?;
            match Number::from_f64(number) {
                Some(number) => number.into(),
                // Out of range: kept as written.
                None => token.into(),
            }
        }
    })
}

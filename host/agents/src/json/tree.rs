//! What is kept of a value while it is read, within a budget.
//!
//! What a dialect needs is kept first. The rest is kept whole while it fits. When it does not, its long texts are
//! shortened, in several steps, those that were read before too; when that is not enough, what comes is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::{
    json::{
        shape::{Rank, Spot},
        text::TextBuffer,
    },
    text::cut_text,
};
use host_model::Redactor;

/// How much is kept of what is not needed, and of what is needed in lists, each with the cost of its nodes.
pub(super) const BUDGET: usize = 2 << 20;
/// What a node costs besides its text.
const NODE: usize = 40;
/// How much of a text that is not needed is kept, in steps.
const STEPS: [usize; 7] = [1 << 20, 256 << 10, 64 << 10, 16 << 10, 4 << 10, 1 << 10, 256];
/// How much of a fact is kept.
const MAX_FACT: usize = 64 << 10;
/// How much of a text for a person is kept.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    Plain(Value),
    Text { bytes: Vec<u8>, length: u64, rank: Rank },
    List { items: Vec<Node>, left_out: u64 },
    Object { members: BTreeMap<String, Node>, left_out: u64 },
}

/// A list or object that is not over.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) node: Node,
    pub(super) spot: Spot,
    /// The member that is being read.
    pub(super) key: String,
}

/// What has room.
#[derive(Debug, Default)]
pub(super) struct Budget {
    other: usize,
    needed: usize,
    step: usize,
    /// Nothing more fits that is not needed.
    full: bool,
    /// Bytes of members and items that were left out.
    pub(super) left_out: u64,
}

impl Budget {
    /// How much of a text at `spot` is kept.
    pub(super) fn text_bound(&self, spot: Spot) -> usize {
        match spot.rank {
            Rank::Text => MAX_TEXT,
            Rank::Fact => MAX_FACT,
            Rank::Other if self.full => 0,
            Rank::Other => STEPS[self.step],
        }
    }

    /// Whether a value at `spot` has room, for which the texts in `frames` may become shorter. `size` is that of its key
    /// and text.
    pub(super) fn admit(&mut self, spot: Spot, size: usize, frames: &mut [Frame]) -> bool {
        let size = NODE + size;
        if spot.is_wanted() {
            if spot.plural {
                self.needed += size;
            }
            return !spot.plural || self.needed <= BUDGET;
        }
        while self.other + size > BUDGET && self.shorten(frames) {}
        if !self.full {
            self.other += size;
        }
        !self.full
    }

    /// Makes room for a text that is not needed and that grows. It may become shorter itself.
    pub(super) fn fit(&mut self, text: &mut TextBuffer, frames: &mut [Frame]) {
        while self.other + NODE + text.bytes.len() > BUDGET && self.shorten(frames) {
            text.shorten(STEPS[self.step]);
        }
    }

    /// Shortens all texts that are not needed by one step. Returns whether there was one.
    fn shorten(&mut self, frames: &mut [Frame]) -> bool {
        if self.full || self.step + 1 == STEPS.len() {
            self.full = true;
            return false;
        }
        self.step += 1;
        let freed: usize = frames.iter_mut().map(|frame| frame.node.shorten(STEPS[self.step])).sum();
        self.other = self.other.saturating_sub(freed);
        true
    }
}

impl Node {
    /// Keeps no more than `bound` of each text that is not needed: how many bytes that frees.
    fn shorten(&mut self, bound: usize) -> usize {
        match self {
            Self::Text { bytes, rank: Rank::Other, .. } if bytes.len() > bound => {
                let freed = bytes.len() - bound;
                bytes.truncate(bound);
                bytes.shrink_to_fit();
                freed
            }
            Self::Plain(_) | Self::Text { .. } => 0,
            Self::List { items, .. } => items.iter_mut().map(|item| item.shorten(bound)).sum(),
            Self::Object { members, .. } => members.values_mut().map(|member| member.shorten(bound)).sum(),
        }
    }

    /// The value, with a note at each place where something was left out, whose bytes are added to `left_out`.
    pub(super) fn into_value(self, redactor: &Redactor, left_out: &mut u64) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Text { bytes, length, .. } if bytes.len() as u64 == length => {
                let lossy = |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
                Value::String(String::from_utf8(bytes).unwrap_or_else(lossy))
            }
            Self::Text { bytes, length, .. } => {
                *left_out += length - bytes.len() as u64;
                // Without what may be the beginning of a secret that was cut.
                Value::String(cut_text(&redactor.stream().push(&bytes), length, usize::MAX))
            }
            Self::List { items, left_out: items_out } => {
                let items = items.into_iter().map(|item| item.into_value(redactor, left_out));
                let note = (items_out > 0).then(|| Value::from(format!("… [cut: {items_out} more items]")));
                items.chain(note).collect()
            }
            Self::Object { members, left_out: members_out } => {
                let mut map: Map<String, Value> =
                    members.into_iter().map(|(key, member)| (key, member.into_value(redactor, left_out))).collect();
                if members_out > 0 {
                    map.insert("…".into(), format!("[cut: {members_out} more members]").into());
                }
                Value::Object(map)
            }
        }
    }
}

/// The value of a word or number; `None` if it is neither.
pub(super) fn plain(token: &str) -> Option<Value> {
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
                // Out of range: as it was written.
                None => token.into(),
            }
        }
    })
}

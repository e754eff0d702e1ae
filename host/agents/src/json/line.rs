//! A line of an agent, and the JSON that was read of it.

use host_model::Redactor;
use serde_json::Value;

use crate::text::truncate_text;

/// One line, without its end, or one value of a line with several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    /// All of it; of one that is too long, its first bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its whole length.
    pub(crate) length: u64,
    pub(crate) content: LineContent,
}

/// What a line holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum LineContent {
    /// No JSON, or none that was looked for.
    #[default]
    Text,
    Json(ParsedJson),
    /// An object that is damaged: what came before the damage.
    Damaged(ParsedJson),
    /// An object or list that the end of the stream cut off.
    Incomplete,
}

impl Line {
    fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }

    /// How many bytes of it no event can show.
    pub(crate) fn omitted_bytes(&self) -> u64 {
        match &self.content {
            LineContent::Json(read) => read.omitted_bytes,
            LineContent::Text => self.length - self.bytes.len() as u64,
            LineContent::Damaged(_) | LineContent::Incomplete => 0,
        }
    }

    /// What was kept of it, as text. Secrets are in it unless it was cut.
    pub(crate) fn text(&self, redactor: &Redactor) -> String {
        match self.is_cut() {
            true => self.lossy(self.bytes.len(), redactor),
            false => String::from_utf8_lossy(&self.bytes).into_owned(),
        }
    }

    /// At most `bound` bytes of it, without secrets, as text; what was cut is said.
    pub(crate) fn lossy(&self, max_bytes: usize, redactor: &Redactor) -> String {
        if !self.is_cut() {
            let shown = redactor.bytes(&self.bytes);
            return truncate_text(&shown, shown.len() as u64, max_bytes);
        }
        // Without what may be the beginning of a secret that was cut.
        truncate_text(&redactor.stream().push(&self.bytes), self.length, max_bytes)
    }
}

/// A value as far as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParsedJson {
    pub(crate) value: Value,
    /// How many bytes of its texts and members were left out.
    pub(crate) omitted_bytes: u64,
    /// Its `id` as it was written, if that is a number: the answer must repeat it exactly.
    pub(crate) id: Option<String>,
}

//! A line of an agent, and the JSON that was read of it.

use host_model::Redactor;
use serde_json::Value;

use crate::text::cut_text;

/// One line, without its end, or one value of a line with several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    /// All of it; of one that is too long, its first bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its whole length.
    pub(crate) length: u64,
    pub(crate) content: Content,
}

/// What a line holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Content {
    /// No JSON, or none that was looked for.
    #[default]
    Text,
    Json(Read),
    /// An object that is damaged: what came before the damage.
    Damaged(Read),
    /// An object or list that the end of the stream cut off.
    Half,
}

impl Line {
    fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }

    /// How many bytes of it no event can show.
    pub(crate) fn left_out(&self) -> u64 {
        match &self.content {
            Content::Json(read) => read.left_out,
            Content::Text => self.length - self.bytes.len() as u64,
            Content::Damaged(_) | Content::Half => 0,
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
    pub(crate) fn lossy(&self, bound: usize, redactor: &Redactor) -> String {
        if !self.is_cut() {
            let shown = redactor.bytes(&self.bytes);
            return cut_text(&shown, shown.len() as u64, bound);
        }
        // Without what may be the beginning of a secret that was cut.
        cut_text(&redactor.stream().push(&self.bytes), self.length, bound)
    }
}

/// A value as far as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Read {
    pub(crate) value: Value,
    /// How many bytes of its texts and members were left out.
    pub(crate) left_out: u64,
    /// Its `id` as it was written, if that is a number: the answer must repeat it exactly.
    pub(crate) id: Option<String>,
}

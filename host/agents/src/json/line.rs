//! A line of an agent's output and the JSON parsed from it.

use host_model::Redactor;
use serde_json::Value;

use crate::text::truncate_text;

/// One line without its newline, or one of several values of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutputLine {
    /// The line, or only its beginning if it is too long.
    pub(crate) bytes: Vec<u8>,
    /// The length of the whole line.
    pub(crate) length: u64,
    pub(crate) content: LineContent,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum LineContent {
    /// Not JSON, or not parsed as JSON.
    #[default]
    Text,
    Json(ParsedJson),
    /// A damaged object: what came before the damage.
    Damaged(ParsedJson),
    /// An object or list cut off by the end of the stream.
    Incomplete,
}

impl OutputLine {
    fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }

    /// How many bytes of the line no event can contain.
    pub(crate) fn omitted_bytes(&self) -> u64 {
        match &self.content {
            LineContent::Json(read) => read.omitted_bytes,
            LineContent::Text => self.length - self.bytes.len() as u64,
            LineContent::Damaged(_) | LineContent::Incomplete => 0,
        }
    }

    /// The kept part as text. It is only redacted if the line was cut.
    pub(crate) fn text(&self, redactor: &Redactor) -> String {
        match self.is_cut() {
            true => self.lossy(self.bytes.len(), redactor),
            false => String::from_utf8_lossy(&self.bytes).into_owned(),
        }
    }

    /// At most `max_bytes` bytes of the line as redacted text, with a note if it was cut.
    pub(crate) fn lossy(&self, max_bytes: usize, redactor: &Redactor) -> String {
        if !self.is_cut() {
            let shown = redactor.bytes(&self.bytes);
            return truncate_text(&shown, shown.len() as u64, max_bytes);
        }
        // Leaves out what may be the beginning of a cut secret.
        truncate_text(&redactor.stream().push(&self.bytes), self.length, max_bytes)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParsedJson {
    pub(crate) value: Value,
    /// How many bytes of its texts and members were left out.
    pub(crate) omitted_bytes: u64,
    /// Its `id` exactly as written, if that is a number: the response must repeat it.
    pub(crate) id: Option<String>,
}

//! Parses an agent's JSON lines leniently: lines of any length, in bounded memory, in chunks of any size.
//!
//! Agents print through several writers, and other programs write to the same stream. A strict parser would lose the
//! line, and with it the message or the end of a turn. So this one
//! - accepts a value wherever it begins: after a byte order mark, control characters, terminal sequences, a carriage
//!   return, or another value on the same line, and without waiting for the newline;
//! - keeps the fields a dialect needs (see [`WantedFields`]) and as much of the rest as fits, and counts what it leaves
//!   out;
//! - accepts lone surrogates, unknown escapes, invalid UTF-8, numbers out of range, `NaN`, control characters, trailing
//!   commas, duplicate members (the last one counts, as in JavaScript and Python) and any depth.
//!
//! Anything else is returned as text, with the members before the damage, so that a request can be answered.

pub(crate) mod line;
mod parser;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod text_buffer;
mod tree;
pub(crate) mod values;
pub(crate) mod wanted_fields;

use self::parser::{ParseStep, Parser};
use self::{
    line::{LineContent, OutputLine, ParsedJson},
    wanted_fields::WantedFields,
};
use host_model::Redactor;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TerminalState {
    #[default]
    Text,
    Escape,
    Control,
    /// In a terminal string such as a title.
    String,
    /// After an escape character in such a string.
    StringEscape,
}

#[derive(Debug)]
enum LineState {
    Outside,
    Inside(Box<Parser>),
    /// After the damage of a value, up to the newline; with the end of the skipped text.
    Damaged(ParsedJson, Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct JsonLineSplitter {
    wanted: &'static WantedFields,
    redactor: Redactor,
    state: LineState,
    terminal: TerminalState,
    /// Whether other text came before, which a terminal would show.
    has_text: bool,
    raw: Vec<u8>,
    max_raw: usize,
    length: u64,
}

impl JsonLineSplitter {
    /// Keeps the first `max_raw` bytes of each line as received.
    pub(crate) fn new(wanted: &'static WantedFields, max_raw: usize, redactor: Redactor) -> Self {
        Self {
            wanted,
            redactor,
            state: LineState::Outside,
            terminal: TerminalState::Text,
            has_text: false,
            raw: Vec::new(),
            max_raw,
            length: 0,
        }
    }

    /// Takes bytes up to the end of a value or line. Returns how many, and what ended.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<OutputLine>) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let (taken, line) = match &mut self.state {
                LineState::Outside => self.scan_text(rest),
                LineState::Inside(parser) => {
                    let (taken, step) = parser.feed(rest);
                    self.keep_raw(&rest[..taken]);
                    (taken, self.handle_step(step))
                }
                LineState::Damaged(..) => self.skip_damage(rest),
            };
            used += taken;
            if line.is_some() {
                return (used, line);
            }
        }
        (used, None)
    }

    /// The rest of a line without a newline.
    pub(crate) fn take_rest(&mut self) -> Option<OutputLine> {
        let content = match std::mem::replace(&mut self.state, LineState::Outside) {
            LineState::Outside if !self.has_text => {
                self.reset();
                return None;
            }
            LineState::Outside => LineContent::Text,
            LineState::Inside(_) | LineState::Damaged(..) => LineContent::Incomplete,
        };
        Some(self.line(content))
    }

    fn scan_text(&mut self, bytes: &[u8]) -> (usize, Option<OutputLine>) {
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' {
                self.keep_raw(&bytes[..at]);
                let has_text = self.has_text;
                let line = self.line(LineContent::Text);
                return (at + 1, has_text.then_some(line));
            }
            if self.begins_value(*byte) {
                self.reset();
                self.state = LineState::Inside(Box::new(Parser::new(self.wanted)));
                return (at, None);
            }
        }
        self.keep_raw(bytes);
        (bytes.len(), None)
    }

    /// Follows what a terminal would do with a byte outside of a value.
    fn begins_value(&mut self, byte: u8) -> bool {
        self.terminal = match (self.terminal, byte) {
            (TerminalState::Text | TerminalState::Escape, 0x1b) => TerminalState::Escape,
            (TerminalState::Text, b'\r') => {
                // What follows overwrites what came before.
                self.has_text = false;
                TerminalState::Text
            }
            // Control characters, and the bytes of a byte order mark.
            (TerminalState::Text, 0..=b' ' | 0x7f) => TerminalState::Text,
            (TerminalState::Text, 0xef | 0xbb | 0xbf) if !self.has_text => TerminalState::Text,
            (TerminalState::Text, b'{' | b'[') if !self.has_text => return true,
            (TerminalState::Text, _) => {
                self.has_text = true;
                TerminalState::Text
            }
            (TerminalState::Escape, b'[') => TerminalState::Control,
            (TerminalState::Escape, b']' | b'P' | b'_' | b'^' | b'X') => TerminalState::String,
            (TerminalState::Escape, b' '..=b'/') => TerminalState::Escape,
            (TerminalState::Escape, _) => TerminalState::Text,
            (TerminalState::Control, b'@'..=b'~') => {
                if matches!(byte, b'G' | b'H' | b'J' | b'K' | b'f') {
                    // Moves back in the line or erases it.
                    self.has_text = false;
                }
                TerminalState::Text
            }
            (TerminalState::Control, 0x1b) => TerminalState::Escape,
            (TerminalState::Control, _) => TerminalState::Control,
            (TerminalState::String | TerminalState::StringEscape, 0x07) => TerminalState::Text,
            (TerminalState::String | TerminalState::StringEscape, 0x1b) => TerminalState::StringEscape,
            (TerminalState::String, _) => TerminalState::String,
            (TerminalState::StringEscape, b'[') => TerminalState::Control,
            (TerminalState::StringEscape, b']') => TerminalState::String,
            (TerminalState::StringEscape, _) => TerminalState::Text,
        };
        false
    }

    fn handle_step(&mut self, step: ParseStep) -> Option<OutputLine> {
        if step == ParseStep::More {
            return None;
        }
        let LineState::Inside(parser) = std::mem::replace(&mut self.state, LineState::Outside) else { return None };
        let read = parser.finish(&self.redactor);
        if step == ParseStep::Done {
            return Some(self.line(LineContent::Json(read)));
        }
        self.state = LineState::Damaged(read, Vec::new());
        None
    }

    fn skip_damage(&mut self, bytes: &[u8]) -> (usize, Option<OutputLine>) {
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        self.keep_raw(part);
        if let LineState::Damaged(_, tail) = &mut self.state {
            tail::append(tail, part);
        }
        let Some(end) = end else { return (bytes.len(), None) };
        let content = match std::mem::replace(&mut self.state, LineState::Outside) {
            LineState::Damaged(mut read, tail) if read.value.is_object() => {
                tail::find_id(&mut read, &tail);
                LineContent::Damaged(read)
            }
            // For example, `[12:30:01] a line of a log`.
            _ => LineContent::Text,
        };
        (end + 1, Some(self.line(content)))
    }

    fn keep_raw(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = self.max_raw.saturating_sub(self.raw.len());
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn reset(&mut self) {
        (self.raw, self.length) = (Vec::new(), 0);
        (self.has_text, self.terminal) = (false, TerminalState::Text);
    }

    fn line(&mut self, content: LineContent) -> OutputLine {
        let line = OutputLine { bytes: std::mem::take(&mut self.raw), length: self.length, content };
        self.reset();
        line
    }
}

//! Reads the JSON lines of an agent: a line of any length, in bounded memory, in pieces of any size, tolerantly.
//!
//! Agents print through many writers, and others write to the same stream. A strict reader would lose the line, and
//! with it the message or the end of a turn. So this one
//! - takes a value wherever it begins: behind a byte order mark, control characters, terminal sequences, a carriage
//!   return, or another value on the same line, and without waiting for the end of the line;
//! - keeps what a dialect needs (see [`Wanted`]) and as much of the rest as fits, and says how much it left out;
//! - reads lone surrogates, unknown escapes, bytes that are not UTF-8, numbers out of range, `NaN`, control characters,
//!   trailing commas, repeated members (the last one counts, as in JavaScript and Python) and any depth.
//!
//! What is not JSON for all that is given as it is, with the members before the damage, so that a request can be
//! answered.

pub(crate) mod line;
mod parser;
pub(crate) mod shape;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod tree;
pub(crate) mod values;

use self::parser::{Parser, Step};
use self::{
    line::{Content, Line, Read},
    shape::Wanted,
};
use host_model::Redactor;

/// Where the reader is outside of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Terminal {
    #[default]
    Text,
    /// After an escape character.
    Escape,
    /// In a control sequence.
    Control,
    /// In a string for the terminal, such as its title.
    String,
    /// After an escape character in such a string.
    StringEscape,
}

/// Where the reader is in a line.
#[derive(Debug)]
enum Place {
    Outside,
    Inside(Box<Parser>),
    /// Behind the damage of a value, up to the end of the line; with the end of what was skipped.
    Damaged(Read, Vec<u8>),
}

/// Finds the values in a stream.
#[derive(Debug)]
pub(crate) struct JsonLines {
    wanted: &'static Wanted,
    redactor: Redactor,
    place: Place,
    terminal: Terminal,
    /// Whether text that is not JSON came before, which a terminal would show.
    prose: bool,
    head: Vec<u8>,
    max_head: usize,
    length: u64,
}

impl JsonLines {
    /// Keeps the first `max_head` bytes of each line as they came.
    pub(crate) fn new(wanted: &'static Wanted, max_head: usize, redactor: Redactor) -> Self {
        Self {
            wanted,
            redactor,
            place: Place::Outside,
            terminal: Terminal::Text,
            prose: false,
            head: Vec::new(),
            max_head,
            length: 0,
        }
    }

    /// Takes bytes up to the end of a value or line: how many, and what ended.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Line>) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let (taken, line) = match &mut self.place {
                Place::Outside => self.outside(rest),
                Place::Inside(parser) => {
                    let (taken, step) = parser.feed(rest);
                    self.keep(&rest[..taken]);
                    (taken, self.stepped(step))
                }
                Place::Damaged(..) => self.damaged(rest),
            };
            used += taken;
            if line.is_some() {
                return (used, line);
            }
        }
        (used, None)
    }

    /// What came of a line whose end did not come.
    pub(crate) fn take_rest(&mut self) -> Option<Line> {
        let content = match std::mem::replace(&mut self.place, Place::Outside) {
            Place::Outside if !self.prose => {
                self.begin();
                return None;
            }
            Place::Outside => Content::Text,
            Place::Inside(_) | Place::Damaged(..) => Content::Half,
        };
        Some(self.line(content))
    }

    fn outside(&mut self, bytes: &[u8]) -> (usize, Option<Line>) {
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' {
                self.keep(&bytes[..at]);
                let prose = self.prose;
                let line = self.line(Content::Text);
                return (at + 1, prose.then_some(line));
            }
            if self.begins_value(*byte) {
                self.begin();
                self.place = Place::Inside(Box::new(Parser::new(self.wanted)));
                return (at, None);
            }
        }
        self.keep(bytes);
        (bytes.len(), None)
    }

    /// Follows what a terminal would do with a byte outside of a value.
    fn begins_value(&mut self, byte: u8) -> bool {
        self.terminal = match (self.terminal, byte) {
            (Terminal::Text | Terminal::Escape, 0x1b) => Terminal::Escape,
            (Terminal::Text, b'\r') => {
                // What follows is written over what came before.
                self.prose = false;
                Terminal::Text
            }
            // Control characters, and the bytes of a byte order mark.
            (Terminal::Text, 0..=b' ' | 0x7f) => Terminal::Text,
            (Terminal::Text, 0xef | 0xbb | 0xbf) if !self.prose => Terminal::Text,
            (Terminal::Text, b'{' | b'[') if !self.prose => return true,
            (Terminal::Text, _) => {
                self.prose = true;
                Terminal::Text
            }
            (Terminal::Escape, b'[') => Terminal::Control,
            (Terminal::Escape, b']' | b'P' | b'_' | b'^' | b'X') => Terminal::String,
            (Terminal::Escape, b' '..=b'/') => Terminal::Escape,
            (Terminal::Escape, _) => Terminal::Text,
            (Terminal::Control, b'@'..=b'~') => {
                if matches!(byte, b'G' | b'H' | b'J' | b'K' | b'f') {
                    // Goes back in the line or erases it.
                    self.prose = false;
                }
                Terminal::Text
            }
            (Terminal::Control, 0x1b) => Terminal::Escape,
            (Terminal::Control, _) => Terminal::Control,
            (Terminal::String | Terminal::StringEscape, 0x07) => Terminal::Text,
            (Terminal::String | Terminal::StringEscape, 0x1b) => Terminal::StringEscape,
            (Terminal::String, _) => Terminal::String,
            (Terminal::StringEscape, b'[') => Terminal::Control,
            (Terminal::StringEscape, b']') => Terminal::String,
            (Terminal::StringEscape, _) => Terminal::Text,
        };
        false
    }

    fn stepped(&mut self, step: Step) -> Option<Line> {
        if step == Step::More {
            return None;
        }
        let Place::Inside(parser) = std::mem::replace(&mut self.place, Place::Outside) else { return None };
        let read = parser.finish(&self.redactor);
        if step == Step::Done {
            return Some(self.line(Content::Json(read)));
        }
        self.place = Place::Damaged(read, Vec::new());
        None
    }

    fn damaged(&mut self, bytes: &[u8]) -> (usize, Option<Line>) {
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        self.keep(part);
        if let Place::Damaged(_, tail) = &mut self.place {
            tail::keep(tail, part);
        }
        let Some(end) = end else { return (bytes.len(), None) };
        let content = match std::mem::replace(&mut self.place, Place::Outside) {
            Place::Damaged(mut read, tail) if read.value.is_object() => {
                tail::find_id(&mut read, &tail);
                Content::Damaged(read)
            }
            // Such as `[12:30:01] a line of a log`.
            _ => Content::Text,
        };
        (end + 1, Some(self.line(content)))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = self.max_head.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn begin(&mut self) {
        (self.head, self.length) = (Vec::new(), 0);
        (self.prose, self.terminal) = (false, Terminal::Text);
    }

    fn line(&mut self, content: Content) -> Line {
        let line = Line { bytes: std::mem::take(&mut self.head), length: self.length, content };
        self.begin();
        line
    }
}

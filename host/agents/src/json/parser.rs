//! A lenient parser of one JSON value that takes bytes in chunks of any size.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{
    line::ParsedJson,
    text_buffer::TextBuffer,
    tree::{Budget, Node, OpenNode, scalar},
    wanted_fields::{FieldPosition, WantedFields},
};
use host_model::Redactor;

/// Values nested deeper are skipped.
const MAX_DEPTH: usize = 100;
/// The size limit of a member's name.
const MAX_KEY: usize = 1 << 10;
const MAX_TOKEN: usize = 1 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParseStep {
    More,
    Done,
    Damaged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A value, or the end of a list.
    Value,
    Key,
    Colon,
    /// A comma, or the end of a list or object.
    Comma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    Text,
    Escape,
    /// The number of digits of `\uXXXX` so far, and their value.
    Unicode(u8, u16),
    Scalar,
    /// In a string of a skipped list or object, or after an escape there.
    SkippedText,
    SkippedEscape,
}

#[derive(Debug)]
pub(super) struct Parser {
    wanted: &'static WantedFields,
    frames: Vec<OpenNode>,
    expect: Expect,
    token: Token,
    /// The current string, its position, and whether it is a member's name.
    text: TextBuffer,
    text_position: FieldPosition,
    is_key: bool,
    scalar: Vec<u8>,
    /// The depth within a skipped list or object, and whether it is skipped because it is nested too deep.
    skipped: u64,
    too_deep: bool,
    budget: Budget,
    root: Option<Node>,
    id: Option<String>,
}

impl Parser {
    pub(super) fn new(wanted: &'static WantedFields) -> Self {
        Self {
            wanted,
            frames: Vec::new(),
            expect: Expect::Value,
            token: Token::None,
            text: TextBuffer::default(),
            text_position: FieldPosition::default(),
            is_key: false,
            scalar: Vec::new(),
            skipped: 0,
            too_deep: false,
            budget: Budget::default(),
            root: None,
            id: None,
        }
    }

    /// Takes bytes up to the end of the value or of the line. Returns how many, and the result.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, ParseStep) {
        let mut at = 0;
        while at < bytes.len() {
            let step = match self.token {
                Token::Text | Token::SkippedText => self.parse_text(bytes, &mut at),
                _ => self.parse_byte(bytes[at], &mut at),
            };
            if step != ParseStep::More {
                return (at, step);
            }
        }
        (at, ParseStep::More)
    }

    /// The value. Unfinished lists and objects contain what was parsed of them.
    pub(super) fn finish(mut self, redactor: &Redactor) -> ParsedJson {
        while self.root.is_none() && !self.frames.is_empty() {
            self.close();
        }
        let mut omitted_bytes = self.budget.omitted;
        let value = self.root.map_or(Value::Null, |root| root.into_value(redactor, &mut omitted_bytes));
        ParsedJson { value, omitted_bytes, id: self.id }
    }

    fn parse_text(&mut self, bytes: &[u8], at: &mut usize) -> ParseStep {
        let rest = &bytes[*at..];
        let end = memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
        *at += end;
        let skipped = self.token == Token::SkippedText;
        if skipped {
            self.budget.omitted += end as u64;
        } else {
            self.push(&rest[..end]);
        }
        match rest.get(end) {
            None => return ParseStep::More,
            Some(b'\n') => return ParseStep::Damaged,
            Some(b'\\') => self.token = if skipped { Token::SkippedEscape } else { Token::Escape },
            Some(_) => {
                self.token = Token::None;
                if !skipped {
                    self.end_text();
                }
            }
        }
        *at += 1;
        ParseStep::More
    }

    fn push(&mut self, bytes: &[u8]) {
        // No text between two escapes does not separate a surrogate pair.
        if !bytes.is_empty() {
            self.text.push(bytes);
            self.fit_text();
        }
    }

    /// A growing text may shorten others and itself.
    fn fit_text(&mut self) {
        if !self.is_key && !self.text_position.is_wanted() {
            self.budget.fit(&mut self.text, &mut self.frames);
        }
    }

    /// Parses a byte outside of plain text and advances `at`, unless the byte must be parsed again.
    fn parse_byte(&mut self, byte: u8, at: &mut usize) -> ParseStep {
        if byte == b'\n' {
            return ParseStep::Damaged;
        }
        match self.token {
            Token::Escape => self.parse_escape(byte),
            Token::Unicode(digits, value) => return self.parse_unicode(digits, value, byte, at),
            Token::Scalar => match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' | b'_' => {
                    if self.scalar.len() < MAX_TOKEN {
                        self.scalar.push(byte);
                    }
                }
                // The byte is parsed again.
                _ => return self.end_scalar(),
            },
            Token::SkippedEscape => self.token = Token::SkippedText,
            _ if self.skipped > 0 => self.skip(byte),
            _ => {
                let step = self.parse_structure(byte);
                if step == ParseStep::Damaged {
                    return step;
                }
                *at += 1;
                return step;
            }
        }
        *at += 1;
        ParseStep::More
    }

    fn parse_escape(&mut self, byte: u8) {
        self.token = Token::Text;
        let character = match byte {
            b'u' => return self.token = Token::Unicode(0, 0),
            b'"' | b'\\' | b'/' | b'\'' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            // Not a JSON escape: kept as written.
            _ => return self.push(&[b'\\', byte]),
        };
        self.push(&[character]);
    }

    fn parse_unicode(&mut self, digits: u8, value: u16, byte: u8, at: &mut usize) -> ParseStep {
        let Some(digit) = char::from(byte).to_digit(16) else {
            // Not an escape: kept as written.
            let written = format!("{value:04x}");
            self.push(format!("\\u{}", &written[4 - usize::from(digits)..]).as_bytes());
            self.token = Token::Text;
            return ParseStep::More;
        };
        *at += 1;
        let value = value << 4 | digit as u16;
        if digits == 3 {
            self.text.push_unit(value);
            self.fit_text();
            self.token = Token::Text;
        } else {
            self.token = Token::Unicode(digits + 1, value);
        }
        ParseStep::More
    }

    fn skip(&mut self, byte: u8) {
        self.budget.omitted += 1;
        match byte {
            b'"' => self.token = Token::SkippedText,
            b'{' | b'[' => self.skipped += 1,
            b'}' | b']' => {
                self.skipped -= 1;
                if self.skipped == 0 {
                    let note = "[cut: nested too deep]";
                    let node = self.too_deep.then(|| Node::Scalar(note.into()));
                    self.attach(node);
                }
            }
            _ => {}
        }
    }

    fn parse_structure(&mut self, byte: u8) -> ParseStep {
        match (self.expect, byte) {
            // Control characters between tokens are harmless.
            (_, 0..=b' ' | 0x7f) => {}
            (Expect::Value, b'{' | b'[') => self.open(byte == b'{'),
            (Expect::Value | Expect::Comma, b']') if !self.in_object() => return self.close_value(),
            (Expect::Key | Expect::Comma, b'}') if self.in_object() => return self.close_value(),
            (Expect::Value, b'"') => {
                self.text_position = self.position();
                self.text = TextBuffer::new(self.budget.text_limit(self.text_position));
                (self.token, self.is_key) = (Token::Text, false);
            }
            (Expect::Key, b'"') => {
                self.text = TextBuffer::new(MAX_KEY);
                (self.token, self.is_key) = (Token::Text, true);
            }
            (Expect::Value, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'+' | b'.') => {
                self.token = Token::Scalar;
                self.scalar = vec![byte];
            }
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::Comma, b',') => self.expect = if self.in_object() { Expect::Key } else { Expect::Value },
            _ => return ParseStep::Damaged,
        }
        ParseStep::More
    }

    fn in_object(&self) -> bool {
        matches!(self.frames.last(), Some(OpenNode { node: Node::Object { .. }, .. }))
    }

    fn position(&self) -> FieldPosition {
        match self.frames.last() {
            None => self.wanted.root(),
            Some(frame) => match frame.node {
                Node::Object { .. } => self.wanted.member(frame.position, &frame.key),
                _ => frame.position.item(),
            },
        }
    }

    fn admit(&mut self, position: FieldPosition, size: usize) -> bool {
        let size = size + self.frames.last().map_or(0, |frame| frame.key.len());
        self.budget.admit(position, size, &mut self.frames)
    }

    fn open(&mut self, object: bool) {
        let position = self.position();
        self.too_deep = self.frames.len() >= MAX_DEPTH;
        if self.too_deep || !self.admit(position, 0) {
            self.skipped = 1;
            self.budget.omitted += 1;
            return;
        }
        let node = match object {
            true => Node::Object { members: BTreeMap::new(), omitted: 0 },
            false => Node::List { items: Vec::new(), omitted: 0 },
        };
        self.frames.push(OpenNode { node, position, key: String::new() });
        self.expect = if object { Expect::Key } else { Expect::Value };
    }

    fn close_value(&mut self) -> ParseStep {
        self.close();
        if self.root.is_some() { ParseStep::Done } else { ParseStep::More }
    }

    fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.attach(Some(frame.node));
        }
    }

    fn end_text(&mut self) {
        // Ends half of a surrogate pair.
        self.text.push(&[]);
        let text = std::mem::take(&mut self.text);
        if self.is_key {
            self.expect = Expect::Colon;
            if let Some(frame) = self.frames.last_mut() {
                frame.key = String::from_utf8_lossy(&text.bytes).into_owned();
            }
            return;
        }
        let position = self.text_position;
        let fits = self.admit(position, text.bytes.len());
        if !fits {
            self.budget.omitted += text.length;
        }
        self.attach(fits.then_some(Node::Text { bytes: text.bytes, length: text.length, rank: position.rank }));
    }

    fn end_scalar(&mut self) -> ParseStep {
        self.token = Token::None;
        let token = std::mem::take(&mut self.scalar);
        let Some(token) = std::str::from_utf8(&token).ok() else { return ParseStep::Damaged };
        let Some(value) = scalar(token) else { return ParseStep::Damaged };
        if let [OpenNode { key, .. }] = &self.frames[..]
            && key == "id"
            && self.in_object()
        {
            self.id = value.is_number().then(|| token.to_owned());
        }
        let position = self.position();
        let fits = self.admit(position, 0);
        if !fits {
            self.budget.omitted += token.len() as u64;
        }
        self.attach(fits.then_some(Node::Scalar(value)));
        ParseStep::More
    }

    /// Adds a value to its parent; `None` if it was left out.
    fn attach(&mut self, node: Option<Node>) {
        self.expect = Expect::Comma;
        let Some(frame) = self.frames.last_mut() else {
            self.root = node;
            return;
        };
        match (&mut frame.node, node) {
            (Node::Object { members, .. }, Some(node)) => drop(members.insert(std::mem::take(&mut frame.key), node)),
            (Node::List { items, .. }, Some(node)) => items.push(node),
            (Node::Object { omitted, .. } | Node::List { omitted, .. }, None) => *omitted += 1,
            (Node::Scalar(_) | Node::Text { .. }, _) => {}
        }
    }
}

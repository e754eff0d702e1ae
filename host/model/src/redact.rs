mod spellings;

use std::{borrow::Cow, collections::BTreeSet, fmt, ops::Range, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use self::spellings::patterns_of;
use super::{AttemptRecord, Fault, Finding, Outcome, Report, SessionEventKind};

/// Shorter values are not replaced: they stand in too many places where they are no secret.
pub const SHORTEST_SECRET: usize = 8;

/// The replacement of a secret.
const MARK: &str = "***";

/// Replaces secrets by `***`.
///
/// Found are, whatever stands around them:
/// - a secret itself, and each line of one of several lines, from [`SHORTEST_SECRET`] bytes on;
/// - the same as a JSON writer escapes it: `\"`, `\\`, `\n`, `\/`, `\u00e9` or `\u00E9`, all of it as `\u0061`; also
///   when that JSON is a string of other JSON;
/// - the same as a URL has it (`%2F`), and as base64 has it, alone or within other text;
/// - a secret of one line with a line break in it, raw or escaped, or in lower case, as names of hosts are recorded;
/// - of a token (from 24 characters of `A-Z a-z 0-9 + / = _ . -`), every 12 characters in a row: where it is split,
///   what is left of it is shorter than that, or than half of it.
///
/// Not found are other encodings, shorter secrets in pieces, and tokens in pieces of fewer than 12 characters.
///
/// A clone shares the secrets. The default has none.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Patterns>>);

struct Patterns {
    secrets: Vec<String>,
    automaton: AhoCorasick,
    /// What the automaton finds, in order: says what may be the beginning of one.
    sorted: Vec<Vec<u8>>,
    /// Bytes of the longest pattern.
    longest: usize,
    /// Bytes that patterns begin with.
    first: [bool; 256],
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets().len())
    }
}

impl Redactor {
    /// Replaces `secrets`. White space around one is no part of it; those shorter than [`SHORTEST_SECRET`] are left
    /// out; the caller should warn about them.
    ///
    /// # Errors
    /// They are too many to be looked for.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Result<Self, TooManySecrets> {
        let secrets: BTreeSet<String> =
            secrets.into_iter().map(|it| it.trim().to_owned()).filter(|it| it.len() >= SHORTEST_SECRET).collect();
        let mut patterns = BTreeSet::new();
        for secret in &secrets {
            patterns_of(secret, &mut patterns);
        }
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        let sorted: Vec<Vec<u8>> = patterns.into_iter().collect();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&sorted)
            .map_err(|error| TooManySecrets(error.to_string()))?;
        let longest = sorted.iter().map(Vec::len).max().unwrap_or_default();
        let mut first = [false; 256];
        for pattern in &sorted {
            first[usize::from(pattern[0])] = true;
        }
        let secrets = secrets.into_iter().collect();
        Ok(Self(Some(Arc::new(Patterns { secrets, automaton, sorted, longest, first }))))
    }

    /// Replaces the secrets of all of `redactors`.
    ///
    /// # Errors
    /// They are too many to be looked for.
    pub fn union<'a>(redactors: impl IntoIterator<Item = &'a Self>) -> Result<Self, TooManySecrets> {
        Self::new(redactors.into_iter().flat_map(|it| it.secrets().to_vec()))
    }

    /// The secrets, for those who must pass them on.
    #[must_use]
    pub fn secrets(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |patterns| &patterns.secrets)
    }

    /// Whether there is nothing to replace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Where in `bytes` secrets are, in order, apart from each other.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.0.as_ref().map_or_else(Vec::new, |patterns| patterns.spans(bytes, 0))
    }

    /// The most bytes that have to be seen together to find one.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.0.as_ref().map_or(0, |patterns| patterns.longest)
    }

    /// `bytes` without secrets. It must be whole: of what is cut before, a part of a secret may be left.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let spans = self.find(bytes);
        if spans.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for span in spans {
            shown.extend_from_slice(&bytes[at..span.start]);
            shown.extend_from_slice(MARK.as_bytes());
            at = span.end;
        }
        shown.extend_from_slice(&bytes[at..]);
        Cow::Owned(shown)
    }

    /// `text` without secrets; it must be whole.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Patterns are text, so that what is left of a text is text.
            Cow::Owned(shown) => Cow::Owned(String::from_utf8_lossy(&shown).into_owned()),
        }
    }

    /// For bytes that come in pieces.
    #[must_use]
    pub fn stream(&self) -> RedactingStream {
        RedactingStream { redactor: self.clone(), held: Vec::new(), covered: 0 }
    }

    fn owned(&self, text: &mut String) {
        if let Cow::Owned(shown) = self.text(text) {
            *text = shown;
        }
    }

    /// Takes secrets out of all texts and keys of `value`.
    pub fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.owned(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.json(value)),
            Value::Object(entries) => {
                let hidden = std::mem::take(entries).into_iter().map(|(key, mut value)| {
                    self.json(&mut value);
                    (self.text(&key).into_owned(), value)
                });
                *entries = hidden.collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// An event of a session without secrets.
    #[must_use]
    pub fn event(&self, mut kind: SessionEventKind) -> SessionEventKind {
        if self.is_empty() {
            return kind;
        }
        match &mut kind {
            SessionEventKind::Started { session_id, model } => {
                self.owned(session_id);
                model.iter_mut().for_each(|model| self.owned(model));
            }
            SessionEventKind::Message { text } => self.owned(text),
            SessionEventKind::ToolCall { id, name, input } => {
                self.owned(id);
                self.owned(name);
                self.json(input);
            }
            SessionEventKind::ToolResult { id, output, .. } => {
                self.owned(id);
                self.owned(output);
            }
            SessionEventKind::BackOff(back_off) => self.owned(&mut back_off.reason),
            SessionEventKind::Raw { line } => self.owned(line),
            SessionEventKind::Usage(_) => {}
        }
        kind
    }

    /// A fault without secrets.
    #[must_use]
    pub fn fault(&self, mut fault: Fault) -> Fault {
        self.owned(&mut fault.message);
        fault
    }

    /// A component's report without secrets.
    #[must_use]
    pub fn report(&self, mut report: Report) -> Report {
        match &mut report {
            Report::Step { name } => self.owned(name),
            Report::Note { text } => self.owned(text),
            Report::Metric { name, unit, .. } => {
                self.owned(name);
                self.owned(unit);
            }
            Report::Attachment { name, media_type, .. } => {
                self.owned(name);
                self.owned(media_type);
            }
            Report::Cut { what } | Report::Left { what } | Report::Unconfined { what } | Report::Denied { what } => {
                self.owned(what)
            }
        }
        report
    }

    /// The result of an attempt without secrets.
    #[must_use]
    pub fn record(&self, mut record: AttemptRecord) -> AttemptRecord {
        match &mut record.outcome {
            Outcome::Fail { findings } => findings.iter_mut().for_each(|finding| self.finding(finding)),
            Outcome::Skip { reason } | Outcome::Cancelled { reason } => self.owned(reason),
            Outcome::Fault(fault) => self.owned(&mut fault.message),
            Outcome::Pass => {}
        }
        record
    }

    fn finding(&self, finding: &mut Finding) {
        self.owned(&mut finding.message);
        finding.evidence.iter_mut().for_each(|evidence| self.owned(evidence));
    }
}

impl Patterns {
    /// What to replace in `bytes`, the first `covered` of which are a secret's: in order, apart from each other.
    fn spans(&self, bytes: &[u8], covered: usize) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        spans.extend((covered > 0).then_some(0..covered));
        // They come in the order of their ends.
        for found in self.automaton.find_overlapping_iter(bytes) {
            let mut span = found.span().range();
            while let Some(last) = spans.pop_if(|last| span.start < last.end) {
                span = span.start.min(last.start)..span.end.max(last.end);
            }
            spans.push(span);
        }
        spans
    }

    /// Where a secret may begin that goes on after `bytes`.
    fn open_from(&self, bytes: &[u8]) -> usize {
        let earliest = bytes.len().saturating_sub(self.longest - 1);
        (earliest..bytes.len()).find(|at| self.is_beginning(&bytes[*at..])).unwrap_or(bytes.len())
    }

    fn is_beginning(&self, bytes: &[u8]) -> bool {
        self.first[usize::from(bytes[0])] && {
            let next = self.sorted.partition_point(|pattern| pattern.as_slice() <= bytes);
            self.sorted.get(next).is_some_and(|pattern| pattern.starts_with(bytes))
        }
    }
}

/// Replaces secrets in bytes that come in pieces, whatever the pieces are. It holds back what may be the beginning of
/// a secret, and no more.
#[derive(Debug)]
pub struct RedactingStream {
    redactor: Redactor,
    held: Vec<u8>,
    /// How much of `held` belongs to a secret that `***` was already put for.
    covered: usize,
}

impl RedactingStream {
    /// Takes the next piece and returns what can be shown by now.
    pub fn push<'a>(&mut self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(patterns) = self.redactor.0.clone() else { return Cow::Borrowed(piece) };
        self.held.extend_from_slice(piece);
        let end = patterns.open_from(&self.held);
        Cow::Owned(self.show(&patterns, end))
    }

    /// Returns the rest: nothing follows. Another stream may begin.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(patterns) = self.redactor.0.clone() else { return Vec::new() };
        let end = self.held.len();
        self.show(&patterns, end)
    }

    fn show(&mut self, patterns: &Patterns, end: usize) -> Vec<u8> {
        let mut shown = Vec::with_capacity(end);
        let (mut at, mut covered) = (0, 0);
        for span in patterns.spans(&self.held, self.covered) {
            if span.start >= end && span.start > 0 {
                break;
            }
            // A span from before has its mark.
            let marked = span.start == 0 && self.covered > 0;
            shown.extend_from_slice(&self.held[at..span.start]);
            if !marked {
                shown.extend_from_slice(MARK.as_bytes());
            }
            at = span.end.min(end);
            covered = span.end - at;
        }
        shown.extend_from_slice(&self.held[at..end]);
        self.held.drain(..end);
        self.covered = covered;
        shown
    }
}

/// Secrets are too many to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManySecrets(String);

impl fmt::Display for TooManySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secrets are too many or too long to be kept out of the records: {}", self.0)
    }
}

impl std::error::Error for TooManySecrets {}

#[cfg(test)]
mod tests;

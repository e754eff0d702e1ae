//! Files as their writers see them: errors that show the line and say what was meant.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use host_model::shown;
use serde::de::DeserializeOwned;

/// Something in a file is wrong: what, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what to do.
    pub message: String,
    rendered: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl std::error::Error for SourceError {}

impl SourceError {
    /// An error at the bytes `span` of `text`, which `path` holds.
    #[must_use]
    pub fn new(path: &Path, text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let shown = seen_from_here(path);
        let Some(span) = span.filter(|span| span.end <= text.len()) else {
            let rendered = format!("{shown}: {message}");
            return Self { path: path.to_owned(), position: None, message, rendered };
        };
        let (line, column) = position(text, span.start);
        let title = format!("{shown}:{line}:{column}: {message}");
        let group = Level::ERROR.primary_title(&title).element(
            Snippet::source(text).line_start(1).annotation(AnnotationKind::Primary.span(first_line(text, span))),
        );
        let rendered = Renderer::plain().render(&[group]);
        let rendered = rendered.strip_prefix("error: ").unwrap_or(&rendered).trim_end().to_owned();
        Self { path: path.to_owned(), position: Some((line, column)), message, rendered }
    }
}

/// Line and column of a byte, from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// The part of `span` on its first line: a whole table under one mark says nothing.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let length = text[span.clone()].find('\n').unwrap_or(span.len());
    span.start..span.start + length
}

/// A path as a person in the current folder would write it, on one line whatever a file's name holds.
#[must_use]
pub fn seen_from_here(path: &Path) -> String {
    let cwd = std::env::current_dir().ok();
    let short = cwd.and_then(|cwd| path.strip_prefix(cwd).ok()).filter(|path| !path.as_os_str().is_empty());
    shown(short.unwrap_or(path))
}

/// A place in a file, kept to point at it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    text: Arc<str>,
    span: Range<usize>,
}

impl Place {
    /// The bytes `span` of `text`, which `path` holds.
    #[must_use]
    pub fn new(path: &Path, text: &Arc<str>, span: Range<usize>) -> Self {
        Self { path: path.to_owned(), text: Arc::clone(text), span }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong here.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> SourceError {
        SourceError::new(&self.path, &self.text, Some(self.span.clone()), message.into())
    }
}

/// `FILE:LINE:COLUMN`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = position(&self.text, self.span.start.min(self.text.len()));
        write!(f, "{}:{line}:{column}", seen_from_here(&self.path))
    }
}

/// A file that is being read: what its places are made of.
#[derive(Clone, Debug)]
pub(super) struct FileText {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
}

impl FileText {
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::new(&self.path, &self.text, span)
    }

    /// What is wrong at the bytes `span`.
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> SourceError {
        SourceError::new(&self.path, &self.text, Some(span), message.into())
    }
}

/// Reads a text file of at most [`host_fs::MAX_TEXT`] bytes. A byte order mark is no part of its text.
///
/// # Errors
/// [`ReadError`]; a file that is not there is none, but a link that leads nowhere is.
pub(super) fn read(path: &Path) -> Result<Option<Arc<str>>, ReadError> {
    let bytes = match host_fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let source = io::Error::new(error.kind(), "it is a link that leads nowhere");
            return Err(ReadError::Io { path: path.to_owned(), source });
        }
        Err(_) if path.is_dir() => return Err(ReadError::Folder { path: path.to_owned() }),
        Err(source) => return Err(ReadError::Io { path: path.to_owned(), source }),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        // The first byte that is none of UTF-8 shows as a replacement character, in the same place.
        let shown = String::from_utf8_lossy(error.as_bytes());
        let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        ReadError::Text(SourceError::new(path, &shown, Some(span), "this is no UTF-8; save the file as UTF-8".into()))
    })?;
    Ok(Some(text.strip_prefix('\u{feff}').unwrap_or(&text).into()))
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system does not give it.
    #[error("cannot read {}", seen_from_here(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is a folder.
    #[error("{} is a folder, but must be a file; move it away or rename it", seen_from_here(path))]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// It is no text.
    #[error(transparent)]
    Text(SourceError),
}

/// Parses a TOML file.
///
/// # Errors
/// [`SourceError`] with the place, and the nearest known name for an unknown one.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SourceError> {
    toml::from_str(text).map_err(|error| {
        let message = doubled_brackets(text, &error).unwrap_or_else(|| {
            let table = error.span().and_then(|span| table_at(text, span.start));
            explain(error.message(), table.as_deref())
        });
        SourceError::new(path, text, error.span(), message)
    })
}

/// `[step]` where `[[step]]` belongs: what to write.
fn doubled_brackets(text: &str, error: &toml::de::Error) -> Option<String> {
    let wrong = error.message().starts_with("invalid type: map, expected a sequence");
    let header = text.get(error.span()?).filter(|_| wrong)?.lines().next()?;
    let name = header.strip_prefix('[')?.split(']').next().filter(|name| !name.starts_with('['))?.trim();
    Some(format!("`[{name}]` is a single table; write `[[{name}]]`, once for each"))
}

/// The header of the table that the key at the byte `at` belongs to, as written: who writes a key below one by mistake
/// does not see why it is unknown.
fn table_at(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    // A key within braces, or the header itself, says by its place where it belongs.
    let line = before.rsplit('\n').next()?;
    if !line.trim().is_empty() {
        return None;
    }
    let header = before.lines().rev().map(str::trim).find(|line| line.starts_with('['))?;
    let closing = if header.starts_with("[[") { "]]" } else { "]" };
    header.get(..header.find(closing)? + closing.len()).map(str::to_owned)
}

/// Puts serde's words, which are for programmers, into ours. `table` is where the key stands.
fn explain(message: &str, table: Option<&str>) -> String {
    let message = message.trim_end();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let table = table.map(|table| format!(" in `{table}`")).unwrap_or_default();
        return unknown("key", rest, &table);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown("value", rest, "");
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing; add it");
    }
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        return format!("expected {}, found {}", expected_words(expected), found_words(found));
    }
    message.to_owned()
}

/// An unknown name in backquotes, then those that are known; `place` is where, or empty.
fn unknown(what: &str, names: &str, place: &str) -> String {
    let quoted: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, [])) => format!("unknown {what} `{unknown}`{place}: nothing is expected here; remove it"),
        Some((unknown, known)) => {
            format!("unknown {what} `{unknown}`{place}; {}", did_you_mean(unknown, known, "known are"))
        }
        None => format!("unknown {what} {names}"),
    }
}

/// `did you mean NEAREST?`, or, when none is near, `lead` and all of them.
pub(super) fn did_you_mean(unknown: &str, known: &[&str], lead: &str) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{lead} {}", listed(known)),
    }
}

fn expected_words(expected: &str) -> String {
    match expected {
        "a string" | "string" => "a text in quotes".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list in brackets".into(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number from 0 up".into(),
        "i64" => "a whole number".into(),
        _ if expected == "a map" || expected.starts_with("struct ") || expected.contains(" enum ") => "a table".into(),
        _ => expected.to_owned(),
    }
}

fn found_words(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.to_owned(),
        Some(("floating", rest)) => rest.trim_start_matches("point ").to_owned(),
        _ if found == "map" => "a table".into(),
        _ if found == "sequence" => "a list".into(),
        _ => found.to_owned(),
    }
}

fn listed(names: &[&str]) -> String {
    const MAX_LISTED: usize = 50;
    let shown = names.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

/// The name of `known` that `unknown` was probably meant to be.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (unknown.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&unknown.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct File {
        #[expect(dead_code, reason = "only its name matters")]
        deadline: Option<String>,
        #[expect(dead_code, reason = "only its name matters")]
        tags: Option<Vec<String>>,
    }

    fn problem(text: &str) -> SourceError {
        parse::<File>(Path::new("s.toml"), text).unwrap_err()
    }

    #[test]
    fn an_unknown_key_offers_the_nearest() {
        let error = problem("tags = []\ndedline = \"1s\"\n");
        assert_eq!(error.position, Some((2, 1)));
        assert_eq!(error.message, "unknown key `dedline`; did you mean `deadline`?");
        assert!(error.to_string().starts_with("s.toml:2:1: unknown key"), "{error}");
        assert!(error.to_string().contains("2 | dedline = \"1s\""), "{error}");
    }

    #[test]
    fn the_table_that_a_key_stands_below_by_mistake_is_named() {
        let place = |text: &str| table_at(text, text.find("deadline").unwrap());
        assert_eq!(place("a = 1\n[grants] # mine\nsession = true\n  deadline = 1").unwrap(), "[grants]");
        assert_eq!(place("[grants]\n[[step]]\ndeadline = 1").unwrap(), "[[step]]");
        assert_eq!(place("a = 1\ndeadline = 1"), None);
        assert_eq!(place("[a]\nb = { deadline = 1 }"), None);
        assert_eq!(place("[a]\n[deadline]"), None);
    }

    #[test]
    fn a_key_like_no_other_lists_the_known() {
        assert_eq!(problem("colour = 1").message, "unknown key `colour`; known are `deadline`, `tags`");
    }

    #[test]
    fn a_table_where_a_list_of_tables_belongs_shows_how_to_write_one() {
        #[derive(Debug, serde::Deserialize)]
        struct Steps {
            #[expect(dead_code, reason = "only its type matters")]
            step: Vec<toml::Table>,
        }
        let message = |text: &str| parse::<Steps>(Path::new("s.toml"), text).unwrap_err().message;
        assert_eq!(message("[step]\nsay = \"x\""), "`[step]` is a single table; write `[[step]]`, once for each");
        assert_eq!(message("step = { say = \"x\" }"), "expected a list in brackets, found a table");
    }

    #[test]
    fn a_wrong_type_and_bad_syntax_have_a_place() {
        assert_eq!(problem("\n\ntags = 3").position, Some((3, 8)));
        assert!(problem("tags = [").position.is_some());
    }
}

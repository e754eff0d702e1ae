//! Files as their writers see them: errors that show the line and say what was meant.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::de::DeserializeOwned;
use toml::{Spanned, de::DeTable};

use super::{
    table::SettingsTable,
    toml_reader::{ProblemKind, ReadProblem, Value},
};
use host_model::text::{did_you_mean, shown};

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
    table(text).and_then(|table| T::deserialize(Value::from(table))).map_err(|problem| explain(path, text, problem))
}

/// Parses a TOML file whose top has the keys of two tables: first those of `A`, then those that only `B` has.
///
/// # Errors
/// Those of [`parse`].
pub(super) fn parse_both<A: SettingsTable + DeserializeOwned, B: DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<(A, B), SourceError> {
    let both = || {
        let table = table(text)?;
        let span = table.span();
        let (first, second): (DeTable<'_>, DeTable<'_>) =
            table.into_inner().into_iter().partition(|(key, _)| A::keys().contains(&key.get_ref().as_ref()));
        let tops: Vec<Range<usize>> = second.keys().map(Spanned::span).collect();
        let first = A::deserialize(Value::from(Spanned::new(span.clone(), first)))?;
        let second = B::deserialize(Value::from(Spanned::new(span, second))).map_err(|mut problem| {
            if let ProblemKind::UnknownKey { known, .. } = &mut problem.kind
                && problem.span.as_ref().is_some_and(|span| tops.contains(span))
            {
                known.extend(A::keys());
            }
            problem
        })?;
        Ok((first, second))
    };
    both().map_err(|problem| explain(path, text, problem))
}

fn table(text: &str) -> Result<Spanned<DeTable<'_>>, ReadProblem> {
    DeTable::parse(text)
        .map_err(|error| ReadProblem { span: error.span(), kind: ProblemKind::Other(error.message().to_owned()) })
}

fn explain(path: &Path, text: &str, problem: ReadProblem) -> SourceError {
    let ReadProblem { span, kind } = problem;
    let message = match kind {
        ProblemKind::UnknownKey { key, known } => {
            let table = span.as_ref().and_then(|span| table_at(text, span.start));
            let table = table.map(|table| format!(" in `{table}`")).unwrap_or_default();
            match known.is_empty() {
                true => format!("unknown key `{key}`{table}: nothing is expected here; remove it"),
                false => format!("unknown key `{key}`{table}; {}", did_you_mean(&key, &known, "known are")),
            }
        }
        ProblemKind::TableForList => span
            .as_ref()
            .and_then(|span| single_table(text, span))
            .unwrap_or_else(|| "expected a list in brackets, found a table".to_owned()),
        ProblemKind::Other(message) => message.trim_end().to_owned(),
    };
    SourceError::new(path, text, span, message)
}

/// What to write where the bytes `span` are `[step]` and `[[step]]` belongs there.
fn single_table(text: &str, span: &Range<usize>) -> Option<String> {
    let header = text.get(span.clone())?.lines().next()?;
    let name = header.strip_prefix('[')?.split(']').next().filter(|name| !name.starts_with('['))?.trim();
    Some(format!("`[{name}]` is a single table; write `[[{name}]]`, once for each"))
}

/// The header of the table that the key at the byte `at` belongs to, as written: a key below the wrong header looks
/// right to its author.
fn table_at(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    // A key within braces, or the header itself, shows by its place where it belongs.
    let line = before.rsplit('\n').next()?;
    if !line.trim().is_empty() {
        return None;
    }
    let header = before.lines().rev().map(str::trim).find(|line| line.starts_with('['))?;
    let closing = if header.starts_with("[[") { "]]" } else { "]" };
    header.get(..header.find(closing)? + closing.len()).map(str::to_owned)
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
    fn unknown_keys_offer_the_nearest() {
        let error = problem("tags = []\ndedline = \"1s\"\n");
        assert_eq!(error.position, Some((2, 1)));
        assert_eq!(error.message, "unknown key `dedline`; did you mean `deadline`?");
        assert!(error.to_string().starts_with("s.toml:2:1: unknown key"), "{error}");
        assert!(error.to_string().contains("2 | dedline = \"1s\""), "{error}");
    }

    #[test]
    fn unknown_keys_name_the_table_around_them() {
        let place = |text: &str| table_at(text, text.find("deadline").unwrap());
        assert_eq!(place("a = 1\n[grants] # mine\nsession = true\n  deadline = 1").unwrap(), "[grants]");
        assert_eq!(place("[grants]\n[[step]]\ndeadline = 1").unwrap(), "[[step]]");
        assert_eq!(place("a = 1\ndeadline = 1"), None);
        assert_eq!(place("[a]\nb = { deadline = 1 }"), None);
        assert_eq!(place("[a]\n[deadline]"), None);
    }

    #[test]
    fn unknown_keys_without_a_near_one_list_all() {
        assert_eq!(problem("colour = 1").message, "unknown key `colour`; known are `deadline`, `tags`");
    }

    #[test]
    fn tables_instead_of_lists_show_the_right_header() {
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
    fn type_and_syntax_errors_have_a_position() {
        assert_eq!(problem("\n\ntags = 3").position, Some((3, 8)));
        assert!(problem("tags = [").position.is_some());
    }
}

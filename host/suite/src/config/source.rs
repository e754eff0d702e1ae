//! Files as their authors see them: errors that show the line.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use host_model::text::shown;

/// An error in a file, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// The problem and its fix.
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

/// The part of `span` on its first line: marking a whole table does not help.
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
pub struct SourceSpan {
    path: PathBuf,
    text: Arc<str>,
    span: Range<usize>,
}

impl SourceSpan {
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

    /// An error at this place.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> SourceError {
        SourceError::new(&self.path, &self.text, Some(self.span.clone()), message.into())
    }
}

/// `FILE:LINE:COLUMN`.
impl fmt::Display for SourceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = position(&self.text, self.span.start.min(self.text.len()));
        write!(f, "{}:{line}:{column}", seen_from_here(&self.path))
    }
}

/// A file that is being read.
#[derive(Clone, Debug)]
pub(super) struct FileText {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
}

impl FileText {
    pub(super) fn place(&self, span: Range<usize>) -> SourceSpan {
        SourceSpan::new(&self.path, &self.text, span)
    }

    /// An error at the bytes `span`.
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> SourceError {
        SourceError::new(&self.path, &self.text, Some(span), message.into())
    }
}

/// Reads a text file of at most [`host_fs::MAX_TEXT`] bytes. A byte order mark is no part of its text.
///
/// # Errors
/// [`ReadError`]; a missing file is not an error, but a dangling link is.
pub(super) fn read(path: &Path) -> Result<Option<Arc<str>>, ReadError> {
    let bytes = match host_fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let source = io::Error::new(error.kind(), "it is a dangling link");
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
        ReadError::Text(SourceError::new(
            path,
            &shown,
            Some(span),
            "the file is not UTF-8; save the file as UTF-8".into(),
        ))
    })?;
    Ok(Some(text.strip_prefix('\u{feff}').unwrap_or(&text).into()))
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses to read it.
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
    /// It is not a text.
    #[error(transparent)]
    Text(SourceError),
}

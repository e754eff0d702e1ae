//! Files as their writers see them: errors that show the line and say what was meant.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
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
        let shown = path.display().to_string();
        let Some(span) = span.filter(|span| span.end <= text.len()) else {
            let rendered = format!("{shown}: {message}");
            return Self { path: path.to_owned(), position: None, message, rendered };
        };
        let before = &text[..span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let title = format!("{shown}:{line}:{column}: {message}");
        let group = Level::ERROR.primary_title(&title).element(
            Snippet::source(text).line_start(1).annotation(AnnotationKind::Primary.span(first_line(text, span))),
        );
        let rendered = Renderer::plain().render(&[group]);
        let rendered = rendered.strip_prefix("error: ").unwrap_or(&rendered).trim_end().to_owned();
        Self { path: path.to_owned(), position: Some((line, column)), message, rendered }
    }
}

/// The part of `span` on its first line: a whole table under one mark says nothing.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let length = text[span.clone()].find('\n').unwrap_or(span.len());
    span.start..span.start + length
}

/// Parses a TOML file.
///
/// # Errors
/// [`SourceError`] with the place, and the nearest known name for an unknown one.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SourceError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span();
        let found = span.clone().map(|span| &text[span]).unwrap_or_default();
        SourceError::new(path, text, span, explain(error.message(), found))
    })
}

/// Puts serde's words for an unknown name into ours.
fn explain(message: &str, _found: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let what = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return message.trim_end().to_owned();
    };
    let Some((unknown, known)) = quoted.split_first() else { return message.to_owned() };
    if known.is_empty() {
        return format!("unknown {what} `{unknown}`: nothing is expected here");
    }
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{unknown}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{unknown}`; known are {}", listed(known)),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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
    fn a_key_like_no_other_lists_the_known() {
        assert_eq!(problem("colour = 1").message, "unknown key `colour`; known are `deadline`, `tags`");
    }

    #[test]
    fn a_wrong_type_and_bad_syntax_have_a_place() {
        assert_eq!(problem("\n\ntags = 3").position, Some((3, 8)));
        assert!(problem("tags = [").position.is_some());
    }
}

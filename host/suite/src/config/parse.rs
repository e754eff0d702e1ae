//! Parses TOML files, and explains errors with the table and the name that was probably meant.

use std::{ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{Spanned, de::DeTable};

use super::{
    source::SourceError,
    table::SettingsTable,
    toml_reader::{ProblemKind, ReadProblem, Value},
};
use host_model::text::did_you_mean;

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
                true => format!("unknown key `{key}`{table}: no key is allowed here; remove it"),
                false => format!("unknown key `{key}`{table}; {}", did_you_mean(&key, &known, "expected one of")),
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
        timeout: Option<String>,
        #[expect(dead_code, reason = "only its name matters")]
        tags: Option<Vec<String>>,
    }

    fn problem(text: &str) -> SourceError {
        parse::<File>(Path::new("s.toml"), text).unwrap_err()
    }

    #[test]
    fn unknown_keys_offer_the_nearest() {
        let error = problem("tags = []\ntimeuot = \"1s\"\n");
        assert_eq!(error.position, Some((2, 1)));
        assert_eq!(error.message, "unknown key `timeuot`; did you mean `timeout`?");
        assert!(error.to_string().starts_with("s.toml:2:1: unknown key"), "{error}");
        assert!(error.to_string().contains("2 | timeuot = \"1s\""), "{error}");
    }

    #[test]
    fn unknown_keys_name_the_table_around_them() {
        let place = |text: &str| table_at(text, text.find("timeout").unwrap());
        assert_eq!(place("a = 1\n[grants] # mine\nsession = true\n  timeout = 1").unwrap(), "[grants]");
        assert_eq!(place("[grants]\n[[step]]\ntimeout = 1").unwrap(), "[[step]]");
        assert_eq!(place("a = 1\ntimeout = 1"), None);
        assert_eq!(place("[a]\nb = { timeout = 1 }"), None);
        assert_eq!(place("[a]\n[timeout]"), None);
    }

    #[test]
    fn unknown_keys_without_a_near_one_list_all() {
        assert_eq!(problem("colour = 1").message, "unknown key `colour`; expected one of `timeout`, `tags`");
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

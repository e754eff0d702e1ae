//! Front matter: the block between two `---` lines at the start of a file.
//!
//! A strict subset of YAML: `key: value` lines, and lists of `key: value` groups such as a workflow's stages. What is
//! outside the subset is an error and never guessed at.

use std::{collections::BTreeMap, ops::Range};

/// Why a text's front matter cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenFrontMatter {
    /// The first line is not `---`.
    #[error("the text does not begin with `---`")]
    Absent,
    /// The closing `---` is missing.
    #[error("the front matter is not closed by `---`")]
    Unclosed,
    /// A key stands there twice.
    #[error("line {line}: `{key}` stands there twice")]
    Duplicate {
        /// Line in the file, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A line is neither a key nor part of a list.
    #[error("line {line}: expected `key: value`")]
    Syntax {
        /// Line in the file, from 1.
        line: usize,
    },
}

/// One group of a list, such as a stage with its flags.
pub type Group = BTreeMap<String, String>;

/// The front matter of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontMatter {
    fields: Vec<Field>,
    body_start: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    key: String,
    value: String,
    groups: Vec<Group>,
    line: Range<usize>,
}

impl FrontMatter {
    /// Reads the front matter of a text.
    pub fn parse(text: &str) -> Result<Self, BrokenFrontMatter> {
        let mut lines = Lines { text, at: 0, number: 0 };
        if lines.next().is_none_or(|line| line.content.trim_end() != "---") {
            return Err(BrokenFrontMatter::Absent);
        }
        let mut fields: Vec<Field> = Vec::new();
        for line in lines.by_ref() {
            let content = line.content.trim_end();
            if content == "---" {
                return Ok(Self { fields, body_start: line.range.end });
            }
            if content.trim_start().is_empty() || content.trim_start().starts_with('#') {
                continue;
            }
            let syntax = BrokenFrontMatter::Syntax { line: line.number };
            if content.starts_with([' ', '\t', '-']) {
                // Belongs to the list of the field before, which has no value of its own.
                let list = fields.last_mut().filter(|field| field.value.is_empty()).ok_or(syntax.clone())?;
                let (key, value) = match content.trim_start().strip_prefix('-') {
                    Some(item) => {
                        list.groups.push(Group::new());
                        key_value(item.trim_start()).ok_or(syntax.clone())?
                    }
                    None => key_value(content.trim_start()).ok_or(syntax.clone())?,
                };
                let group = list.groups.last_mut().ok_or(syntax)?;
                if group.insert(key.clone(), value).is_some() {
                    return Err(BrokenFrontMatter::Duplicate { line: line.number, key });
                }
                continue;
            }
            let (key, value) = key_value(content).ok_or(syntax)?;
            if fields.iter().any(|field| field.key == key) {
                return Err(BrokenFrontMatter::Duplicate { line: line.number, key });
            }
            fields.push(Field { key, value, groups: Vec::new(), line: line.range });
        }
        Err(BrokenFrontMatter::Unclosed)
    }

    /// The value of a key; empty when it has none, or when the key is absent.
    #[must_use]
    pub fn value(&self, key: &str) -> &str {
        self.field(key).map_or("", |field| field.value.as_str())
    }

    /// The groups of a key that holds a list.
    #[must_use]
    pub fn groups(&self, key: &str) -> &[Group] {
        self.field(key).map_or(&[], |field| field.groups.as_slice())
    }

    /// Where in the text the line of a key stands, its line end included.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<Range<usize>> {
        self.field(key).map(|field| field.line.clone())
    }

    /// Where in the text the body begins.
    #[must_use]
    pub fn body_start(&self) -> usize {
        self.body_start
    }

    fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// `key: value` without quotes and comment. What YAML calls null is empty.
fn key_value(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once(':')?;
    let well_formed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    if key.is_empty() || !key.chars().all(well_formed) || !(value.is_empty() || value.starts_with([' ', '\t'])) {
        return None;
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (inner, after) = value[1..].split_once(quote)?;
            let after = after.trim_start();
            (after.is_empty() || after.starts_with('#')).then_some(inner)?
        }
        // A block or flow value is outside the subset.
        Some('|' | '>' | '{' | '[' | '&' | '!') => return None,
        Some('#') => "",
        _ => value.split_once(" #").map_or(value, |(value, _)| value.trim_end()),
    };
    let value = if matches!(value, "~" | "null") { "" } else { value };
    Some((key.to_owned(), value.to_owned()))
}

struct Line<'a> {
    content: &'a str,
    range: Range<usize>,
    number: usize,
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let content = self.text[self.at..].split_inclusive('\n').next()?;
        let range = self.at..self.at + content.len();
        self.at = range.end;
        self.number += 1;
        Some(Line { content, range, number: self.number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "---\nworkflow: v1 # marker\ntitle: \"A: b\"\nempty:\nnone: ~\nstages:\n  - name: draft\n    \
                          initial: true\n  - name: done\n---\nbody\n";

    #[test]
    fn keys_and_lists_of_groups_are_read() {
        let matter = FrontMatter::parse(README).unwrap();
        assert_eq!(matter.value("workflow"), "v1");
        assert_eq!(matter.value("title"), "A: b");
        assert_eq!((matter.value("empty"), matter.value("none"), matter.value("absent")), ("", "", ""));
        let stages = matter.groups("stages");
        assert_eq!(stages.len(), 2);
        assert_eq!((stages[0]["name"].as_str(), stages[0]["initial"].as_str()), ("draft", "true"));
        assert_eq!(&README[matter.body_start()..], "body\n");
        assert_eq!(&README[matter.line_of("empty").unwrap()], "empty:\n");
    }

    #[test]
    fn what_is_outside_the_subset_is_an_error() {
        for (text, error) in [
            ("", BrokenFrontMatter::Absent),
            ("title: x\n", BrokenFrontMatter::Absent),
            ("---\na: 1\n", BrokenFrontMatter::Unclosed),
            ("---\na: 1\na: 2\n---\n", BrokenFrontMatter::Duplicate { line: 3, key: "a".into() }),
            ("---\nno key\n---\n", BrokenFrontMatter::Syntax { line: 2 }),
            ("---\na: |\n  text\n---\n", BrokenFrontMatter::Syntax { line: 2 }),
            ("---\na: 1\n  b: 2\n---\n", BrokenFrontMatter::Syntax { line: 3 }),
            ("---\n- x: 1\n---\n", BrokenFrontMatter::Syntax { line: 2 }),
            ("---\na: \"open\n---\n", BrokenFrontMatter::Syntax { line: 2 }),
        ] {
            assert_eq!(FrontMatter::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn windows_line_ends_are_read() {
        assert_eq!(FrontMatter::parse("---\r\na: 1\r\n---\r\n").unwrap().value("a"), "1");
    }
}

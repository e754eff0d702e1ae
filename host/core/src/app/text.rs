//! Texts for people, in one line.

use host_report::visible;

/// Names that one line of a list shows.
pub const MAX_NAMED: usize = 20;

/// The first of many names, followed by their number where some are left out.
#[must_use]
pub fn few<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_NAMED).map(AsRef::as_ref).collect();
    match names.len() {
        all if all > MAX_NAMED => format!("{}, … ({all} in all)", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// Texts in quotes, joined by "or".
#[must_use]
pub fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(" or ")
}

/// Third-party text in one line, with every character that could move a cursor escaped.
#[must_use]
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// "1 error", "2 errors".
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

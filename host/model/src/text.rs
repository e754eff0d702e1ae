//! Words for messages: paths, counts, lists of names, and the name that was probably meant.

use std::path::Path;

/// A path within a message: on one line, whatever the file's name holds.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// `1 agent`, `2 agents`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Each name in backquotes.
pub fn backquoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect()
}

/// At most `max` of the names, and how many there are in all if that is not all.
#[must_use]
pub fn few(names: &[impl AsRef<str>], max: usize) -> String {
    let shown: Vec<&str> = names.iter().take(max).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    if names.len() > max { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

/// Keys and fault classes of earlier builds, with their names today. To be removed with the next version.
const RENAMED: [(&str, &str); 16] = [
    ("back-off", "backoff-timeout"),
    ("confine", "confinement"),
    ("connect-ports", "allow-connect"),
    ("deadline", "timeout"),
    ("disk", "max-disk"),
    ("handles", "max-handles"),
    ("instances", "max-instances"),
    ("listen-ports", "allow-listen"),
    ("memory", "max-memory"),
    ("output", "max-output"),
    ("progress", "no-progress-timeout"),
    ("quiet", "idle-timeout"),
    ("readable", "allow-read"),
    ("stall", "idle"),
    ("table-elements", "max-table-elements"),
    ("writable", "allow-write"),
];

/// The name today of a key or a fault class that had another name in earlier builds.
#[must_use]
pub fn renamed(old: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(name, _)| *name == old).map(|(_, name)| *name)
}

/// `it is now NAME` for a name that has changed, `did you mean NEAREST?`, or, when none is near, `lead` and the known
/// names.
#[must_use]
pub fn did_you_mean(unknown: &str, known: &[&str], lead: &str) -> String {
    const MAX_LISTED: usize = 50;
    if let Some(name) = renamed(unknown).filter(|name| known.contains(name)) {
        return format!("it is now `{name}`");
    }
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{lead} {}", few(&backquoted(known), MAX_LISTED)),
    }
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

/// `text` with its lines, and with every other character that could move a cursor, reorder or hide text made visible.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same on one line: third-party text must not forge lines of the host's output.
#[must_use]
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Whether `c` could move a cursor, reorder text or hide it.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Line and paragraph separators, which some viewers break at.
            '\u{2028}' | '\u{2029}'
            // Zero-width and direction marks, overrides and isolates.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Tags, which are invisible.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn paths_are_shown_on_one_harmless_line() {
        assert_eq!(shown(Path::new("plugins/é [1].wasm")), "plugins/é [1].wasm");
        assert_eq!(shown(Path::new("a\n::error::b\u{1b}[2J\u{202e}")), "a\\n::error::b\\u{1b}[2J\\u{202e}");
        assert_eq!(shown(Path::new(OsStr::from_bytes(b"a\xff"))), "a\u{fffd}");
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!([0, 1, 2].map(|count| plural(count, "agent")), ["0 agents", "1 agent", "2 agents"]);
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(few(&backquoted(["a", "b"]), 2), "`a`, `b`");
        assert_eq!(few(&["a", "b", "c"], 2), "a, b, … (3 in all)");
        assert_eq!(few(&[] as &[&str], 2), "");
    }

    #[test]
    fn the_nearest_name_is_offered_or_all_are_listed() {
        let known = ["timeout", "tags"];
        assert_eq!(did_you_mean("Timeuot", &known, "expected one of"), "did you mean `timeout`?");
        assert_eq!(did_you_mean("colour", &known, "expected one of"), "expected one of `timeout`, `tags`");
        assert_eq!(nearest("x", ["ab"]), None);
    }

    #[test]
    fn harmful_characters_are_spelled_out() {
        assert_eq!(visible("a\n\u{1b}[2J"), "a\n\\u{1b}[2J");
        assert_eq!(one_line("a\n\u{202e}b"), "a\\n\\u{202e}b");
    }
}

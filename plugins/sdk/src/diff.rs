//! Line diffs, for evidence.

use similar::TextDiff;

/// Texts with more lines are not compared: the time grows with the square, and no person reads such a diff.
const MAX_LINES: usize = 4_000;

/// A unified diff of two texts with three lines of context; empty when they are equal.
#[must_use]
pub fn unified(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    if before.lines().count() + after.lines().count() > MAX_LINES {
        return format!("{name}: {} bytes before, {} bytes after (too large for a diff)", before.len(), after.len());
    }
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("before/{name}"), &format!("after/{name}"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, unified};

    #[test]
    fn a_diff_shows_the_changed_lines() {
        let diff = unified("a.md", "one\ntwo\n", "one\n2\n");
        assert!(diff.contains("-two\n") && diff.contains("+2\n") && diff.starts_with("--- before/a.md"));
        assert_eq!(unified("a.md", "same", "same"), "");
    }

    #[test]
    fn a_long_text_is_only_measured() {
        assert!(unified("a", "", &"x\n".repeat(MAX_LINES + 1)).contains("too large"));
    }
}

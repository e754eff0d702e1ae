//! Escapes text of guests and agents, so that it can neither move the cursor nor imitate a line of the host.

use host_model::text::is_harmful;

/// Longest shown part of one line, in characters.
const MAX_LINE_CHARS: usize = 300;

/// Marks each line of foreign text. No line of the host begins with it.
pub(super) const QUOTE: &str = "│ ";

/// `text` as part of a line.
pub(super) fn inline(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut shown = harmless_line(first);
    if lines.next().is_some() {
        shown.push_str(" …");
    }
    shown
}

/// The first lines of a text, and how many more there are.
pub(super) struct Excerpt {
    pub(super) lines: Vec<String>,
    pub(super) left_out: usize,
}

/// At most `max` lines of `text`, escaped.
pub(super) fn excerpt(text: &str, max: usize) -> Excerpt {
    let mut all = text.lines();
    let lines = all.by_ref().take(max).map(harmless_line).collect();
    Excerpt { lines, left_out: all.count() }
}

/// One line without terminal sequences, control characters and characters that reorder or hide text.
fn harmless_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len().min(MAX_LINE_CHARS));
    let mut length = 0;
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if next == '\u{1b}'
            && let Some(after) = after_sequence(&rest[1..])
        {
            rest = after;
            continue;
        }
        if length >= MAX_LINE_CHARS {
            let more = rest.chars().count();
            shown.push_str(&format!("… ({more} more characters)"));
            break;
        }
        match next {
            '\t' => shown.push_str("    "),
            next if is_harmful(next) => shown.extend(next.escape_default()),
            next => shown.push(next),
        }
        length += 1;
        rest = &rest[next.len_utf8()..];
    }
    // CI runners take `##[error]` and `##vso[` for commands wherever they stand in a line.
    if shown.contains("##") { shown.replace("##[", "# #[").replace("##vso[", "# #vso[") } else { shown }
}

/// What follows a complete terminal sequence whose escape character was just read. An incomplete one is no sequence:
/// it must not swallow the text behind it.
fn after_sequence(text: &str) -> Option<&str> {
    let body = text.get(1..)?;
    match text.as_bytes()[0] {
        b'[' => {
            let end = body.find(|c: char| !matches!(c, '\u{20}'..='\u{3f}'))?;
            matches!(body.as_bytes()[end], b'@'..=b'~').then(|| &body[end + 1..])
        }
        b']' | b'P' | b'_' | b'^' | b'X' => {
            let end = body.find(['\u{7}', '\u{1b}'])?;
            let tail = &body[end..];
            tail.strip_prefix('\u{7}').or_else(|| tail.strip_prefix("\u{1b}\\"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_are_removed_and_their_text_stays() {
        assert_eq!(inline("\u{1b}[31mred\u{1b}[0m and \u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\"), "red and link");
    }

    #[test]
    fn an_incomplete_sequence_hides_no_text() {
        assert_eq!(inline("\u{1b}[31"), "\\u{1b}[31");
        assert_eq!(inline("\u{1b}]title never ends"), "\\u{1b}]title never ends");
        assert_eq!(inline("\u{1b}c reset"), "\\u{1b}c reset");
        assert_eq!(inline("\u{1b}"), "\\u{1b}");
        assert_eq!(inline("\u{1b}[é"), "\\u{1b}[é");
        assert_eq!(inline("\u{1b}é"), "\\u{1b}é");
    }

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(inline("a\rb\u{8}c\u{9b}2Kd"), "a\\rb\\u{8}c\\u{9b}2Kd");
        assert_eq!(inline("\u{202e}dessap 5\u{2028}x"), "\\u{202e}dessap 5\\u{2028}x");
        assert_eq!(inline("a\tb"), "a    b");
    }

    #[test]
    fn a_text_within_a_line_stays_one_line() {
        assert_eq!(inline("first\n5 passed"), "first …");
        assert_eq!(inline(""), "");
    }

    #[test]
    fn ci_commands_are_defused() {
        assert_eq!(inline("##[error]x ##vso[task.complete]"), "# #[error]x # #vso[task.complete]");
        assert_eq!(inline("## Stage Report"), "## Stage Report");
    }

    #[test]
    fn cut_lines_and_texts_say_how_much_is_missing() {
        assert_eq!(inline(&"é".repeat(310)), format!("{}… (10 more characters)", "é".repeat(300)));
        let cut = excerpt("1\n2\r\n3\n4", 2);
        assert_eq!((cut.lines, cut.left_out), (vec!["1".into(), "2".into()], 2));
    }
}

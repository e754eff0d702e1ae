/// `prefix` and a path as git writes them: as they are where that is safe, else within quotes with escapes, so that no
/// name can make a line of its own, or move or color the text of a terminal.
pub(super) fn quoted(prefix: &str, path: &[u8]) -> String {
    let plain = |c: char| !needs_escape(c) && !matches!(c, '"' | '\\');
    if let Ok(path) = std::str::from_utf8(path)
        && path.chars().all(plain)
    {
        return format!("{prefix}{path}");
    }
    let mut text = format!("\"{prefix}");
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                c if needs_escape(c) => octal(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        octal(&mut text, chunk.invalid());
    }
    text.push('"');
    text
}

/// Control characters, and those that reorder or hide text.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn octal(text: &mut String, bytes: &[u8]) {
    text.extend(bytes.iter().map(|byte| format!("\\{byte:03o}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_stay_on_one_line() {
        assert_eq!(quoted("a/", b"plain name/with-\xc3\xa4.md"), "a/plain name/with-ä.md");
        assert_eq!(quoted("a/", b"two\nlines\t\"quoted\"\\"), r#""a/two\nlines\t\"quoted\"\\""#);
        assert_eq!(quoted("", b"\x1b[31m\xff\xc3"), r#""\033[31m\377\303""#);
        assert_eq!(quoted("", "x\u{202e}y".as_bytes()), r#""x\342\200\256y""#);
    }
}

//! Truncates texts.

/// Converts `bytes`, the beginning of a text of `length` bytes, to a string of about `max_bytes` bytes, with a note if
/// something is missing.
pub(crate) fn truncate_text(bytes: &[u8], length: u64, max_bytes: usize) -> String {
    let kept = &bytes[..bytes.len().min(max_bytes)];
    let text = String::from_utf8_lossy(kept);
    if kept.len() as u64 == length {
        return text.into_owned();
    }
    // The cut may have split a character.
    format!("{} … [cut: {length} bytes in all]", text.trim_end_matches('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_split() {
        assert_eq!(truncate_text("aé".as_bytes(), 3, 2), "a … [cut: 3 bytes in all]");
        assert_eq!(truncate_text("aé".as_bytes(), 3, 3), "aé");
    }
}

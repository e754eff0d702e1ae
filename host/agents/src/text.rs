//! Texts that are cut to a bound.

/// `bytes` (of a text of `length` bytes) as text of at most about `bound` bytes, with a note on what is missing.
pub(crate) fn truncate_text(bytes: &[u8], length: u64, max_bytes: usize) -> String {
    let kept = &bytes[..bytes.len().min(max_bytes)];
    let text = String::from_utf8_lossy(kept);
    if kept.len() as u64 == length {
        return text.into_owned();
    }
    // A character that the cut went through is no fault of the text.
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

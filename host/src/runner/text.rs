//! Cutting text that others wrote.

/// The beginning of `text`, up to `most` bytes; what was cut is said.
pub(super) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" … ({cut} bytes cut)"));
    }
    text
}

/// The end of `text`, up to `most` bytes.
pub(super) fn ending(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        assert_eq!(shortened("aéb".into(), 2), "a … (3 bytes cut)");
        assert_eq!(shortened("aéb".into(), 4), "aéb");
        assert_eq!(ending("aéb", 2), "b");
        assert_eq!(ending("aéb", 9), "aéb");
    }
}

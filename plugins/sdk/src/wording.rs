//! Checks of what was said, which take a paraphrase and refuse the opposite.

/// What some sentence of a text must say: of every group one phrase, and none of `unless`.
///
/// Phrases are lower case and match at the start of a word, so `approv` matches "Approve" and "approval" but not
/// "disapprove". Markdown emphasis, typographic quotes and line breaks inside a sentence do not matter.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// Groups of phrases with the same meaning; the sentence needs one phrase of each.
    pub says: &'static [&'static [&'static str]],
    /// Phrases that turn the sentence into something else.
    pub unless: &'static [&'static str],
}

impl Wording {
    /// Whether a sentence of the text says it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        sentences(text).iter().any(|sentence| {
            self.says.iter().all(|group| group.iter().any(|phrase| has_phrase(sentence, phrase)))
                && !self.unless.iter().any(|phrase| has_phrase(sentence, phrase))
        })
    }

    /// Whether any of several wordings is in the text.
    #[must_use]
    pub fn any_is_in(wordings: &[Self], text: &str) -> bool {
        wordings.iter().any(|wording| wording.is_in(text))
    }
}

fn has_phrase(sentence: &str, phrase: &str) -> bool {
    sentence.match_indices(phrase).any(|(at, _)| {
        !phrase.starts_with(char::is_alphanumeric)
            || !sentence[..at].chars().next_back().is_some_and(char::is_alphanumeric)
    })
}

/// The sentences of a text, plain and in lower case. A list item, a heading and a paragraph end a sentence.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['-', '*', '+', '#', '>', '|']) || starts_a_numbered_item(line) {
            sentences.push(String::new());
        }
        for word in line.split_whitespace() {
            let word: String = word.chars().filter_map(plain).flat_map(char::to_lowercase).collect();
            if word.is_empty() {
                continue;
            }
            let Some(sentence) = sentences.last_mut() else { continue };
            if !sentence.is_empty() {
                sentence.push(' ');
            }
            sentence.push_str(&word);
            if word.trim_end_matches(['"', '\'', ')']).ends_with(['.', '!', '?', ';']) {
                sentences.push(String::new());
            }
        }
        if line.starts_with('#') {
            sentences.push(String::new());
        }
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn starts_a_numbered_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && rest.starts_with(['.', ')'])
}

fn plain(c: char) -> Option<char> {
    match c {
        '*' | '_' | '`' => None,
        '’' | '‘' => Some('\''),
        '“' | '”' => Some('"'),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: Wording =
        Wording { says: &[&["please", "waiting"], &["approv", "your call"]], unless: &["no approval"] };

    #[test]
    fn a_sentence_needs_a_phrase_of_every_group() {
        assert!(ASKS.is_in("Done. **Please** `approve`\nit."));
        assert!(ASKS.is_in("- waiting: Your call"));
        assert!(!ASKS.is_in("Please wait. I approved it."));
        assert!(!ASKS.is_in("Please note: no approval needed."));
        assert!(!ASKS.is_in("Please disapprove."));
        assert!(!ASKS.is_in(""));
    }

    #[test]
    fn headings_list_items_and_paragraphs_end_a_sentence() {
        assert_eq!(sentences("# A b\nc d\n- e\n\nf"), ["# a b", "c d", "- e", "f"]);
        assert_eq!(sentences("see a.md now. \"Yes?\" no"), ["see a.md now.", "\"yes?\"", "no"]);
    }
}

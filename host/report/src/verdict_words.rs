//! The words for the verdicts of many trials.

use std::collections::BTreeMap;

use super::text::inline;

/// The word for trials that have no verdict.
pub(super) const UNFINISHED: &str = "unfinished";

/// Verdicts in the order in which they are counted up, with the words for one and for several.
pub(super) const VERDICT_WORDS: [(&str, &str, &str); 10] = [
    ("pass", "passed", "passed"),
    ("flaky", "flaky", "flaky"),
    ("fail", "failed", "failed"),
    ("xfail", "failed as expected", "failed as expected"),
    ("xpass", "passed unexpectedly", "passed unexpectedly"),
    ("blocked", "blocked", "blocked"),
    ("fault", "fault", "faults"),
    ("skip", "skipped", "skipped"),
    ("cancelled", "cancelled", "cancelled"),
    (UNFINISHED, "unfinished", "unfinished"),
];

/// `3 passed, 1 failed`. `paint` gets each verdict's word, its count and its text.
pub(super) fn counts<K: Ord + std::borrow::Borrow<str>>(
    verdicts: &BTreeMap<K, usize>,
    paint: impl Fn(&str, usize, String) -> String,
) -> String {
    let known = VERDICT_WORDS.iter().filter_map(|&(word, one, many)| {
        let n = verdicts.get(word).copied().unwrap_or(0);
        (n > 0 || word == "pass").then(|| paint(word, n, format!("{n} {}", if n == 1 { one } else { many })))
    });
    // A word that came after this list was made is still counted.
    let unknown = verdicts.iter().map(|(word, n)| (word.borrow(), n));
    let unknown = unknown.filter(|(word, _)| VERDICT_WORDS.iter().all(|(known, ..)| known != word));
    known.chain(unknown.map(|(word, n)| format!("{n} {}", inline(word)))).collect::<Vec<_>>().join(", ")
}

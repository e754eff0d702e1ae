//! How many trials got which verdict.

use std::collections::BTreeMap;

use super::inline;
use host_model::LaneName;

/// The word for trials that have no verdict.
pub(super) const UNFINISHED: &str = "unfinished";

/// Verdicts in the order in which they are counted up, with the words for one and for several. The latter, or else the
/// verdict's own word, is the output's key too.
const ORDER: [(&str, &str, &str); 10] = [
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

type Words = BTreeMap<&'static str, usize>;

/// Counts by lane and word.
#[derive(Default)]
pub(super) struct Counts {
    lanes: Vec<(LaneName, Words)>,
}

impl Counts {
    /// The counts of a lane, which is known from now on.
    pub(super) fn lane(&mut self, lane: &LaneName) -> &mut Words {
        let at = self.lanes.iter().position(|(known, _)| known == lane).unwrap_or_else(|| {
            self.lanes.push((lane.clone(), Words::new()));
            self.lanes.len() - 1
        });
        &mut self.lanes[at].1
    }

    pub(super) fn add(&mut self, lane: &LaneName, word: &'static str) {
        *self.lane(lane).entry(word).or_default() += 1;
    }

    /// Each lane in the order of the plan, and its counts in words.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&LaneName, String)> {
        self.lanes.iter().map(|(lane, words)| (lane, text(words)))
    }

    /// All lanes together in words.
    pub(super) fn total(&self) -> String {
        text(&self.sum())
    }

    /// All lanes together, by key.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        let sum = self.sum();
        let total: usize = sum.values().sum();
        let key = |word, many: &'static str| if many.contains(' ') { word } else { many };
        let counts = ORDER.map(|(word, _, many)| (key(word, many), sum.get(word).copied().unwrap_or(0)));
        counts.into_iter().chain([("total", total)]).map(|(key, n)| (key, n.to_string()))
    }

    fn sum(&self) -> Words {
        let mut sum = Words::new();
        for (word, n) in self.lanes.iter().flat_map(|(_, words)| words) {
            *sum.entry(word).or_default() += n;
        }
        sum
    }
}

fn text(words: &Words) -> String {
    let known = ORDER.iter().filter_map(|&(word, one, many)| {
        let n = words.get(word).copied().unwrap_or(0);
        (n > 0 || word == "pass").then(|| format!("{n} {}", if n == 1 { one } else { many }))
    });
    // A word that came after this list was made is still counted.
    let unknown = words.iter().filter(|(word, _)| ORDER.iter().all(|(known, ..)| known != *word));
    known.chain(unknown.map(|(word, n)| format!("{n} {}", inline(word)))).collect::<Vec<_>>().join(", ")
}

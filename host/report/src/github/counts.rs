//! How many trials got which verdict.

use std::collections::BTreeMap;

use crate::verdict_words::{VERDICT_WORDS, counts};
use host_model::LaneName;

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
        self.lanes.iter().map(|(lane, words)| (lane, counts(words, |_, _, text| text)))
    }

    /// All lanes together in words.
    pub(super) fn total(&self) -> String {
        counts(&self.sum(), |_, _, text| text)
    }

    /// All lanes together, by key.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        let sum = self.sum();
        let total: usize = sum.values().sum();
        // The key is the verdict's word where the words for several have a space.
        let key = |word, many: &'static str| if many.contains(' ') { word } else { many };
        let values = VERDICT_WORDS.map(|(word, _, many)| (key(word, many), sum.get(word).copied().unwrap_or(0)));
        values.into_iter().chain([("total", total)]).map(|(key, n)| (key, n.to_string()))
    }

    fn sum(&self) -> Words {
        let mut sum = Words::new();
        for (word, n) in self.lanes.iter().flat_map(|(_, words)| words) {
            *sum.entry(word).or_default() += n;
        }
        sum
    }
}

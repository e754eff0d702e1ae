//! `[[expect-fail]]`: clauses of a scenario that are known to fail, and faults that are known to happen.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::{
    source::{FileText, SourceError, SourceSpan},
    value::{Day, Words},
};
use host_model::{ExpectedFailure, FaultClass, LaneName, check_name, text::did_you_mean};

/// A known failure, with the positions of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSettings {
    /// The failure.
    pub known: ExpectedFailure,
    /// The position of its last day.
    pub until: SourceSpan,
    /// Its lanes with their places.
    pub lanes: Vec<(String, SourceSpan)>,
    /// Its finding codes with their places.
    pub findings: Vec<(String, SourceSpan)>,
}

/// `[[expect-fail]]` as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectFailTable {
    lane: Option<Spanned<Words>>,
    findings: Option<Spanned<Words>>,
    class: Option<Spanned<Words>>,
    owner: Spanned<String>,
    reason: Spanned<String>,
    until: Spanned<Day>,
}

impl ExpectFailTable {
    /// Checks the table by itself; lanes and codes are checked when they are known.
    pub(super) fn settings(&self, file: &FileText, problems: &mut Vec<SourceError>) -> ExpectedSettings {
        let placed = |words: &Spanned<Words>| -> Vec<(String, SourceSpan)> {
            let words = words.get_ref().with_spans(words.span());
            words.map(|(word, span)| (word.to_owned(), file.place(span))).collect()
        };
        let lanes = self.lane.as_ref().map(placed).unwrap_or_default();
        let findings = self.findings.as_ref().map(placed).unwrap_or_default();
        let named_classes = self.class.as_ref().map(placed).unwrap_or_default();
        if let Some(lane) = self.lane.as_ref().filter(|_| lanes.is_empty()) {
            problems
                .push(file.error(lane.span(), "`lane` is empty; name a lane, or remove the key to cover every lane"));
        }
        if let Some(given) = self.findings.as_ref().filter(|_| findings.is_empty()) {
            problems.push(file.error(given.span(), "`findings` is empty; name the expected finding codes"));
        }
        if let Some(given) = self.class.as_ref().filter(|_| named_classes.is_empty()) {
            problems.push(file.error(given.span(), "`class` is empty; name the expected fault classes"));
        }
        if self.findings.is_none() && self.class.is_none() {
            let message = "neither `findings` nor `class` is given; name the finding codes or the classes of fault that \
                           may come";
            problems.push(file.error(self.reason.span(), message));
        }
        let classes = named_classes.iter().filter_map(|(word, place)| match class(word) {
            Ok(class) => Some(class),
            Err(message) => {
                problems.push(place.error(message));
                None
            }
        });
        let classes: BTreeSet<FaultClass> = classes.collect();
        for (code, place) in &findings {
            if let Err(error) = check_name(code) {
                problems.push(place.error(error.to_string()));
            }
        }
        for (key, text, what) in [("owner", &self.owner, "name its owner"), ("reason", &self.reason, "give the reason")]
        {
            if text.get_ref().trim().is_empty() {
                problems.push(file.error(text.span(), format!("`{key}` is empty; {what}")));
            }
        }
        ExpectedSettings {
            known: ExpectedFailure {
                lanes: lanes.iter().map(|(name, _)| LaneName(name.clone())).collect(),
                findings: findings.iter().map(|(code, _)| code.clone()).collect(),
                classes,
                owner: self.owner.get_ref().clone(),
                reason: self.reason.get_ref().clone(),
                until: self.until.get_ref().0,
            },
            until: file.place(self.until.span()),
            lanes,
            findings,
        }
    }
}

/// The class of a fault that can be expected.
fn class(word: &str) -> Result<FaultClass, String> {
    let known = FaultClass::ALL.into_iter().filter(|class| class.is_deterministic());
    match FaultClass::from_word(word) {
        Some(class) if class.is_deterministic() => Ok(class),
        Some(class) => Err(format!(
            "a fault of class `{class}` cannot be expected: it comes from the provider, the machine or the host, and says \
             nothing about the scenario"
        )),
        None => {
            let known: Vec<&str> = known.map(FaultClass::as_str).collect();
            let hint = did_you_mean(word, &known, "the classes that can be expected are");
            Err(format!("unknown fault class `{}`; {hint}", word.escape_debug()))
        }
    }
}

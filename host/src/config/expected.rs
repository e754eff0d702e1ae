//! `[[expect-fail]]`: clauses of a scenario that are known not to hold.

use serde::Deserialize;
use toml::Spanned;

use super::{
    source::{FileText, Place, SourceError},
    value::{Day, Words},
};
use crate::model::{ExpectedFailure, LaneName, check_name};

/// A known failure, with the places of what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSettings {
    /// What it says.
    pub known: ExpectedFailure,
    /// Where its last day stands.
    pub until: Place,
    /// Its lanes with their places.
    pub lanes: Vec<(String, Place)>,
    /// Its finding codes with their places.
    pub findings: Vec<(String, Place)>,
}

/// `[[expect-fail]]` as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectFailTable {
    lane: Option<Spanned<Words>>,
    findings: Spanned<Words>,
    owner: Spanned<String>,
    reason: Spanned<String>,
    until: Spanned<Day>,
}

impl ExpectFailTable {
    /// Checks what it says for itself; which lanes and codes there are is known later.
    pub(super) fn settings(&self, file: &FileText, problems: &mut Vec<SourceError>) -> ExpectedSettings {
        let placed = |words: &Spanned<Words>| -> Vec<(String, Place)> {
            let words = words.get_ref().with_spans(words.span());
            words.map(|(word, span)| (word.to_owned(), file.place(span))).collect()
        };
        let lanes = self.lane.as_ref().map(placed).unwrap_or_default();
        let findings = placed(&self.findings);
        if let Some(lane) = self.lane.as_ref().filter(|_| lanes.is_empty()) {
            problems.push(file.error(lane.span(), "`lane` names none; name one, or remove the key for every lane"));
        }
        if findings.is_empty() {
            let message = "`findings` names no code; name those that may come";
            problems.push(file.error(self.findings.span(), message));
        }
        for (code, place) in &findings {
            if let Err(error) = check_name(code) {
                problems.push(place.error(error.to_string()));
            }
        }
        for (key, text, what) in
            [("owner", &self.owner, "say who looks after it"), ("reason", &self.reason, "say why it is accepted")]
        {
            if text.get_ref().trim().is_empty() {
                problems.push(file.error(text.span(), format!("`{key}` is empty; {what}")));
            }
        }
        ExpectedSettings {
            known: ExpectedFailure {
                lanes: lanes.iter().map(|(name, _)| LaneName(name.clone())).collect(),
                findings: findings.iter().map(|(code, _)| code.clone()).collect(),
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

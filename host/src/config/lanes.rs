//! `[lane.NAME]`, and which of them are run in.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{
    defaults::retry,
    error::ConfigError,
    layers::{Layer, Source, Sourced, Sources},
    source::{FileText, did_you_mean},
    suite_file::{KindName, LaneTable, SuiteFile},
    value::Table,
};
use crate::model::{self, DEFAULT_BREAKER, LaneName, RetryOverride, check_name};

/// The lane of a suite that names none.
const DEFAULT_LANE: &str = "scripted";
/// The scripted agent of a lane that names none.
const DEFAULT_AGENT: &str = "right";

/// A lane, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Its name.
    pub name: LaneName,
    /// Its kind of agent.
    pub kind: LaneKind,
    /// Attempts at once in this lane; the run's bound alone when absent.
    pub jobs: Option<usize>,
    /// What it says of retries.
    pub retry: RetryOverride,
    /// After so many trials in a row that end as faults of the whole lane nothing more of it starts; 0 is never.
    pub breaker: u32,
}

/// A kind of agent, with what it is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// `host agent` plays a script of the scenario.
    Scripted {
        /// The script's name.
        agent: String,
    },
}

impl LaneKind {
    /// The kind without its configuration.
    #[must_use]
    pub fn kind(&self) -> model::LaneKind {
        match self {
            Self::Scripted { .. } => model::LaneKind::Scripted,
        }
    }

    /// The word that files and reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }
}

/// The lanes of a suite.
#[derive(Debug)]
pub(super) struct Lanes {
    /// By name; the embedded one is among them.
    known: BTreeMap<String, LaneSettings>,
    /// Those that the suite defines, by name; the embedded one where it defines none.
    defined: Vec<String>,
}

impl Lanes {
    /// Reads the lanes of `suite`. What is wrong with them is added to `problems`.
    pub(super) fn of(
        suite: &SuiteFile,
        file: &FileText,
        sources: &mut Sources,
        problems: &mut Vec<ConfigError>,
    ) -> Self {
        let mut known = BTreeMap::new();
        for (name, Table(table)) in &suite.lane {
            if let Err(error) = check_name(name.get_ref()) {
                problems.push(file.error(name.span(), error.to_string()).into());
            }
            if let Some(jobs) = table.jobs.as_ref().filter(|jobs| *jobs.get_ref() == 0) {
                problems.push(file.error(jobs.span(), "`jobs` must be at least 1").into());
            }
            for (key, span) in table.spans() {
                let source = Source::File { place: file.place(span), profile: None };
                sources.note(format!("lane.{}.{key}", name.get_ref()), source);
            }
            known.insert(name.get_ref().clone(), table.settings(name.get_ref()));
        }
        let mut defined: Vec<String> = known.keys().cloned().collect();
        if defined.is_empty() {
            defined.push(DEFAULT_LANE.to_owned());
        }
        // The embedded lane is there unless the suite defines it otherwise.
        known.entry(DEFAULT_LANE.to_owned()).or_insert_with(|| LaneTable::default().settings(DEFAULT_LANE));
        Self { known, defined }
    }

    /// The lanes to run in: those asked for, else those that the profile or the suite names, else all.
    pub(super) fn chosen(
        &self,
        asked: Option<Sourced<Vec<String>>>,
        layers: [&Layer; 2],
        sources: &mut Sources,
        problems: &mut Vec<ConfigError>,
    ) -> Vec<LaneSettings> {
        for (name, place) in layers.iter().filter_map(|layer| layer.lanes.as_ref()).flat_map(|lanes| &lanes.value) {
            if let Some(problem) = self.unknown(name) {
                problems.push(place.error(problem).into());
            }
        }
        if let Some(asked) = &asked {
            for name in asked.value.iter().filter(|name| !self.known.contains_key(*name)) {
                problems.push(ConfigError::UnknownLane { name: name.clone(), hint: self.hint(name) });
            }
        }
        let written = layers.map(|layer| {
            let lanes = layer.lanes.as_ref()?;
            let value = lanes.value.iter().map(|(name, _)| name.clone()).collect();
            Some(Sourced { value, source: lanes.source.clone() })
        });
        let names = sources.pick("lanes", std::iter::once(asked).chain(written), || self.defined.clone());
        let mut chosen: Vec<LaneSettings> = Vec::new();
        for lane in names.iter().filter_map(|name| self.known.get(name)) {
            if !chosen.contains(lane) {
                chosen.push(lane.clone());
            }
        }
        chosen
    }

    /// What is wrong with a lane's name, if anything is.
    pub(super) fn unknown(&self, name: &str) -> Option<String> {
        let is_known = self.known.contains_key(name);
        (!is_known).then(|| format!("there is no lane `{}`; {}", name.escape_debug(), self.hint(name)))
    }

    fn hint(&self, name: &str) -> String {
        let names: Vec<&str> = self.known.keys().map(String::as_str).collect();
        did_you_mean(name, &names, if names.len() == 1 { "there is only" } else { "there are" })
    }

    /// Every lane that the suite defines.
    pub(super) fn defined(&self) -> Vec<LaneSettings> {
        self.defined.iter().filter_map(|name| self.known.get(name)).cloned().collect()
    }
}

impl LaneTable {
    fn settings(&self, name: &str) -> LaneSettings {
        let kind = match self.kind.as_ref().map(|kind| *kind.get_ref()).unwrap_or_default() {
            // A file can name no other kind yet.
            KindName(_) => LaneKind::Scripted {
                agent: self.agent.as_ref().map_or_else(|| DEFAULT_AGENT.to_owned(), |agent| agent.get_ref().clone()),
            },
        };
        LaneSettings {
            name: LaneName(name.to_owned()),
            kind,
            jobs: self.jobs.as_ref().map(|jobs| *jobs.get_ref()),
            retry: retry(self.retries.as_ref(), self.retry_on.as_ref(), self.retry_delay.as_ref()),
            breaker: self.breaker.as_ref().map_or(DEFAULT_BREAKER, |breaker| *breaker.get_ref()),
        }
    }

    /// Where its values stand, by key.
    fn spans(&self) -> impl Iterator<Item = (&'static str, std::ops::Range<usize>)> {
        [
            ("kind", self.kind.as_ref().map(Spanned::span)),
            ("agent", self.agent.as_ref().map(Spanned::span)),
            ("jobs", self.jobs.as_ref().map(Spanned::span)),
            ("breaker", self.breaker.as_ref().map(Spanned::span)),
            ("retries", self.retries.as_ref().map(Spanned::span)),
            ("retry-on", self.retry_on.as_ref().map(Spanned::span)),
            ("retry-delay", self.retry_delay.as_ref().map(Spanned::span)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

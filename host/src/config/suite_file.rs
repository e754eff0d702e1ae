use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};
use toml::Spanned;

use super::{
    source::did_you_mean,
    value::{Bytes, NotZero, Table, Time},
};
use crate::model::{LaneKind, Limits};

/// `scenarios/suite.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SuiteFile {
    /// Plugins for `host run` without any: paths and patterns.
    pub(super) plugins: Vec<String>,
    /// Scenarios that must pass before the rest of each lane starts.
    pub(super) canary: Vec<Spanned<String>>,
    /// Lanes to run in when none is asked for; all that are defined when absent.
    pub(super) lanes: Option<Spanned<Vec<Spanned<String>>>>,
    /// Attempts at once.
    pub(super) jobs: Option<Spanned<usize>>,
    /// Bounds for scenarios that give none.
    pub(super) defaults: Table<LimitsTable>,
    /// The lanes.
    pub(super) lane: BTreeMap<Spanned<String>, Table<LaneTable>>,
}

/// `[lane.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LaneTable {
    /// Its kind of agent.
    #[serde(default)]
    pub(super) kind: KindName,
    /// The scripted agent that plays each scenario.
    pub(super) agent: Option<String>,
    /// Attempts at once in this lane.
    pub(super) jobs: Option<Spanned<usize>>,
}

/// A kind of lane, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KindName(pub(super) LaneKind);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map(Self).map_err(|_| {
            let known = LaneKind::ALL.map(LaneKind::as_str);
            let hint = did_you_mean(&word, &known, "known are");
            D::Error::custom(format!("unknown kind of lane `{}`; {hint}", word.escape_debug()))
        })
    }
}

/// Bounds as written; flattened into `scenario.toml`, a table of its own in `suite.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) deadline: Option<Time>,
    pub(super) memory: Option<NotZero<Bytes>>,
    pub(super) table_elements: Option<u64>,
    pub(super) instances: Option<NotZero<u32>>,
    pub(super) output: Option<Bytes>,
    pub(super) disk: Option<Bytes>,
    pub(super) handles: Option<NotZero<u32>>,
    pub(super) quiet: Option<Time>,
    pub(super) back_off: Option<Time>,
    pub(super) progress: Option<Time>,
}

impl LimitsTable {
    /// `base` with what this table gives put in its place.
    pub(super) fn over(&self, base: &Limits) -> Limits {
        Limits {
            deadline: self.deadline.map_or(base.deadline, |time| time.0),
            memory: self.memory.map_or(base.memory, |bytes| bytes.0.0),
            table_elements: self.table_elements.unwrap_or(base.table_elements),
            instances: self.instances.map_or(base.instances, |count| count.0),
            output: self.output.map_or(base.output, |bytes| bytes.0),
            disk: self.disk.map_or(base.disk, |bytes| bytes.0),
            handles: self.handles.map_or(base.handles, |count| count.0),
            quiet: self.quiet.map_or(base.quiet, |time| time.0),
            back_off: self.back_off.map_or(base.back_off, |time| time.0),
            progress: self.progress.map_or(base.progress, |time| Some(time.0)),
        }
    }
}

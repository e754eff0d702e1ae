use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::value::{Bytes, Time};
use crate::model::Limits;

/// `scenarios/suite.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SuiteFile {
    /// Plugins for `host run` without any: paths and patterns.
    pub(super) plugins: Vec<String>,
    /// Scenarios that must pass before the rest of each lane starts.
    pub(super) canary: Vec<Spanned<String>>,
    /// Lanes to run in when none is asked for; all of them when absent.
    pub(super) lanes: Option<Vec<Spanned<String>>>,
    /// Attempts at once.
    pub(super) jobs: Option<Spanned<usize>>,
    /// Bounds for scenarios that give none.
    pub(super) defaults: LimitsTable,
    /// The lanes.
    pub(super) lane: BTreeMap<Spanned<String>, LaneTable>,
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

/// The kinds of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KindName {
    /// `host agent`.
    #[default]
    Scripted,
}

/// Bounds as written; flattened into `scenario.toml`, a table of its own in `suite.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) deadline: Option<Time>,
    pub(super) memory: Option<Bytes>,
    pub(super) table_elements: Option<u64>,
    pub(super) instances: Option<u32>,
    pub(super) output: Option<Bytes>,
    pub(super) disk: Option<Bytes>,
    pub(super) handles: Option<u32>,
}

impl LimitsTable {
    /// `base` with what this table gives put in its place.
    pub(super) fn over(&self, base: &Limits) -> Limits {
        Limits {
            deadline: self.deadline.map_or(base.deadline, |time| time.0),
            memory: self.memory.map_or(base.memory, |bytes| bytes.0),
            table_elements: self.table_elements.unwrap_or(base.table_elements),
            instances: self.instances.unwrap_or(base.instances),
            output: self.output.map_or(base.output, |bytes| bytes.0),
            disk: self.disk.map_or(base.disk, |bytes| bytes.0),
            handles: self.handles.unwrap_or(base.handles),
        }
    }
}

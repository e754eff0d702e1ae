use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    defaults::DefaultsTable,
    lane_table::LaneTable,
    value::{Bytes, NotZero, Table, Time},
};
use host_model::{CountsAs, ReporterKind};

/// `scenarios/suite.toml` as written. Its keys of the run are those of [`RunTable`]: serde can flatten one into the
/// other only at the price of places and of errors for unknown keys.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SuiteFile {
    /// Plugins for `host run` without any: paths and patterns.
    pub(super) plugins: Option<Spanned<Vec<Spanned<String>>>>,
    /// Scenarios that must pass before the rest of each lane starts.
    pub(super) canary: Option<Spanned<Vec<Spanned<String>>>>,
    lanes: Option<Spanned<Vec<Spanned<String>>>>,
    jobs: Option<Spanned<usize>>,
    flaky_result: Option<Spanned<CountsAs>>,
    xpass: Option<Spanned<CountsAs>>,
    max_fail: Option<Spanned<u32>>,
    fail_fast: Option<Spanned<bool>>,
    repeat_each: Option<Spanned<u32>>,
    reporters: Option<Spanned<Vec<ReporterKind>>>,
    defaults: Table<DefaultsTable>,
    /// The bounds of compiling a plugin.
    pub(super) compile: Table<CompileTable>,
    /// The lanes.
    pub(super) lane: BTreeMap<Spanned<String>, Table<LaneTable>>,
    /// What replaces parts of this, when asked for by name.
    pub(super) profile: BTreeMap<Spanned<String>, Table<RunTable>>,
}

impl SuiteFile {
    /// The keys that a profile has too.
    pub(super) fn run(&self) -> RunTable {
        RunTable {
            lanes: self.lanes.clone(),
            jobs: self.jobs.clone(),
            flaky_result: self.flaky_result.clone(),
            xpass: self.xpass.clone(),
            max_fail: self.max_fail.clone(),
            fail_fast: self.fail_fast.clone(),
            repeat_each: self.repeat_each.clone(),
            reporters: self.reporters.clone(),
            defaults: self.defaults.clone(),
            lane: BTreeMap::new(),
        }
    }
}

/// `[compile]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct CompileTable {
    /// Memory that compiling one plugin may take.
    pub(super) max_memory: Option<Spanned<NotZero<Bytes>>>,
    /// Time that compiling one plugin may take.
    pub(super) timeout: Option<Spanned<Time>>,
}

/// `[profile.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RunTable {
    /// Lanes to run in when none is asked for; all that are defined when absent.
    pub(super) lanes: Option<Spanned<Vec<Spanned<String>>>>,
    /// Attempts at once.
    pub(super) jobs: Option<Spanned<usize>>,
    /// What a trial that passed after a retry counts as.
    pub(super) flaky_result: Option<Spanned<CountsAs>>,
    /// What a trial that passed although it was expected to fail counts as.
    pub(super) xpass: Option<Spanned<CountsAs>>,
    /// After so many failed trials nothing more starts.
    pub(super) max_fail: Option<Spanned<u32>>,
    /// The same with 1, or without a bound.
    pub(super) fail_fast: Option<Spanned<bool>>,
    /// How often each trial is repeated.
    pub(super) repeat_each: Option<Spanned<u32>>,
    /// How to report.
    pub(super) reporters: Option<Spanned<Vec<ReporterKind>>>,
    /// For scenarios that say nothing of it.
    pub(super) defaults: Table<DefaultsTable>,
    /// Of a profile: what replaces keys of the suite's lanes.
    pub(super) lane: BTreeMap<Spanned<String>, Table<LaneTable>>,
}

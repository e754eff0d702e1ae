//! `suite.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    defaults::DefaultsTable,
    lane_table::LaneTable,
    source::{FileText, SourceError},
    table::{Optional, Written, list, settings_table},
    value::{Bytes, NotZero, Table, Time},
};
use host_model::{CompileLimits, CountsAs, MAX_JOBS, MAX_REPETITIONS, ReporterKind, RunRules};

/// The folder that holds a suite's scenarios.
pub const SCENARIOS_FOLDER: &str = "scenarios";
/// The suite's file, in the folder of its scenarios.
pub const SUITE_FILE: &str = "suite.toml";
/// Attempts in parallel. Trials wait for agents most of the time, so this does not depend on the number of cores.
const DEFAULT_JOBS: usize = 16;

/// What `suite.toml` has at its top and no profile has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SuiteFile {
    /// Plugins for `host run` without any: paths and patterns.
    pub(super) plugins: Option<Spanned<Vec<Spanned<String>>>>,
    /// Scenarios that must pass before the rest of each lane starts.
    pub(super) canary: Option<Spanned<Vec<Spanned<String>>>>,
    /// Limits for compiling a plugin.
    pub(super) compile: Table<CompileTable>,
    /// Replacements of parts of the suite, by name.
    pub(super) profile: BTreeMap<Spanned<String>, Table<RunTable>>,
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(super) struct RunSettings {
    /// Lanes to run in; every lane of the suite when absent.
    pub(super) lanes: Option<Vec<String>>,
    /// Attempts in parallel.
    pub(super) jobs: usize,
    /// What counts as failed, when the run stops, how often trials are repeated.
    pub(super) policy: RunRules,
    /// How to report.
    pub(super) reporters: Vec<ReporterKind>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { lanes: None, jobs: DEFAULT_JOBS, policy: RunRules::default(), reporters: vec![ReporterKind::Human] }
    }
}

settings_table! {
    /// The top of `suite.toml`, and `[profile.NAME]`.
    RunTable for RunSettings {
        /// Lanes to run in when none is asked for.
        "lanes" lanes: Optional<Names> => lanes;
        /// Attempts in parallel.
        "jobs" jobs: Jobs => jobs;
        /// What a trial that passed after a retry counts as.
        "flaky-result" flaky_result: CountsAs => policy.flaky_result;
        /// What a trial that passed although it was expected to fail counts as.
        "xpass" xpass: CountsAs => policy.xpass;
        /// The number of failed trials after which nothing more starts.
        "max-fail" max_fail: MaxFail => policy.max_fail;
        /// The same with 1, or without a limit.
        "fail-fast" fail_fast: FailFast => policy.max_fail;
        /// How often each trial is repeated.
        "repeat-each" repeat_each: Repetitions => policy.repeat_each;
        /// How to report.
        "reporters" reporters: Reporters => reporters;
    }
    with {
        /// For scenarios without settings of their own.
        defaults: Table<DefaultsTable>,
        /// The lanes; in a profile, what replaces keys of the suite's lanes.
        lane: BTreeMap<Spanned<String>, Table<LaneTable>>,
    }
}

impl RunTable {
    /// The names of lanes, with their positions.
    pub(super) fn lane_names(&self) -> &[Spanned<String>] {
        self.lanes.as_ref().map(|lanes| lanes.get_ref().0.0.as_slice()).unwrap_or_default()
    }

    /// Two keys for one limit.
    pub(super) fn conflict(&self, file: &FileText) -> Option<SourceError> {
        let (Some(_), Some(fail_fast)) = (&self.max_fail, &self.fail_fast) else { return None };
        let message = "`fail-fast` and `max-fail` set the same limit; remove one of them";
        Some(file.error(fail_fast.span(), message))
    }
}

settings_table! {
    /// `[compile]`.
    CompileTable for CompileLimits {
        /// Memory that compiling one plugin may use.
        "max-memory" max_memory: NotZero<Bytes> => max_memory;
        /// Time that compiling one plugin may take.
        "timeout" timeout: Time => timeout;
    }
}

/// Names of lanes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(Vec<Spanned<String>>);

impl Written for Names {
    type Value = Vec<String>;

    fn value(&self) -> Vec<String> {
        self.0.iter().map(|name| name.get_ref().clone()).collect()
    }

    fn to_toml(names: &Vec<String>) -> Option<toml::Value> {
        list(names.iter().map(|name| name.as_str().into()))
    }

    fn problem(&self, _: &str) -> Option<String> {
        let message = "`lanes` is empty, so nothing would run; name a lane, or remove the key";
        self.0.is_empty().then(|| message.to_owned())
    }
}

/// A number of attempts in parallel.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Jobs(usize);

impl Written for Jobs {
    type Value = usize;

    fn value(&self) -> usize {
        self.0
    }

    fn to_toml(jobs: &usize) -> Option<toml::Value> {
        u64::to_toml(&(*jobs as u64))
    }

    fn problem(&self, _: &str) -> Option<String> {
        (!(1..=MAX_JOBS).contains(&self.0)).then(|| format!("`jobs` must be from 1 to {MAX_JOBS}"))
    }
}

/// A number of failed trials.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct MaxFail(u32);

impl Written for MaxFail {
    type Value = Option<u32>;

    fn value(&self) -> Option<u32> {
        Some(self.0)
    }

    fn to_toml(limit: &Option<u32>) -> Option<toml::Value> {
        u32::to_toml(limit.as_ref()?)
    }

    fn problem(&self, _: &str) -> Option<String> {
        let message = "`max-fail` must be at least 1; `fail-fast = false` sets no limit";
        (self.0 == 0).then(|| message.to_owned())
    }
}

/// Whether the first failed trial stops the run.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct FailFast(bool);

impl Written for FailFast {
    type Value = Option<u32>;

    fn value(&self) -> Option<u32> {
        self.0.then_some(1)
    }

    /// A limit is written as `max-fail`.
    fn to_toml(limit: &Option<u32>) -> Option<toml::Value> {
        limit.is_none().then_some(toml::Value::from(false))
    }
}

/// How often each trial runs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Repetitions(u32);

impl Written for Repetitions {
    type Value = u32;

    fn value(&self) -> u32 {
        self.0
    }

    fn to_toml(repetitions: &u32) -> Option<toml::Value> {
        u32::to_toml(repetitions)
    }

    fn problem(&self, _: &str) -> Option<String> {
        let fits = (1..=MAX_REPETITIONS).contains(&self.0);
        (!fits).then(|| format!("`repeat-each` must be from 1 to {MAX_REPETITIONS}"))
    }
}

/// Reporters by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Reporters(Vec<ReporterKind>);

impl Written for Reporters {
    type Value = Vec<ReporterKind>;

    fn value(&self) -> Vec<ReporterKind> {
        self.0.clone()
    }

    fn to_toml(reporters: &Vec<ReporterKind>) -> Option<toml::Value> {
        Some(toml::Value::Array(reporters.iter().map(|kind| kind.as_str().into()).collect()))
    }

    fn problem(&self, _: &str) -> Option<String> {
        let message = "`reporters` is empty; write `[\"silent\"]` for no report";
        self.0.is_empty().then(|| message.to_owned())
    }
}

//! `suite.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    defaults::DefaultsTable,
    lane_table::LaneTable,
    source::{FileText, SourceError},
    table::{Optional, list, settings_table, written},
    value::{Bytes, NotZero, Table, Time},
};
use host_model::{CompileLimits, CountsAs, MAX_JOBS, MAX_REPETITIONS, ReporterKind, RunRules};

/// The folder that holds a suite's scenarios.
pub const SCENARIOS_FOLDER: &str = "scenarios";
/// The suite's file, in the folder of its scenarios.
pub const SUITE_FILE: &str = "suite.toml";
/// Attempts in parallel. Trials wait for agents most of the time, so this does not depend on the number of cores.
const DEFAULT_JOBS: usize = 16;

/// The keys at the top of `suite.toml` that no profile has.
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
        "lanes" lanes: Optional<Names> => lanes;
        "jobs" jobs: Jobs => jobs;
        "flaky-result" flaky_result: CountsAs => policy.flaky_result;
        "xpass" xpass: CountsAs => policy.xpass;
        "max-fail" max_fail: MaxFail => policy.max_fail;
        "fail-fast" fail_fast: FailFast => policy.max_fail;
        "repeat-each" repeat_each: Repetitions => policy.repeat_each;
        "reporters" reporters: Reporters => reporters;
    }
    with {
        defaults: Table<DefaultsTable>,
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
        "max-memory" max_memory: NotZero<Bytes> => max_memory;
        "timeout" timeout: Time => timeout;
    }
}

/// Names of lanes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(Vec<Spanned<String>>);

/// A number of attempts in parallel.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Jobs(usize);

/// A number of failed trials.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct MaxFail(u32);

/// Whether the first failed trial stops the run. A limit is shown as `max-fail`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct FailFast(bool);

/// How often each trial runs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Repetitions(u32);

/// Reporters by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Reporters(Vec<ReporterKind>);

written! {
    Names => Vec<String>:
        |names| names.0.iter().map(|name| name.get_ref().clone()).collect(),
        |names| list(names.iter().map(|name| name.as_str().into())),
        |names| problem(names.0.is_empty(), "`lanes` is empty, so nothing would run; name a lane, or remove the key");
    Jobs => usize:
        |jobs| jobs.0,
        |jobs| u64::to_toml(&(*jobs as u64)),
        |jobs| problem(!(1..=MAX_JOBS).contains(&jobs.0), format!("`jobs` must be from 1 to {MAX_JOBS}"));
    MaxFail => Option<u32>:
        |limit| Some(limit.0),
        |limit| u32::to_toml(limit.as_ref()?),
        |limit| problem(limit.0 == 0, "`max-fail` must be at least 1; `fail-fast = false` sets no limit");
    FailFast => Option<u32>:
        |fail_fast| fail_fast.0.then_some(1),
        |limit| limit.is_none().then_some(toml::Value::from(false));
    Repetitions => u32:
        |repetitions| repetitions.0,
        |repetitions| u32::to_toml(repetitions),
        |repetitions| problem(
            !(1..=MAX_REPETITIONS).contains(&repetitions.0),
            format!("`repeat-each` must be from 1 to {MAX_REPETITIONS}"),
        );
    Reporters => Vec<ReporterKind>:
        |reporters| reporters.0.clone(),
        |reporters| Some(toml::Value::Array(reporters.iter().map(|kind| kind.as_str().into()).collect())),
        |reporters| problem(reporters.0.is_empty(), "`reporters` is empty; write `[\"silent\"]` for no report");
}

fn problem(is_wrong: bool, message: impl Into<String>) -> Option<String> {
    is_wrong.then(|| message.into())
}

//! The resolved settings as files would have them, for `--show-config`.

use super::{
    defaults::{Defaults, DefaultsTable},
    lanes::LaneSettings,
    layers::Source,
    scenario_file::ScenarioSettings,
    settings::Settings,
    source::seen_from_here,
    suite_file::{CompileTable, RunSettings, RunTable},
    table::SettingsTable,
};
use host_model::{Limits, RetryOverride, RetryRules};

/// A setting with its value and source.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingRow {
    /// Its key.
    pub key: &'static str,
    /// Its value.
    pub value: toml::Value,
    /// Its source.
    pub source: Source,
}

impl Settings {
    /// The top of `suite.toml`.
    #[must_use]
    pub fn run_rows(&self) -> Vec<SettingRow> {
        let run = RunSettings {
            lanes: Some(self.lanes.iter().map(|lane| lane.name.0.clone()).collect()),
            jobs: self.jobs,
            policy: self.policy.clone(),
            reporters: self.reporters.clone(),
        };
        let mut rows = self.sourced("", RunTable::rows(&run));
        // First what limits the run, then what is made of its results.
        rows.sort_by_key(|row| matches!(row.key, "flaky-result" | "xpass" | "reporters"));
        rows
    }

    /// `[defaults]`.
    #[must_use]
    pub fn defaults_rows(&self) -> Vec<SettingRow> {
        self.sourced("defaults.", defaults(&self.limits, &self.retry_override.over(&self.retry)))
    }

    /// `[compile]`.
    #[must_use]
    pub fn compile_rows(&self) -> Vec<SettingRow> {
        self.sourced("compile.", CompileTable::rows(&self.compile))
    }

    /// `[lane.NAME]`.
    #[must_use]
    pub fn lane_rows(&self, lane: &LaneSettings) -> Vec<SettingRow> {
        let rows = lane.rows().into_iter().filter(|(key, _)| !self.is_overridden(key)).collect();
        self.sourced(&format!("lane.{}.", lane.name), rows)
    }

    /// What the file of a scenario sets.
    #[must_use]
    pub fn scenario_rows(&self, scenario: &ScenarioSettings) -> Vec<SettingRow> {
        let plugin = scenario.plugin.as_deref().map(|plugin| ("plugin", seen_from_here(plugin).into()));
        let all = plugin.into_iter().chain(defaults(&scenario.limits, &scenario.retry.over(&self.retry)));
        all.filter(|(key, _)| !self.is_overridden(key))
            .filter_map(|(key, value)| {
                let place = scenario.places.get(key)?.clone();
                Some(SettingRow { key, value, source: Source::File { place, profile: None } })
            })
            .collect()
    }

    /// Whether a flag or the environment sets `key` for every lane and scenario.
    fn is_overridden(&self, key: &str) -> bool {
        match key {
            "retries" => self.retry_override.retries.is_some(),
            "retry-on" => self.retry_override.on.is_some(),
            "retry-delay" => self.retry_override.delay.is_some(),
            _ => false,
        }
    }

    fn sourced(&self, prefix: &str, rows: Vec<(&'static str, toml::Value)>) -> Vec<SettingRow> {
        let source = |key: &str| self.sources.of(&format!("{prefix}{key}")).clone();
        rows.into_iter().map(|(key, value)| SettingRow { key, value, source: source(key) }).collect()
    }
}

fn defaults(limits: &Limits, retry: &RetryRules) -> Vec<(&'static str, toml::Value)> {
    let retry = RetryOverride { retries: Some(retry.retries), on: Some(retry.on.clone()), delay: Some(retry.delay) };
    DefaultsTable::rows(&Defaults { limits: limits.clone(), retry })
}

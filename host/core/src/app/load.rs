//! Loads what a command works on: settings, plugins, scenarios.

use std::{ffi::OsString, path::Path};

use super::{
    error::{Error, Message},
    notices::Notices,
    paths::{as_text, current_dir},
    plugin_files::find,
    plugins::{engine, list_all, load_all, open_cache},
    policy_file::within_repository,
};
use host_model::{PluginInfo, Scenario};
use host_suite::config::{ConfigError, Overrides, Settings};
use host_suite::plan;
use host_wasm::component::Plugin;
use host_wasm::engine::MAX_SLOTS;

/// Which suite and plugins to load.
#[derive(Clone, Debug, Default)]
pub struct LoadSettings {
    /// Files and patterns of plugins, in place of those that the suite names.
    pub plugins: Vec<OsString>,
    /// Values in place of those in files: the suite's path, too.
    pub overrides: Overrides,
    /// Compile every plugin, and do not read or write the cache.
    pub no_cache: bool,
}

/// A suite with its plugins and their scenarios.
pub struct Suite {
    /// The resolved settings.
    pub settings: Settings,
    /// The compiled plugins.
    pub plugins: Vec<Plugin>,
    /// The scenarios of all plugins, with what files say about them.
    pub scenarios: Vec<Scenario>,
}

impl Suite {
    /// Loads the suite around the current folder.
    pub(super) async fn load(load: &LoadSettings, notices: &dyn Notices) -> Result<Self, Error> {
        let cwd = current_dir()?;
        let settings = settings(&load.overrides)?;
        if let Some(warning) = within_repository(&settings) {
            notices.warning(Message::plain(warning));
        }
        let settings = with_possible_jobs(settings, notices);
        let files = find(&load.plugins, &settings, &cwd)?;
        let engine = engine(settings.jobs, notices)?;
        let cache = if load.no_cache { None } else { open_cache(notices) };
        let plugins = load_all(&files, &engine, cache.as_ref(), &settings.compile, notices)?;
        let facts = list_all(&plugins, &engine).await?;
        let scenarios = plan::resolve(&facts, &settings).map_err(Error::setup_all)?;
        Ok(Self { settings, plugins, scenarios })
    }

    /// The plugins as the event log names them.
    pub(super) fn plugin_infos(&self) -> Vec<PluginInfo> {
        self.plugins
            .iter()
            .map(|plugin| PluginInfo {
                label: plugin.file.label.clone(),
                path: as_text(&plugin.file.path),
                digest: format!("sha256:{}", plugin.digest),
            })
            .collect()
    }
}

/// The settings of the suite around the current folder, without looking at any plugin.
///
/// # Errors
/// Everything that is wrong with the suite's files.
pub fn settings(overrides: &Overrides) -> Result<Settings, Error> {
    resolve(&current_dir()?, overrides).map_err(Error::setup_all)
}

/// The settings around `cwd`; the scenarios' files are relative to it.
fn resolve(cwd: &Path, overrides: &Overrides) -> Result<Settings, Vec<ConfigError>> {
    let mut settings = Settings::resolve(cwd, overrides)?;
    for scenario in settings.scenarios.values_mut() {
        scenario.file = scenario.file.take().map(|file| as_text(file.strip_prefix(cwd).unwrap_or(&file)));
    }
    Ok(settings)
}

/// The settings with no more jobs than the engine has slots.
fn with_possible_jobs(settings: Settings, notices: &dyn Notices) -> Settings {
    let jobs = settings.jobs;
    if jobs <= MAX_SLOTS {
        return settings;
    }
    notices.warning(Message::plain(format!("{jobs} is more than the maximum of parallel attempts; using {MAX_SLOTS}")));
    Settings { jobs: MAX_SLOTS, ..settings }
}

/// The day in UTC, by which expected failures expire.
pub(super) fn today() -> jiff::civil::Date {
    host_clock::wall().to_zoned(jiff::tz::TimeZone::UTC).date()
}

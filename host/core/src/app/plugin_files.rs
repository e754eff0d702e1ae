//! Finds the files of the plugins that a command works on.

use std::{ffi::OsString, path::Path};

use super::error::{Error, Message, chain};
use host_model::{ExitCode, shown};
use host_suite::config::{ScenarioSettings, Settings, SourceError, SourceSpan, seen_from_here};
use host_wasm::component::{self, DiscoverError, PluginFile};

/// The files of the plugins that the command line names.
pub(super) fn named_plugins(plugins: &[OsString]) -> Result<Vec<PluginFile>, Error> {
    component::discover(plugins, Path::new(""))
        .map_err(|problems| Error::setup_all(problems.into_iter().map(|(_, problem)| problem)))
}

/// The files of the `given` plugins, or else of those that the suite names.
pub(super) fn find(given: &[OsString], settings: &Settings, cwd: &Path) -> Result<Vec<PluginFile>, Error> {
    if !given.is_empty() {
        let scenario = given.iter().find(|name| {
            name.to_str().is_some_and(|name| settings.scenarios.contains_key(name)) && !Path::new(name).exists()
        });
        return match scenario.map(|name| name.to_string_lossy()) {
            Some(name) => Err(Error::setup(format!(
                "the plugin `{name}` does not exist\n\
                 help: to select a scenario by name, write it after `--` (`host run -- {name}`)"
            ))),
            None => named_plugins(given).and_then(|files| match wrong_patterns(settings) {
                wrong if wrong.is_empty() => Ok(files),
                wrong => Err(Error::setup_all(wrong)),
            }),
        };
    }
    let (names, places): (Vec<OsString>, Vec<Option<&SourceSpan>>) = settings
        .plugins
        .iter()
        .map(|(name, place)| (OsString::from(name), Some(place)))
        .chain(settings.scenarios.values().filter_map(|scenario| {
            Some((scenario.plugin.as_ref()?.as_os_str().to_owned(), scenario.places.get("plugin")))
        }))
        .unzip();
    if names.is_empty() {
        return Err(Error::setup(match &settings.suite {
            Some(suite) => format!(
                "{} does not name any plugins\n\
                 help: name them there under `plugins`, or on the command line (`host run plugins/*.wasm`)",
                seen_from_here(suite)
            ),
            None => format!(
                "cannot find scenarios/suite.toml in {}\n\
                 help: name the suite with `--suite PATH`, or plugins on the command line (`host run plugins/*.wasm`)",
                shown(cwd)
            ),
        }));
    }
    let mut files = component::discover(&names, &settings.base).map_err(|problems| {
        let messages = problems.into_iter().map(|(index, problem)| match places[index] {
            Some(place) => Message::of(&place.error(chain(&problem))),
            None => Message::of(&problem),
        });
        Error::new(ExitCode::Setup, messages)
    })?;
    // Relative to `cwd`, as a person there would write them.
    for file in &mut files {
        if let Ok(short) = file.path.strip_prefix(cwd) {
            file.path = short.to_owned();
        }
    }
    Ok(files)
}

/// Invalid patterns of the suite: no plugin that is built later makes them valid.
fn wrong_patterns(settings: &Settings) -> Vec<SourceError> {
    let wrong = missing(settings, &[]).into_iter().filter(|missing| !missing.may_come);
    wrong.map(|missing| missing.error).collect()
}

/// A plugin that the suite names and that does not exist.
pub(super) struct Missing {
    /// What is wrong, and where.
    pub(super) error: SourceError,
    /// Whether it only has to be built.
    pub(super) may_come: bool,
}

/// The plugins that the suite's files name and that do not exist, when others were `given` in their place.
pub(super) fn missing(settings: &Settings, given: &[PluginFile]) -> Vec<Missing> {
    let suite = settings.plugins.iter().flat_map(|(name, place)| {
        let problems = component::discover(&[name], &settings.base).err().unwrap_or_default();
        problems.into_iter().map(move |(_, problem)| Missing {
            error: place.error(chain(&problem)),
            may_come: !matches!(problem, DiscoverError::BadPattern { .. }),
        })
    });
    // A file with the same name elsewhere is that plugin, too.
    let is_given = |plugin: &Path| given.iter().any(|file| file.canonical.file_name() == plugin.file_name());
    let lacking = move |scenario: &&ScenarioSettings| {
        scenario.lacks_its_plugin() && !scenario.plugin.as_deref().is_some_and(is_given)
    };
    let folders = settings.scenarios.values().filter(lacking).filter_map(|scenario| {
        let place = scenario.places.get("plugin")?;
        let plugin = seen_from_here(scenario.plugin.as_deref()?);
        let message =
            format!("the plugin `{plugin}` does not exist, so this folder is not used; build it, or correct its name");
        Some(Missing { error: place.error(message), may_come: true })
    });
    suite.chain(folders).collect()
}

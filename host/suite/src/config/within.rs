//! A suite reads nothing outside its folder: anyone who may change the suite could otherwise have any file of the machine
//! copied into a root, or quoted in an error.

use std::path::{Path, PathBuf};

use super::{error::ConfigError, source::ReadError};
use host_fs::{Location, locate};

/// The folder of `suite.toml`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SuiteFolder<'a>(pub(super) &'a Path);

impl SuiteFolder<'_> {
    /// Checks that no link at `path`, which may be missing, points out of the suite.
    ///
    /// # Errors
    /// One does, or the path cannot be resolved.
    pub(super) fn check_inside(self, path: &Path) -> Result<(), ConfigError> {
        match outside_target(path, self.0)? {
            None => Ok(()),
            Some(outside_target) => {
                Err(ConfigError::LeadsOut { path: path.to_owned(), outside_target, suite: self.0.to_owned() })
            }
        }
    }
}

/// Checks the folder `scenarios` that is found without being named: its author may not know that it is a link.
///
/// # Errors
/// It points outside its own folder, or it cannot be resolved.
pub(super) fn check_scenarios_link(scenarios: &Path) -> Result<(), ConfigError> {
    let around = scenarios.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match outside_target(scenarios, around)? {
        None => Ok(()),
        Some(outside_target) => Err(ConfigError::SuiteElsewhere { path: scenarios.to_owned(), outside_target }),
    }
}

/// The target of `path` if that is outside `folder`.
fn outside_target(path: &Path, folder: &Path) -> Result<Option<PathBuf>, ConfigError> {
    match locate(path, folder) {
        Ok(Location::Outside(outside_target)) => Ok(Some(outside_target)),
        Ok(Location::Within | Location::Missing) => Ok(None),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }.into()),
    }
}

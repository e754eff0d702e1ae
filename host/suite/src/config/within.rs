//! A suite reads nothing that lies outside of its folder: who may change it could otherwise have any file of the machine
//! copied into a root, or quoted in an error.

use std::path::{Path, PathBuf};

use super::{error::ConfigError, source::ReadError};
use host_fs::{Place, place};

/// The folder of `suite.toml`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SuiteFolder<'a>(pub(super) &'a Path);

impl SuiteFolder<'_> {
    /// Tells whether `path`, which need not be there, leads out of the suite by a link.
    ///
    /// # Errors
    /// It does, or it cannot be told where it leads.
    pub(super) fn holds(self, path: &Path) -> Result<(), ConfigError> {
        match leads_to(path, self.0)? {
            None => Ok(()),
            Some(leads_to) => Err(ConfigError::LeadsOut { path: path.to_owned(), leads_to, suite: self.0.to_owned() }),
        }
    }
}

/// The folder `scenarios` that is looked for beside others: that it leads elsewhere nobody may know.
///
/// # Errors
/// It leads out of the folder that it is in, or it cannot be told where it leads.
pub(super) fn lies_there(scenarios: &Path) -> Result<(), ConfigError> {
    let around = scenarios.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match leads_to(scenarios, around)? {
        None => Ok(()),
        Some(leads_to) => Err(ConfigError::SuiteElsewhere { path: scenarios.to_owned(), leads_to }),
    }
}

/// Where `path` leads out of `folder`; `None` where it does not.
fn leads_to(path: &Path, folder: &Path) -> Result<Option<PathBuf>, ConfigError> {
    match place(path, folder) {
        Ok(Place::Outside(leads_to)) => Ok(Some(leads_to)),
        Ok(Place::Within | Place::Nowhere) => Ok(None),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }.into()),
    }
}

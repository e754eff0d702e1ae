use std::path::{Path, PathBuf};

use super::error::chain;
use crate::runner::ArtifactStore;
use host_model::{FIXTURES_FOLDER, Fault, Redactor, TrialId};
use host_report::artifact::{self, CopyLimits, DiffLimits, RunDirectory, copy_tree_bounded};

/// Stores the artifacts of attempts in the run directory.
pub(super) struct RunArtifacts {
    pub(super) directory: PathBuf,
}

impl ArtifactStore for RunArtifacts {
    fn folder(&self, trial: &TrialId, attempt: u32) -> PathBuf {
        self.directory.join(RunDirectory::attempt_folder(trial, attempt))
    }

    fn fixtures(&self) -> PathBuf {
        self.directory.join(FIXTURES_FOLDER)
    }

    fn named(&self, folder: &Path) -> PathBuf {
        folder.strip_prefix(&self.directory).unwrap_or(folder).to_owned()
    }

    fn save_tree(&self, from: &Path, to: &Path) -> Result<Vec<String>, String> {
        copy_tree_bounded(from, to, CopyLimits::default()).map(|copied| copied.skipped).map_err(|error| chain(&error))
    }

    fn save_changes(&self, before: Option<&Path>, after: &Path, to: &Path) -> Result<Vec<String>, String> {
        artifact::keep_changes(before, after, to, DiffLimits::default()).map_err(|error| chain(&error))
    }

    fn redact(&self, folder: &Path, redactor: &Redactor) -> Result<(), Fault> {
        artifact::scrub(folder, redactor).map_err(|error| Fault::of_error(&error))
    }
}

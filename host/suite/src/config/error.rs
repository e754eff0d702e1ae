use std::path::PathBuf;

use super::{
    source::{ReadError, SourceError, seen_from_here},
    suite_file::SUITE_FILE,
};
use host_model::BadName;

/// Suite, scenarios or flags are wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file has an error.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Not a folder where a folder belongs.
    #[error("{} must be a folder; move it away or rename it", seen_from_here(path))]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A link points out of the suite.
    #[error(
        "{} is a symbolic link, or inside one, that points outside the suite, to {}; copy its target into {}, or \
         point the link to a place in that folder",
        seen_from_here(path),
        seen_from_here(outside_target),
        seen_from_here(suite)
    )]
    LeadsOut {
        /// The path that the suite would read.
        path: PathBuf,
        /// Its target.
        outside_target: PathBuf,
        /// The suite's folder.
        suite: PathBuf,
    },
    /// The folder `scenarios` was not named, and is a link to another place.
    #[error(
        "{} is a link to {}, outside its own folder; if that is the suite you mean, name it: `--suite {}`",
        seen_from_here(path),
        seen_from_here(outside_target),
        seen_from_here(outside_target)
    )]
    SuiteElsewhere {
        /// The folder.
        path: PathBuf,
        /// Its target.
        outside_target: PathBuf,
    },
    /// `--suite` names nothing.
    #[error(
        "there is no suite at {}; `--suite` takes a `{SUITE_FILE}` or the folder that contains it",
        seen_from_here(path)
    )]
    NoSuite {
        /// As given.
        path: PathBuf,
    },
    /// A folder's or agent's name cannot be used.
    #[error("{}: {source}", seen_from_here(folder))]
    FolderName {
        /// The folder or file.
        folder: PathBuf,
        /// Why not.
        source: BadName,
    },
    /// `--lane` names no lane.
    #[error("there is no lane `{name}`; {hint}")]
    UnknownLane {
        /// As given.
        name: String,
        /// The known names.
        hint: String,
    },
    /// `--agent` names no scripted agent.
    #[error("no scenario has a scripted agent `{name}`{hint}")]
    UnknownAgent {
        /// As given.
        name: String,
        /// The nearest one.
        hint: String,
    },
    /// `--profile` names no profile.
    #[error("there is no profile `{name}`; {hint}")]
    UnknownProfile {
        /// As given.
        name: String,
        /// The known names.
        hint: String,
    },
    /// `--jobs 0`.
    #[error("`--jobs` must be at least 1")]
    NoJobs,
}

/// An error that may be about a position in a file.
pub trait HasSource {
    /// The error with its position, if it is about one.
    fn source_error(&self) -> Option<&SourceError>;
}

impl HasSource for SourceError {
    fn source_error(&self) -> Option<&SourceError> {
        Some(self)
    }
}

impl HasSource for ReadError {
    fn source_error(&self) -> Option<&SourceError> {
        match self {
            Self::Text(error) => Some(error),
            Self::Io { .. } | Self::Folder { .. } => None,
        }
    }
}

impl HasSource for ConfigError {
    fn source_error(&self) -> Option<&SourceError> {
        match self {
            Self::Source(error) => Some(error),
            Self::Read(error) => error.source_error(),
            _ => None,
        }
    }
}

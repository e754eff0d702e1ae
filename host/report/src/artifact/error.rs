use std::{io, path::PathBuf};

use host_model::RunId;

/// An artifact could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A directory could not be made.
    #[error("cannot create the directory {}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A run of this name has a directory already.
    #[error("run {run} already exists in {}", path.display())]
    RunExists {
        /// The run.
        run: RunId,
        /// Its directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `latest` could not be made to point at the run.
    #[error("cannot point {} at the run; move it away if it is not a symbolic link", path.display())]
    PointLatest {
        /// The symbolic link.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Secrets could not be removed from the artifacts.
    #[error("cannot remove the secrets from {}; delete it", path.display())]
    Scrub {
        /// The path that could not be scrubbed.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A tree to be copied could not be read at all.
    #[error("cannot read the directory {}", path.display())]
    ReadTree {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

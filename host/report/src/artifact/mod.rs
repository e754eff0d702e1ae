//! The run directory: what a run leaves behind, laid out safely whatever the names in it are.

mod diff;
mod error;
mod folder_name;
mod listing;
mod quoted;
mod run_directory;
mod scrub;
mod tree;

pub use diff::{DiffLimits, keep_changes};
pub use error::ArtifactError;
pub use run_directory::RunDirectory;
pub use scrub::scrub;
pub use tree::{Copied, CopyLimits, copy_tree_bounded};

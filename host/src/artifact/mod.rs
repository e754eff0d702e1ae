//! The run directory: what a run leaves behind, laid out safely whatever the names in it are.

mod error;
mod folder_name;
mod run_directory;
mod tree;

pub use error::ArtifactError;
pub use run_directory::{RunDirectory, write_atomic};
pub use tree::{Copied, CopyLimits, copy_tree_bounded};

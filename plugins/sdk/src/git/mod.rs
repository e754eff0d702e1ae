//! The history of a git repository, read from its files: no `git` runs inside a sandbox.
//!
//! Loose objects, packs (version 2, with both kinds of deltas), loose and packed references. The repository is
//! whatever an agent left behind, so everything is bounded and everything odd is an error.

mod history;
mod object;
mod pack;
mod reference;
#[cfg(test)]
mod tests;

pub use history::{Commit, history};
pub use object::ObjectId;

use crate::NotReadable;

/// Why a repository's history cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// A file of the repository cannot be read.
    #[error("`{path}` {source}")]
    File {
        /// The file, from the tree's folder.
        path: String,
        /// Why.
        source: NotReadable,
    },
    /// `HEAD`, or a reference on the way from it, names nothing that is a commit.
    #[error("`{0}` leads to no commit")]
    Reference(String),
    /// An object that another one names does not exist.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// An object is not what its place in the history demands.
    #[error("object {id} is broken: {what}")]
    Broken {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A pack or its index is not what git writes.
    #[error("`{path}` is broken: {what}")]
    Pack {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is more of it than a grader reads.
    #[error("the history is too large: over {0}")]
    TooLarge(&'static str),
}

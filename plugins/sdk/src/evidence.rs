//! What a grader judges.

use crate::{Record, Tree};

/// The files before, the files after, and what the session showed: all that a grader may look at.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The fixture as it was.
    pub before: Tree,
    /// The root as the agent left it.
    pub after: Tree,
    /// What the session showed.
    pub session: Record,
}

impl Evidence {
    /// The evidence inside an attempt, once the session is concluded: `/host/before` and `/`.
    #[must_use]
    pub fn after(session: Record) -> Self {
        Self { before: Tree::at("/host/before"), after: Tree::at("/"), session }
    }
}

//! The workflow that this repository's scenarios put an agent to, as a grader sees it.
//!
//! The root's `README.md` declares the stages; every work item is a file `<slug>.md` with front matter and stage
//! reports; finished items move to `_archive/`. A [`Case`] is one item before and after a session.

mod case;
mod item;
#[cfg(test)]
mod tests;

pub use case::Case;
pub use item::{Cycle, Item};

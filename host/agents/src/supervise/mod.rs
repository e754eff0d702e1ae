//! Agents and everything that they start, kept under control by a supervisor each.

pub(crate) mod attempts;
pub(crate) mod orphans;
pub(crate) mod pids;
mod process_tree;
pub(crate) mod protocol;
pub(crate) mod start;
pub(crate) mod supervisor;
pub(crate) mod suspension;

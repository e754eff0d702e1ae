//! Supervision of agents and everything they start: each agent has its own supervisor process.

pub(crate) mod attempts;
pub(crate) mod orphans;
pub(crate) mod pids;
mod process_tree;
pub(crate) mod protocol;
pub(crate) mod start;
pub(crate) mod supervisor;
pub(crate) mod suspension;

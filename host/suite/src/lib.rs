//! What a suite says and what follows from it: `suite.toml`, `scenario.toml`, policies, settings, and the plan of a run.

pub mod config;
pub mod plan;

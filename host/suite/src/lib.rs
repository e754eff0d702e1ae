//! `suite.toml`, `scenario.toml` and policies, and what follows from them: the settings and the plan of a run.

pub mod config;
pub mod plan;

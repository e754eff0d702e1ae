//! Runs scenarios: the application without a command line, and the runner that it is built on.

pub mod app;
pub mod runner;

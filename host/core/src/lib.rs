//! Runs scenarios: the dispatcher, the attempts and their verdicts.

pub mod runner;

//! `host` runs live end-to-end scenarios as sandboxed WebAssembly components.

pub mod artifact;
pub mod cli;
pub mod clock;
pub mod component;
pub mod config;
pub mod engine;
pub mod files;
pub mod lane;
pub mod model;
pub mod plan;
pub mod report;
pub mod runner;
pub mod sandbox;

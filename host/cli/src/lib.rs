//! `host` runs live end-to-end scenarios as sandboxed WebAssembly components.

pub mod cli;

//! Turns core modules for WASI 0.1 into components, in memory.
//!
//! Plain commands do not need this: they run as core modules on wasmtime's own WASI 0.1. It is for modules that speak
//! `scenario:host` (typed plugins, and commands that call the host), and for `host componentize`.

mod adapt;
mod contract;
mod custom_sections;
mod go_heap;
mod names;
mod shims;
mod start_function;
mod world;

pub use adapt::{PROC_RAISE, adapt, recipe};
pub use contract::CONTRACT;
pub use custom_sections::strip_unreadable;
pub use names::{MANGLED, PREVIEW1, SCENARIOS, interface_version, is_contract_import, is_scenarios_export};
pub use world::embed_world;

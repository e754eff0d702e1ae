//! WebAssembly: the engine and its compile cache, components and core modules, and the sandbox of one attempt.

pub mod component;
pub mod engine;
pub mod sandbox;

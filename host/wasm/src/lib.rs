//! WebAssembly: the engine and its compile cache, components and core modules, the sandbox of one attempt, and the
//! call of a component in it.

pub mod component;
pub mod engine;
pub mod guest;
pub mod sandbox;
pub mod unwind;

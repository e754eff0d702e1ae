//! Shared helpers for the tests of the host: suites that run the real binary, sessions without a run, handmade
//! components, and a scripted model server for real agents.

pub mod kernel;
pub mod model_server;
mod module;
mod paths;
pub mod preview1;
mod process;
mod program;
pub mod session;
mod snapshot;
mod suite;

pub use insta;
pub use module::{
    Listed, bare_typed_module, bare_typed_module_importing, plain_module, typed_module, typed_module_importing,
    typed_module_of,
};
pub use paths::{fixture, host_binary, plugin, probe, repository, target_tmp};
pub use process::{has_test_to_itself, processes, processes_with, test_command, wait_until};
pub use program::write_program;
pub use snapshot::{Shown, snapshot_settings};
pub use suite::{Finished, Running, Suite, events_of};

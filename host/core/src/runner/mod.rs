//! Runs a plan: only the dispatcher changes state and orders events; executors carry out attempts.

mod attempt;
mod audit;
mod bounds;
mod call;
mod command;
mod dispatcher;
mod executor;
mod expect;
mod fixtures;
mod grants;
mod judge;
mod prepare_error;
mod progress;
mod rate;
mod recording;
mod reports;
mod sessions;
mod snapshot_cleaner;
mod summary;
mod text;
mod timings;
mod verdict;
mod watchdog;

pub use attempt::{Agents, ArtifactStore, AttemptExecutor, RecordedTrial};
pub use dispatcher::{EventSink, RunContext, Signal, dispatch};
pub use executor::{AttemptEvents, Executing, Executor, StopRequest};
pub use fixtures::FixtureImage;
pub use grants::{Surroundings, Variable, not_granted};
pub use host_wasm::unwind::panic_is_expected;
pub use prepare_error::PrepareError;
pub use summary::exit_code;

//! Runs a plan: only the dispatcher changes state and orders events; executors carry out attempts.

mod attempt;
mod audit;
mod bounds;
mod call;
mod command;
mod core_dump;
mod dispatcher;
mod executor;
mod expect;
mod failure;
mod fixtures;
mod grants;
mod guest;
mod judge;
mod link;
mod prepare_error;
mod progress;
mod rate;
mod recording;
mod sessions;
mod snapshot_cleaner;
mod summary;
mod text;
mod timings;
mod unwind;
mod verdict;
mod watchdog;

pub use attempt::{Agents, ArtifactStore, AttemptExecutor, RecordedTrial};
pub use dispatcher::{EventSink, RunContext, Signal, dispatch};
pub use executor::{AttemptEvents, Executing, Executor, StopRequest};
pub use fixtures::FixtureImage;
pub use grants::{Surroundings, Variable, not_granted};
pub use link::{LinkError, Linkers};
pub use prepare_error::PrepareError;
pub use summary::exit_code;
pub use unwind::{catch_panic, panic_is_expected};

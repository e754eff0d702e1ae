//! Runs a plan: the dispatcher alone changes state and orders events; executors carry out attempts.

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
mod patience;
mod prepare_error;
mod progress;
mod rate;
mod recording;
mod sessions;
mod spent;
mod summary;
mod text;
mod timings;
mod unwind;
mod verdict;

pub use attempt::{Agents, ArtifactPlace, AttemptExecutor, RecordedTrial};
pub use dispatcher::{EventSink, RunContext, Signal, dispatch};
pub use executor::{Executing, Executor, Feed, Stop};
pub use fixtures::FixtureImage;
pub use grants::{Surroundings, Variable, not_granted};
pub use link::{LinkError, Linkers};
pub use prepare_error::PrepareError;
pub use summary::exit_code;
pub use unwind::{caught, panic_is_expected};

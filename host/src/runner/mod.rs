//! Runs a plan: the dispatcher alone changes state and orders events; executors carry out attempts.

mod attempt;
mod bounds;
mod call;
mod command;
mod core_dump;
mod dispatcher;
mod executor;
mod failure;
mod guest;
mod judge;
mod patience;
mod progress;
mod rate;
mod sessions;
mod summary;
mod text;
mod timings;
mod verdict;

pub use attempt::{ArtifactPlace, AttemptExecutor, PrepareError};
pub use dispatcher::{EventSink, RunContext, Signal, dispatch};
pub use executor::{Executing, Executor, Feed, Stop};
pub use summary::exit_code;

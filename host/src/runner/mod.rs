//! Runs a plan: the dispatcher alone changes state and orders events; executors carry out attempts.

mod attempt;
mod bounds;
mod call;
mod command;
mod dispatcher;
mod executor;
mod failure;
mod fixtures;
mod guest;
mod judge;
mod patience;
mod recording;
mod sessions;
mod summary;
mod text;

pub use attempt::{Agents, ArtifactPlace, AttemptExecutor, PrepareError, RecordedTrial};
pub use dispatcher::{EventSink, RunContext, dispatch};
pub use executor::{Executing, Executor, Feed, Stop};
pub use fixtures::FixtureImage;
pub use summary::exit_code;

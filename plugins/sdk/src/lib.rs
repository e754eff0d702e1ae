//! Scenarios for `host`, in Rust.
//!
//! A scenario is one function and one macro call. The crate is a `cdylib`:
//!
//! ```no_run
//! use scenario_sdk::{Evidence, Outcome, Scenario, Session, Verdict};
//!
//! const GREETING: Scenario = Scenario::new("greeting", "The agent greets.", run).needs(&["session"]);
//!
//! fn run() -> Outcome {
//!     let session = Session::run("Say hello.")?;
//!     Ok(if session.final_message().contains("hello") { Verdict::Pass } else { Verdict::Skip("mute".into()) })
//! }
//!
//! scenario_sdk::plugin![GREETING];
//! ```
//!
//! What decides between pass and fail is best a [`Grader`]: a table of clauses over the [`Evidence`], which is the
//! files before, the files after and the session's record. A grader is a function without side effects, so a native test
//! can hold it against scripted agents (feature `rehearsal`).

#[doc(hidden)]
pub mod bindings;
pub mod diff;
mod evidence;
pub mod front_matter;
pub mod git;
mod grader;
pub mod markdown;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod report;
mod scenario;
mod session;
mod shell;
mod tree;
mod wording;
mod workers;

pub use bindings::scenario::host::agent::{
    BackOff, Conclusion, Event, EventKind, SessionFault, Started, ToolCall, ToolResult, Usage,
};
pub use evidence::Evidence;
pub use grader::{Check, Clause, Clauses, Failure, Findings, Grader, require};
pub use scenario::{Outcome, Scenario};
pub use session::{Record, Session};
pub use tree::{NotReadable, Tree};
pub use wording::Wording;
pub use workers::{Assignment, AssignmentKind, assignments};

pub use bindings::exports::scenario::host::scenarios::{Finding, Verdict};

/// What [`plugin!`] expands to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::export_component;
    pub use crate::bindings::exports::scenario::host::scenarios::{Guest, ScenarioInfo, Verdict};
    pub use crate::scenario::{list, run};
}

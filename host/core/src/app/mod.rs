//! The application without a command line: loads a suite and its plugins, and runs, lists, checks, proves, regrades and
//! inspects them.
//!
//! Every function takes settings, which are plain structs, and returns values. Nothing here prints or reads arguments.
//! What the caller should know while a function works comes through [`Notices`]; a run calls back through [`RunHooks`].
//! Paths in the values that are returned are relative to the current folder where they are below it.

mod artifacts;
mod check;
mod error;
mod execute;
mod helper;
mod inspect;
mod lanes;
mod leftovers;
mod list;
mod load;
mod notices;
mod origin;
mod paths;
mod plugin_files;
mod plugins;
mod policy_file;
mod prove;
mod reach;
mod regrade;
mod reports;
mod revision;
mod run;
mod stop;
pub mod text;

pub use check::{CheckReport, CheckSettings, LaneReport, check};
pub use error::{Error, Message, chain};
pub use execute::{BrokenReport, ExecutionSettings, FinishedRun};
pub use helper::Helper;
pub use inspect::{InspectSettings, InspectedImport, InspectedPlugin, Inspection, inspect};
pub use list::{ListSettings, Listing, list};
pub use load::{LoadSettings, Suite, settings};
pub use notices::Notices;
pub use paths::as_seen_here;
pub use prove::{AgentProof, ClauseProof, Proof, ProveSettings, Proved, prove};
pub use regrade::{
    Change, ChangedPlugin, Comparison, ComparisonKind, RegradeSettings, Regraded, regrade, verdict_summary,
};
pub use reports::{ReportContext, RunHooks};
pub use run::{NothingToRun, RunSettings, run};
pub use stop::{Interrupts, Stop};

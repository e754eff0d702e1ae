//! What runs, in what order, where. Pure functions.

mod resolve;
mod schedule;

pub use resolve::{SetupProblem, resolve};
pub use schedule::{LanePlan, Plan, PlannedTrial, Selection, plan};

//! What runs, in what order, where. Pure functions.

mod canaries;
mod check;
mod folders;
mod resolve;
mod schedule;

pub use check::{check_agents, check_grants, check_scripts};
pub use resolve::{SetupProblem, resolve};
pub use schedule::{LanePlan, Plan, PlannedTrial, Selection, plan};

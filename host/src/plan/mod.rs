//! What runs, in what order, where. Pure functions.

mod resolve;
mod schedule;

pub use resolve::{SetupProblem, check_agents, check_grants, check_scripts, resolve};
pub use schedule::{LanePlan, Plan, PlannedTrial, Selection, plan};

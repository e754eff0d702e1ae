//! `noop`: passes at once, so that what is left is the host's own work.

use scenario_sdk::{Scenario, Verdict};

/// The scenario.
pub const NOOP: Scenario = Scenario::new("noop", "Passes at once.", || Ok(Verdict::Pass));

scenario_sdk::plugin![NOOP];

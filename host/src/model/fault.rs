use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of infrastructure fault ended an attempt. The host alone assigns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// The agent could not start or was refused: binary, login, model.
    Launch,
    /// The provider's back-off outlasted its bound.
    Overload,
    /// Silence past the quiet budget.
    Stall,
    /// The attempt's wall clock ran out.
    Deadline,
    /// The agent died.
    Crash,
    /// The component trapped.
    Trap,
    /// The component used what was not granted.
    Denied,
    /// Memory, tables, instances, output or disk ran over their bound.
    Limit,
    /// The agent or the component broke the contract.
    Protocol,
    /// The host's own fault.
    Internal,
}

impl FaultClass {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self::Launch,
        Self::Overload,
        Self::Stall,
        Self::Deadline,
        Self::Crash,
        Self::Trap,
        Self::Denied,
        Self::Limit,
        Self::Protocol,
        Self::Internal,
    ];

    /// Whether it speaks for the whole lane: any other trial there would likely end the same way.
    #[must_use]
    pub fn is_lane_wide(self) -> bool {
        matches!(self, Self::Launch | Self::Overload)
    }

    /// Whether it comes from what is tested, each time anew: such a fault can be expected. The others come from the
    /// provider, the machine or the host, and say nothing about the scenario.
    #[must_use]
    pub fn is_deterministic(self) -> bool {
        match self {
            Self::Deadline | Self::Crash | Self::Trap | Self::Denied | Self::Limit | Self::Protocol => true,
            Self::Launch | Self::Overload | Self::Stall | Self::Internal => false,
        }
    }

    /// The word that files, reports and flags use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Overload => "overload",
            Self::Stall => "stall",
            Self::Deadline => "deadline",
            Self::Crash => "crash",
            Self::Trap => "trap",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An infrastructure fault: its class, and what happened for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The class; retries and exit codes are keyed on it.
    pub class: FaultClass,
    /// What happened, bounded, possibly of several lines.
    pub message: String,
}

impl Fault {
    /// A fault of `class`.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for Fault {}

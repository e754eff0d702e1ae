//! The order to start an agent.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::confine::ConfinementSpec;

/// What a supervisor must know to start its agent. It is not passed as arguments, because every process of the machine
/// can read those, and it contains paths of the attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartOrder {
    pub(crate) confinement: ConfinementSpec,
    /// The file to use as the agent's standard input; `/dev/null` if absent, since the supervisor's own is the control
    /// socket.
    pub(crate) stdin: Option<OsString>,
}

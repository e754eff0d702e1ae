//! What the host orders a supervisor to start.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::confine::ConfinementSpec;

/// How an agent is to be started. Every process of the machine can read this one's arguments, and this is for none of
/// them: it has paths of the attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartOrder {
    /// What the operating system holds it to, see `confine`.
    pub(crate) policy: ConfinementSpec,
    /// The file that is its standard input; `/dev/null` when absent, since standard input here is the control socket.
    pub(crate) stdin: Option<OsString>,
}

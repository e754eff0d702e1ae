use std::{error::Error, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Shortage;
use super::words::words;

words! {
    /// The kind of infrastructure fault that ended an attempt. Only the host assigns it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum FaultClass {
        /// The agent could not start or was refused: binary, login, model.
        Launch = "launch",
        /// The provider's back-off exceeded `backoff-timeout`.
        Overload = "overload",
        /// The agent was silent longer than `idle-timeout`, or made no progress for longer than `no-progress-timeout`.
        Idle = "idle",
        /// The attempt took longer than `timeout`.
        Timeout = "timeout",
        /// The agent died.
        Crash = "crash",
        /// The component trapped.
        Trap = "trap",
        /// The component used an API that was not granted.
        Denied = "denied",
        /// Memory, tables, instances, output or disk exceeded their limit.
        Limit = "limit",
        /// The agent or the component broke the contract.
        Protocol = "protocol",
        /// The machine ran out of descriptors, processes, memory or disk space. Nothing was judged.
        Resources = "resources",
        /// The host's own fault.
        Internal = "internal",
    }
}

impl FaultClass {
    /// Whether it speaks for the whole lane: any other trial there would likely end the same way.
    #[must_use]
    pub fn is_lane_wide(self) -> bool {
        matches!(self, Self::Launch | Self::Overload)
    }

    /// Whether the tested code causes it every time: such a fault can be expected. The others come from the
    /// provider, the machine or the host, and say nothing about the scenario.
    #[must_use]
    pub fn is_deterministic(self) -> bool {
        match self {
            Self::Timeout | Self::Crash | Self::Trap | Self::Denied | Self::Limit | Self::Protocol => true,
            Self::Launch | Self::Overload | Self::Idle | Self::Resources | Self::Internal => false,
        }
    }
}

/// An infrastructure fault: its class, and a message for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The class; retries and exit codes are keyed on it.
    pub class: FaultClass,
    /// The message, bounded, possibly of several lines.
    pub message: String,
}

impl Fault {
    /// A fault of `class`.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// The host could not do `what` because of `error`: the machine's fault where it is short of something, and the
    /// host's own otherwise.
    pub fn of_host(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::of_message(what.to_string(), Some(error), Shortage::of(error))
    }

    /// The same where `error` says itself what the host could not do.
    pub fn of_error(error: &(dyn Error + 'static)) -> Self {
        Self::of_message(error.to_string(), error.source(), Shortage::of(error))
    }

    /// A fault of the host's that says `message`, and what of the `cause` and its causes that leaves out.
    fn of_message(mut message: String, mut cause: Option<&(dyn Error + 'static)>, shortage: Option<Shortage>) -> Self {
        while let Some(error) = cause {
            let words = error.to_string();
            if !message.contains(&words) {
                message.push_str(&format!(": {words}"));
            }
            cause = error.source();
        }
        match shortage {
            Some(shortage) => Self::of_shortage(message, shortage),
            None => Self::new(FaultClass::Internal, message),
        }
    }

    /// A fault of the machine's, which is short of something.
    pub fn of_shortage(what: impl fmt::Display, shortage: Shortage) -> Self {
        Self::new(FaultClass::Resources, format!("{what}\nhelp: {}", shortage.help()))
    }

    /// The fault of an agent that could not be started, for a reason in the host's words: the machine's where that was
    /// short of something, and the lane's otherwise.
    pub fn of_launch<T: Into<String>>(problem: T) -> Self {
        Self::of_problem(FaultClass::Launch, problem)
    }

    /// The same where it is of another class when the machine is short of nothing.
    pub fn of_problem(class: FaultClass, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        match Shortage::of_ending(&problem) {
            Some(shortage) => Self::of_shortage(problem, shortage),
            None => Self::new(class, problem),
        }
    }

    /// Whether the machine was short of something.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        self.class == FaultClass::Resources
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl Error for Fault {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn host_faults_name_the_missing_resource() {
        let fault = Fault::of_host("cannot make a", &io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(fault.class, FaultClass::Resources);
        assert_eq!(
            fault.message,
            "cannot make a: Too many open files (os error 24)\n\
             help: too few file descriptors: raise `ulimit -n`, or lower `--jobs`"
        );
        let fault = Fault::of_host("cannot make a", &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!((fault.class, fault.message.lines().count()), (FaultClass::Internal, 1));
    }
}

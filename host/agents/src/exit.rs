//! The exit of an agent's process.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentExit {
    Code(i32),
    Signal(i32),
    NotStarted(String),
    /// Its supervisor ended before it could report the exit.
    Unknown,
}

impl fmt::Display for AgentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}{}", signal_name(*signal)),
            Self::NotStarted(reason) => f.write_str(reason),
            Self::Unknown => f.write_str("its supervisor was killed, which killed the agent too"),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGINT => " (SIGINT)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGPIPE => " (SIGPIPE)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}

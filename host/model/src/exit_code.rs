/// How `host` ends. Several conditions give the highest of 96, 100, 105 and 110; an interruption wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// All well; expected failures and skips included.
    Ok = 0,
    /// The command line is wrong.
    Usage = 2,
    /// There was nothing to run.
    NothingToRun = 4,
    /// Bad suite, plugin, grant or policy, or a requested report could not be written.
    Setup = 96,
    /// A scenario failed.
    ScenarioFailed = 100,
    /// A canary failed; the rest of its lane was blocked.
    CanaryFailed = 105,
    /// Nothing but infrastructure faults.
    Fault = 110,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// Whether the operating system holds an agent to its [`Confinement`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ConfinementMode {
        /// By Landlock, as far as the kernel supports it; the rest is reported.
        #[default]
        Landlock = "landlock",
        /// By Landlock, and an agent does not start where the kernel cannot hold it to everything.
        Required = "required",
        /// Not at all.
        None = "none",
    }
}

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// Every port.
    Any,
    /// These and no others, on every address. To bind to 0 is to bind to any free port that the system picks.
    Only(Vec<u16>),
}

impl Default for Ports {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

/// Bounds of each process of an agent; `None` leaves the host's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Processes and threads of the *user*, whatever started them (`RLIMIT_NPROC`). The kernel exempts root.
    pub processes: Option<u64>,
    /// Bytes of a file that is written (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// Bytes of a process's address space (`RLIMIT_AS`). JavaScript engines reserve far more than they use.
    pub address_space: Option<u64>,
}

/// The parts of the machine that an agent and its processes may use. Its attempt's own directories and the system's
/// programs and libraries come on top. The default gives nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// How this is enforced.
    pub mode: ConfinementMode,
    /// Absolute paths of files, devices and directories, with all below, that it may read, run and change.
    pub writable: Vec<PathBuf>,
    /// Absolute paths of files and directories, with all below, that it may read and run.
    pub readable: Vec<PathBuf>,
    /// Where it may connect to.
    pub tcp_connect: Ports,
    /// Where it may listen.
    pub tcp_bind: Ports,
    /// The bounds of its processes, which hold in every mode.
    pub limits: ProcessLimits,
    /// Directories that are hidden from it, where the kernel supports that.
    pub view: Option<View>,
}

/// A directory that is not there for an agent, but for a directory within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The directory: the run's workspace.
    pub hidden: PathBuf,
    /// The visible part: the attempt's own directories.
    pub shown: PathBuf,
}

impl Confinement {
    /// The same, and these paths too.
    #[must_use]
    pub fn and(
        mut self,
        writable: impl IntoIterator<Item = PathBuf>,
        readable: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        self.writable.extend(writable);
        self.readable.extend(readable);
        self
    }

    /// The same, with this view.
    #[must_use]
    pub fn with_view(mut self, view: Option<View>) -> Self {
        self.view = view;
        self
    }
}

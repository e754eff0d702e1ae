use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// Whether the operating system holds an agent to its [`Confinement`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfinementMode {
    /// By Landlock, as far as the kernel supports it; the rest is reported.
    #[default]
    Landlock,
    /// By Landlock, and an agent does not start where the kernel cannot hold it to everything.
    Required,
    /// Not at all.
    None,
}

impl ConfinementMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Landlock, Self::Required, Self::None];

    /// The word that files use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landlock => "landlock",
            Self::Required => "required",
            Self::None => "none",
        }
    }
}

impl fmt::Display for ConfinementMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no [`ConfinementMode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownConfinementMode(pub String);

impl fmt::Display for UnknownConfinementMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = ConfinementMode::ALL.iter().map(|mode| format!("`{mode}`")).collect();
        write!(f, "`{}` is not a confinement mode; the modes are {}", self.0.escape_debug(), known.join(", "))
    }
}

impl std::error::Error for UnknownConfinementMode {}

impl FromStr for ConfinementMode {
    type Err = UnknownConfinementMode;

    fn from_str(word: &str) -> Result<Self, UnknownConfinementMode> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == word);
        known.ok_or_else(|| UnknownConfinementMode(word.to_owned()))
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

/// What an agent, and all that it starts, may use of the machine. Its attempt's own directories and the system's
/// programs and libraries come on top. The default gives nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Who holds it to this.
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
    /// What it does not even see, where the kernel can be asked for that.
    pub view: Option<View>,
}

/// A directory that is not there for an agent, but for a directory within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The directory: the run's workspace.
    pub hidden: PathBuf,
    /// What of it the agent sees: the attempt's own directories.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_parse_by_name() {
        for mode in ConfinementMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        let error = "seccomp".parse::<ConfinementMode>().unwrap_err().to_string();
        assert!(error.contains("`seccomp`") && error.contains("`landlock`, `required`, `none`"), "{error}");
    }
}

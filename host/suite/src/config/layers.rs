//! Sources of settings: flags over the environment, over the profile, over the suite, over the built-in defaults.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::source::SourceSpan;
use host_model::{CountsAs, ReporterKind, RetryCause, RetryOverride};

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line: `--jobs`.
    Flag(String),
    /// A variable of the environment: `HOST_JOBS`.
    Variable(String),
    /// A file.
    File {
        /// The position.
        place: SourceSpan,
        /// The profile that the value is in.
        profile: Option<String>,
    },
    /// The built-in default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { place, profile: None } => write!(f, "{place}"),
            Self::File { place, profile: Some(profile) } => write!(f, "{place} ([profile.{profile}])"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Its source.
    pub source: Source,
}

/// Values of flags and of the environment, whichever is stronger. `None` and empty leave a setting to the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The suite: the file, or the folder that holds it.
    pub suite: Option<Sourced<PathBuf>>,
    /// The policy.
    pub caps: Option<Sourced<PathBuf>>,
    /// The profile.
    pub profile: Option<Sourced<String>>,
    /// Attempts in parallel.
    pub jobs: Option<Sourced<usize>>,
    /// Lanes to run in.
    pub lanes: Option<Sourced<Vec<String>>>,
    /// Scripted agents in place of the lanes' own.
    pub agents: Vec<String>,
    /// Attempts after the first.
    pub retries: Option<Sourced<u32>>,
    /// The causes of retries.
    pub retry_on: Option<Sourced<Vec<RetryCause>>>,
    /// What a trial that passed after a retry counts as.
    pub flaky_result: Option<Sourced<CountsAs>>,
    /// What a trial that passed although it was expected to fail counts as.
    pub xpass: Option<Sourced<CountsAs>>,
    /// The number of failed trials after which nothing more starts; an inner `None` is no limit.
    pub max_fail: Option<Sourced<Option<u32>>>,
    /// How often each trial is repeated.
    pub repeat_each: Option<Sourced<u32>>,
    /// How to report.
    pub reporters: Option<Sourced<Vec<ReporterKind>>>,
    /// Bytes of memory that compiling one plugin may use.
    pub compile_max_memory: Option<Sourced<u64>>,
    /// How long compiling one plugin may take.
    pub compile_timeout: Option<Sourced<Duration>>,
}

impl Overrides {
    /// The retries, over those of every file.
    pub(super) fn retry(&self) -> RetryOverride {
        RetryOverride {
            retries: self.retries.as_ref().map(|it| it.value),
            on: self.retry_on.as_ref().map(|it| it.value.iter().copied().collect()),
            delay: None,
        }
    }
}

/// The source of each setting, by its key in `suite.toml`: `jobs`, `defaults.timeout`, `lane.NAME.retries`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// The source of the value of `key`.
    #[must_use]
    pub fn of(&self, key: &str) -> &Source {
        self.0.get(setting(key)).unwrap_or(&Source::Default)
    }

    /// Hands the value of a flag to `put` and notes its source.
    pub(super) fn take<T: Clone>(&mut self, key: &str, flag: &Option<Sourced<T>>, put: impl FnOnce(T)) {
        if let Some(Sourced { value, source }) = flag {
            put(value.clone());
            self.note(key, source.clone());
        }
    }

    pub(super) fn note(&mut self, key: &str, source: Source) {
        self.0.insert(setting(key).to_owned(), source);
    }
}

/// The setting that a key sets: two keys set the same one.
fn setting(key: &str) -> &str {
    if key == "fail-fast" { "max-fail" } else { key }
}

//! Who says what: flags over the environment, over the profile, over the suite, over the built-in defaults.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{error::ConfigError, source::FileText, source::Place, suite_file::RunTable};
use host_model::{CountsAs, MAX_JOBS, MAX_REPETITIONS, ReporterKind, RetryCause, RetryOverride};

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line: `--jobs`.
    Flag(String),
    /// A variable of the environment: `HOST_JOBS`.
    Variable(String),
    /// A file.
    File {
        /// Where in it.
        place: Place,
        /// The profile, where the value stands in one.
        profile: Option<String>,
    },
    /// Nobody said anything.
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

/// A value, and who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who says it.
    pub source: Source,
}

/// What flags and the environment ask for, the stronger of both; `None` and empty leave it to the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The suite: the file, or the folder that holds it.
    pub suite: Option<Sourced<PathBuf>>,
    /// What scenarios may be given at most.
    pub caps: Option<Sourced<PathBuf>>,
    /// The profile.
    pub profile: Option<Sourced<String>>,
    /// Attempts at once.
    pub jobs: Option<Sourced<usize>>,
    /// Lanes to run in.
    pub lanes: Option<Sourced<Vec<String>>>,
    /// Scripted agents that play in place of the lane's.
    pub agents: Vec<String>,
    /// Attempts after the first.
    pub retries: Option<Sourced<u32>>,
    /// What a trial is tried again after.
    pub retry_on: Option<Sourced<Vec<RetryCause>>>,
    /// What a trial that passed after a retry counts as.
    pub flaky_result: Option<Sourced<CountsAs>>,
    /// What a trial that passed although it was expected to fail counts as.
    pub xpass: Option<Sourced<CountsAs>>,
    /// After so many failed trials nothing more starts; `None` within is never.
    pub max_fail: Option<Sourced<Option<u32>>>,
    /// How often each trial is repeated.
    pub repeat_each: Option<Sourced<u32>>,
    /// How to report.
    pub reporters: Option<Sourced<Vec<ReporterKind>>>,
    /// Bytes of memory that compiling one plugin may take.
    pub compile_max_memory: Option<Sourced<u64>>,
    /// How long compiling one plugin may take.
    pub compile_timeout: Option<Sourced<Duration>>,
}

impl Overrides {
    /// What they say of retries, over every file.
    pub(super) fn retry(&self) -> RetryOverride {
        RetryOverride {
            retries: self.retries.as_ref().map(|it| it.value),
            on: self.retry_on.as_ref().map(|it| it.value.iter().copied().collect()),
            delay: None,
        }
    }
}

/// Who said what, by the setting's key as `suite.toml` has it: `jobs`, `defaults.deadline`, `lane.NAME.retries`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// Who said the value of `key`.
    #[must_use]
    pub fn of(&self, key: &str) -> &Source {
        self.0.get(key).unwrap_or(&Source::Default)
    }

    /// The first of `said`, strongest first, that says anything; `default` when none does.
    pub(super) fn pick<T>(
        &mut self,
        key: &str,
        said: impl IntoIterator<Item = Option<Sourced<T>>>,
        default: impl FnOnce() -> T,
    ) -> T {
        match said.into_iter().flatten().next() {
            Some(Sourced { value, source }) => {
                self.note(key, source);
                value
            }
            None => default(),
        }
    }

    pub(super) fn note(&mut self, key: impl Into<String>, source: Source) {
        self.0.insert(key.into(), source);
    }
}

/// What the top of the suite, or one of its profiles, says of the run.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) jobs: Option<Sourced<usize>>,
    pub(super) lanes: Option<Sourced<Vec<(String, Place)>>>,
    pub(super) flaky_result: Option<Sourced<CountsAs>>,
    pub(super) xpass: Option<Sourced<CountsAs>>,
    pub(super) max_fail: Option<Sourced<Option<u32>>>,
    pub(super) repeat_each: Option<Sourced<u32>>,
    pub(super) reporters: Option<Sourced<Vec<ReporterKind>>>,
}

impl Layer {
    /// Checks `table`, which stands in `file` at its top or in a profile.
    pub(super) fn of(
        table: &RunTable,
        profile: Option<&str>,
        file: &FileText,
        problems: &mut Vec<ConfigError>,
    ) -> Self {
        let from = |span| Source::File { place: file.place(span), profile: profile.map(str::to_owned) };
        let mut wrong = |span, message: String| problems.push(file.error(span, message).into());
        if let Some(jobs) = table.jobs.as_ref().filter(|jobs| !(1..=MAX_JOBS).contains(jobs.get_ref())) {
            wrong(jobs.span(), format!("`jobs` must be from 1 to {MAX_JOBS}"));
        }
        if let Some(bound) = table.max_fail.as_ref().filter(|bound| *bound.get_ref() == 0) {
            wrong(bound.span(), "`max-fail` must be at least 1; `fail-fast = false` sets no bound".into());
        }
        if let (Some(_), Some(fail_fast)) = (&table.max_fail, &table.fail_fast) {
            wrong(fail_fast.span(), "`fail-fast` is a `max-fail` of 1 or of none; keep one of the two".into());
        }
        if let Some(repeat) =
            table.repeat_each.as_ref().filter(|repeat| !(1..=MAX_REPETITIONS).contains(repeat.get_ref()))
        {
            wrong(repeat.span(), format!("`repeat-each` must be from 1 to {MAX_REPETITIONS}"));
        }
        if let Some(reporters) = table.reporters.as_ref().filter(|reporters| reporters.get_ref().is_empty()) {
            wrong(reporters.span(), "`reporters` names none; write `[\"silent\"]` for no report".into());
        }
        if let Some(lanes) = table.lanes.as_ref().filter(|lanes| lanes.get_ref().is_empty()) {
            let message = "`lanes` names no lane, so nothing would run; name one, or remove the key";
            wrong(lanes.span(), message.into());
        }
        let fail_fast = |written: &toml::Spanned<bool>| Sourced {
            value: written.get_ref().then_some(1),
            source: from(written.span()),
        };
        let max_fail =
            |written: &toml::Spanned<u32>| Sourced { value: Some(*written.get_ref()), source: from(written.span()) };
        Self {
            jobs: table.jobs.as_ref().map(|it| Sourced { value: *it.get_ref(), source: from(it.span()) }),
            lanes: table.lanes.as_ref().map(|it| Sourced {
                value: it.get_ref().iter().map(|name| (name.get_ref().clone(), file.place(name.span()))).collect(),
                source: from(it.span()),
            }),
            flaky_result: table
                .flaky_result
                .as_ref()
                .map(|it| Sourced { value: *it.get_ref(), source: from(it.span()) }),
            xpass: table.xpass.as_ref().map(|it| Sourced { value: *it.get_ref(), source: from(it.span()) }),
            max_fail: table.max_fail.as_ref().map(max_fail).or_else(|| table.fail_fast.as_ref().map(fail_fast)),
            repeat_each: table.repeat_each.as_ref().map(|it| Sourced { value: *it.get_ref(), source: from(it.span()) }),
            reporters: table
                .reporters
                .as_ref()
                .map(|it| Sourced { value: it.get_ref().clone(), source: from(it.span()) }),
        }
    }
}

//! Reads the records of an earlier run.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Component, Path, PathBuf},
};

use rustix::fs::CWD;

use crate::runner::FixtureImage;
use host_model::{
    EventKind, FIXTURES_FILE, FIXTURES_FOLDER, KeptFixture, LaneInfo, PluginInfo, REPLAY_SCHEMA, RecordedFixtures,
    RunId, SCHEMA_VERSION, TrialId, TrialInfo, Verdict,
};
use host_report::artifact::RunDirectory;
use host_report::{ReadError, read_events};

/// Bytes of the longest first line, and of the largest list of fixtures, that is read.
const MAX_BYTES: u64 = 64 << 20;

/// An earlier run, from its event log.
#[derive(Debug)]
pub(super) struct RecordedRun {
    pub(super) folder: PathBuf,
    pub(super) id: RunId,
    pub(super) plugins: Vec<PluginInfo>,
    pub(super) lanes: Vec<LaneInfo>,
    /// In the order of its plan.
    pub(super) trials: Vec<RanTrial>,
    /// Whether its log is complete.
    pub(super) finished: bool,
    fixtures: HashMap<(String, String), KeptFixture>,
}

/// A trial of an earlier run.
#[derive(Debug)]
pub(super) struct RanTrial {
    pub(super) info: TrialInfo,
    /// Its last attempt, from 1; 0 when there was none.
    pub(super) attempt: u32,
    /// `None` when the run was killed before.
    pub(super) verdict: Option<Verdict>,
}

/// A run cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("cannot read {}; check that its folder is a run directory", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not an event log: its first line is not `run-started`", path.display())]
    NoLog { path: PathBuf },
    #[error("{} is empty: the run was killed before it started", path.display())]
    Empty { path: PathBuf },
    #[error(
        "{} has schema {schema}, but this host reads schema {SCHEMA_VERSION}; use the `host` that recorded the run",
        path.display()
    )]
    Schema { path: PathBuf, schema: u64 },
    #[error("cannot read {}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
    #[error(
        "{} has no recording that could be graded again: it was written by an older `host`, or is incomplete\n\
         help: run it again with `host run`", folder.display()
    )]
    NothingKept { folder: PathBuf },
    #[error("{} is reached through a link, which a run directory must not contain", path.display())]
    Link { path: PathBuf },
    #[error("cannot use {}: {reason}", path.display())]
    Fixtures { path: PathBuf, reason: String },
}

impl RecordedRun {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// [`RunError`].
    pub(super) fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join("events.jsonl");
        let failed = |source| RunError::Read { path: path.clone(), source };
        let canonical = folder.canonicalize().map_err(failed)?;
        check_schema(&path)?;
        let log = BufReader::new(open_regular(&path).map_err(failed)?);
        let mut events = read_events(log);
        let first = events.next().transpose().map_err(|source| RunError::Log { path: path.clone(), source })?;
        let Some(EventKind::RunStarted { run, plugins, lanes, trials, .. }) = first.map(|event| event.kind) else {
            return Err(RunError::NoLog { path });
        };
        let mut index: HashMap<TrialId, usize> = HashMap::new();
        let mut ran = Vec::with_capacity(trials.len());
        for info in trials {
            index.insert(info.id.clone(), ran.len());
            ran.push(RanTrial { info, attempt: 0, verdict: None });
        }
        let mut finished = false;
        for event in events {
            let event = event.map_err(|source| RunError::Log { path: path.clone(), source })?;
            match event.kind {
                EventKind::AttemptFinished { trial, attempt, .. } => {
                    if let Some(place) = index.get(&trial) {
                        ran[*place].attempt = ran[*place].attempt.max(attempt);
                    }
                }
                EventKind::TrialFinished { trial, verdict, .. } => {
                    if let Some(place) = index.get(&trial) {
                        ran[*place].verdict = Some(verdict);
                    }
                }
                EventKind::RunFinished { .. } => finished = true,
                _ => {}
            }
        }
        let fixtures = read_fixtures(&canonical)?;
        Ok(Self { folder: canonical, id: run, plugins, lanes, trials: ran, finished, fixtures })
    }

    /// The folder of a trial's last attempt, which need not exist.
    ///
    /// # Errors
    /// [`RunError::Link`].
    pub(super) fn attempt(&self, trial: &RanTrial) -> Result<PathBuf, RunError> {
        without_links(self.folder.join(RunDirectory::attempt_folder(&trial.info.id, trial.attempt)))
    }

    /// The fixture that a trial had; `None` where it had none.
    ///
    /// # Errors
    /// Why it was not kept.
    pub(super) fn fixture(&self, trial: &RanTrial) -> Result<Option<FixtureImage>, String> {
        match self.fixtures.get(&(trial.info.plugin.clone(), trial.info.name.clone())) {
            None => Ok(None),
            Some(KeptFixture::Lost { reason }) => Err(format!("its fixture was not saved: {reason}")),
            Some(KeptFixture::Kept { file, bytes }) => {
                Ok(Some(FixtureImage { path: self.folder.join(FIXTURES_FOLDER).join(file), bytes: *bytes }))
            }
        }
    }
}

/// Checks the first line before anything is parsed into the types of this version.
fn check_schema(path: &Path) -> Result<(), RunError> {
    let failed = |source| RunError::Read { path: path.to_owned(), source };
    let mut line = Vec::new();
    let file = open_regular(path).map_err(failed)?;
    BufReader::new(file.take(MAX_BYTES)).read_until(b'\n', &mut line).map_err(failed)?;
    if line.is_empty() {
        return Err(RunError::Empty { path: path.to_owned() });
    }
    let first: serde_json::Value =
        serde_json::from_slice(&line).map_err(|_| RunError::NoLog { path: path.to_owned() })?;
    match first["schema"].as_u64() {
        Some(schema) if schema == u64::from(SCHEMA_VERSION) => Ok(()),
        Some(schema) => Err(RunError::Schema { path: path.to_owned(), schema }),
        None => Err(RunError::NoLog { path: path.to_owned() }),
    }
}

fn read_fixtures(folder: &Path) -> Result<HashMap<(String, String), KeptFixture>, RunError> {
    let path = without_links(folder.join(FIXTURES_FOLDER))?.join(FIXTURES_FILE);
    let file = match open_regular(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RunError::NothingKept { folder: folder.to_owned() });
        }
        opened => opened.map_err(|source| RunError::Read { path: path.clone(), source })?,
    };
    let unusable = |reason: String| RunError::Fixtures { path: path.clone(), reason };
    let value: serde_json::Value =
        serde_json::from_reader(BufReader::new(file.take(MAX_BYTES))).map_err(|error| unusable(error.to_string()))?;
    if value["schema"].as_u64() != Some(u64::from(REPLAY_SCHEMA)) {
        return Err(unusable(format!(
            "it was recorded with version {}, but this host replays version {REPLAY_SCHEMA}; use the `host` that \
             recorded it",
            value["schema"]
        )));
    }
    let recorded: RecordedFixtures = serde_json::from_value(value).map_err(|error| unusable(error.to_string()))?;
    let mut fixtures = HashMap::new();
    for fixture in recorded.fixtures {
        if let KeptFixture::Kept { file, .. } = &fixture.kept
            && !matches!(Path::new(file).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
        {
            return Err(unusable(format!("`{}` is not the name of a file next to it", file.escape_debug())));
        }
        fixtures.insert((fixture.plugin, fixture.scenario), fixture.kept);
    }
    Ok(fixtures)
}

/// A path below a canonical folder, unless it goes through a link.
fn without_links(path: PathBuf) -> Result<PathBuf, RunError> {
    match path.canonicalize() {
        Ok(canonical) if canonical != path => Err(RunError::Link { path }),
        _ => Ok(path),
    }
}

/// Opens a file of a run directory, which may be third-party: follows no link, and waits for no pipe.
fn open_regular(path: &Path) -> io::Result<File> {
    host_fs::open_regular(CWD, path).map(|(file, _)| file)
}

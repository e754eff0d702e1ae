//! The real executor: one attempt of a component, from its fresh directories to its record.

mod cleanup;
mod teardown;

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tokio::{
    sync::{Semaphore, watch},
    task::block_in_place,
};

use tracing::{Instrument, debug, debug_span};

use self::cleanup::{Cleanup, UnredactedFolders};
use super::{
    audit::RunAudit,
    bounds::{INTERRUPTED, bounded},
    call::Call,
    executor::{AttemptEvents, Executing, Executor, StopRequest},
    fixtures::{self, FixtureImage},
    grants::{PlanGrants, Surroundings},
    prepare_error::PrepareError,
    sessions::Sessions,
    snapshot_cleaner::SnapshotCleaner,
    timings::Timings,
};
use host_agents::Lane;
use host_model::{
    AttemptRecord, Fault, FaultClass, LaneName, Outcome, Redactor, Report, Scenario, ScenarioId, ScenarioShape,
    TooManySecrets, TrialId, Usage,
};
use host_suite::plan::{Plan, PlannedTrial};
use host_wasm::component::Plugin;
use host_wasm::guest::{LinkedPlugin, Linkers};
use host_wasm::sandbox::{AttemptDirs, Audit, Halt, Resolve, Snapshot, Violations, Workspace};
use host_wasm::unwind::{catch_panic, catch_panic_now, panicked};

/// Stores the artifacts of attempts.
pub trait ArtifactStore: Send + Sync {
    /// The attempt's folder. It need not exist yet.
    fn folder(&self, trial: &TrialId, attempt: u32) -> PathBuf;
    /// The folder for the fixtures, which does not exist yet.
    fn fixtures(&self) -> PathBuf;
    /// The name of `folder` in the event log.
    fn named(&self, folder: &Path) -> PathBuf;
    /// Copies a tree up to a limit, without following links; returns what was left out.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn save_tree(&self, from: &Path, to: &Path) -> Result<Vec<String>, String>;
    /// Writes into the folder `to` what `after` holds and how it differs from `before`; returns what was left out.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn save_changes(&self, before: Option<&Path>, after: &Path, to: &Path) -> Result<Vec<String>, String>;
    /// Removes secrets from everything in `folder`, which need not exist.
    ///
    /// # Errors
    /// Some may be left.
    fn redact(&self, folder: &Path, redactor: &Redactor) -> Result<(), Fault>;
}

/// Runs components.
pub struct AttemptExecutor {
    plugins: Vec<LinkedPlugin>,
    agents: Agents,
    snapshots: HashMap<ScenarioId, Snapshot>,
    snapshot_cleaner: SnapshotCleaner,
    /// The fixtures that were not saved, and why.
    unkept: HashMap<ScenarioId, String>,
    workspace: Workspace,
    artifacts: Box<dyn ArtifactStore>,
    grants: PlanGrants,
    resolver: Arc<dyn Resolve>,
    audit: Option<RunAudit>,
    /// Limits how many attempts save their directories in parallel: it takes the processor, and memory for comparing.
    keeping: Semaphore,
    unredacted: UnredactedFolders,
}

/// An attempt in progress: what its call and its tear-down share. The fields are dropped in this order: what may still
/// write, before what is removed.
struct Attempt<'a> {
    scenario: &'a Scenario,
    snapshot: Option<&'a Snapshot>,
    events: &'a AttemptEvents,
    began: Instant,
    /// Whether its agents run, and are paid for, now.
    live: bool,
    sessions: Arc<Sessions>,
    violations: Arc<Violations>,
    timings: Arc<Timings>,
    audit: Option<Arc<Audit>>,
    dirs: Arc<AttemptDirs>,
    folder: PathBuf,
    cleanup: Cleanup<'a>,
}

/// The agents that components start sessions with.
pub enum Agents {
    /// The lanes' agents, by lane.
    Live(HashMap<LaneName, Arc<dyn Lane>>),
    /// The records of an earlier run. No agent is started, and no fixture is read.
    Recorded {
        /// What to do with each trial.
        trials: HashMap<TrialId, RecordedTrial>,
        /// The fixtures as they were; a scenario without one starts with nothing.
        fixtures: HashMap<ScenarioId, FixtureImage>,
    },
}

impl Agents {
    /// Removes the secrets that only the agents of the trial's lane may know.
    pub(super) fn redactor(&self, trial: &TrialId) -> Redactor {
        match self {
            Self::Live(lanes) => lanes.get(&trial.lane).map(|lane| lane.redactor()).unwrap_or_default(),
            // They were removed when the session was recorded.
            Self::Recorded { .. } => Redactor::default(),
        }
    }
}

/// What to do with a trial of an earlier run.
pub enum RecordedTrial {
    /// Its component is called again; its sessions are those of this lane.
    Again(Arc<dyn Lane>),
    /// It cannot be called again: its recorded outcome stays.
    Stands {
        /// Its recorded outcome.
        outcome: Outcome,
        /// Why it cannot, for a person.
        reason: String,
    },
}

impl AttemptExecutor {
    /// Links every plugin, and takes and keeps a snapshot of every fixture of `plan`. `plugins` are in the order of
    /// their ids, `agents` has every lane, or every trial, of the plan.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first; anything when `halt` asks for the end.
    pub fn prepare(
        plugins: &[Plugin],
        plan: &Plan,
        agents: Agents,
        workspace: Workspace,
        artifacts: Box<dyn ArtifactStore>,
        surroundings: &Surroundings,
        halt: Halt<'_>,
    ) -> Result<Self, Vec<PrepareError>> {
        let mut problems = Vec::new();
        let mut linkers = Linkers::default();
        let mut linked = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            match linkers.link(plugin) {
                Ok(plugin) => linked.push(plugin),
                Err(source) => problems.push(PrepareError::Link { path: plugin.file.path.clone(), source }),
            }
        }
        let grants = PlanGrants::of(plan, &agents, surroundings, &mut problems);
        let (resolver, audit) = (Arc::clone(&surroundings.resolver), surroundings.audit.then(RunAudit::default));
        let snapshots = match &agents {
            Agents::Live(_) => fixtures::take(plan, workspace.fixtures(), halt, &mut problems),
            Agents::Recorded { fixtures, .. } => fixtures::again(plan, workspace.fixtures(), fixtures, &mut problems),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let folder = artifacts.fixtures();
        let unkept = fixtures::keep(plan, plugins, &snapshots, &folder)
            .map_err(|source| vec![PrepareError::KeepFixtures { folder, source }])?;
        let folders = fixtures::folders(plan, workspace.fixtures()).into_iter();
        let folders = folders.filter(|(scenario, _)| !workspace.keeps() && snapshots.contains_key(&scenario.id));
        let snapshot_cleaner =
            SnapshotCleaner::of(plan, folders.map(|(scenario, folder)| (scenario.id.clone(), folder)));
        let keeping = Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get));
        Ok(Self {
            plugins: linked,
            agents,
            snapshots,
            snapshot_cleaner,
            unkept,
            workspace,
            artifacts,
            grants,
            resolver,
            audit,
            keeping,
            unredacted: UnredactedFolders::default(),
        })
    }

    /// The folder that holds the attempts' directories.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.workspace.folder()
    }

    /// The smallest policy that allows what was used so far, as TOML without any secret of the run; `None` if it was not
    /// asked for.
    ///
    /// # Errors
    /// There are too many secrets to be removed.
    pub fn proposed_policy(&self) -> Result<Option<String>, TooManySecrets> {
        let Some(audit) = &self.audit else { return Ok(None) };
        let own = Redactor::new(self.secrets().map(str::to_owned))?;
        let lanes = match &self.agents {
            Agents::Live(lanes) => lanes.values().map(|lane| lane.redactor()).collect(),
            Agents::Recorded { .. } => Vec::new(),
        };
        Ok(Some(audit.policy(&Redactor::union(lanes.iter().chain([&own]))?)))
    }

    /// The secrets that grants bring into the run.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.grants.secrets()
    }

    /// Removes what the run leaves in the file system, unless it is kept. Folders that could not be redacted are redacted
    /// again, now that nothing else runs, and removed if that fails.
    ///
    /// # Errors
    /// What is left, for a person.
    pub fn close(&self) -> Result<(), String> {
        self.snapshot_cleaner.close();
        let closed = self.workspace.close();
        let left = self.unredacted.close(&*self.artifacts);
        let closed = closed.map_err(|error| format!("cannot remove {}: {error}", self.workspace.folder().display()));
        match (closed, left) {
            (Err(one), Err(other)) => Err(format!("{one}; {other}")),
            (closed, left) => closed.and(left),
        }
    }

    /// One attempt: sets it up, calls its component, and tears it down whatever came of that.
    async fn run(
        &self,
        trial: &PlannedTrial,
        number: u32,
        events: &AttemptEvents,
        mut stop: watch::Receiver<StopRequest>,
    ) -> AttemptRecord {
        let began = Instant::now();
        let (lane, live) = match &self.agents {
            Agents::Live(lanes) => (lanes.get(&trial.id.lane).cloned(), true),
            Agents::Recorded { trials, .. } => match trials.get(&trial.id) {
                Some(RecordedTrial::Again(lane)) => (Some(Arc::clone(lane)), false),
                Some(RecordedTrial::Stands { outcome, reason }) => {
                    events.report(Report::Note { text: format!("not graded again: {reason}") }).await;
                    return record(outcome.clone(), began);
                }
                None => (None, false),
            },
        };
        if let Some(reason) = self.unkept.get(&trial.scenario.id) {
            let what = format!("artifacts: `host regrade` cannot replay this attempt: its fixture: {reason}");
            events.report(Report::Cut { what }).await;
        }
        let prepared = catch_panic_now(|| self.set_up(trial, number, events, began, (lane, live), &stop));
        let attempt =
            match prepared.unwrap_or_else(|words| Err(Outcome::Fault(panicked("preparing the attempt", &words)))) {
                Ok(attempt) => attempt,
                Err(outcome) => return record(outcome, began),
            };
        let called = catch_panic(self.call(&attempt, &mut stop)).await;
        let outcome = called.unwrap_or_else(|words| Outcome::Fault(panicked("the component's call", &words)));
        self.tear_down(attempt, outcome, &mut stop).await
    }

    /// Makes the directories of an attempt, and what observes it.
    fn set_up<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        number: u32,
        events: &'a AttemptEvents,
        began: Instant,
        (lane, live): (Option<Arc<dyn Lane>>, bool),
        stop: &watch::Receiver<StopRequest>,
    ) -> Result<Attempt<'a>, Outcome> {
        let scenario = &*trial.scenario;
        let snapshot = self.snapshots.get(&scenario.id);
        let folder = self.artifacts.folder(&trial.id, number);
        // Directories may be large: other tasks of this thread go on meanwhile.
        let own_folders = matches!(&scenario.shape, ScenarioShape::Command(spec) if spec.writes_folders());
        let halt = || *stop.borrow() != StopRequest::None;
        let made = block_in_place(|| self.workspace.attempt(snapshot, own_folders, &halt));
        let dirs = Arc::new(made.map_err(|error| {
            if halt() {
                return Outcome::Cancelled { reason: INTERRUPTED.into() };
            }
            Outcome::Fault(Fault::of_host("cannot create the attempt's directories", &error))
        })?);
        let cleanup = Cleanup::new(self, Arc::clone(&dirs), folder.clone(), events.redactor.clone());
        let timings = Arc::new(Timings::new(began, folder.clone()));
        timings.set_up();
        let script = trial.agent.as_ref().and_then(|agent| scenario.agents.get(agent)).map(|agent| agent.path.clone());
        let sessions = Arc::new(Sessions::new(
            (lane, script, scenario.bin.clone()),
            Arc::clone(&dirs),
            folder.clone(),
            events.clone(),
            scenario.limits.clone(),
            Arc::clone(&timings),
            scenario.fixture.config.is_some(),
        ));
        let audit = self.audit.as_ref().map(|_| Arc::new(Audit::default()));
        let violations = Arc::new(Violations::default());
        Ok(Attempt {
            scenario,
            snapshot,
            events,
            began,
            live,
            dirs,
            folder,
            timings,
            violations,
            sessions,
            audit,
            cleanup,
        })
    }

    /// Calls the component within the attempt's limits.
    async fn call(&self, attempt: &Attempt<'_>, stop: &mut watch::Receiver<StopRequest>) -> Outcome {
        let Attempt { scenario, dirs, violations, sessions, .. } = attempt;
        let call = Call {
            scenario,
            snapshot: attempt.snapshot,
            dirs,
            folder: &attempt.folder,
            violations,
            sessions,
            granted: &self.grants.granted(&scenario.id),
            resolver: &self.resolver,
            audit: attempt.audit.as_ref(),
            events: attempt.events,
        };
        let call = call.run(&self.plugins[scenario.plugin.0]);
        let mut outcome = bounded(call, sessions.catch_up(), &scenario.limits, dirs, violations, stop).await;
        if let Outcome::Fault(fault) = &mut outcome
            && fault.class == FaultClass::Timeout
            && let Some(reason) = sessions.backing_off().await
        {
            fault.message.push_str(&format!("; the agent was waiting for its provider: {reason}"));
        }
        outcome
    }
}

impl Executor for AttemptExecutor {
    fn execute<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        attempt: u32,
        events: &'a AttemptEvents,
        stop: watch::Receiver<StopRequest>,
    ) -> Executing<'a> {
        let span = debug_span!("attempt", trial = %trial.id, number = attempt);
        let attempt = async move {
            debug!("starting");
            let redactor = self.grants.redactor(&trial.id).unwrap_or_else(|| self.agents.redactor(&trial.id));
            let events = events.redacted(redactor);
            let began = Instant::now();
            let done = catch_panic(self.run(trial, attempt, &events, stop)).await;
            let record = done.unwrap_or_else(|words| record(Outcome::Fault(panicked("the attempt", &words)), began));
            debug!(outcome = record.outcome.word(), duration_ms = record.duration_ms, "finished");
            events.redactor.record(record)
        };
        Box::pin(attempt.instrument(span))
    }

    fn trial_finished(&self, trial: &PlannedTrial) {
        self.snapshot_cleaner.trial_finished(&trial.scenario.id);
    }
}

fn record(outcome: Outcome, began: Instant) -> AttemptRecord {
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    AttemptRecord { outcome, duration_ms, usage: Usage::default(), artifacts: None, kept: None }
}

//! The real executor: one attempt of a component, from its fresh directories to its record.

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

use super::{
    audit::RunAudit,
    bounds::{INTERRUPTED, bounded, end_sessions, look_at_disk},
    call::Call,
    executor::{Executing, Executor, Feed, Stop},
    fixtures::{self, FixtureImage},
    grants::{PlanGrants, Surroundings},
    judge::{Beside, settle},
    link::{LinkedPlugin, Linkers},
    prepare_error::PrepareError,
    sessions::Sessions,
    spent::Spent,
    timings::Timings,
};
use crate::{
    component::Plugin,
    lane::Lane,
    model::{
        AttemptRecord, Fault, FaultClass, LaneName, Outcome, Redactor, Report, ScenarioId, ScenarioShape,
        TooManySecrets, TrialId, Usage,
    },
    plan::{Plan, PlannedTrial},
    sandbox::{AttemptDirs, Audit, Halt, Resolve, Snapshot, Tripwire, Workspace},
};

/// Where an attempt's artifacts go.
pub trait ArtifactPlace: Send + Sync {
    /// The attempt's folder. It need not exist yet.
    fn folder(&self, trial: &TrialId, attempt: u32) -> PathBuf;
    /// The folder for the fixtures, which does not exist yet.
    fn fixtures(&self) -> PathBuf;
    /// The same as the event log names it.
    fn named(&self, folder: &Path) -> PathBuf;
    /// Copies a tree without following links, bounded; returns what was left out.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn keep_tree(&self, from: &Path, to: &Path) -> Result<Vec<String>, String>;
    /// Writes into the folder `to` what `after` holds and how it differs from `before`; returns what was left out.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn keep_changes(&self, before: Option<&Path>, after: &Path, to: &Path) -> Result<Vec<String>, String>;
    /// Takes secrets out of all that is in `folder`, which need not exist.
    ///
    /// # Errors
    /// What may still hold some, for a person.
    fn scrub(&self, folder: &Path, redactor: &Redactor) -> Result<(), String>;
}

/// Runs components.
pub struct AttemptExecutor {
    plugins: Vec<LinkedPlugin>,
    agents: Agents,
    snapshots: HashMap<ScenarioId, Snapshot>,
    spent: Spent,
    /// The fixtures that were not kept, and why.
    unkept: HashMap<ScenarioId, String>,
    workspace: Workspace,
    place: Box<dyn ArtifactPlace>,
    grants: PlanGrants,
    resolver: Arc<dyn Resolve>,
    audit: Option<RunAudit>,
    /// Attempts that keep what they hold at once: it takes the processor, and memory for what is compared.
    keeping: Semaphore,
}

/// Who a component talks to.
pub enum Agents {
    /// The lanes' agents, by lane.
    Live(HashMap<LaneName, Arc<dyn Lane>>),
    /// What an earlier run has recorded. Nothing is used, and no fixture is read.
    Recorded {
        /// What is done with each trial.
        trials: HashMap<TrialId, RecordedTrial>,
        /// The fixtures as they were; a scenario without one starts with nothing.
        fixtures: HashMap<ScenarioId, FixtureImage>,
    },
}

impl Agents {
    /// What nobody but the agents of a trial's lane may know.
    pub(super) fn redactor(&self, trial: &TrialId) -> Redactor {
        match self {
            Self::Live(lanes) => lanes.get(&trial.lane).map(|lane| lane.redactor()).unwrap_or_default(),
            // Taken out when it was recorded.
            Self::Recorded { .. } => Redactor::default(),
        }
    }
}

/// What is done with a trial of an earlier run.
pub enum RecordedTrial {
    /// Its component is called again; its sessions are those of this lane.
    Again(Arc<dyn Lane>),
    /// It cannot be called again: what came of it stays.
    Stands {
        /// What came of it.
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
        place: Box<dyn ArtifactPlace>,
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
            Agents::Live(_) => fixtures::take(plan, workspace.folder(), halt, &mut problems),
            Agents::Recorded { fixtures, .. } => fixtures::again(plan, workspace.folder(), fixtures, &mut problems),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let folder = place.fixtures();
        let unkept = fixtures::keep(plan, plugins, &snapshots, &folder)
            .map_err(|source| vec![PrepareError::KeepFixtures { folder, source }])?;
        let folders = fixtures::folders(plan, workspace.folder()).into_iter();
        let folders = folders.filter(|(scenario, _)| !workspace.keeps() && snapshots.contains_key(&scenario.id));
        let spent = Spent::of(plan, folders.map(|(scenario, folder)| (scenario.id.clone(), folder)));
        let keeping = Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get));
        Ok(Self {
            plugins: linked,
            agents,
            snapshots,
            spent,
            unkept,
            workspace,
            place,
            grants,
            resolver,
            audit,
            keeping,
        })
    }

    /// The folder that holds the attempts' directories.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.workspace.folder()
    }

    /// The smallest policy that allows what was used so far, as TOML without any secret of the run; `None` where nobody
    /// asked for it.
    ///
    /// # Errors
    /// The secrets are too many to be looked for.
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

    /// Removes what the run leaves in the file system, unless it is kept.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn close(&self) -> std::io::Result<()> {
        self.spent.close();
        self.workspace.close()
    }

    async fn run(
        &self,
        trial: &PlannedTrial,
        attempt: u32,
        feed: &Feed,
        mut stop: watch::Receiver<Stop>,
    ) -> AttemptRecord {
        let began = Instant::now();
        let scenario = &trial.scenario;
        let (lane, live) = match &self.agents {
            Agents::Live(lanes) => (lanes.get(&trial.id.lane).cloned(), true),
            Agents::Recorded { trials, .. } => match trials.get(&trial.id) {
                Some(RecordedTrial::Again(lane)) => (Some(Arc::clone(lane)), false),
                Some(RecordedTrial::Stands { outcome, reason }) => {
                    feed.report(Report::Note { text: format!("not graded again: {reason}") }).await;
                    return record(outcome.clone(), began);
                }
                None => (None, false),
            },
        };
        if let Some(reason) = self.unkept.get(&scenario.id) {
            let what = format!("artifacts: `host regrade` cannot replay this attempt: its fixture: {reason}");
            feed.report(Report::Cut { what }).await;
        }
        let folder = self.place.folder(&trial.id, attempt);
        let snapshot = self.snapshots.get(&scenario.id);
        // Directories may be large: the others go on meanwhile.
        let own_folders = matches!(&scenario.shape, ScenarioShape::Command(spec) if spec.writes_folders());
        let halt = || *stop.borrow() != Stop::No;
        let dirs = match block_in_place(|| self.workspace.attempt(snapshot, own_folders, &halt)) {
            Ok(dirs) => Arc::new(dirs),
            Err(_) if halt() => return record(Outcome::Cancelled { reason: INTERRUPTED.into() }, began),
            Err(error) => {
                let what = format!("cannot make the attempt's directories: {error}");
                return record(Outcome::Fault(Fault::new(FaultClass::Internal, what)), began);
            }
        };
        let timings = Arc::new(Timings::new(began, folder.clone()));
        timings.set_up();
        let tripwire = Arc::new(Tripwire::default());
        let script = trial.agent.as_ref().and_then(|agent| scenario.agents.get(agent)).map(|agent| agent.path.clone());
        let sessions = Arc::new(Sessions::new(
            (lane, script, scenario.bin.clone()),
            Arc::clone(&dirs),
            folder.clone(),
            feed.clone(),
            scenario.limits.clone(),
            Arc::clone(&timings),
            scenario.fixture.config.is_some(),
        ));
        let audit = self.audit.as_ref().map(|_| Arc::new(Audit::default()));
        let plugin = &self.plugins[scenario.plugin.0];
        let call = Call {
            scenario,
            snapshot,
            dirs: &dirs,
            folder: &folder,
            tripwire: &tripwire,
            sessions: &sessions,
            granted: &self.grants.granted(&scenario.id),
            resolver: &self.resolver,
            audit: audit.as_ref(),
            feed,
        };
        let call = call.run(plugin);
        let mut outcome = bounded(call, sessions.catch_up(), &scenario.limits, &dirs, &tripwire, &mut stop).await;
        if let Outcome::Fault(fault) = &mut outcome
            && fault.class == FaultClass::Deadline
            && let Some(reason) = sessions.backing_off().await
        {
            fault.message.push_str(&format!("; the agent was still waiting for its provider: {reason}"));
        }
        timings.called();
        let (survivors, usage) = match end_sessions(&sessions, &outcome, &mut stop).await {
            // What is replayed has been paid for already.
            Ok(usage) => (None, if live { usage } else { Usage::default() }),
            Err(fault) => (Some(fault), Usage::default()),
        };
        look_at_disk(&dirs, scenario.limits.disk, &tripwire).await;
        if sessions.used() || !matches!(outcome, Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. }) {
            self.keep(&dirs, snapshot.and_then(Snapshot::before), &folder, feed).await;
        }
        if let (Some(all), Some(audit)) = (&self.audit, audit) {
            match audit.keep(&folder) {
                Ok(uses) => all.add(scenario, &plugin.digest, uses),
                Err(error) => tell_left_out(vec![format!("audit.jsonl was not kept: {error}")], feed).await,
            }
        }
        // Whoever has written it: the component may have read what the agent left.
        let scrubbed = block_in_place(|| self.place.scrub(&folder, &feed.redactor));
        let unscrubbed = scrubbed.err().map(|what| Fault::new(FaultClass::Internal, what));
        let (kept, unremoved) = match block_in_place(|| self.workspace.release(&dirs)) {
            Ok(kept) => (kept, None),
            Err(error) => {
                let what = format!("cannot remove {}: {error}; remove it by hand", dirs.base.display());
                (Some(dirs.base.clone()), Some(Fault::new(FaultClass::Internal, what)))
            }
        };
        for left in survivors.iter().chain(&unremoved).chain(&unscrubbed) {
            feed.report(Report::Left { what: left.message.clone() }).await;
        }
        let crowd = tripwire.crowd();
        if let Some(crowd) = crowd {
            feed.report(Report::Cut { what: format!("the network: {crowd}") }).await;
        }
        if let Some(what) = tripwire.odd_names() {
            feed.report(Report::Cut { what }).await;
        }
        let beside = Beside {
            breach: tripwire.breached(),
            session: sessions.fault(),
            left: survivors.or(unremoved).or(unscrubbed),
            denials: tell_denials(&tripwire, feed).await,
            crowd,
        };
        let outcome = settle(outcome, beside);
        timings.finished();
        let artifacts = folder.exists().then(|| self.place.named(&folder));
        AttemptRecord { artifacts, kept, usage, ..record(outcome, began) }
    }

    /// Keeps what the attempt's directories hold.
    async fn keep(&self, dirs: &AttemptDirs, before: Option<&Path>, folder: &Path, feed: &Feed) {
        let _turn = self.keeping.acquire().await;
        for (from, name) in [(&dirs.root, "root"), (&dirs.config, "config"), (&dirs.folders, "folders")] {
            if is_empty(from) {
                continue;
            }
            let left_out = match block_in_place(|| self.place.keep_tree(from, &folder.join(name))) {
                Ok(left_out) => left_out,
                Err(error) => vec![format!("{name} was not kept: {error}")],
            };
            tell_left_out(left_out, feed).await;
        }
        if before.is_some() || !is_empty(&dirs.root) {
            let kept = block_in_place(|| self.place.keep_changes(before, &dirs.root, folder));
            tell_left_out(kept.unwrap_or_else(|error| vec![format!("root.diff was not kept: {error}")]), feed).await;
        }
    }
}

impl Executor for AttemptExecutor {
    fn execute<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        attempt: u32,
        feed: &'a Feed,
        stop: watch::Receiver<Stop>,
    ) -> Executing<'a> {
        Box::pin(async move {
            let redactor = self.grants.redactor(&trial.id).unwrap_or_else(|| self.agents.redactor(&trial.id));
            let feed = feed.redacted(redactor);
            feed.redactor.record(self.run(trial, attempt, &feed, stop).await)
        })
    }

    fn over(&self, trial: &PlannedTrial) {
        self.spent.over(&trial.scenario.id);
    }
}

/// Tells what the component was refused.
async fn tell_denials(tripwire: &Tripwire, feed: &Feed) -> Vec<String> {
    let (denials, more) = tripwire.denials();
    for what in denials.clone() {
        feed.report(Report::Denied { what }).await;
    }
    if more > 0 {
        feed.report(Report::Denied { what: format!("{more} more times") }).await;
    }
    denials
}

async fn tell_left_out(left_out: Vec<String>, feed: &Feed) {
    for what in left_out {
        feed.report(Report::Cut { what: format!("artifacts: {what}") }).await;
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn record(outcome: Outcome, began: Instant) -> AttemptRecord {
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    AttemptRecord { outcome, duration_ms, usage: Usage::default(), artifacts: None, kept: None }
}

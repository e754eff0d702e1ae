//! The real executor: one attempt of a component, from its fresh directories to its record.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::block_in_place};
use wasmtime::{Store, component::Linker};

use super::{
    command::{Command, judge},
    executor::{Executing, Executor, Feed, Stop},
    failure::{backtrace_of, fault_of, with_last_words},
    guest::{Guest, Reports, linker},
    sessions::Sessions,
};
use crate::{
    component::{
        Plugin, Shape,
        bindings::{PluginPre, exports::scenario::host::scenarios::Verdict as GuestVerdict},
    },
    lane::Lane,
    model::{
        AttemptRecord, CommandSpec, Fault, FaultClass, Finding, LaneName, Limits, Outcome, Report, Scenario,
        ScenarioId, ScenarioShape, TrialId, Usage, check_name,
    },
    plan::{Plan, PlannedTrial},
    sandbox::{AttemptDirs, FixtureError, Given, OutputFile, Sandbox, Snapshot, Tripwire, Workspace},
};

/// Bytes that one call may copy into the host.
const COPIED: usize = 64 << 20;
/// How long agents may take to heed SIGTERM: when an attempt is over, and when a run is interrupted.
const GRACE: Duration = Duration::from_secs(2);
const GRACE_INTERRUPTED: Duration = Duration::from_secs(10);
/// How often the disk use of a long attempt is looked at.
const DISK_LOOK: Duration = Duration::from_secs(1);
/// Findings of one attempt, and bytes of one finding's text.
const FINDINGS: usize = 200;
const FINDING_TEXT: usize = 64 << 10;

/// Where an attempt's artifacts go.
pub trait ArtifactPlace: Send + Sync {
    /// The attempt's folder. It need not exist yet.
    fn folder(&self, trial: &TrialId, attempt: u32) -> PathBuf;
    /// The same as the event log names it.
    fn named(&self, folder: &Path) -> PathBuf;
    /// Copies a tree without following links, bounded; returns what was left out.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn keep_tree(&self, from: &Path, to: &Path) -> Result<Vec<String>, String>;
}

/// Runs components.
pub struct AttemptExecutor {
    plugins: Vec<LinkedPlugin>,
    lanes: HashMap<LaneName, Arc<dyn Lane>>,
    snapshots: HashMap<ScenarioId, Snapshot>,
    workspace: Workspace,
    place: Box<dyn ArtifactPlace>,
}

struct LinkedPlugin {
    linked: Linked,
    /// Keeps its engine's epochs going.
    _plugin: Plugin,
}

enum Linked {
    Typed(Box<PluginPre<Guest>>),
    Command(Command),
}

/// Something that a run needs cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A plugin imports what the host does not have.
    #[error("`{}` needs something that this host does not offer: {reason}", path.display())]
    Link {
        /// The plugin.
        path: PathBuf,
        /// The linker's words.
        reason: String,
    },
    /// A fixture cannot be used.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
}

impl AttemptExecutor {
    /// Links every plugin and takes a snapshot of every fixture of `plan`. `plugins` are in the order of their
    /// ids, `lanes` has every lane of the plan.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first.
    pub fn prepare(
        plugins: &[Plugin],
        plan: &Plan,
        lanes: HashMap<LaneName, Arc<dyn Lane>>,
        workspace: Workspace,
        place: Box<dyn ArtifactPlace>,
    ) -> Result<Self, Vec<PrepareError>> {
        let mut problems = Vec::new();
        let mut linkers: Vec<Linker<Guest>> = Vec::new();
        let mut linked = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            match link(plugin, &mut linkers) {
                Ok(plugin) => linked.push(plugin),
                Err(error) => {
                    problems.push(PrepareError::Link { path: plugin.file.path.clone(), reason: format!("{error:#}") })
                }
            }
        }
        let mut snapshots = HashMap::new();
        for trial in plan.trials() {
            let scenario = &trial.scenario;
            let fixture = &scenario.fixture;
            let empty = fixture.root.is_none() && fixture.config.is_none() && !fixture.git;
            if empty || snapshots.contains_key(&scenario.id) {
                continue;
            }
            let into = workspace.folder().join(format!("f{}", snapshots.len()));
            match Snapshot::take(fixture, &into) {
                Ok(snapshot) => drop(snapshots.insert(scenario.id.clone(), snapshot)),
                Err(error) => problems.push(error.into()),
            }
        }
        if problems.is_empty() {
            Ok(Self { plugins: linked, lanes, snapshots, workspace, place })
        } else {
            Err(problems)
        }
    }

    /// Removes what the run leaves in the file system, unless it is kept.
    ///
    /// # Errors
    /// The first entry that would not go.
    pub fn close(&self) -> std::io::Result<()> {
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
        let folder = self.place.folder(&trial.id, attempt);
        let snapshot = self.snapshots.get(&scenario.id);
        // Directories may be large: the others go on meanwhile.
        let dirs = match block_in_place(|| self.workspace.attempt(snapshot)) {
            Ok(dirs) => Arc::new(dirs),
            Err(error) => {
                let what = format!("cannot make the attempt's directories: {error}");
                return record(Outcome::Fault(Fault::new(FaultClass::Internal, what)), began);
            }
        };
        let tripwire = Arc::new(Tripwire::default());
        let script = trial.agent.as_ref().and_then(|agent| scenario.agents.get(agent)).map(|agent| agent.path.clone());
        let lane = self.lanes.get(&trial.id.lane).cloned();
        let sessions =
            Sessions::new(lane, script, Arc::clone(&dirs), folder.clone(), feed.clone(), scenario.limits.clone());
        let sessions = Arc::new(sessions);
        let under_way = Attempt {
            scenario,
            snapshot,
            dirs: &dirs,
            folder: &folder,
            tripwire: &tripwire,
            sessions: &sessions,
            feed,
        };
        let call = under_way.call(&self.plugins[scenario.plugin.0]);
        let outcome = bounded(call, scenario, &dirs, &tripwire, &mut stop).await;
        let (ended, usage) = match end_sessions(&sessions, &outcome, &mut stop).await {
            Ok(usage) => (Ok(()), usage),
            Err(fault) => (Err(fault), Usage::default()),
        };
        let outcome = settle(outcome, &tripwire, &sessions, ended);
        let outcome = self.tell_denials(outcome, &tripwire, feed).await;
        let sessions_used = folder.join("session-1").exists();
        if sessions_used || !matches!(outcome, Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. }) {
            self.keep(&dirs, &folder, feed).await;
        }
        let artifacts = folder.exists().then(|| self.place.named(&folder));
        let (kept, outcome) = match block_in_place(|| self.workspace.release(&dirs)) {
            Ok(kept) => (kept, outcome),
            Err(error) if outcome == Outcome::Pass => {
                let what = format!("cannot remove {}: {error}; remove it by hand", dirs.base.display());
                (None, Outcome::Fault(Fault::new(FaultClass::Internal, what)))
            }
            Err(_) => (Some(dirs.base.clone()), outcome),
        };
        AttemptRecord { artifacts, kept, usage, ..record(outcome, began) }
    }

    /// What was refused is told. An attempt that did not pass after it is `denied`: its failure may come from
    /// the refusal, so it says nothing about what is under test.
    async fn tell_denials(&self, outcome: Outcome, tripwire: &Tripwire, feed: &Feed) -> Outcome {
        let (denials, more) = tripwire.denials();
        if denials.is_empty() {
            return outcome;
        }
        let list = denials.join("; ");
        for what in denials {
            feed.report(Report::Denied { what }).await;
        }
        if more > 0 {
            feed.report(Report::Denied { what: format!("{more} more times") }).await;
        }
        let after = match &outcome {
            Outcome::Fail { findings } => {
                let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
                format!("the findings after it: {}", codes.join(", "))
            }
            Outcome::Fault(fault) if fault.class == FaultClass::Trap => fault.message.clone(),
            _ => return outcome,
        };
        Outcome::Fault(Fault::new(
            FaultClass::Denied,
            format!("the component tried what it is not granted: {list}\n{after}"),
        ))
    }

    /// Keeps what the attempt's directories hold.
    async fn keep(&self, dirs: &AttemptDirs, folder: &Path, feed: &Feed) {
        for (from, name) in [(&dirs.root, "root"), (&dirs.config, "config")] {
            if is_empty(from) {
                continue;
            }
            let left_out = match block_in_place(|| self.place.keep_tree(from, &folder.join(name))) {
                Ok(left_out) => left_out,
                Err(error) => vec![format!("{name} was not kept: {error}")],
            };
            for what in left_out {
                feed.report(Report::Cut { what: format!("artifacts: {what}") }).await;
            }
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
        Box::pin(self.run(trial, attempt, feed, stop))
    }
}

/// What the component's call needs.
struct Attempt<'a> {
    scenario: &'a Scenario,
    snapshot: Option<&'a Snapshot>,
    dirs: &'a Arc<AttemptDirs>,
    folder: &'a Path,
    tripwire: &'a Arc<Tripwire>,
    sessions: &'a Arc<Sessions>,
    feed: &'a Feed,
}

impl Attempt<'_> {
    async fn call(&self, plugin: &LinkedPlugin) -> Outcome {
        match (&plugin.linked, &self.scenario.shape) {
            (Linked::Typed(pre), ScenarioShape::Typed) => self.typed(pre).await,
            (Linked::Command(command), ScenarioShape::Command(spec)) => self.command(command, spec).await,
            _ => internal("the plan takes the plugin for another shape than it has"),
        }
    }

    async fn typed(&self, pre: &PluginPre<Guest>) -> Outcome {
        let stderr = self.output("stderr");
        let given = Given { before: self.before(), ..Given::default() };
        let mut store = match self.store(pre.engine(), &given, self.output("stdout"), stderr.clone()) {
            Ok(store) => store,
            Err(fault) => return Outcome::Fault(fault),
        };
        let called = match pre.instantiate_async(&mut store).await {
            Ok(plugin) => plugin.scenario_host_scenarios().call_run(&mut store, &self.scenario.name).await,
            Err(error) => Err(error),
        };
        if let Some(cut) = store.data().reports.cut() {
            self.feed.report(cut).await;
        }
        // Gone before anything is graded or kept: nothing of the component acts any more.
        drop(store);
        match called {
            Ok(verdict) => outcome_of(verdict, self.scenario, &stderr),
            Err(error) => self.fault(&error, &stderr),
        }
    }

    async fn command(&self, command: &Command, spec: &CommandSpec) -> Outcome {
        let session = match spec.session.as_ref().map(|_| self.sessions.make_shown(1)).transpose() {
            Ok(session) => session,
            Err(fault) => return Outcome::Fault(fault),
        };
        let (stdout, stderr) = (self.output("stdout"), self.output("stderr"));
        let args = std::iter::once(self.scenario.name.clone()).chain(spec.args.iter().cloned()).collect();
        let given = Given { args, env: spec.env.clone(), stdin: spec.stdin.clone(), before: self.before(), session };
        let engine = command.engine().clone();
        // Opens the directories before the agent can put others, or links, in their places.
        let mut store = match self.store(&engine, &given, stdout.clone(), stderr.clone()) {
            Ok(store) => store,
            Err(fault) => return Outcome::Fault(fault),
        };
        if let Some(asked) = &spec.session {
            let driven = match self.sessions.start(asked.prompt.clone()).await {
                Ok(place) => self.sessions.conclude(place).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = driven.and_then(|_| self.sessions.show(1)) {
                return Outcome::Fault(fault);
            }
        }
        let called = command.call(&mut store).await;
        drop(store);
        match called {
            Ok(code) => judge(code, &stdout, &stderr, spec.expect.as_ref()),
            Err(error) => self.fault(&error, &stderr),
        }
    }

    fn before(&self) -> Option<PathBuf> {
        self.snapshot.and_then(Snapshot::before).map(Path::to_owned)
    }

    fn output(&self, name: &'static str) -> OutputFile {
        OutputFile::new(name, self.folder.join(format!("{name}.txt")), self.scenario.limits.output, self.tripwire)
    }

    fn store(
        &self,
        engine: &wasmtime::Engine,
        given: &Given,
        stdout: OutputFile,
        stderr: OutputFile,
    ) -> Result<Store<Guest>, Fault> {
        let limits: &Limits = &self.scenario.limits;
        let sandbox = Sandbox::new(self.dirs, given, limits, stdout, stderr, self.tripwire)?;
        let guest = Guest {
            sandbox,
            sessions: Arc::clone(self.sessions),
            tripwire: Arc::clone(self.tripwire),
            grants: self.scenario.grants.clone(),
            reports: Reports::new(self.feed.clone(), self.folder.join("attachments"), limits.output),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.sandbox.limiter);
        store.set_hostcall_fuel(COPIED);
        // Guest code yields at every epoch, so that the deadline and a stop are noticed.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        Ok(store)
    }

    fn fault(&self, error: &wasmtime::Error, stderr: &OutputFile) -> Outcome {
        // The backtrace is evidence; without it the fault is still told.
        let _ = std::fs::create_dir_all(self.folder)
            .and_then(|()| std::fs::write(self.folder.join("trap.txt"), backtrace_of(error)));
        Outcome::Fault(fault_of(error, &stderr.tail()))
    }
}

fn link(plugin: &Plugin, linkers: &mut Vec<Linker<Guest>>) -> wasmtime::Result<LinkedPlugin> {
    let engine = plugin.component.engine();
    let known = linkers.iter().position(|linker| wasmtime::Engine::same(linker.engine(), engine));
    let place = match known {
        Some(place) => place,
        None => {
            linkers.push(linker(engine)?);
            linkers.len() - 1
        }
    };
    let pre = linkers[place].instantiate_pre(&plugin.component)?;
    let linked = match plugin.contents.shape {
        Shape::Typed => Linked::Typed(Box::new(PluginPre::new(pre)?)),
        Shape::Command(version) => Linked::Command(Command::link(pre, version)?),
    };
    Ok(LinkedPlugin { linked, _plugin: plugin.clone() })
}

/// Runs the call within the attempt's bounds: whichever ends first decides, and dropping the call frees all
/// that the component holds.
async fn bounded(
    call: impl Future<Output = Outcome>,
    scenario: &Scenario,
    dirs: &Arc<AttemptDirs>,
    tripwire: &Arc<Tripwire>,
    stop: &mut watch::Receiver<Stop>,
) -> Outcome {
    let deadline = scenario.limits.deadline;
    tokio::select! {
        biased;
        fault = tripwire.wait() => Outcome::Fault(fault),
        reason = stopped(stop) => Outcome::Cancelled { reason },
        () = tokio::time::sleep(deadline) => {
            let what = format!("no end after {}; its limit is `deadline`", humantime::format_duration(deadline));
            Outcome::Fault(Fault::new(FaultClass::Deadline, what))
        }
        () = watch_disk(dirs, scenario.limits.disk, tripwire) => internal("the disk watch ended"),
        outcome = call => outcome,
    }
}

async fn stopped(stop: &mut watch::Receiver<Stop>) -> String {
    match stop.wait_for(|stop| *stop != Stop::No).await {
        Ok(_) => "the run was interrupted".into(),
        Err(_) => "the run ended".into(),
    }
}

/// There is no quota to lean on, so this looks now and then; it never returns.
async fn watch_disk(dirs: &Arc<AttemptDirs>, bound: u64, tripwire: &Arc<Tripwire>) {
    loop {
        tokio::time::sleep(DISK_LOOK).await;
        let looked_at = Arc::clone(dirs);
        match tokio::task::spawn_blocking(move || looked_at.bytes()).await {
            Ok(Ok(bytes)) if bytes > bound => {
                tripwire.limit(format!("the attempt's directories hold {bytes} bytes; its limit `disk` is {bound}"));
            }
            Ok(Err(_)) => tripwire.limit("the attempt nests folders too deep for its limit `disk` to be kept"),
            // A look that did not come about is made up for by the next.
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}

async fn end_sessions(
    sessions: &Sessions,
    outcome: &Outcome,
    stop: &mut watch::Receiver<Stop>,
) -> Result<Usage, Fault> {
    let grace = if matches!(outcome, Outcome::Cancelled { .. }) { GRACE_INTERRUPTED } else { GRACE };
    let killed = async {
        if stop.wait_for(|stop| *stop == Stop::Kill).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = sessions.end(grace) => ended,
        () = killed => sessions.end(Duration::ZERO).await,
    }
}

/// What counts when several things happened: a breach, then a session's fault, then what the component says.
/// A component cannot change a class by what it returns.
fn settle(outcome: Outcome, tripwire: &Tripwire, sessions: &Sessions, ended: Result<(), Fault>) -> Outcome {
    if matches!(outcome, Outcome::Cancelled { .. }) {
        return outcome;
    }
    if let Some(fault) = tripwire.breached() {
        return Outcome::Fault(fault);
    }
    let over = matches!(&outcome, Outcome::Fault(fault) if fault.class == FaultClass::Deadline);
    match (sessions.fault(), ended) {
        // Ending a session at the deadline may look like a crash of its agent.
        (Some(fault), _) if !over => Outcome::Fault(fault),
        (_, Err(fault)) if outcome == Outcome::Pass => Outcome::Fault(fault),
        _ => outcome,
    }
}

fn outcome_of(verdict: GuestVerdict, scenario: &Scenario, stderr: &OutputFile) -> Outcome {
    let protocol =
        |what: String| Outcome::Fault(Fault::new(FaultClass::Protocol, with_last_words(what, &stderr.tail())));
    match verdict {
        GuestVerdict::Pass => Outcome::Pass,
        GuestVerdict::Skip(reason) => Outcome::Skip { reason: shortened(reason) },
        GuestVerdict::Fail(findings) if findings.is_empty() => {
            protocol("the scenario failed without a finding; `fail` needs at least one".into())
        }
        GuestVerdict::Fail(findings) => {
            for finding in &findings {
                if let Err(error) = check_name(&finding.code) {
                    return protocol(format!("a finding's code cannot be used: {error}"));
                }
                let declared =
                    scenario.clauses.is_empty() || scenario.clauses.iter().any(|clause| clause.code == finding.code);
                if !declared {
                    let code = &finding.code;
                    return protocol(format!("the finding `{code}` is none of the clauses that the scenario lists"));
                }
            }
            let findings = findings.into_iter().take(FINDINGS).map(|finding| Finding {
                code: finding.code,
                message: shortened(finding.message),
                evidence: finding.evidence.map(shortened),
            });
            Outcome::Fail { findings: findings.collect() }
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > FINDING_TEXT {
        let mut end = FINDING_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n… {cut} bytes cut"));
    }
    text
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn internal(what: &str) -> Outcome {
    Outcome::Fault(Fault::new(FaultClass::Internal, format!("{what}; this is a bug of host")))
}

fn record(outcome: Outcome, began: Instant) -> AttemptRecord {
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    AttemptRecord { outcome, duration_ms, usage: Usage::default(), artifacts: None, kept: None }
}

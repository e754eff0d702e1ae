//! The component's call within an attempt: its Store, and the outcome of the call.

use std::{path::Path, sync::Arc};

use tokio::task::block_in_place;
use wasmtime::Store;

use super::{
    command::{Command, judge_command},
    core_dump::{keep_backtrace, keep_core_dump},
    executor::AttemptEvents,
    failure::fault_of,
    guest::{Guest, Reports},
    judge::{internal_outcome, outcome_of},
    link::{Linked, LinkedPlugin},
    sessions::Sessions,
    unwind::catch_panic,
};
use host_model::{
    CommandSpec, Fault, FaultClass, GrantItem, Limits, Outcome, Preopen, PreopenSource, Report, SESSION_FOLDER,
    Scenario, ScenarioShape,
};
use host_wasm::component::bindings::PluginPre;
use host_wasm::sandbox::{
    self, Account, AttemptDirs, Audit, Granted, GuestConfig, Network, OutputFile, PreopenedDir, Resolve, Sandbox,
    Snapshot, Violations,
};

/// Bytes that one call may copy into the host.
const MAX_COPIED_BYTES: usize = 64 << 20;

/// What it takes to call a component.
pub(super) struct Call<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) snapshot: Option<&'a Snapshot>,
    pub(super) dirs: &'a Arc<AttemptDirs>,
    pub(super) folder: &'a Path,
    pub(super) violations: &'a Arc<Violations>,
    pub(super) sessions: &'a Arc<Sessions>,
    pub(super) granted: &'a Arc<Granted>,
    pub(super) resolver: &'a Arc<dyn Resolve>,
    pub(super) audit: Option<&'a Arc<Audit>>,
    pub(super) events: &'a AttemptEvents,
}

impl Call<'_> {
    pub(super) async fn run(&self, plugin: &LinkedPlugin) -> Outcome {
        let limits = &self.scenario.limits;
        let violations = Arc::clone(self.violations);
        let account = Account::new(limits, plugin.mappings(), move |what| violations.limit(what));
        let _instances = match account.take(plugin.instance_bytes(limits), "its instances: globals and functions") {
            Ok(instances) => instances,
            Err(exceeded) => return Outcome::Fault(Fault::new(FaultClass::Limit, exceeded.to_string())),
        };
        let called = async {
            match (&plugin.linked, &self.scenario.shape) {
                (Linked::Typed(pre), ScenarioShape::Typed) => self.typed(pre, &account).await,
                (Linked::Command(command), ScenarioShape::Command(spec)) => self.command(command, spec, &account).await,
                _ => internal_outcome("the plan has the wrong shape for this plugin"),
            }
        };
        account.scope(called).await
    }

    async fn typed(&self, pre: &PluginPre<Guest>, account: &Arc<Account>) -> Outcome {
        let (stdout, stderr) = (self.output("stdout"), self.output("stderr"));
        let given = GuestConfig { preopens: self.default_preopens(), ..GuestConfig::default() };
        let mut store = match self.store(pre.engine(), account, &given, (stdout.clone(), stderr.clone())) {
            Ok(store) => store,
            Err(fault) => return Outcome::Fault(fault),
        };
        let called = match pre.instantiate_async(&mut store).await {
            Ok(plugin) => plugin.scenario_host_scenarios().call_run(&mut store, &self.scenario.name).await,
            Err(error) => Err(error),
        };
        if let Some(cut) = store.data().reports.cut() {
            self.events.report(cut).await;
        }
        self.over(called, store, &stdout, &stderr, |verdict| outcome_of(verdict, self.scenario, &stderr.tail())).await
    }

    async fn command(&self, command: &Command, spec: &CommandSpec, account: &Arc<Account>) -> Outcome {
        let shown = match spec.session.as_ref().map(|_| self.sessions.make_view(1)).transpose() {
            Ok(shown) => shown,
            Err(fault) => return Outcome::Fault(fault),
        };
        let (stdout, stderr) = (self.output("stdout"), self.output("stderr"));
        let args = std::iter::once(spec.program.clone()).chain(spec.args.iter().cloned()).collect();
        let mut preopens = match self.preopens(spec) {
            Ok(preopens) => preopens,
            Err(fault) => return Outcome::Fault(fault),
        };
        preopens.extend(shown.as_ref().map(|shown| opened(&shown.folder, SESSION_FOLDER, true)));
        let given = GuestConfig { args, env: spec.env.clone(), stdin: spec.stdin.clone(), preopens };
        let engine = command.engine().clone();
        // Opens the directories before the agent can replace them by others, or by links.
        let mut store = match self.store(&engine, account, &given, (stdout.clone(), stderr.clone())) {
            Ok(store) => store,
            Err(fault) => return Outcome::Fault(fault),
        };
        if let (Some(asked), Some(shown)) = (&spec.session, &shown) {
            if let Some(audit) = self.audit {
                audit.note("session", "start", Some(&GrantItem::Session), true);
            }
            let driven = match self.sessions.start(asked.prompt.clone()).await {
                Ok(place) => self.sessions.conclude(place).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = driven.and_then(|_| block_in_place(|| shown.fill())) {
                return Outcome::Fault(fault);
            }
        }
        let called = command.call(&mut store).await;
        let judge = |code| judge_command(code, &stdout, &stderr, spec.expect.as_ref()).unwrap_or_else(Outcome::Fault);
        self.over(called, store, &stdout, &stderr, judge).await
    }

    /// The outcome of a call that is over; `judge` decides by what it returned.
    async fn over<T>(
        &self,
        called: wasmtime::Result<T>,
        mut store: Store<Guest>,
        stdout: &OutputFile,
        stderr: &OutputFile,
        judge: impl FnOnce(T) -> Outcome,
    ) -> Outcome {
        if let Err(error) = &called
            && let Err(words) = catch_panic(self.keep_state(error, &mut store, stderr)).await
        {
            let what = format!("artifacts: the state at the trap was not saved because of a panic: {words}");
            self.events.report(Report::Cut { what }).await;
        }
        // Dropped before anything is graded or saved: nothing of the component runs any more.
        drop(store);
        match (called, lost_output(&[stdout, stderr])) {
            (Err(error), _) => Outcome::Fault(fault_of(&error, &stderr.tail(), &self.scenario.limits)),
            (Ok(_), Some(fault)) => Outcome::Fault(fault),
            (Ok(returned), None) => judge(returned),
        }
    }

    /// The directories that a component sees by default.
    fn default_preopens(&self) -> Vec<PreopenedDir> {
        let before = self.snapshot.and_then(Snapshot::before);
        let own = [opened(&self.dirs.root, "/", false), opened(&self.dirs.config, "/host/config", false)];
        own.into_iter().chain(before.map(|before| opened(before, "/host/before", true))).collect()
    }

    /// The directories that a plain command sees in addition to its session.
    fn preopens(&self, spec: &CommandSpec) -> Result<Vec<PreopenedDir>, Fault> {
        let Some(asked) = &spec.preopens else { return Ok(self.default_preopens()) };
        // Read-only folders need no copy. If one is writable, all of them are in one tree, as in the scenario's folder.
        let folders = match spec.writes_folders() {
            true => Some(&*self.dirs.folders),
            false => self.snapshot.and_then(Snapshot::folders),
        };
        let place = |from: &PreopenSource| match from {
            PreopenSource::Root => Some(self.dirs.root.clone()),
            PreopenSource::Config => Some(self.dirs.config.clone()),
            PreopenSource::Before => self.snapshot.and_then(Snapshot::before).map(Path::to_owned),
            PreopenSource::Folder(name) => folders.map(|folders| folders.join(name)).filter(|place| place.is_dir()),
        };
        let open = |preopen: &Preopen| match place(&preopen.from) {
            Some(path) => Ok(opened(&path, &preopen.to, preopen.read_only)),
            None => Err(not_recorded(&preopen.from)),
        };
        asked.iter().map(open).collect()
    }

    fn output(&self, name: &'static str) -> OutputFile {
        OutputFile::new(name, self.folder.join(format!("{name}.txt")), self.scenario.limits.max_output, self.violations)
    }

    fn store(
        &self,
        engine: &wasmtime::Engine,
        account: &Arc<Account>,
        given: &GuestConfig,
        outputs: (OutputFile, OutputFile),
    ) -> Result<Store<Guest>, Fault> {
        let limits: &Limits = &self.scenario.limits;
        let (granted, resolver) = (Arc::clone(self.granted), Arc::clone(self.resolver));
        if let Some(audit) = self.audit {
            let given = granted.env().keys().map(|name| (name, GrantItem::Env(name.clone())));
            given.for_each(|(name, item)| audit.note("env", name, Some(&item), true));
        }
        let network =
            Network::new(granted, resolver, Arc::clone(self.violations), self.audit.cloned(), limits.max_handles);
        let sandbox = Sandbox::new(given, limits, Some(outputs), Arc::clone(account), network)?;
        let guest = Guest {
            sandbox,
            sessions: Arc::clone(self.sessions),
            violations: Arc::clone(self.violations),
            session_granted: self.scenario.grants.session,
            audit: self.audit.cloned(),
            reports: Reports::new(self.events.clone(), self.folder.join("attachments"), limits.max_output),
        };
        Ok(sandbox::store(engine, guest, limits, MAX_COPIED_BYTES))
    }

    /// Saves where the call broke off, and for a trap the component's state. The fault is reported without them, too.
    async fn keep_state(&self, error: &wasmtime::Error, store: &mut Store<Guest>, stderr: &OutputFile) {
        let _ = keep_backtrace(error, self.folder);
        // A call that is ended because it exceeded a limit looks like a trap.
        if self.violations.breached().is_some()
            || fault_of(error, &stderr.tail(), &self.scenario.limits).class != FaultClass::Trap
        {
            return;
        }
        let kept = block_in_place(|| keep_core_dump(error, store, &self.scenario.id.0, self.folder));
        if let Err(what) = kept {
            self.events.report(Report::Cut { what: format!("artifacts: {what}") }).await;
        }
    }
}

fn opened(path: &Path, guest_path: &str, read_only: bool) -> PreopenedDir {
    PreopenedDir { path: path.to_owned(), guest_path: guest_path.to_owned(), read_only }
}

/// Snapshots of an earlier run have the folders that the scenario's file named then.
fn not_recorded(from: &PreopenSource) -> Fault {
    let what = match from {
        PreopenSource::Folder(name) => format!("the folder `{name}`"),
        _ => "the fixture".to_owned(),
    };
    let what = format!("{what} of `preopens` was not recorded with that run; run the scenario again");
    Fault::new(FaultClass::Internal, what)
}

/// The fault if output of a component was lost: nothing can be judged by the rest.
fn lost_output(outputs: &[&OutputFile]) -> Option<Fault> {
    let error = outputs.iter().find_map(|output| output.take_error())?;
    Some(Fault::of_host("cannot save the component's output", &error))
}

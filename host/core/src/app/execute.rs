//! Carries out a plan: run directory, temporary files, revision, reports, and the end of all of them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{Instrument, debug_span};

use super::{
    artifacts::RunArtifacts,
    error::{Error, Message},
    leftovers::remove_leftovers,
    load::Suite,
    notices::Notices,
    origin,
    paths::as_seen_here,
    reports::{FanOut, ReportContext, RunHooks},
    revision,
    stop::{Interrupts, Stop},
};
use crate::runner::{Agents, AttemptExecutor, RunContext, Signal, Surroundings, dispatch, exit_code};
use host_model::{Event, ExitCode, Revision, RunId, RunSummary, SuiteInfo, TooManySecrets, shown};
use host_report::artifact::RunDirectory;
use host_report::{EventLog, Reporter};
use host_suite::plan::Plan;
use host_wasm::engine::WASMTIME_VERSION;
use host_wasm::sandbox::{Halt, Workspace};
use host_wasm::unwind::catch_panic;

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct ExecutionSettings {
    /// The folder for run directories, in place of `.host` beside the scenarios.
    pub output: Option<PathBuf>,
    /// Keep every attempt's root and config dir.
    pub keep: bool,
    /// Record what each attempt uses of its grants, and propose the smallest policy.
    pub audit: bool,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct FinishedRun {
    /// Its figures.
    pub summary: RunSummary,
    /// How a process that ran it should exit.
    pub code: ExitCode,
    /// The run directory.
    pub directory: PathBuf,
    /// The folder with the attempts' directories, if they are kept.
    pub kept: Option<PathBuf>,
    /// The smallest policy for the run, if it was asked for.
    pub proposed_policy: Option<PathBuf>,
    /// Reports that could not be written.
    pub broken_reports: Vec<BrokenReport>,
}

/// A report that could not be written.
#[derive(Debug)]
pub struct BrokenReport {
    /// The name that it was added under.
    pub name: String,
    /// Why.
    pub error: String,
}

/// A plan with what it takes to carry it out.
pub(super) struct Execution<'a> {
    pub(super) suite: &'a Suite,
    pub(super) plan: &'a Plan,
    pub(super) settings: &'a ExecutionSettings,
    /// The run whose recorded sessions are graded again. Such a run is not the latest run.
    pub(super) regrades: Option<RunId>,
    pub(super) notices: &'a dyn Notices,
}

impl Execution<'_> {
    /// Runs the plan with `agents`. `watch` receives each event first.
    pub(super) async fn run(
        &self,
        agents: Agents,
        hooks: &mut dyn RunHooks,
        watch: &mut dyn FnMut(&Event),
    ) -> Result<FinishedRun, Error> {
        host_agents::become_subreaper().map_err(|error| {
            Error::setup(format!("cannot become the parent of processes that agents leave behind: {error}"))
        })?;
        let output = self.output()?;
        remove_leftovers(&std::env::temp_dir(), &output, self.notices);
        let Interrupts { mut signals, stop } =
            hooks.interrupts().map_err(|error| Error::setup(format!("cannot listen for signals: {error}")))?;
        let directory = RunDirectory::create_new(&output).map_err(|error| Error::of(&error))?;
        let mut reporter = Reporter::new();
        let prepared = match self.prepare(&directory, agents, &stop, &mut signals, hooks, &mut reporter) {
            Ok(prepared) => prepared,
            Err(error) => {
                // A run that never began leaves nothing of its directory or reports.
                drop(reporter);
                directory.discard().map_err(|error| Error::of(&error))?;
                return Err(error);
            }
        };
        if self.regrades.is_none() {
            directory.point_latest().map_err(|error| Error::of(&error))?;
        }
        let Prepared { executor, suite, revision } = prepared;
        let context = RunContext {
            run: directory.run().clone(),
            time: host_clock::wall().to_string(),
            wasmtime: WASMTIME_VERSION.to_owned(),
            suite,
            revision: revision.await.ok().flatten(),
            plugins: self.suite.plugin_infos(),
            directory: Some(as_seen_here(directory.path())),
            regrades: self.regrades.clone(),
        };
        let mut sink = FanOut::new(hooks, watch, &mut reporter);
        let span = debug_span!("run", id = %context.run);
        let dispatched = dispatch(self.plan, context, Arc::clone(&executor) as Arc<_>, &mut sink, signals);
        let summary = catch_panic(dispatched.instrument(span)).await;
        // What was judged is reported, also when the run broke off.
        reporter.finish();
        let Ok(summary) = summary else {
            // Secrets must not stay in the directory that the message names.
            self.close(&executor);
            let directory = shown(&as_seen_here(directory.path())).to_string();
            return Err(Error::setup(format!(
                "the run ended early because of a bug in host; its results so far are in {directory}"
            )));
        };
        Ok(self.finish(summary, &executor, &directory, &reporter))
    }

    /// The folder for run directories.
    fn output(&self) -> Result<PathBuf, Error> {
        let output = self.settings.output.clone().unwrap_or_else(|| self.suite.settings.base.join(".host"));
        if output.to_str().is_some() {
            return Ok(output);
        }
        let what = if self.settings.output.is_some() { "--output" } else { "the folder for the runs" };
        Err(Error::setup(format!(
            "cannot use {what}, {}: its path is not UTF-8\n\
             help: rename the folder, or choose another one with `--output DIR`",
            shown(&output)
        )))
    }

    /// Everything up to the first event.
    fn prepare(
        &self,
        directory: &RunDirectory,
        agents: Agents,
        stop: &Stop,
        signals: &mut mpsc::Receiver<Signal>,
        hooks: &mut dyn RunHooks,
        reporter: &mut Reporter,
    ) -> Result<Prepared, Error> {
        let mut secrets = lane_secrets(&agents);
        let workspace = self.workspace(directory)?;
        // While the fixtures are copied.
        let scratch = workspace.folder().join("revision");
        let suite_folder = self.suite.settings.suite.as_deref().and_then(Path::parent).map(Path::to_owned);
        let revision = tokio::spawn(async move { revision::revision(&suite_folder?, &scratch).await });
        let halt = || stop.is_requested();
        let suite = self.suite_info(&halt);
        let executor = self.executor(directory, workspace, agents, &halt);
        if let Some(signal) = stop_signal(signals) {
            return Err(Error::interrupted(format!("interrupted by {signal} before any trial started")));
        }
        let executor = Arc::new(executor?);
        secrets.extend(executor.secrets().map(str::to_owned));
        self.start_reports(directory.path(), &secrets, hooks, reporter)?;
        Ok(Prepared { executor, suite, revision })
    }

    /// Makes the run's folder for temporary files.
    fn workspace(&self, directory: &RunDirectory) -> Result<Workspace, Error> {
        let folder = std::env::temp_dir();
        Workspace::create(&folder, &directory.run().0, directory.path(), self.settings.keep)
            .map_err(|error| Error::file("cannot create a temporary folder in", &folder, &error))
    }

    /// The suite for the first event. A file of it that cannot be read is reported where the file is used.
    fn suite_info(&self, halt: Halt<'_>) -> Option<SuiteInfo> {
        let cwd = std::env::current_dir().ok()?;
        origin::suite_info(&self.suite.settings, &cwd, halt).unwrap_or_else(|error| {
            if !halt() {
                self.notices.warning(Message::plain(format!("cannot compute the digest of the suite: {error}")));
            }
            None
        })
    }

    /// Links the plugins and takes the fixtures' snapshots.
    fn executor(
        &self,
        directory: &RunDirectory,
        workspace: Workspace,
        agents: Agents,
        halt: Halt<'_>,
    ) -> Result<AttemptExecutor, Error> {
        // An attempt whose artifacts are being saved still has its directories when the next one begins.
        // Those of one that is kept are never free again.
        let all = self.plan.trials().count();
        let attempts = if self.settings.keep { all } else { self.plan.jobs.saturating_mul(2).min(all) };
        workspace.reserve(attempts).map_err(|error| {
            Error::setup(format!("cannot create a directory in {}: {error}", workspace.folder().display()))
        })?;
        let artifacts = Box::new(RunArtifacts { directory: directory.path().to_owned() });
        let surroundings = Surroundings::of_this_process(self.settings.audit);
        AttemptExecutor::prepare(&self.suite.plugins, self.plan, agents, workspace, artifacts, &surroundings, halt)
            .map_err(Error::setup_all)
    }

    /// Makes the reports of a run, its log first: the others read from it what they could not keep up with.
    fn start_reports(
        &self,
        directory: &Path,
        secrets: &[String],
        hooks: &mut dyn RunHooks,
        reporter: &mut Reporter,
    ) -> Result<(), Error> {
        let path = directory.join("events.jsonl");
        let log = EventLog::create(&path).map_err(|error| Error::file("cannot write", &path, &error))?;
        let tail = log.tail();
        reporter.add("events.jsonl", log);
        let kinds = &self.suite.settings.reporters;
        hooks.add_reports(reporter, &ReportContext { directory, log: &tail, kinds, secrets })
    }

    fn finish(
        &self,
        summary: RunSummary,
        executor: &AttemptExecutor,
        directory: &RunDirectory,
        reporter: &Reporter,
    ) -> FinishedRun {
        let proposed_policy = self.write_policy(executor.proposed_policy(), directory.path());
        self.close(executor);
        let code = exit_code(&summary);
        let broken = reporter.broken().iter();
        let broken_reports: Vec<_> =
            broken.map(|sink| BrokenReport { name: sink.name.clone(), error: sink.error.to_string() }).collect();
        FinishedRun {
            code: if broken_reports.is_empty() { code } else { code.max(ExitCode::Setup) },
            summary,
            directory: as_seen_here(directory.path()),
            kept: self.settings.keep.then(|| executor.workspace().to_owned()),
            proposed_policy,
            broken_reports,
        }
    }

    fn close(&self, executor: &AttemptExecutor) {
        if let Err(error) = executor.close() {
            self.notices.warning(Message::plain(error.to_string()));
        }
    }

    /// Writes the policy that was asked for, without the run's secrets.
    fn write_policy(&self, policy: Result<Option<String>, TooManySecrets>, directory: &Path) -> Option<PathBuf> {
        let path = directory.join("policy.toml");
        let written = match policy {
            Ok(None) => return None,
            Ok(Some(policy)) => std::fs::write(&path, policy).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(()) => Some(as_seen_here(&path)),
            Err(error) => {
                let warning = format!("cannot write the proposed policy to {}: {error}", shown(&path));
                self.notices.warning(Message::plain(warning));
                None
            }
        }
    }
}

/// What a run has before its first event.
struct Prepared {
    executor: Arc<AttemptExecutor>,
    suite: Option<SuiteInfo>,
    revision: JoinHandle<Option<Revision>>,
}

/// The name of a signal that has asked the run to end.
fn stop_signal(signals: &mut mpsc::Receiver<Signal>) -> Option<String> {
    loop {
        match signals.try_recv() {
            Ok(Signal::Stop(name)) => return Some(name),
            // Nothing runs yet.
            Ok(Signal::Status) => {}
            Err(_) => return None,
        }
    }
}

/// The secrets of the lanes' agents, which reports must not show.
fn lane_secrets(agents: &Agents) -> Vec<String> {
    match agents {
        Agents::Live(lanes) => lanes.values().flat_map(|lane| lane.redactor().secrets().to_vec()).collect(),
        Agents::Recorded { .. } => Vec::new(),
    }
}

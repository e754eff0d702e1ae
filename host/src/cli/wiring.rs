//! Puts the modules together for the commands that run trials.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use console::Term;
use rustix::stdio;
use tokio::sync::mpsc;

use super::{
    args::{Color, ExecutionArgs, ReporterKind},
    failure::{Failure, chain},
    leftovers::remove_leftovers,
    origin, revision,
    setup::{Loaded, as_seen_here},
    signals::{self, Stopping},
    terminal::{self, Stream},
};
use host_agents::{HostProgram, Lane, Protection};
use host_core::runner::{
    Agents, ArtifactPlace, AttemptExecutor, EventSink, RunContext, Signal, Surroundings, caught, dispatch,
};
use host_model::{
    AgentSettings, Confinement, Event, ExitCode, FIXTURES_FOLDER, Fault, LaneName, Redactor, RunId, RunSummary,
    Shortage, SuiteInfo, TooManySecrets, TrialId, shown,
};
use host_report::artifact::{self, CopyLimits, DiffLimits, RunDirectory, copy_tree_bounded};
use host_report::{
    Background, ColorChoice, EventLog, Github, GithubFiles, Human, HumanOptions, JsonLines, Junit, LiveLines, LogTail,
    Reporter, Verbosity, visible,
};
use host_suite::config::LaneKind;
use host_suite::plan::Plan;
use host_wasm::engine::WASMTIME_VERSION;
use host_wasm::sandbox::{Halt, Workspace};

/// Runs `plan` with everything that `loaded` holds, and the lanes' agents. `watch` sees every event before the reports
/// do.
pub(super) async fn execute(
    loaded: &Loaded,
    plan: &Plan,
    args: &ExecutionArgs,
    reporters: &[ReporterKind],
    watch: &mut dyn FnMut(&Event),
) -> Result<(RunSummary, ExitCode), Failure> {
    execute_with(loaded, plan, args, reporters, watch, Agents::Live(lanes(plan)?), None).await
}

/// The same with other agents. A run that grades `regrades` again is not the latest run.
pub(super) async fn execute_with(
    loaded: &Loaded,
    plan: &Plan,
    args: &ExecutionArgs,
    reporters: &[ReporterKind],
    watch: &mut dyn FnMut(&Event),
    agents: Agents,
    regrades: Option<RunId>,
) -> Result<(RunSummary, ExitCode), Failure> {
    raise_open_files();
    return_large_blocks();
    host_agents::become_subreaper()
        .map_err(|error| Failure::setup(format!("cannot become the parent of what agents leave behind: {error}")))?;
    let output = args.output.clone().unwrap_or_else(|| loaded.settings.base.join(".host"));
    if output.to_str().is_none() {
        let what = if args.output.is_some() { "--output" } else { "the folder for the runs" };
        return Err(Failure::setup(format!(
            "cannot use {what}, {}: its path is not UTF-8, so reports could not name it\nhelp: rename the folder, or name \
             another one with `--output DIR`",
            shown(&output)
        )));
    }
    remove_leftovers(&std::env::temp_dir(), &output);
    // From here on a signal ends things in order.
    let stopping = Stopping::default();
    let signals = signals::signals(&stopping);
    let mut signals = signals.map_err(|error| Failure::setup(format!("cannot listen for signals: {error}")))?;
    let halt = || stopping.is_asked_for();
    let directory = RunDirectory::create_new(&output)?;
    let run = directory.run().clone();
    let mut secrets = secrets(&agents);
    let suite_folder = loaded.settings.suite.as_deref().and_then(Path::parent).map(Path::to_owned);
    let workspace = match workspace(args, &directory) {
        Ok(workspace) => workspace,
        Err(failure) => {
            directory.discard()?;
            return Err(failure);
        }
    };
    // While the fixtures are copied.
    let scratch = workspace.folder().join("revision");
    let revision = tokio::spawn(async move { revision::revision(&suite_folder?, &scratch).await });
    let suite = suite_info(loaded, &halt);
    let prepared = prepare(loaded, plan, args, &directory, workspace, agents, &halt);
    if let Some(signal) = interrupted(&mut signals) {
        terminal::error(format_args!("interrupted by {signal} before anything had started"));
        drop(prepared);
        directory.discard()?;
        return Err(Failure::interrupted());
    }
    let executor = match prepared {
        Ok(executor) => Arc::new(executor),
        Err(failure) => {
            directory.discard()?;
            return Err(failure);
        }
    };
    secrets.extend(executor.secrets().map(str::to_owned));
    let (mut reporter, lines) = match start_reports(args, reporters, directory.path(), secrets) {
        Ok(started) => started,
        Err(failure) => {
            // A run that never began leaves no half of its reports.
            drop(executor);
            directory.discard()?;
            return Err(failure);
        }
    };
    stopping.clears(lines);
    if regrades.is_none() {
        directory.point_latest()?;
    }
    let context = RunContext {
        run,
        time: host_clock::wall().to_string(),
        wasmtime: WASMTIME_VERSION.to_owned(),
        suite,
        revision: revision.await.ok().flatten(),
        plugins: loaded.plugin_infos(),
        directory: Some(as_seen_here(directory.path())),
        regrades,
    };
    let is_interrupted = Box::new(host_report::is_interrupted());
    let mut sink = Fan { reporter: &mut reporter, watch, hold: None, is_interrupted };
    let summary = caught(dispatch(plan, context, Arc::clone(&executor) as Arc<_>, &mut sink, signals)).await;
    // What was judged is reported, whatever became of the rest.
    reporter.finish();
    let Ok(summary) = summary else {
        // Secrets must not stay in what the message leads to.
        if let Err(error) = executor.close() {
            terminal::warning(error);
        }
        let directory = shown(&as_seen_here(directory.path()));
        let what = format!("the run broke off, which is a bug of host; what it had come to is in {directory}");
        return Err(Failure::setup(what));
    };
    let mut code = host_core::runner::exit_code(&summary);
    propose_policy(executor.proposed_policy(), directory.path());
    if args.keep && args.quiet {
        // The quiet report leaves passed trials out, and their directories with them.
        terminal::line(format_args!("kept: {}", executor.workspace().display()));
    }
    if let Err(error) = executor.close() {
        terminal::warning(error);
    }
    tell_place(reporters, directory.path());
    for broken in reporter.broken() {
        terminal::error(format_args!("the report {} could not be written: {}", broken.name, broken.error));
        code = code.max(ExitCode::Setup);
    }
    Ok((summary, code))
}

/// Writes the policy that `--audit` asks for, from which the run's secrets have been taken.
fn propose_policy(policy: Result<Option<String>, TooManySecrets>, directory: &Path) {
    let path = directory.join("policy.toml");
    let written = match policy {
        Ok(None) => return,
        Ok(Some(policy)) => std::fs::write(&path, policy).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(()) => {
            let path = as_seen_here(&path);
            terminal::line(format_args!("audit: the smallest policy for this run is proposed in {}", shown(&path)));
        }
        Err(error) => {
            terminal::warning(format_args!("the proposed policy cannot be written to {}: {error}", shown(&path)));
        }
    }
}

/// The suite for the first event. That one of its files cannot be read is told where the file is used.
fn suite_info(loaded: &Loaded, halt: Halt<'_>) -> Option<SuiteInfo> {
    let cwd = std::env::current_dir().ok()?;
    origin::suite_info(&loaded.settings, &cwd, halt).unwrap_or_else(|error| {
        if !halt() {
            terminal::warning(format_args!("the suite has no digest: {error}"));
        }
        None
    })
}

/// Says where things are to whom no other report says so. stdout is the reports'.
fn tell_place(reporters: &[ReporterKind], directory: &Path) {
    let told = |kind: &ReporterKind| matches!(kind, ReporterKind::Human | ReporterKind::Jsonl | ReporterKind::Silent);
    if reporters.is_empty() || reporters.iter().any(told) {
        return;
    }
    let directory = as_seen_here(directory);
    let place = if reporters.contains(&ReporterKind::Junit) { directory.join("junit.xml") } else { directory };
    terminal::line(format_args!("report: {}", visible(&place.to_string_lossy())));
}

/// The name of a signal that has asked the run to end.
fn interrupted(signals: &mut mpsc::Receiver<Signal>) -> Option<String> {
    loop {
        match signals.try_recv() {
            Ok(Signal::Stop(name)) => return Some(name),
            // Nothing runs yet.
            Ok(Signal::Status) => {}
            Err(_) => return None,
        }
    }
}

/// Makes the run's folder for temporary files.
fn workspace(args: &ExecutionArgs, directory: &RunDirectory) -> Result<Workspace, Failure> {
    let folder = std::env::temp_dir();
    Workspace::create(&folder, &directory.run().0, directory.path(), args.keep)
        .map_err(|error| Failure::file("cannot make a folder for temporary files in", &folder, &error))
}

/// Links the plugins and takes the fixtures' snapshots.
fn prepare(
    loaded: &Loaded,
    plan: &Plan,
    args: &ExecutionArgs,
    directory: &RunDirectory,
    workspace: Workspace,
    agents: Agents,
    halt: Halt<'_>,
) -> Result<AttemptExecutor, Failure> {
    // An attempt whose artifacts are being saved still has its directories when the next one begins.
    // Those of one that is kept are never free again.
    let all = plan.trials().count();
    let attempts = if args.keep { all } else { plan.jobs.saturating_mul(2).min(all) };
    workspace.reserve(attempts).map_err(|error| {
        Failure::setup(format!("cannot make a directory in {}: {error}", workspace.folder().display()))
    })?;
    let place = Box::new(Place { directory: directory.path().to_owned() });
    let surroundings = Surroundings::of_this_process(args.audit);
    AttemptExecutor::prepare(&loaded.plugins, plan, agents, workspace, place, &surroundings, halt)
        .map_err(Failure::setup_all)
}

fn no_thread(error: std::io::Error) -> Failure {
    let help = Shortage::of_start(&error).map(|shortage| format!("\nhelp: {}", shortage.help())).unwrap_or_default();
    Failure::setup(format!("cannot start a thread for a report: {error}{help}"))
}

/// Makes the reports of a run, its log first: the others read from it what they could not keep up with.
fn start_reports(
    args: &ExecutionArgs,
    kinds: &[ReporterKind],
    directory: &Path,
    secrets: Vec<String>,
) -> Result<(Reporter, Option<LiveLines>), Failure> {
    let mut reporter = Reporter::new();
    let path = directory.join("events.jsonl");
    let log = EventLog::create(&path).map_err(|error| Failure::file("cannot write", &path, &error))?;
    let tail = log.tail();
    reporter.add("events.jsonl", log);
    let lines = add_reporters(&mut reporter, args, kinds, (directory, &tail), secrets)?;
    Ok((reporter, lines))
}

/// Returns the live lines, if there are any.
fn add_reporters(
    reporter: &mut Reporter,
    args: &ExecutionArgs,
    kinds: &[ReporterKind],
    (directory, log): (&Path, &LogTail),
    secrets: Vec<String>,
) -> Result<Option<LiveLines>, Failure> {
    let mut lines = None;
    if kinds.contains(&ReporterKind::Junit) {
        let path = directory.join("junit.xml");
        reporter.add("junit", Junit::create(&path).map_err(|error| Failure::file("cannot write", &path, &error))?);
    }
    if kinds.contains(&ReporterKind::Github) {
        let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let files = GithubFiles {
            summary: named("GITHUB_STEP_SUMMARY"),
            output: named("GITHUB_OUTPUT"),
            workspace: named("GITHUB_WORKSPACE"),
        };
        let github = Github::new(Stream(stdio::stdout()), files, &secrets);
        reporter.add("github", Background::new(github, log.clone()).map_err(no_thread)?);
    }
    let jsonl = kinds.contains(&ReporterKind::Jsonl);
    if jsonl {
        reporter.add("jsonl", Background::new(JsonLines::new(terminal::Data), log.clone()).map_err(no_thread)?);
    }
    if kinds.is_empty() || kinds.contains(&ReporterKind::Human) {
        // stdout belongs to the event stream where that is asked for.
        let (fd, terminal) = if jsonl { (stdio::stderr(), Term::stderr()) } else { (stdio::stdout(), Term::stdout()) };
        let color = match args.color {
            Color::Always => ColorChoice::Always,
            Color::Auto if terminal::is_colored(rustix::termios::isatty(fd)) => ColorChoice::Always,
            Color::Auto | Color::Never => ColorChoice::Never,
        };
        let verbosity = match (args.quiet, args.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let options = HumanOptions { color, verbosity };
        let writer = Box::new(Stream(fd));
        let human = match terminal::is_live(fd) {
            true => Human::live(terminal, writer, options),
            false => Human::plain(writer, options),
        };
        lines = human.live_lines();
        reporter.add("human", Background::new(human, log.clone()).map_err(no_thread)?);
    }
    Ok(lines)
}

/// What the lanes' agents are given and reports must not show.
fn secrets(agents: &Agents) -> Vec<String> {
    match agents {
        Agents::Live(lanes) => lanes.values().flat_map(|lane| lane.redactor().secrets().to_vec()).collect(),
        Agents::Recorded { .. } => Vec::new(),
    }
}

fn lanes(plan: &Plan) -> Result<HashMap<LaneName, Arc<dyn Lane>>, Failure> {
    let lanes = plan.lanes.iter().map(|planned| {
        let lane = live_lane(&planned.name, &planned.kind, &planned.confinement)?;
        Ok((planned.name.clone(), lane))
    });
    lanes.collect()
}

/// A lane whose agents are confined, and whose secrets nothing shows.
pub(super) fn live_lane(name: &LaneName, kind: &LaneKind, confinement: &Confinement) -> Result<Arc<dyn Lane>, Failure> {
    let plain = AgentSettings::new(kind.kind());
    let settings = kind.program().unwrap_or(&plain);
    let redactor = Redactor::new(host_agents::secrets(settings))
        .map_err(|error| Failure::setup(format!("the lane `{name}`: {error}")))?;
    let guard = Protection { confinement: confinement.clone(), redactor };
    Ok(host_agents::create_lane(settings, HostProgram::this(), guard))
}

/// Refuses scenarios whose `bin` has programs that would run in the place of a lane's agent.
pub(super) fn check_bins(plan: &Plan) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    for lane in plan.lanes.iter().filter(|lane| lane.skipped.is_none()) {
        let Some(settings) = lane.kind.program() else { continue };
        let trials = lane.canaries.iter().chain(&lane.rest).map(|trial| &trial.scenario);
        let bins: BTreeSet<&Path> = trials.filter_map(|scenario| scenario.bin.as_deref()).collect();
        let problems = bins.into_iter().filter_map(|bin| host_agents::shadowing_program(settings, bin));
        told.extend(problems.map(|problem| format!("the lane `{}`: {problem}", lane.name)));
    }
    if told.is_empty() { Ok(()) } else { Err(Failure::setups(told)) }
}

/// Lanes without a credential that they can do without are skipped.
pub(super) fn skip_lanes(plan: &mut Plan) {
    for planned in &mut plan.lanes {
        if let Some(reason) = planned.kind.program().and_then(skipped) {
            planned.skip(reason);
        }
    }
}

/// Why a lane is skipped, if it is.
pub(super) fn skipped(settings: &AgentSettings) -> Option<String> {
    host_agents::missing_credentials(settings).filter(|_| !settings.required)
}

/// Hands events to a watcher and to the reports.
struct Fan<'a> {
    reporter: &'a mut Reporter,
    watch: &'a mut dyn FnMut(&Event),
    /// While the event log is full, no time passes for what cannot report.
    hold: Option<host_clock::Hold>,
    is_interrupted: Box<dyn Fn() -> bool>,
}

impl EventSink for Fan<'_> {
    fn event(&mut self, event: &Event) {
        (self.watch)(event);
        self.reporter.event(event);
    }

    fn flush(&mut self) {
        self.reporter.flush();
    }

    fn is_full(&mut self) -> bool {
        // A run that is to end does not wait for a disk.
        let is_full = !(self.is_interrupted)() && self.reporter.is_full();
        self.hold = is_full.then(|| self.hold.take().unwrap_or_else(host_clock::hold));
        is_full
    }
}

/// Attempts' folders in the run directory.
struct Place {
    directory: PathBuf,
}

impl ArtifactPlace for Place {
    fn folder(&self, trial: &TrialId, attempt: u32) -> PathBuf {
        self.directory.join(RunDirectory::attempt_folder(trial, attempt))
    }

    fn fixtures(&self) -> PathBuf {
        self.directory.join(FIXTURES_FOLDER)
    }

    fn named(&self, folder: &Path) -> PathBuf {
        folder.strip_prefix(&self.directory).unwrap_or(folder).to_owned()
    }

    fn keep_tree(&self, from: &Path, to: &Path) -> Result<Vec<String>, String> {
        copy_tree_bounded(from, to, CopyLimits::default()).map(|copied| copied.skipped).map_err(|error| chain(&error))
    }

    fn keep_changes(&self, before: Option<&Path>, after: &Path, to: &Path) -> Result<Vec<String>, String> {
        artifact::keep_changes(before, after, to, DiffLimits::default()).map_err(|error| chain(&error))
    }

    fn scrub(&self, folder: &Path, redactor: &Redactor) -> Result<(), Fault> {
        artifact::scrub(folder, redactor).map_err(|error| Fault::of_error(&error))
    }
}

/// Every attempt holds a few descriptors open; the soft limit is often far below the hard one.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it was, which is enough for most runs.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Long lines of many agents come and go: their memory is given back at once, where glibc would keep larger and larger
/// blocks for later.
fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator. When it is refused all stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

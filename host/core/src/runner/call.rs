//! The component's call within an attempt: its files and its agent, and the outcome.

use std::{path::Path, sync::Arc};

use tokio::task::block_in_place;

use super::{
    command::judge_command,
    executor::AttemptEvents,
    judge::{internal_outcome, outcome_of},
    reports::Reports,
    sessions::{SessionView, Sessions},
};
use host_model::{
    CommandSpec, Fault, FaultClass, GrantItem, Outcome, Preopen, PreopenSource, SESSION_FOLDER, Scenario,
    ScenarioShape, SessionPrompt,
};
use host_wasm::{
    guest::{AttemptHost, CallRequest, GuestSessions, LinkedPlugin, Returned},
    sandbox::{AttemptDirs, Audit, Granted, GuestConfig, OutputFile, PreopenedDir, Resolve, Snapshot, Violations},
};

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

/// The prompt of the session that runs before a plain command, and the folder in which the command sees its record.
type CommandAgent<'a> = (&'a SessionPrompt, SessionView);

impl Call<'_> {
    pub(super) async fn run(&self, plugin: &LinkedPlugin) -> Outcome {
        self.try_run(plugin).await.unwrap_or_else(Outcome::Fault)
    }

    async fn try_run(&self, plugin: &LinkedPlugin) -> Result<Outcome, Fault> {
        let (stdout, stderr) = (self.output("stdout"), self.output("stderr"));
        let (config, view) = self.config()?;
        let limits = &self.scenario.limits;
        let request = CallRequest {
            scenario: self.scenario,
            config,
            folder: self.folder,
            stdout: &stdout,
            stderr: &stderr,
            granted: self.granted,
            resolver: self.resolver,
            violations: self.violations,
            audit: self.audit,
            host: AttemptHost {
                sessions: self.sessions.clone(),
                session_granted: self.scenario.grants.session,
                reports: Box::new(Reports::new(
                    self.events.clone(),
                    self.folder.join("attachments"),
                    limits.max_output,
                )),
                violations: Arc::clone(self.violations),
                audit: self.audit.cloned(),
            },
        };
        let returned = request.run(plugin, self.drive_session(view)).await?;
        match (returned, &self.scenario.shape) {
            (Returned::Verdict(verdict), ScenarioShape::Typed) => {
                Ok(outcome_of(verdict, self.scenario, &stderr.tail()))
            }
            (Returned::Exit(code), ScenarioShape::Command(spec)) => {
                judge_command(code, &stdout, &stderr, spec.expect.as_ref())
            }
            _ => Ok(internal_outcome("the plan takes the plugin for another shape than it has")),
        }
    }

    /// The component's configuration, and the view of the session that runs before a plain command.
    fn config(&self) -> Result<(GuestConfig, Option<CommandAgent<'_>>), Fault> {
        let ScenarioShape::Command(spec) = &self.scenario.shape else {
            return Ok((GuestConfig { preopens: self.default_preopens(), ..GuestConfig::default() }, None));
        };
        let view = match &spec.session {
            Some(session) => Some((session, self.sessions.make_view(1)?)),
            None => None,
        };
        let mut preopens = self.preopens(spec)?;
        preopens.extend(view.as_ref().map(|(_, view)| opened(&view.folder, SESSION_FOLDER, true)));
        let args = std::iter::once(spec.program.clone()).chain(spec.args.iter().cloned()).collect();
        Ok((GuestConfig { args, env: spec.env.clone(), stdin: spec.stdin.clone(), preopens }, view))
    }

    /// Runs the session of a plain command. The command's directories are open by then: the agent cannot replace them by
    /// others, or by links.
    async fn drive_session(&self, agent: Option<CommandAgent<'_>>) -> Result<(), Fault> {
        let Some((session, view)) = agent else { return Ok(()) };
        if let Some(audit) = self.audit {
            audit.note("session", "start", Some(&GrantItem::Session), true);
        }
        let number = self.sessions.start(session.prompt.clone()).await?;
        self.sessions.conclude(number).await?;
        block_in_place(|| view.fill())
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

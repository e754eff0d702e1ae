//! Agents that are programs of their own: what every kind of them has in common.
//!
//! A turn is a process. Its environment holds what is named here and nothing else, so that no marker of an outer
//! agent or CI and no secret of the user reaches it: there is no list of what is removed.
//!
//! | variable | value |
//! |---|---|
//! | `PATH` | the scenario's `bin`, the lane's `path`, the system's folders |
//! | `HOME`, `TMPDIR` | the attempt's own |
//! | `LANG` | `C.UTF-8` |
//! | the kind's own | its config dir, its provider, no telemetry, no updates |
//! | the lane's `env` | as written there |
//! | the lane's credentials | from the host's environment, under the same names |
//! | `HOST_SESSION` | marks the processes of the session |

mod binary;
mod confined;
mod env_command;
mod environment;
mod program;
mod refusal;
mod seeds;
mod shadowed;
mod shebang;
#[cfg(test)]
pub(super) mod tests;
mod thread;
mod values;
mod version;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::OnceCell;

use self::seeds::PlantError;
use super::{
    Answer, Guard, HostProgram, Lane, LaneKind, Session, SessionSpec, acp, claude, codex, command, pi,
    process::{AgentCommand, AgentExit},
    scripted::new_session_id,
    session::{TurnAgent, TurnSession},
    turn::{Dialect, Said, hint},
};
use host_model::{AgentSettings, Confinement, Fault, FaultClass, Redactor, Shortage};

pub use environment::{missing_credentials, secrets, short_secrets};
pub use shadowed::shadowed;
pub use version::{AgentVersion, VersionProblem, version};

pub(super) use environment::search_path;
pub(super) use refusal::Refusal;
pub(super) use thread::Thread;
pub(super) use values::{decimal, flag, integer, list, name, part, text, texts_of, whole};

/// What a kind of agent must say to be run as a program of its own.
pub(super) trait Program: Send + Sync {
    /// Its kind.
    fn kind(&self) -> LaneKind;

    /// The name of its program, where it has one.
    fn name(&self) -> Option<&'static str>;

    /// Its own variables, the one of its config dir included. The lane's come over them.
    fn variables(&self, settings: &AgentSettings, config_dir: &Path) -> Vec<(&'static str, OsString)>;

    /// Writes what it needs into its config dir. Called before every session, also where another one has run.
    fn prepare(&self, _settings: &AgentSettings, _config_dir: &Path) -> Result<(), String> {
        Ok(())
    }

    /// What to start for a message.
    fn invocation(&self, asked: &Asked<'_>) -> Result<Invocation, Fault>;

    /// Whether it takes further messages on its standard input, instead of being started again.
    fn is_persistent(&self) -> bool {
        false
    }

    /// How the output of the next turn is read.
    fn dialect(&self, thread: &Thread, settings: &AgentSettings) -> Box<dyn Dialect>;
}

/// A message that a program is to be started for.
pub(super) struct Asked<'a> {
    pub(super) settings: &'a AgentSettings,
    /// From 1.
    pub(super) turn: u32,
    pub(super) message: &'a str,
    /// The agent's own name for the session, once it has told it.
    pub(super) thread: Option<String>,
    /// Where a file for this turn may be put.
    pub(super) tmp: &'a Path,
    /// The host's name for the session.
    pub(super) session: &'a str,
}

/// How a program is started for a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) args: Vec<OsString>,
    /// The file that is its standard input; empty when absent.
    pub(super) stdin: Option<PathBuf>,
}

/// The program of a kind; none for the embedded agent.
pub(super) fn program(kind: LaneKind) -> Option<&'static dyn Program> {
    match kind {
        LaneKind::Scripted => None,
        LaneKind::Claude => Some(&claude::Claude),
        LaneKind::Codex => Some(&codex::Codex),
        LaneKind::Pi => Some(&pi::Pi),
        LaneKind::Acp => Some(&acp::Acp),
        LaneKind::Command => Some(&command::Command),
    }
}

/// The program that a lane starts, or whose script it has an interpreter run.
///
/// # Errors
/// Where it was looked for, and what to do.
pub fn find_program(settings: &AgentSettings) -> Result<PathBuf, String> {
    Ok(program::find(program(settings.kind).and_then(Program::name), settings)?.program)
}

/// Starts agents of one lane.
pub(super) struct ExternalLane {
    program: &'static dyn Program,
    settings: Arc<AgentSettings>,
    host: HostProgram,
    guard: Guard,
    /// What the agent's version is, once it was asked for.
    version: OnceCell<Result<(), String>>,
}

impl ExternalLane {
    pub(super) fn new(program: &'static dyn Program, settings: AgentSettings, host: HostProgram, guard: Guard) -> Self {
        Self { program, settings: Arc::new(settings), host, guard, version: OnceCell::new() }
    }

    /// Everything before the first process. An error says what to do.
    async fn prepare(&self, spec: &SessionSpec) -> Result<ExternalAgent, Fault> {
        let launch = Fault::of_launch::<String>;
        let settings = &self.settings;
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(launch(problem.what));
        }
        let credentials = environment::credentials(settings, environment::own).map_err(launch)?;
        let found = program::find(self.program.name(), settings).map_err(launch)?;
        if let Some(problem) = spec.bin.as_deref().and_then(|bin| shadowed(settings, bin)) {
            // The scenario's fault: the lane serves others.
            return Err(Fault::new(FaultClass::Protocol, problem));
        }
        if settings.version.is_some() {
            let asked = || async {
                match version::meets(settings, self.host.clone(), &self.guard.confinement).await {
                    // It says nothing of the agent: the next session asks again.
                    Err(problem) if Shortage::of_ending(&problem).is_some() => Err(problem),
                    answer => Ok(answer),
                }
            };
            self.version.get_or_try_init(asked).await.map_err(launch)?.clone().map_err(launch)?;
        }
        let brought = fs::read_dir(&spec.config_dir).is_ok_and(|mut entries| entries.next().is_some());
        seeds::plant(settings, &spec.config_dir, &spec.home).map_err(|error| match error {
            PlantError::Lane(problem) => launch(problem),
            PlantError::InTheWay(problem) => Fault::of_problem(FaultClass::Protocol, problem),
        })?;
        // What it cannot work with is the lane's, unless the scenario brought something.
        let class = if brought { FaultClass::Protocol } else { FaultClass::Launch };
        self.program.prepare(settings, &spec.config_dir).map_err(|problem| Fault::of_problem(class, problem))?;
        let own = self.program.variables(settings, &spec.config_dir);
        let dirs = [&spec.root, &spec.config_dir, &spec.home, &spec.tmp].map(Clone::clone);
        let confinement = confined::to(&self.guard.confinement, settings, &found);
        let confinement = confinement.and(dirs, spec.bin.clone()).with_view(spec.view.clone());
        let program::Found { executable, before, .. } = found;
        Ok(ExternalAgent {
            program: self.program,
            settings: Arc::clone(settings),
            executable,
            before,
            confinement,
            env: environment::environment(settings, spec, own, credentials),
            root: spec.root.clone(),
            config_dir: spec.config_dir.clone(),
            home: spec.home.clone(),
            tmp: spec.tmp.clone(),
            session: new_session_id(),
            thread: Thread::in_root(&spec.root),
        })
    }
}

impl Lane for ExternalLane {
    fn kind(&self) -> LaneKind {
        self.program.kind()
    }

    fn start(&self, spec: SessionSpec) -> Answer<'_, Box<dyn Session>> {
        Box::pin(async move {
            let agent = self.prepare(&spec).await?;
            let id = agent.session.clone();
            let session =
                TurnSession::start(self.host.clone(), self.kind(), id, Box::new(agent), &spec, self.redactor()).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }

    fn redactor(&self) -> Redactor {
        self.guard.redactor.clone()
    }
}

struct ExternalAgent {
    program: &'static dyn Program,
    settings: Arc<AgentSettings>,
    executable: PathBuf,
    /// Arguments before all others: the script, where `executable` is its interpreter.
    before: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    confinement: Confinement,
    root: PathBuf,
    config_dir: PathBuf,
    home: PathBuf,
    tmp: PathBuf,
    session: String,
    thread: Thread,
}

impl TurnAgent for ExternalAgent {
    fn command(&self, turn: u32, message: &str) -> Result<AgentCommand, Fault> {
        let thread = self.thread.id();
        if turn > 1 && thread.is_none() && self.settings.kind != LaneKind::Command {
            let message = "the agent never told the name of its session, so that it cannot be sent another message";
            return Err(Fault::new(FaultClass::Protocol, message));
        }
        let settings = &self.settings;
        let asked = Asked { settings, turn, message, thread, tmp: &self.tmp, session: &self.session };
        let Invocation { args, stdin } = self.program.invocation(&asked)?;
        Ok(AgentCommand {
            program: self.executable.clone(),
            args: self.before.iter().cloned().chain(args).collect(),
            env: self.env.clone(),
            cwd: self.root.clone(),
            stdin,
            confinement: self.confinement.clone(),
        })
    }

    fn is_persistent(&self) -> bool {
        self.program.is_persistent()
    }

    fn dialect(&self) -> Box<dyn Dialect> {
        self.program.dialect(&self.thread, &self.settings)
    }

    fn gone(&self) -> Result<(), String> {
        seeds::put_away(&self.settings, &self.config_dir, &self.home)
    }
}

/// What it means that an agent ended before it had finished its turn, if that is no crash: a program that gives up by
/// itself before its model has answered once did not take its arguments, its configuration or its login.
pub(super) fn refused_to_start(exit: &AgentExit, stderr: &str, answered: bool) -> Vec<Said> {
    match exit {
        // Shells and programs that catch signals answer with 128 and the signal.
        AgentExit::Code(1..128) if !answered => {
            let words = if stderr.is_empty() { "it wrote nothing to stderr".to_owned() } else { stderr.to_owned() };
            let message = format!("the agent did not start its work: {exit}; {words}{}", hint(stderr));
            vec![Said::Broken(Fault::new(FaultClass::Launch, message))]
        }
        _ => Vec::new(),
    }
}

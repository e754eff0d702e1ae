//! Lanes of agents that are external programs.
//!
//! A turn is a process. Its environment is built from scratch, so that it contains neither markers of an outer agent or
//! CI nor the user's secrets; there is no list of variables to remove.
//!
//! | variable | value |
//! |---|---|
//! | `PATH` | the scenario's `bin`, the lane's `path`, the system's directories |
//! | `HOME`, `TMPDIR` | the attempt's own |
//! | `LANG` | `C.UTF-8` |
//! | set by the kind | its config dir, its provider, no telemetry, no updates |
//! | the lane's `env` | as configured |
//! | the lane's credentials | from the host's environment, with the same names |
//! | `HOST_SESSION` | marks the session's processes |

mod confinement;
mod elf;
mod env_command;
pub(crate) mod environment;
pub(crate) mod program;
mod seeds;
pub(crate) mod shadowed;
mod shebang;
pub(crate) mod version;

use std::{ffi::OsString, fs, path::PathBuf, sync::Arc};

use tokio::sync::OnceCell;

use self::seeds::InstallError;
use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::Dialect,
    lane::{Lane, LaneFuture, Protection, Session, SessionSpec},
    session::{
        id::new_session_id,
        process::{AgentCommand, HostProgram},
        turn_session::{TurnAgent, TurnSession},
    },
};
use host_model::{AgentSettings, Confinement, Fault, FaultClass, LaneKind, Redactor, Shortage};

pub(crate) struct ExternalLane {
    program: &'static dyn AgentProgram,
    settings: Arc<AgentSettings>,
    host: HostProgram,
    protection: Protection,
    /// Whether the agent has the required version, once that was checked.
    version: OnceCell<Result<(), String>>,
}

impl ExternalLane {
    pub(crate) fn new(
        program: &'static dyn AgentProgram,
        settings: AgentSettings,
        host: HostProgram,
        protection: Protection,
    ) -> Self {
        Self { program, settings: Arc::new(settings), host, protection, version: OnceCell::new() }
    }

    async fn prepare(&self, spec: &SessionSpec) -> Result<ExternalAgent, Fault> {
        let launch = Fault::of_launch::<String>;
        let settings = &self.settings;
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(launch(problem.what));
        }
        let credentials = environment::credentials(settings, environment::host_variable).map_err(launch)?;
        let found = program::find(self.program.name(), settings).map_err(launch)?;
        if let Some(problem) =
            spec.bin.as_deref().and_then(|bin| shadowed::shadowing_program(self.program.name(), settings, bin))
        {
            // The scenario is at fault: other scenarios can use the lane.
            return Err(Fault::new(FaultClass::Protocol, problem));
        }
        if settings.version.is_some() {
            let check = || async {
                let (name, confinement) = (self.program.name(), &self.protection.confinement);
                match version::version(name, settings, self.host.clone(), confinement).await {
                    // A shortage says nothing about the agent: the next session checks again.
                    Err(problem) if Shortage::of_ending(&problem.to_string()).is_some() => Err(problem.to_string()),
                    checked => Ok(checked.map(drop).map_err(|problem| problem.to_string())),
                }
            };
            self.version.get_or_try_init(check).await.map_err(launch)?.clone().map_err(launch)?;
        }
        let had_config = fs::read_dir(&spec.config_dir).is_ok_and(|mut entries| entries.next().is_some());
        seeds::install(settings, &spec.config_dir, &spec.home).map_err(|error| match error {
            InstallError::Lane(problem) => launch(problem),
            InstallError::Blocked(problem) => Fault::of_problem(FaultClass::Protocol, problem),
        })?;
        // A config dir the program cannot use is the lane's fault, unless the scenario put something there.
        let class = if had_config { FaultClass::Protocol } else { FaultClass::Launch };
        self.program.prepare(settings, &spec.config_dir).map_err(|problem| Fault::of_problem(class, problem))?;
        let own = self.program.variables(settings, &spec.config_dir);
        let dirs = [&spec.root, &spec.config_dir, &spec.home, &spec.tmp].map(Clone::clone);
        let confinement = confinement::for_program(&self.protection.confinement, settings, &found);
        let confinement = confinement.and(dirs, spec.bin.clone()).with_view(spec.view.clone());
        let program::FoundProgram { executable, leading_args, .. } = found;
        Ok(ExternalAgent {
            program: self.program,
            settings: Arc::clone(settings),
            executable,
            leading_args,
            confinement,
            env: environment::agent_environment(settings, spec, own, credentials),
            spec: spec.clone(),
            session_id: new_session_id(),
            conversation: Conversation::in_root(&spec.root),
        })
    }
}

impl Lane for ExternalLane {
    fn kind(&self) -> LaneKind {
        self.program.kind()
    }

    fn start(&self, spec: SessionSpec) -> LaneFuture<'_, Box<dyn Session>> {
        Box::pin(async move {
            let agent = self.prepare(&spec).await?;
            let id = agent.session_id.clone();
            TurnSession::start(self.host.clone(), self.kind(), id, Box::new(agent), &spec, self.redactor()).await
        })
    }

    fn redactor(&self) -> Redactor {
        self.protection.redactor.clone()
    }
}

struct ExternalAgent {
    program: &'static dyn AgentProgram,
    settings: Arc<AgentSettings>,
    executable: PathBuf,
    /// Arguments that come first: the script, if `executable` is its interpreter.
    leading_args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    confinement: Confinement,
    spec: SessionSpec,
    session_id: String,
    conversation: Conversation,
}

impl TurnAgent for ExternalAgent {
    fn command(&self, turn: u32, message: &str) -> Result<AgentCommand, Fault> {
        let conversation_id = self.conversation.id();
        if turn > 1 && conversation_id.is_none() && self.settings.kind != LaneKind::Command {
            let message = "the agent did not report a session id, so the host cannot send it another message";
            return Err(Fault::new(FaultClass::Protocol, message));
        }
        let settings = &self.settings;
        let request = TurnRequest {
            settings,
            turn,
            message,
            conversation_id,
            tmp_dir: &self.spec.tmp,
            session_id: &self.session_id,
        };
        let Invocation { args, stdin } = self.program.invocation(&request)?;
        Ok(AgentCommand {
            program: self.executable.clone(),
            args: self.leading_args.iter().cloned().chain(args).collect(),
            env: self.env.clone(),
            cwd: self.spec.root.clone(),
            stdin,
            confinement: self.confinement.clone(),
        })
    }

    fn is_persistent(&self) -> bool {
        self.program.is_persistent()
    }

    fn dialect(&self) -> Box<dyn Dialect> {
        self.program.dialect(&self.conversation, &self.settings)
    }

    fn clean_up(&self) -> Result<(), String> {
        seeds::move_credentials_out(&self.settings, &self.spec.config_dir, &self.spec.home)
    }
}

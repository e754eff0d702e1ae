//! An agent's process: starts it under a supervisor, and ends it with all descendants.

use std::{
    ffi::OsString,
    io::Write,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::watch,
};

use crate::{
    confine::ConfinementSpec,
    exit::AgentExit,
    session::{
        process_state::ProcessState,
        supervisor_client::{SupervisorClient, pid_of},
    },
    supervise::{orphans::SESSION_MARKER, pids, protocol::StartOrder, suspension},
};
use host_model::{Confinement, ConfinementMode};

/// The program with the hidden modes `supervise` and `agent`: the host itself.
#[derive(Clone, Debug)]
pub struct HostProgram(PathBuf);

impl HostProgram {
    /// The running program, even if its file was replaced or removed since it started.
    #[must_use]
    pub fn this() -> Self {
        Self(PathBuf::from("/proc/self/exe"))
    }

    /// Another build of the host, for tests.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path, valid in every process that runs it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AgentCommand {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The whole environment; the session's marker is added to it.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    /// The file to use as standard input; empty input if absent.
    pub(crate) stdin: Option<PathBuf>,
    /// The confinement, including access to the agent's own directories.
    pub(crate) confinement: Confinement,
}

/// An agent under its supervisor. Dropping it kills both and all descendants without waiting.
#[derive(Debug)]
pub(crate) struct AgentProcess {
    orders: watch::Sender<Option<Duration>>,
    mode: ConfinementMode,
    state: watch::Receiver<ProcessState>,
}

#[derive(Debug)]
pub(crate) struct AgentStreams {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl AgentProcess {
    /// Starts `command` under its own supervisor. Does not wait, so that the caller can end the process at any time.
    /// `session` marks its processes.
    pub(crate) fn spawn(
        host: &HostProgram,
        command: &AgentCommand,
        session: &str,
    ) -> Result<(Self, AgentStreams), String> {
        let program = command.program.display().to_string();
        pids::own_process().map_err(|problem| format!("cannot start {program}: {problem}"))?;
        let _not_suspended = suspension::prevent();
        let (mut supervisor, control) =
            spawn_supervisor(host, command, session).map_err(|error| format!("cannot start {program}: {error}"))?;
        suspension::register(pid_of(&supervisor));
        tracing::debug!(program, args = ?command.args, supervisor = supervisor.id(), "starting the agent's process");
        let streams = supervisor.stdout.take().zip(supervisor.stderr.take());
        let (orders, order_receiver) = watch::channel(None);
        let (state_sender, state) = watch::channel(ProcessState { program, ..ProcessState::default() });
        // The task owns the control socket, and ends when `orders` is dropped.
        tokio::spawn(
            SupervisorClient { supervisor, state: state_sender, session: session.to_owned() }
                .run(control, order_receiver),
        );
        let process = Self { orders, mode: command.confinement.mode, state };
        match streams {
            Some((stdout, stderr)) => Ok((process, AgentStreams { stdout, stderr })),
            None => Err(format!("cannot start {}: its streams are missing", command.program.display())),
        }
    }

    /// Waits until the agent has started or failed to start. Has a timeout.
    pub(crate) async fn wait_started(&mut self) -> Result<(), String> {
        let state = self.wait_until(|it| it.started || it.failed.is_some() || it.gone.is_some()).await;
        state.failed.map_or(Ok(()), Err)
    }

    /// Which part of the requested confinement is missing. Final once the agent has started.
    pub(crate) fn unconfined(&self) -> Option<String> {
        self.state.borrow().unconfined.clone()
    }

    /// Describes the confinement for people. Final once the agent has started.
    pub(crate) fn confinement(&self) -> String {
        match (self.mode, self.unconfined()) {
            (ConfinementMode::None, _) => "none".into(),
            (mode, None) => mode.to_string(),
            (mode, Some(why)) => format!("{mode}: {why}"),
        }
    }

    /// Another receiver of the process state.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ProcessState> {
        self.state.clone()
    }

    pub(crate) async fn wait_exit(&mut self) -> AgentExit {
        self.wait_until(|it| it.exit.is_some()).await.exit.unwrap_or(AgentExit::Unknown)
    }

    /// The exit of the agent itself if it happened before the host's order to end took effect. Final once it has
    /// exited.
    pub(crate) fn unrequested_exit(&self) -> Option<AgentExit> {
        let state = self.state.borrow();
        state.exit.clone().filter(|_| state.unrequested)
    }

    /// Orders the end without waiting for it.
    pub(crate) fn request_end(&self, grace: Duration) {
        self.orders.send_replace(Some(grace));
    }

    /// Waits until the agent, its descendants and the supervisor are gone. Call `request_end` first.
    pub(crate) async fn wait_gone(&mut self) -> Result<(), String> {
        self.wait_until(|it| it.gone.is_some())
            .await
            .gone
            .unwrap_or_else(|| Err("its processes are not supervised".into()))
    }

    async fn wait_until(&mut self, reached: impl FnMut(&ProcessState) -> bool) -> ProcessState {
        // An error means that the supervisor client's task was dropped: the runtime is shutting down.
        let reached = self.state.wait_for(reached).await.map(|state| state.clone()).ok();
        reached.unwrap_or_else(|| self.state.borrow().clone())
    }
}

/// The supervisor stays in the host's session, by which `orphans` recognizes it, but leaves the host's process group:
/// Ctrl-C in the terminal is only for the host. No code has to run between fork and exec, so the standard library can
/// use `posix_spawn`: forking a host with large mappings would be slow.
fn spawn_supervisor(
    host: &HostProgram,
    command: &AgentCommand,
    session: &str,
) -> std::io::Result<(Child, StdUnixStream)> {
    let (mut ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // The order stays in the socket until the supervisor reads it: there is no agent yet that could forge or read it.
    let stdin = command.stdin.clone().map(PathBuf::into_os_string);
    let order = serde_json::to_string(&StartOrder { confinement: ConfinementSpec::from(&command.confinement), stdin })?;
    ours.write_all(format!("start {order}\n").as_bytes())?;
    let child = Command::new(host.path())
        .args(["supervise", "--"])
        .arg0("host")
        .arg(&command.program)
        .args(&command.args)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .env(SESSION_MARKER, session)
        .current_dir(&command.cwd)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    Ok((child, ours))
}

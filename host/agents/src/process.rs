//! The host's side of an agent's process: starting it under a supervisor, and ending it with all descendants.

use std::{
    ffi::OsString,
    fmt,
    io::Write,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::watch,
};

use super::{SESSION_MARKER, confine::Policy, kill_orphans, numbers, supervisor::StartOrder, suspension};
use host_clock::{Instant, timeout};
use host_model::{Confinement, ConfinementMode};

/// What a supervisor may take to start its agent, and beyond the grace to end it, before it is taken to be stuck; and
/// again, its orphans.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program whose hidden modes `supervise` and `agent` are used: the host itself.
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

    /// Its path, as seen from any process that runs it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What to start, and all that it gets.
#[derive(Clone, Debug)]
pub(crate) struct AgentCommand {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The whole environment; the session's marker is added.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    /// The file that is its standard input; empty when absent.
    pub(crate) stdin: Option<PathBuf>,
    /// What the operating system holds it to, its own directories included.
    pub(crate) confinement: Confinement,
}

/// How an agent's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentExit {
    Code(i32),
    Signal(i32),
    /// It never ran, and why.
    NotStarted(String),
    /// Its supervisor ended before it could tell.
    Unknown,
}

impl fmt::Display for AgentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}{}", signal_name(*signal)),
            Self::NotStarted(reason) => f.write_str(reason),
            Self::Unknown => f.write_str("its supervisor was killed, and it with it"),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGINT => " (SIGINT)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGPIPE => " (SIGPIPE)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}

/// What is known of an agent's process; entries are only ever added.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessState {
    /// What is started, for a person.
    program: String,
    started: bool,
    /// What it is not held to, although it was asked for.
    unconfined: Option<String>,
    /// Why it could not be started.
    failed: Option<String>,
    /// Whether what happens from now on may be the host's doing.
    ending: bool,
    exit: Option<AgentExit>,
    /// Whether the exit came before the host's order to end had any effect.
    unasked: bool,
    /// Set when supervisor and descendants are gone, or are known to survive.
    gone: Option<Result<(), String>>,
}

impl ProcessState {
    /// How the agent itself ended, if it has.
    pub(crate) fn exit(&self) -> Option<&AgentExit> {
        self.exit.as_ref()
    }

    /// Takes in a line of the supervisor. Returns whether that was the last thing to hear.
    fn note(&mut self, line: &str) -> bool {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => self.started = true,
            "unconfined" => self.unconfined = Some(rest.to_owned()),
            "failed" => self.fail(rest),
            "ending" => self.ending = true,
            "exited" => self.ended(rest.parse().map_or(AgentExit::Unknown, AgentExit::Code)),
            "killed" => self.ended(rest.parse().map_or(AgentExit::Unknown, AgentExit::Signal)),
            _ => {}
        }
        matches!(word, "gone" | "failed")
    }

    fn fail(&mut self, why: &str) {
        let failed = format!("cannot start {}: {why}", self.program);
        self.ended(AgentExit::NotStarted(failed.clone()));
        self.failed = Some(failed);
    }

    /// The first end is the agent's; its number may be another process's later.
    fn ended(&mut self, exit: AgentExit) {
        if self.exit.is_none() {
            self.exit = Some(exit);
            self.unasked = !self.ending;
        }
    }
}

/// An agent under its supervisor. Dropping it kills both and all descendants, without anybody waiting.
#[derive(Debug)]
pub(crate) struct AgentProcess {
    orders: watch::Sender<Option<Duration>>,
    mode: ConfinementMode,
    state: watch::Receiver<ProcessState>,
}

/// What an agent prints.
#[derive(Debug)]
pub(crate) struct AgentStreams {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl AgentProcess {
    /// Starts `command` under a supervisor of its own, without waiting for anything: whoever holds the process can
    /// end it. `session` marks its processes.
    pub(crate) fn spawn(
        host: &HostProgram,
        command: &AgentCommand,
        session: &str,
    ) -> Result<(Self, AgentStreams), String> {
        let program = command.program.display().to_string();
        numbers::own().map_err(|problem| format!("cannot start {program}: {problem}"))?;
        let _not_suspended = suspension::starting();
        let (mut supervisor, control) =
            spawn_supervisor(host, command, session).map_err(|error| format!("cannot start {program}: {error}"))?;
        suspension::add(pid_of(&supervisor));
        let streams = supervisor.stdout.take().zip(supervisor.stderr.take());
        let (orders, heard) = watch::channel(None);
        let (known, state) = watch::channel(ProcessState { program, ..ProcessState::default() });
        // The task holds the control socket, and ends when `orders` is dropped.
        tokio::spawn(Minder { supervisor, known, session: session.to_owned() }.mind(control, heard));
        let process = Self { orders, mode: command.confinement.mode, state };
        match streams {
            Some((stdout, stderr)) => Ok((process, AgentStreams { stdout, stderr })),
            None => Err(format!("cannot start {}: its streams are missing", command.program.display())),
        }
    }

    /// Waits, a bounded time, until the agent runs or is known not to.
    pub(crate) async fn started(&mut self) -> Result<(), String> {
        let known = self.until(|it| it.started || it.failed.is_some() || it.gone.is_some()).await;
        known.failed.map_or(Ok(()), Err)
    }

    /// What it is not held to, although it was asked for. Final once it has started.
    pub(crate) fn unconfined(&self) -> Option<String> {
        self.state.borrow().unconfined.clone()
    }

    /// How it is confined, for a person. Final once it has started.
    pub(crate) fn confinement(&self) -> String {
        match (self.mode, self.unconfined()) {
            (ConfinementMode::None, _) => "none".into(),
            (mode, None) => mode.to_string(),
            (mode, Some(why)) => format!("{mode}: {why}"),
        }
    }

    /// Another view on what is known, for who waits for the exit.
    pub(crate) fn watch(&self) -> watch::Receiver<ProcessState> {
        self.state.clone()
    }

    /// Waits until the agent itself has ended.
    pub(crate) async fn exited(&mut self) -> AgentExit {
        self.until(|it| it.exit.is_some()).await.exit.unwrap_or(AgentExit::Unknown)
    }

    /// How the agent itself ended, if it did so before the host's order to end reached it. Final once it has exited.
    pub(crate) fn unasked_exit(&self) -> Option<AgentExit> {
        let state = self.state.borrow();
        state.exit.clone().filter(|_| state.unasked)
    }

    /// Orders the end without waiting for it.
    pub(crate) fn request_end(&self, grace: Duration) {
        self.orders.send_replace(Some(grace));
    }

    /// Waits until agent, descendants and supervisor are gone; `request_end` comes first.
    pub(crate) async fn gone(&mut self) -> Result<(), String> {
        self.until(|it| it.gone.is_some()).await.gone.unwrap_or_else(|| Err("nobody watches its processes".into()))
    }

    async fn until(&mut self, reached: impl FnMut(&ProcessState) -> bool) -> ProcessState {
        // An error means that the task that minds the supervisor was dropped: the runtime is shutting down.
        let reached = self.state.wait_for(reached).await.map(|state| state.clone()).ok();
        reached.unwrap_or_else(|| self.state.borrow().clone())
    }
}

/// The supervisor stays in the host's session, which is how `orphans` knows it, but leaves the host's process group:
/// Ctrl-C on the terminal is for the host alone. Nothing here needs code between fork and exec, so that the standard
/// library can use `posix_spawn`: forking a host with large mappings would be slow.
fn spawn_supervisor(
    host: &HostProgram,
    command: &AgentCommand,
    session: &str,
) -> std::io::Result<(Child, StdUnixStream)> {
    let (mut ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // It waits in the socket until the supervisor reads it: no agent lives by then that could forge or see it.
    let stdin = command.stdin.clone().map(PathBuf::into_os_string);
    let order = serde_json::to_string(&StartOrder { policy: Policy::from(&command.confinement), stdin })?;
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

/// The number of a process that is not reaped yet; 0 afterwards.
fn pid_of(child: &Child) -> i32 {
    child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
}

/// Owns the supervisor, whoever is interested in it.
struct Minder {
    supervisor: Child,
    known: watch::Sender<ProcessState>,
    session: String,
}

impl Minder {
    async fn mind(mut self, control: StdUnixStream, orders: watch::Receiver<Option<Duration>>) {
        let told_gone = match UnixStream::from_std(control) {
            Ok(control) => self.talk(control, orders).await,
            Err(_) => false,
        };
        if !told_gone {
            // Stuck, stopped, or dead already; its agent dies with it.
            drop(self.supervisor.start_kill());
        }
        // If it cannot even be reaped now, the sweep says what is left.
        let pid = pid_of(&self.supervisor);
        let reaped = timeout(PATIENCE, self.supervisor.wait()).await.is_ok();
        suspension::remove(pid);
        let left = if told_gone && reaped { Ok(()) } else { self.sweep().await };
        self.known.send_modify(|known| {
            known.ended(AgentExit::Unknown);
            known.gone = Some(left);
        });
    }

    /// Listens and passes orders on. Returns whether the supervisor said that no descendant is left.
    async fn talk(&mut self, mut control: UnixStream, mut orders: watch::Receiver<Option<Duration>>) -> bool {
        let (reader, mut writer) = control.split();
        let mut lines = BufReader::new(reader).lines();
        let start_by = Instant::now() + PATIENCE;
        let mut starting = true;
        let mut give_up: Option<Instant> = None;
        let mut listened_to = true;
        loop {
            tokio::select! {
                // What was said before an order must be heard before it.
                biased;
                line = lines.next_line() => match line {
                    Ok(Some(line)) => {
                        let mut last = false;
                        self.known.send_modify(|known| {
                            last = known.note(&line);
                            starting = !known.started;
                        });
                        if last {
                            return true;
                        }
                    }
                    _ => return false,
                },
                order = orders.changed(), if listened_to => {
                    listened_to = order.is_ok();
                    // Whoever could order anything else is gone.
                    let ordered = if listened_to { *orders.borrow_and_update() } else { None };
                    let grace = ordered.unwrap_or_default();
                    let until = Instant::now() + grace + PATIENCE;
                    give_up = Some(give_up.map_or(until, |before| before.min(until)));
                    self.wake_supervisor();
                    // If it cannot be written, the supervisor is about to be seen as gone.
                    drop(writer.write_all(format!("end {}\n", grace.as_millis()).as_bytes()).await);
                }
                () = sleep_until(give_up) => {
                    self.known.send_modify(|known| known.ending = true);
                    return false;
                }
                () = host_clock::sleep_until(start_by), if starting => {
                    let why = format!("its supervisor said nothing for {} s", PATIENCE.as_secs());
                    self.known.send_modify(|known| known.fail(&why));
                    return false;
                }
            }
        }
    }

    /// An agent may have stopped its supervisor. That is a child of this process until `mind` reaps it, so that its
    /// number is no other process's.
    fn wake_supervisor(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid_of(&self.supervisor)) {
            // It may have ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        }
    }

    async fn sweep(&self) -> Result<(), String> {
        let session = self.session.clone();
        tokio::task::spawn_blocking(move || kill_orphans(Some(&session), PATIENCE))
            .await
            .unwrap_or_else(|error| Err(format!("the search for orphans failed: {error}")))
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => host_clock::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> ProcessState {
        let mut state = ProcessState { program: "it".into(), ..ProcessState::default() };
        for line in lines {
            assert_eq!(state.note(line), matches!(line.split(' ').next(), Some("gone" | "failed")), "{line}");
        }
        state
    }

    #[test]
    fn the_first_exit_is_the_agents() {
        let state = heard(&["started 7", "killed 9", "ending", "exited 0", "gone"]);
        assert_eq!((state.exit, state.unasked), (Some(AgentExit::Signal(9)), true));
        let state = heard(&["started 7", "ending", "exited 3", "gone"]);
        assert_eq!((state.exit, state.unasked), (Some(AgentExit::Code(3)), false));
    }

    #[test]
    fn what_never_ran_says_why() {
        let state = heard(&["failed no such file"]);
        assert_eq!(state.failed.as_deref(), Some("cannot start it: no such file"));
        assert_eq!(state.exit.unwrap().to_string(), "cannot start it: no such file");
    }
}

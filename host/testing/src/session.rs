//! Sessions of agents without a run: an attempt's directories, and the processes that a session starts.

use std::{
    fs,
    future::Future,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use host_agents::{HostProgram, LaneKind, Protection, Session, SessionLimits, SessionSpec, create_lane};
use host_model::{AgentSettings, Confinement, ConfinementMode, Fault, SessionEventKind};
use tempfile::TempDir;

use crate::host_binary;
pub use crate::{kernel, write_program};

/// Ends a session without waiting for its agent.
pub const NO_GRACE: Duration = Duration::ZERO;

/// The directories of an attempt, and a script.
pub struct Attempt {
    folder: TempDir,
}

impl Attempt {
    /// A scripted attempt with these steps.
    pub fn new(steps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let attempt = Self { folder };
        for name in ["root", "config", "home", "tmp"] {
            fs::create_dir(attempt.path(name)).unwrap();
        }
        let script = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}");
        fs::write(attempt.path("script.toml"), script).unwrap();
        attempt
    }

    /// A path in the attempt's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// What its session is started with.
    pub fn spec(&self) -> SessionSpec {
        SessionSpec {
            root: self.path("root"),
            config_dir: self.path("config"),
            home: self.path("home"),
            tmp: self.path("tmp"),
            bin: None,
            view: None,
            prompt: "do it".into(),
            script: Some(self.path("script.toml")),
            record_dir: Some(self.path("record")),
            limits: SessionLimits::default(),
            observer: None,
        }
    }

    /// Starts its session.
    pub async fn start(&self) -> Box<dyn Session> {
        start(self.spec()).await.unwrap()
    }

    /// Reads a file in the attempt's directory.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap()).into_owned()
    }

    /// Living processes that were started with this attempt's config dir in their environment.
    pub fn living(&self) -> Vec<i32> {
        let entry = format!("HOST_AGENT_CONFIG_DIR={}", self.path("config").display());
        pids().filter(|pid| has_in(&format!("/proc/{pid}/environ"), &entry)).filter(|pid| is_alive(*pid)).collect()
    }

    /// Waits until a file exists.
    pub async fn wait_for_file(&self, name: &str) {
        wait_until(Duration::from_secs(10), || self.path(name).exists()).await;
    }
}

/// Starts a scripted session.
pub async fn start(spec: SessionSpec) -> Result<Box<dyn Session>, Fault> {
    start_by(host_binary(), spec).await
}

/// Starts with another program in the place of the host.
pub async fn start_by(host: impl Into<PathBuf>, spec: SessionSpec) -> Result<Box<dyn Session>, Fault> {
    start_guarded(host, spec, Protection::default()).await
}

/// The same, and guarded in another way.
pub async fn start_guarded(
    host: impl Into<PathBuf>,
    spec: SessionSpec,
    guard: Protection,
) -> Result<Box<dyn Session>, Fault> {
    create_lane(&AgentSettings::new(LaneKind::Scripted), HostProgram::at(host), guard).start(spec).await
}

/// An agent that can signal its supervisor.
pub async fn start_unconfined(spec: SessionSpec) -> Box<dyn Session> {
    let confinement = Confinement { mode: ConfinementMode::None, ..Confinement::default() };
    start_guarded(host_binary(), spec, Protection { confinement, ..Protection::default() }).await.unwrap()
}

/// All processes of the machine.
pub fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a NUL-separated file of `/proc` has this entry.
pub fn has_in(file: &str, entry: &str) -> bool {
    fs::read(file).is_ok_and(|content| content.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, tail)| !tail.trim_start().starts_with(['Z', 'X'])))
}

/// Living processes with `argument` among their arguments.
pub fn living_with_argument(argument: &str) -> Vec<i32> {
    pids().filter(|pid| has_in(&format!("/proc/{pid}/cmdline"), argument)).filter(|pid| is_alive(*pid)).collect()
}

/// Waits until `condition` holds, and panics when that takes longer than `limit`.
pub async fn wait_until(limit: Duration, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal, such as `-KILL`.
pub fn kill(signal: &str, pid: i32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Every event up to the end of the turn, and the fault that ended it, if one did.
pub async fn all_events(session: &mut dyn Session) -> (Vec<SessionEventKind>, Option<Fault>) {
    let mut events = Vec::new();
    loop {
        match session.next_event().await {
            Ok(Some(event)) => events.push(event.kind),
            Ok(None) => return (events, None),
            Err(fault) => return (events, Some(fault)),
        }
    }
}

/// The resident memory of this process, in MiB.
pub fn rss_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Panics when `work` takes longer than so many seconds.
pub async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), work).await.expect("in time")
}

/// A step that runs a shell command.
pub fn shell(command: &str) -> String {
    format!("[[step]]\nshell = '''{command}'''\n")
}

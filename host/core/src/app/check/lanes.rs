//! Checks lanes whose agents are programs of the user.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::app::{
    error::chain,
    lanes::{live_lane, skip_reason},
    stop::Stop,
};
use host_agents::{HostProgram, Observer, SessionLimits, SessionSpec, VersionProblem};
use host_model::{
    AgentSettings, ConfinementMode, Credential, Ports, Provider, SHORTEST_SECRET, SessionEvent, SessionEventKind,
};
use host_suite::config::{LaneKind, LaneSettings, seen_from_here};
use host_wasm::sandbox::Workspace;

/// A trivial turn takes seconds; one that waits for a provider that backs off takes longer.
const TURN_TIMEOUT: Duration = Duration::from_secs(120);

/// What was found out about a lane.
#[derive(Debug, Default)]
pub struct LaneReport {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// The agent's program, if it was found.
    pub program: Option<String>,
    /// The version that the program reports.
    pub version: Option<String>,
    /// The names of its credentials, and whether they are there.
    pub credentials: Vec<(String, bool)>,
    /// The mode of confinement of its agents.
    pub confinement: &'static str,
    /// Why its trials are skipped.
    pub skipped: Option<String>,
    /// How a trivial turn went.
    pub live: Option<String>,
    /// What a run would fail with.
    pub errors: Vec<String>,
    /// What a run would not fail with.
    pub warnings: Vec<String>,
}

/// What it takes to try a turn.
pub(super) struct Live {
    /// Ends the turn early.
    pub(super) stop: Stop,
    /// Where runs of the suite are.
    pub(super) output: PathBuf,
}

/// Checks a lane. With `live` it tries a turn.
pub(super) async fn check(lane: &LaneSettings, live: Option<Live>) -> LaneReport {
    let mut report = LaneReport {
        name: lane.name.0.clone(),
        kind: lane.kind.as_str(),
        confinement: lane.confinement.mode.as_str(),
        ..LaneReport::default()
    };
    report.check_confinement(lane);
    if let LaneKind::Program(settings) = &lane.kind {
        report.check_program(lane, settings).await;
        report.check_credentials(settings);
        if let Some(seed) = settings.config_seed.as_deref().filter(|seed| !seed.is_dir()) {
            report.errors.push(format!("the folder {} (`config` of the lane) does not exist", seen_from_here(seed)));
        }
        if let Some(live) = live
            && report.skipped.is_none()
            && report.errors.is_empty()
        {
            report.try_a_turn(lane, live).await;
        }
    }
    report
}

impl LaneReport {
    fn check_confinement(&mut self, lane: &LaneSettings) {
        let confinement = &lane.confinement;
        if confinement.mode == ConfinementMode::None {
            return;
        }
        match (host_agents::confinement_available(), confinement.mode) {
            (Ok(()), _) => {}
            (Err(why), ConfinementMode::Required) => {
                self.errors.push(format!("`confinement = \"required\"`, but {why}"))
            }
            (Err(why), _) => self.warnings.push(why),
        }
        let url = lane.kind.program().and_then(|program| program.provider.as_ref()).and_then(Provider::port);
        if let (Some(port), Ports::Only(ports)) = (url, &confinement.tcp_connect)
            && !ports.contains(&port)
        {
            self.warnings.push(format!(
                "`allow-connect` does not include {port}, the port of `base-url`: agents can connect to it only \
                 through a proxy"
            ));
        }
        for (key, paths) in [("allow-read", &confinement.readable), ("allow-write", &confinement.writable)] {
            for path in paths.iter().filter(|path| !path.exists()) {
                self.errors.push(format!(
                    "{} (`{key}`) does not exist\nhelp: create it, or remove it from `{key}`",
                    seen_from_here(path)
                ));
            }
        }
    }

    async fn check_program(&mut self, lane: &LaneSettings, settings: &AgentSettings) {
        match host_agents::find_program(settings) {
            Ok(program) => self.program = Some(program.display().to_string()),
            Err(problem) => return self.errors.push(problem),
        }
        // What any other program does with `--version` nobody knows.
        let agents = [host_model::LaneKind::Claude, host_model::LaneKind::Codex, host_model::LaneKind::Pi];
        if settings.version.is_none() && !agents.contains(&settings.kind) {
            return;
        }
        match host_agents::version(settings, HostProgram::this(), &lane.confinement).await {
            Ok(found) => self.version = Some(found.version),
            Err(problem @ VersionProblem::NoAnswer { .. }) if settings.version.is_none() => {
                self.warnings.push(problem.to_string());
            }
            Err(problem) => self.errors.push(problem.to_string()),
        }
    }

    fn check_credentials(&mut self, settings: &AgentSettings) {
        for credential in &settings.credentials {
            self.credentials.push(match credential {
                Credential::Variable(name) => (name.clone(), std::env::var_os(name).is_some_and(|it| !it.is_empty())),
                Credential::File { from, .. } => (seen_from_here(from), host_fs::read(from).is_ok()),
            });
        }
        for name in host_agents::short_secrets(settings) {
            self.warnings.push(format!(
                "the value of `{name}` has fewer than {SHORTEST_SECRET} characters, so it is not redacted in records \
                 and reports"
            ));
        }
        for name in settings.env.keys().filter(|name| looks_secret(name)) {
            self.warnings.push(format!(
                "`env` sets `{name}`, which looks like a secret, but its value is not redacted\n\
                 help: if it is a secret, set the variable in the host's environment and name it in `credentials`"
            ));
        }
        self.skipped = skip_reason(settings);
        if self.skipped.is_none() {
            self.errors.extend(host_agents::missing_credentials(settings));
        }
    }

    async fn try_a_turn(&mut self, lane: &LaneSettings, live: Live) {
        let began = Instant::now();
        let duration = || format!("{:.1} s", began.elapsed().as_secs_f64());
        let (observer, mut events) = mpsc::channel::<SessionEvent>(16);
        let mut waits = None;
        let listened = async {
            while let Some(event) = events.recv().await {
                if let SessionEventKind::BackOff(told) = event.kind {
                    waits = Some(told.reason);
                }
            }
            // Its turn may still go on.
            std::future::pending().await
        };
        let tried = tokio::select! {
            tried = turn(lane, observer, live) => tried,
            never = listened => never,
        };
        match tried {
            Ok(tokens) => self.live = Some(format!("answered in {}{tokens}", duration())),
            Err(problem) => {
                let why = waits.map(|why| format!("; its provider made the agent wait: {why}")).unwrap_or_default();
                self.errors.push(format!("a test turn failed after {}: {problem}{why}", duration()));
            }
        }
    }
}

/// Whether a variable has a name that those of secrets have.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let last = name.rsplit('_').next().unwrap_or_default();
    ["KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS"].contains(&last)
}

/// One trivial turn in folders of its own: what it used, in words.
async fn turn(
    lane: &LaneSettings,
    observer: mpsc::Sender<SessionEvent>,
    Live { stop, output }: Live,
) -> Result<String, String> {
    let live = live_lane(&lane.name, &lane.kind, &lane.confinement)
        .map_err(|error| error.messages.into_iter().map(|message| message.text).collect::<Vec<_>>().join("; "))?;
    let workspace = Workspace::for_check(&std::env::temp_dir(), &output)
        .map_err(|error| format!("cannot create a temporary folder: {}", chain(&error)))?;
    let made = |name: &str| {
        let path = workspace.folder().join(name);
        fs::create_dir(&path).map(|()| path).map_err(|error| format!("cannot create {name}: {error}"))
    };
    let spec = SessionSpec {
        root: made("root")?,
        config_dir: made("config")?,
        home: made("home")?,
        tmp: made("tmp")?,
        bin: None,
        view: None,
        prompt: "Answer with the word ok and do nothing else.".into(),
        script: None,
        record_dir: None,
        limits: SessionLimits::default(),
        observer: Some(Observer::new(observer, Arc::default())),
    };
    let mut session = live.start(spec).await.map_err(|fault| fault.to_string())?;
    let concluded = tokio::select! {
        biased;
        () = stop.requested() => Err("it was interrupted".to_owned()),
        concluded = host_clock::timeout(TURN_TIMEOUT, session.conclude()) => match concluded {
            Ok(concluded) => concluded.map_err(|fault| fault.to_string()),
            Err(_) => Err(format!("it did not end within {} s", TURN_TIMEOUT.as_secs())),
        },
    };
    let ended = session.end(Duration::ZERO).await;
    let conclusion = concluded?;
    ended.map_err(|fault| fault.to_string())?;
    let tokens = conclusion.usage.input_tokens.zip(conclusion.usage.output_tokens);
    Ok(tokens.map(|(read, written)| format!(" with {read} tokens in, {written} out")).unwrap_or_default())
}

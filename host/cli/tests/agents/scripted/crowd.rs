//! Sixteen sessions of the real agents at once: whether any of them reaches into another one or out of its attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use host_model::{EventKind, SessionEventKind, TrialId, Verdict};

use host_testing::{Finished, model_server::ModelServer, processes};

use super::{
    suites::{HANGS, LANES, RealSuite, fails_as_told, scripts, url},
    trace::{Trace, is_within, traced},
};

const SCENARIOS: [&str; 2] = ["ensign-cycle", "merge-hook"];

/// A lane of each agent that does it right, and one that does it wrong, each in both scenarios.
const SESSIONS: usize = LANES.len() * 2 * SCENARIOS.len();

/// Where an agent keeps what is its own.
const OWN: [&str; 5] = ["HOME", "TMPDIR", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "PI_CODING_AGENT_DIR"];

fn suite(server: &ModelServer, confine: &str) -> RealSuite {
    let mut suite = RealSuite::of_the_repository("[defaults]\nretries = 0");
    for (lane, agent) in LANES.iter().flat_map(|lane| [(lane, "right"), (lane, "wrong")]) {
        let name = format!("{lane}-{agent}");
        suite.lane(&name, lane, &url(server, "auto", agent, "ok", &name), &format!("confinement = {confine:?}\n"));
    }
    suite
}

/// What the living processes of each session have for their own, by the host's name for the session.
fn own_folders(below: &Path) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut sessions: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for process in processes() {
        let environment = String::from_utf8_lossy(&fs::read(process.join("environ")).unwrap_or_default()).into_owned();
        let variables: BTreeMap<&str, &str> =
            environment.split('\0').filter_map(|variable| variable.split_once('=')).collect();
        let ours = variables.get("TMPDIR").is_some_and(|tmp| Path::new(tmp).starts_with(below));
        let Some(session) = variables.get(host_agents::SESSION_MARKER).filter(|_| ours) else { continue };
        let own = OWN.iter().filter_map(|name| variables.get(name)).map(PathBuf::from);
        sessions.entry((*session).to_owned()).or_default().extend(own);
    }
    sessions
}

fn are_apart(sessions: &BTreeMap<String, BTreeSet<PathBuf>>, attempts: &Path) {
    assert_eq!(sessions.len(), SESSIONS, "{sessions:#?}");
    let mut all = BTreeSet::new();
    for folder in sessions.values().flatten() {
        assert!(folder.starts_with(attempts), "{}", folder.display());
        assert!(all.insert(folder), "two sessions have {}", folder.display());
    }
    assert!(all.len() >= SESSIONS * 3, "home, temporary files and configuration: {sessions:#?}");
}

/// All attempts had begun, each with its agent up, before the first of them was over.
fn were_at_once(run: &Finished) {
    let mut begun = BTreeSet::new();
    let mut up = BTreeSet::new();
    let finished = run.events.iter().position(|event| matches!(event.kind, EventKind::AttemptFinished { .. }));
    for event in &run.events[..finished.expect("an attempt is finished")] {
        match &event.kind {
            EventKind::AttemptStarted { trial, .. } => {
                begun.insert(trial);
            }
            EventKind::Session { trial, detail, .. } if matches!(detail.kind, SessionEventKind::Started { .. }) => {
                up.insert(trial);
            }
            _ => {}
        }
    }
    assert_eq!((begun.len(), up.len()), (SESSIONS, SESSIONS), "{}", run.told());
}

fn have_their_verdicts(run: &Finished) {
    let mut count = 0;
    for event in &run.events {
        let EventKind::TrialFinished { trial, verdict, .. } = &event.kind else { continue };
        count += 1;
        if trial.lane.0.ends_with("-right") {
            assert_eq!(verdict, &Verdict::Pass, "{trial}; {}", run.told());
            continue;
        }
        fails_as_told(scenario(trial), verdict, run);
    }
    assert_eq!(count, SESSIONS, "{}", run.told());
    run.exits(100);
}

fn scenario(trial: &TrialId) -> &'static str {
    let named = |name: &&&str| trial.scenario.0.contains(**name);
    SCENARIOS.iter().find(named).unwrap_or_else(|| panic!("{trial} is another scenario"))
}

/// No agent changed anything but in its attempt, and in devices that keep nothing.
#[expect(clippy::print_stdout, reason = "for the person who runs the test")]
fn kept_to_themselves(trace: &str, attempts: &Path) {
    let trace = Trace::of(trace);
    let mut folders = vec![attempts.to_owned()];
    for folder in trace.entered() {
        assert!(is_within(&folder, &folders), "an agent went to {}", folder.display());
    }
    folders.extend(["/dev/null", "/dev/tty", "/dev/zero"].map(PathBuf::from));
    let changed = trace.changed();
    let outside: Vec<&str> =
        changed.iter().filter(|(path, _)| !is_within(path, &folders)).map(|(_, call)| *call).collect();
    assert!(outside.is_empty(), "changed outside of {}:\n{}", attempts.display(), outside.join("\n"));
    println!("{} programs changed {} paths, all in their attempts", trace.programs(), changed.len());
    // Each has its supervisor, its agent and a shell, and writes a transcript.
    assert!(trace.programs() >= SESSIONS * 3 && changed.len() > SESSIONS * 3, "the trace is not of the agents");
}

async fn sixteen_sessions(confine: &str) {
    let server = ModelServer::start(scripts(&SCENARIOS)).await.unwrap();
    server.hold();
    let suite = suite(&server, confine);
    let file = suite.suite.path("trace");
    let mut args = vec!["run", "--no-canary", "-j", "16", "--"];
    args.extend(SCENARIOS);
    let running = suite.suite.start_command(traced(&suite.command(&args), &file));
    let held = tokio::time::timeout(HANGS, server.holds(SESSIONS)).await.is_ok();
    // Each of them waits for an answer: what is seen now is of all of them.
    let sessions = own_folders(&suite.suite.tmp());
    server.release();
    let run = tokio::task::block_in_place(|| running.finish_within(HANGS));
    assert!(held, "not all agents asked; {}", run.told());
    have_their_verdicts(&run);
    were_at_once(&run);
    are_apart(&sessions, &suite.suite.tmp());
    assert!(!run.told().contains("Unconfined"), "{}", run.told());
    kept_to_themselves(&fs::read_to_string(file).unwrap(), &suite.suite.tmp());
    assert_eq!(suite.suite.leftovers(), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn sixteen_confined_sessions_at_once_keep_to_themselves() {
    sixteen_sessions("required").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn sixteen_sessions_at_once_keep_to_themselves_without_confinement() {
    sixteen_sessions("none").await;
}

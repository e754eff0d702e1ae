//! What the real agents make of a provider that fails, and of their own end: its class, its bound, and what is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use host_model::{AttemptRecord, EventKind, FaultClass, SessionEventKind, Verdict};

use host_testing::{
    Finished,
    model_server::{ModelServer, Scripts},
    plain_module,
};

use super::suites::{LANES, RealSuite, seconds, url};

/// A way to fail: its name, the model's script and mode, and the class it must get in each lane; none is a pass.
struct Way {
    name: &'static str,
    script: &'static str,
    mode: &'static str,
    class: Option<FaultClass>,
}

const fn way(name: &'static str, mode: &'static str, class: FaultClass) -> Way {
    Way { name, script: "work", mode, class: Some(class) }
}

const LOUD: &[Way] = &[
    way("unauthorized", "401", FaultClass::Launch),
    way("rate-limited", "429", FaultClass::Overload),
    way("overloaded", "529", FaultClass::Overload),
    way("dropped", "dropped", FaultClass::Overload),
    Way { name: "overloaded-twice", script: "work", mode: "fail2-529", class: None },
    Way { name: "killed", script: "kill", mode: "ok", class: Some(FaultClass::Crash) },
    Way { name: "background", script: "background", mode: "ok", class: None },
];

const SILENT: &[Way] =
    &[way("silent", "silent", FaultClass::Idle), way("silent-mid-stream", "silent-mid-stream", FaultClass::Idle)];

/// Milliseconds that an attempt may take: the longest patience of any agent with its provider, on a loaded machine.
const BOUND: u64 = 110_000;

/// Longer than an agent needs until it asks, on a loaded machine.
const QUIET: &str = "30s";

async fn server() -> ModelServer {
    let script = |steps: &str| format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\nstep = [{steps}]");
    let scripts = Scripts::default()
        .with("work", "work", &script("{ shell = \"echo hi > made\" }, { say = \"Done.\" }"))
        .with("work", "kill", &script("{ shell = \"echo hi > made\" }, { fault = \"kill\" }, { say = \"Never.\" }"))
        .with(
            "work",
            "background",
            &script(
                "{ shell = \"setsid sleep 1009 >/dev/null 2>&1 & sleep 1009 >/dev/null 2>&1 &\" }, { say = \"Done.\" }",
            ),
        );
    ModelServer::start(scripts.without_sleeps()).await.unwrap()
}

/// Every lane in every way, all in one run.
fn suite(server: &ModelServer, ways: &[Way], quiet: &str) -> RealSuite {
    let mut suite = RealSuite::new(&format!(
        "plugins = [\"work.wasm\"]\n[defaults]\nretries = 0\nidle-timeout = {quiet:?}\ntimeout = \"150s\""
    ));
    suite.suite.file("work.wasm", plain_module("", ""));
    let scenario = "plugin = \"work.wasm\"\n[session]\nprompt = \"Do the work.\"\n[grants]\nsession = true\n";
    suite.suite.scenario("work", scenario);
    for (lane, way) in LANES.iter().flat_map(|lane| ways.iter().map(move |way| (lane, way))) {
        let name = format!("{lane}-{}", way.name);
        suite.lane(&name, lane, &url(server, "work", way.script, way.mode, &name), "");
    }
    suite
}

/// Verdicts and records, by lane.
fn told(run: &Finished) -> BTreeMap<&str, (Option<&Verdict>, Option<&AttemptRecord>, usize)> {
    let mut told: BTreeMap<&str, (Option<&Verdict>, Option<&AttemptRecord>, usize)> = BTreeMap::new();
    for event in &run.events {
        match &event.kind {
            EventKind::TrialFinished { trial, verdict, .. } => {
                told.entry(&trial.lane.0).or_default().0 = Some(verdict);
            }
            EventKind::AttemptFinished { trial, record, .. } => {
                told.entry(&trial.lane.0).or_default().1 = Some(record);
            }
            EventKind::Session { trial, detail, .. } if matches!(detail.kind, SessionEventKind::BackOff(_)) => {
                told.entry(&trial.lane.0).or_default().2 += 1;
            }
            _ => {}
        }
    }
    told
}

#[expect(clippy::print_stdout, reason = "for the person who runs the test")]
fn check(suite: &RealSuite, run: &Finished, ways: &[Way], bound: u64) {
    let told = told(run);
    let mut wrong = Vec::new();
    for (lane, way) in LANES.iter().flat_map(|lane| ways.iter().map(move |way| (*lane, way))) {
        let name = format!("{lane}-{}", way.name);
        let Some((Some(verdict), Some(record), backed_off)) = told.get(name.as_str()) else {
            panic!("{name} has no verdict; {}", run.told());
        };
        let class = match verdict {
            Verdict::Fault(fault) => Some(fault.class),
            Verdict::Pass => None,
            other => panic!("{name}: {other:?}"),
        };
        println!("{name}: {} after {:.1} s, {backed_off} back-offs", verdict.word(), record.duration_ms as f64 / 1e3);
        let message = if let Verdict::Fault(fault) = verdict { fault.to_string() } else { String::new() };
        println!("    {}", message.lines().next().unwrap_or_default().chars().take(180).collect::<String>());
        if class != way.class {
            wrong.push(format!("{name}: {verdict:?}, not {:?}", way.class));
        }
        assert!(record.duration_ms < bound, "{name} took {} ms", record.duration_ms);
        let folder = suite.suite.last_run().unwrap().join(record.artifacts.as_ref().expect("artifacts are kept"));
        for kept in ["session-1/session.json", "session-1/stream.jsonl"] {
            assert!(folder.join(kept).exists(), "{name} has not kept {kept} in {}", folder.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(suite.suite.leftovers(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn every_failure_of_a_provider_and_of_an_agent_has_its_class() {
    let server = server().await;
    let suite = suite(&server, LOUD, "100s");
    let began = Instant::now();
    let run = suite.host(&["run", "-j", "8"]);
    println!("{} trials: {}", LANES.len() * LOUD.len(), seconds(began.elapsed()));
    check(&suite, &run, LOUD, BOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn a_silent_provider_is_a_stall_within_its_bound() {
    let server = server().await;
    let suite = suite(&server, SILENT, QUIET);
    let began = Instant::now();
    let run = suite.host(&["run", "-j", "8"]);
    println!("{} trials: {}", LANES.len() * SILENT.len(), seconds(began.elapsed()));
    check(&suite, &run, SILENT, BOUND);
    // It is the provider that was silent, and not an agent that never came so far.
    let asked: BTreeSet<String> = server.requests().into_iter().map(|request| request.prefix).collect();
    assert_eq!(asked.len(), LANES.len() * SILENT.len(), "{asked:?}");
    server.stop().await;
}

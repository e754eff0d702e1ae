//! `host run` with the real agents: the suite of the repository in four lanes at once.

use std::{collections::BTreeMap, time::Instant};

use host_model::{EventKind, Verdict};

use host_testing::{
    Finished,
    model_server::{ModelServer, Scripts},
};

use super::suites::{KEY, LANES, RealSuite, fails_as_told, scripts, seconds, url};

const SCENARIOS: [&str; 5] = ["ensign-cycle", "gate", "merge-hook", "rejection-flow", "three-cycle-escalation"];

fn verdicts(run: &Finished) -> BTreeMap<String, Verdict> {
    let finished = run.events.iter().filter_map(|event| match &event.kind {
        EventKind::TrialFinished { trial, verdict, .. } => Some((trial.to_string(), verdict.clone())),
        _ => None,
    });
    finished.collect()
}

async fn server() -> ModelServer {
    ModelServer::start(scripts(&SCENARIOS)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn all_scenarios_pass_in_four_lanes_of_one_run() {
    let server = server().await;
    let mut suite = RealSuite::of_the_repository("canary = [\"ensign-cycle\"]");
    for lane in LANES {
        suite.lane(lane, lane, &url(&server, "auto", "right", "ok", lane), "");
    }
    let mut args = vec!["run"];
    args.extend(LANES.iter().flat_map(|lane| ["--lane", lane]));
    let began = Instant::now();
    let run = suite.host(&args);
    println!("20 trials in 4 lanes: {}", seconds(began.elapsed()));
    println!("{}", run.stdout);
    let verdicts = verdicts(&run);
    assert_eq!(verdicts.len(), 20, "{}", run.told());
    assert!(verdicts.values().all(|verdict| *verdict == Verdict::Pass), "{}", run.told());
    run.exits(0);
    assert!(!run.told().contains("Unconfined"), "{}", run.told());
    let kept = std::process::Command::new("grep").arg("-rlF").arg(KEY).arg(suite.suite.path(".host")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "", "the key is nowhere in what is kept");
    assert_eq!(suite.suite.leftovers(), [""; 0]);
    server.stop().await;
    assert!(!run.stdout.contains("cut:"), "all of it is kept");
    let again = suite.host(&["regrade"]);
    println!("{}", again.stdout);
    again.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn each_scenarios_first_wrong_agent_fails_in_each_lane() {
    let server = server().await;
    let mut suite = RealSuite::of_the_repository("");
    for lane in LANES {
        suite.lane(lane, lane, &url(&server, "auto", "wrong", "ok", lane), "");
    }
    let began = Instant::now();
    let run = suite.host(&["run", "--no-canary"]);
    println!("20 trials in 4 lanes: {}", seconds(began.elapsed()));
    let verdicts = verdicts(&run);
    assert_eq!(verdicts.len(), 20, "{}", run.told());
    for (trial, verdict) in &verdicts {
        let scenario = SCENARIOS.iter().find(|scenario| trial.contains(**scenario)).expect("a known scenario");
        fails_as_told(scenario, verdict, &run);
    }
    run.exits(100);
    assert_eq!(suite.suite.leftovers(), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real agents: run `make test-agents`"]
async fn a_live_check_finds_every_agent() {
    let scripts = Scripts::default().with(
        "check",
        "right",
        "summary = \"s\"\nexpect = { verdict = \"pass\" }\nstep = [{ say = \"ok\" }]",
    );
    let server = ModelServer::start(scripts).await.unwrap();
    let mut suite = RealSuite::of_the_repository("");
    for lane in LANES {
        suite.lane(lane, lane, &url(&server, "check", "right", "ok", lane), "");
    }
    let check = suite.host(&["check", "--live"]);
    println!("{}", check.stdout);
    check.exits(0);
    assert_eq!(check.stdout.matches("answered in ").count(), LANES.len(), "{}", check.told());
    assert!(!check.told().contains(KEY));
    server.stop().await;
}

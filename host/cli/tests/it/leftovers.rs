//! What an agent leaves behind does not outlive its attempt.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use host_model::{FaultClass, Verdict};
use rustix::process::Signal;

use host_testing::{Finished, Running, Suite, plain_module, probe, processes_with, wait_until};

/// A command whose session's agent leaves a process that has left session and process group, and files.
fn messy(seconds: &str) -> Suite {
    let suite = Suite::new();
    suite
        .file("messy.wasm", plain_module("", ""))
        .scenario("messy", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent(
            "messy",
            &format!(
                "[[step]]\nshell = \"setsid sleep {seconds} & setsid env -i sleep {seconds} & \
                 echo root > mess; echo tmp > $TMPDIR/mess; echo home > $HOME/mess; mkdir -m 000 locked\"\n"
            ),
        );
    suite
}

#[test]
fn a_process_that_left_its_session_is_dead_and_the_directories_are_gone() {
    let seconds = "1000.71625";
    let suite = messy(seconds);
    let finished = suite.host(["run", "messy.wasm"]);
    finished.exits(0).passes("messy");
    assert_eq!(processes_with(seconds), Vec::<PathBuf>::new());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn kept_directories_stay_and_are_named_but_no_process_does() {
    let seconds = "1000.71626";
    let suite = messy(seconds);
    let finished = suite.host(["run", "--keep", "messy.wasm"]);
    finished.exits(0).passes("messy");
    assert_eq!(processes_with(seconds), Vec::<PathBuf>::new());
    let records = finished.records();
    let kept = records[0].1.kept.as_deref().expect("the record names it");
    assert!(kept.starts_with(suite.tmp()), "{}", kept.display());
    assert!(finished.stdout.contains(&*kept.to_string_lossy()), "{}", finished.told());
    // Whoever removes them is not stopped by what the agent locked.
    std::fs::set_permissions(kept.join("root/locked"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let read = |name: &str| std::fs::read_to_string(Path::new(kept).join(name)).unwrap();
    assert_eq!([read("root/mess"), read("tmp/mess"), read("home/mess")], ["root\n", "tmp\n", "home\n"]);
}

#[test]
fn a_passing_attempt_without_a_session_leaves_nothing_even_in_the_run_directory() {
    let suite = Suite::new();
    suite.file("quiet.wasm", plain_module("", ""));
    let finished = suite.host(["run", "quiet.wasm"]);
    finished.exits(0).passes("quiet");
    assert_eq!(finished.records()[0].1.artifacts, None);
    assert_eq!(suite.leftovers(), [""; 0]);
}

/// The snapshots of fixtures in the run's temporary folder, by name.
fn snapshots(suite: &Suite) -> Vec<String> {
    let within = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let entries = within(suite.tmp()).flat_map(within).flat_map(within);
    let names = entries.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let mut snapshots: Vec<_> = names.filter(|name| name.starts_with('f')).collect();
    snapshots.sort();
    snapshots
}

/// Of three scenarios with fixtures one goes on until the run is ended by `end`.
fn ended_while_one_goes_on(end: &[Signal], seconds: &str) {
    let suite = Suite::new();
    for name in ["a", "b", "waits"] {
        suite.file(&format!("{name}.wasm"), plain_module("", ""));
        suite.file(&format!("scenarios/{name}/root/deep/file"), name);
        let session = if name == "waits" { "[session]\nprompt = \"go\"\n[grants]\nsession = true\n" } else { "" };
        suite.scenario(name, session);
    }
    suite.agent("waits", &format!("[[step]]\nshell = \"sleep {seconds}\"\n"));
    // The same scenario twice: its snapshot is needed until both are over.
    let running = suite.start(["run", "--repeat-each", "2", "a.wasm", "b.wasm", "waits.wasm"]);
    assert!(wait_until(|| processes_with(seconds).len() == 2), "the agents do not begin");
    assert!(wait_until(|| snapshots(&suite).len() == 1), "{:?}", snapshots(&suite));
    for signal in end {
        running.signal(*signal);
    }
    let finished = running.finish();
    if end != [Signal::KILL] {
        finished.exits(130).passes("a#1").passes("b#2");
        nothing_lives(&suite, seconds);
        return;
    }
    assert!(wait_until(|| processes_with(seconds).is_empty()), "an agent lives on");
    assert_eq!(snapshots(&suite).len(), 1);
    // The next run removes what is left.
    suite.host(["run", "a.wasm"]).exits(0);
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_fixture_s_snapshot_goes_with_the_last_trial_of_its_scenario() {
    ended_while_one_goes_on(&[Signal::INT], "1000.71641");
}

#[test]
fn snapshots_leave_nothing_when_the_run_is_ended_at_once_or_killed() {
    ended_while_one_goes_on(&[Signal::INT, Signal::INT], "1000.71642");
    ended_while_one_goes_on(&[Signal::KILL], "1000.71643");
}

#[test]
fn snapshots_of_directories_that_are_kept_stay() {
    let suite = Suite::new();
    suite.file("a.wasm", plain_module("", "")).file("scenarios/a/root/file", "a").scenario("a", "");
    suite.host(["run", "--keep", "a.wasm"]).exits(0).passes("a");
    assert_eq!(snapshots(&suite), ["f1"]);
}

/// A hostile scenario whose agent begins to work, which takes it `seconds`.
fn at_work(scenario: &str, seconds: &str, toml: &str) -> Suite {
    let suite = Suite::new();
    let toml = format!("{toml}\n[grants]\nsession = true\n");
    let steps =
        format!("[[step]]\nshell = \"setsid sleep {seconds} & touch begun\"\n[[step]]\nshell = \"sleep {seconds}\"\n");
    suite.scenario(scenario, &toml).agent(scenario, &steps);
    suite
}

fn run_hostile(suite: &Suite, scenario: &str) -> Finished {
    suite.host(["run", probe("probe-hostile").to_str().unwrap(), "--", scenario])
}

#[track_caller]
fn nothing_lives(suite: &Suite, seconds: &str) {
    assert_eq!(processes_with(seconds), Vec::<PathBuf>::new());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn an_agent_does_not_outlive_a_component_that_panics() {
    let suite = at_work("abandoned-session", "1000.71627", "");
    let finished = run_hostile(&suite, "abandoned-session");
    assert_eq!(finished.exits(110).fault("abandoned-session").class, FaultClass::Trap);
    nothing_lives(&suite, "1000.71627");
}

#[test]
fn an_agent_does_not_outlive_a_component_that_forgets_it() {
    let suite = at_work("forgotten-session", "1000.71628", "");
    run_hostile(&suite, "forgotten-session").exits(0);
    nothing_lives(&suite, "1000.71628");
}

#[test]
fn an_agent_does_not_outlive_the_deadline() {
    let suite = at_work("awaited-session", "1000.71629", "timeout = \"1s\"");
    let finished = run_hostile(&suite, "awaited-session");
    assert_eq!(finished.exits(110).fault("awaited-session").class, FaultClass::Timeout);
    nothing_lives(&suite, "1000.71629");
}

#[test]
fn sessions_are_bounded_and_none_of_them_is_left() {
    let suite = at_work("many-sessions", "1000.71630", "");
    let finished = run_hostile(&suite, "many-sessions");
    assert_eq!(finished.exits(110).fault("many-sessions").class, FaultClass::Limit);
    nothing_lives(&suite, "1000.71630");
}

/// Starts a run and waits until its agent is at work.
fn start_and_wait<'a>(suite: &'a Suite, seconds: &str) -> Running<'a> {
    let running = suite.start(["run", probe("probe-hostile").to_str().unwrap(), "--", "awaited-session"]);
    // The agent's own shell, and what it left behind.
    assert!(wait_until(|| processes_with(seconds).len() == 2), "the agent does not begin");
    running
}

#[test]
fn an_interruption_ends_the_agents_and_cancels_the_trial() {
    for (signal, seconds) in [(Signal::INT, "1000.71631"), (Signal::TERM, "1000.71632"), (Signal::QUIT, "1000.71634")] {
        let suite = at_work("awaited-session", seconds, "");
        let running = start_and_wait(&suite, seconds);
        running.signal(signal);
        let finished = running.finish();
        assert!(matches!(finished.exits(130).verdict("awaited-session"), Verdict::Cancelled { .. }));
        nothing_lives(&suite, seconds);
    }
}

#[test]
fn a_killed_host_takes_its_agents_with_it() {
    let seconds = "1000.71633";
    let suite = at_work("awaited-session", seconds, "");
    let running = start_and_wait(&suite, seconds);
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, None);
    assert!(wait_until(|| processes_with(seconds).is_empty()), "an agent lives on");
}

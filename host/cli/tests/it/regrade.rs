//! `host regrade`: the same verdicts without any agent, new ones from a corrected grader, and no verdict where the
//! record does not allow one.

mod no_processes;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use host_model::{EventKind, FaultClass, Report, RunSummary, Usage, Verdict};
use host_testing::{Finished, Suite, plain_module, plugin, probe, repository};
use no_processes::without_processes;

const PLUGINS: [&str; 5] = ["ensign-cycle", "gate", "merge-hook", "rejection-flow", "three-cycle-escalation"];
const SESSION: &str = "[session]\nprompt = \"go\"\n[grants]\nsession = true\n";

/// Regrades where no process can be started, git neither.
fn regrade<'a>(suite: &Suite, args: impl IntoIterator<Item = &'a str>) -> Finished {
    regrade_in(suite, &suite.path(""), args)
}

fn regrade_in<'a>(suite: &Suite, cwd: &Path, args: impl IntoIterator<Item = &'a str>) -> Finished {
    let mut command = suite.host_command(cwd, ["regrade"].into_iter().chain(args));
    command.env("PATH", "/nowhere");
    without_processes(&mut command);
    suite.start_command(command).finish()
}

fn summary(finished: &Finished) -> &RunSummary {
    let last = finished.events.last().map(|event| &event.kind);
    let Some(EventKind::RunFinished { summary }) = last else { panic!("the log has no end: {last:?}") };
    summary
}

fn sessions(finished: &Finished) -> Vec<String> {
    let mut told: Vec<String> = finished
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Session { trial, session, detail, .. } => Some(format!("{trial} {session} {detail:?}")),
            _ => None,
        })
        .collect();
    told.sort();
    told
}

/// The scenario `gate` of this repository, with the plugin in the suite.
fn gate() -> Suite {
    let suite = Suite::new();
    fs::create_dir(suite.path("scenarios")).unwrap();
    let to = suite.path("scenarios/gate");
    let copied = Command::new("cp").arg("-R").args([&repository().join("scenarios/gate"), &to]).status().unwrap();
    assert!(copied.success());
    let folder = fs::read_to_string(to.join("scenario.toml")).unwrap();
    suite.scenario("gate", &folder.replace("plugin = \"plugins/gate.wasm\"\n", ""));
    suite.file("gate.wasm", fs::read(plugin("gate")).unwrap());
    suite
}

/// A plain command `trial` with a session whose agent takes `steps`.
fn plain(steps: &str, module: &[u8]) -> Suite {
    let suite = Suite::new();
    suite.file("trial.wasm", module).scenario("trial", SESSION).agent("trial", steps);
    suite
}

/// The folder of the attempt of `plain`, in the latest run.
fn attempt(suite: &Suite) -> PathBuf {
    suite.path(".host/latest/scripted/trial/attempt-1").canonicalize().unwrap()
}

#[test]
fn the_scenarios_of_this_repository_get_the_same_verdicts_without_a_process() {
    let suite = Suite::new();
    let plugins = PLUGINS.map(|name| plugin(name).to_string_lossy().into_owned());
    let run = suite.host_in(&repository(), ["run"].into_iter().chain(plugins.iter().map(String::as_str)));
    run.exits(0);
    let latest = fs::read_link(suite.path(".host/latest")).unwrap();

    let regraded = regrade_in(&suite, &repository(), []);
    regraded.exits(0);
    for name in PLUGINS {
        assert_eq!(regraded.verdict(name), run.verdict(name));
        assert!(regraded.stdout.contains(&format!("same scripted/{name}: pass\n")), "{}", regraded.told());
    }
    assert!(regraded.stdout.contains("0 changed, 5 same\n"), "{}", regraded.told());
    assert!(!regraded.stdout.contains("plugin "), "{}", regraded.told());
    assert_eq!(sessions(&regraded), sessions(&run));
    // The agents alone took longer than a second.
    let (then, now) = (summary(&run).wall_ms, summary(&regraded).wall_ms);
    assert!(now < then / 2, "{now} ms of {then} ms");
    assert_eq!(summary(&regraded).usage, Usage::default(), "nothing was used");
    let EventKind::RunStarted { regrades, .. } = &regraded.events[0].kind else { panic!("no start") };
    let EventKind::RunStarted { run: id, .. } = &run.events[0].kind else { panic!("no start") };
    assert_eq!(regrades.as_ref(), Some(id));
    assert_eq!(fs::read_link(suite.path(".host/latest")).unwrap(), latest, "it is no latest run");

    // What was graded again can be graded again.
    let made = suite.last_run().unwrap();
    assert_ne!(made, suite.path(".host/latest").canonicalize().unwrap());
    let again = regrade_in(&suite, &repository(), [made.file_name().unwrap().to_str().unwrap(), "--quiet"]);
    again.exits(0);
    assert!(again.stdout.contains("5 same") && !again.stdout.contains("same scripted/"), "{}", again.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn the_check_for_processes_finds_one() {
    let suite = gate();
    let mut command = suite.host_command(&suite.path(""), ["run", "gate.wasm"]);
    without_processes(&mut command);
    let finished = suite.start_command(command).finish();
    finished.exits(96);
    assert!(finished.stderr.contains("cannot start `git`"), "{}", finished.told());
}

#[test]
fn another_grader_gives_its_verdict_on_what_was_recorded() {
    let suite = gate();
    suite.host(["run", "gate.wasm", "--agent", "wrong-status-done"]).exits(100);
    // Neither the agent nor the fixture of today counts.
    fs::remove_dir_all(suite.path("scenarios/gate/root")).unwrap();
    fs::remove_dir_all(suite.path("scenarios/gate/agents")).unwrap();
    let same = regrade(&suite, []);
    same.exits(100);
    assert_eq!(same.findings("gate")[0].code, "gate-not-held");
    assert!(same.stdout.contains("same scripted/gate: fail (gate-not-held)\n"), "{}", same.told());

    suite.file("gate.wasm", fs::read(probe("probe-mutant")).unwrap());
    let mutated = regrade(&suite, []);
    mutated.exits(0).passes("gate");
    assert!(mutated.stdout.contains("CHANGED scripted/gate: fail (gate-not-held) → pass\n"), "{}", mutated.told());
    assert!(mutated.stdout.contains("was gate-not-held: "), "{}", mutated.told());
    assert!(mutated.stdout.contains("plugin gate has changed: sha256:"), "{}", mutated.told());
    assert!(mutated.stdout.contains(": 1 changed, 0 same\nVerdicts now: 1 pass\n"), "{}", mutated.told());

    // The same with the plugin named, under a name of its own.
    let named = regrade(&suite, ["latest", plugin("gate").to_str().unwrap(), "--", "gat"]);
    named.exits(100);
    assert!(named.stdout.contains("1 same"), "{}", named.told());
    let elsewhere = regrade(&suite, [".host/latest/", probe("probe-mutant").to_str().unwrap()]);
    elsewhere.exits(0).passes("gate");
    assert!(elsewhere.stdout.contains("plugin probe-mutant was not part of the run"), "{}", elsewhere.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_regrade_replays_two_conversations() {
    let suite = Suite::new();
    suite.file("turns.wasm", fs::read(probe("probe-turns")).unwrap());
    suite.scenario("turns", "[grants]\nsession = true\n[fixture]\ngit = false\n");
    suite.file("scenarios/turns/root/fixture.txt", "as it was").file("scenarios/turns/config/settings", "{}");
    let steps = r#"
        [[step]]
        say = "one"
        [[step]]
        shell = "echo one > state; ln -s state link; ln -s /etc/passwd away; mkdir -p a/b; echo x > a/b/c; rm fixture.txt; date +%N > when"
        [[step]]
        usage = { input-tokens = 7 }
        [[step]]
        await-message = true
        [[step]]
        say = "two"
        [[step]]
        shell = "echo two > state; rm -r a; rm own.txt; date +%N >> when"
    "#;
    suite.agent("turns", steps);
    let run = suite.host(["run", "turns.wasm"]);
    run.exits(100);
    let seen = &run.findings("turns")[0].message;
    for line in [
        "before: /fixture.txt = Ok(\"as it was\")",
        "after the first turn: /state = Ok(\"one\\n\")",
        "after the first turn: /link -> Ok(\"state\")",
        "after the first turn: /away -> Err(",
        "after the first turn: /a/b/c = Ok(\"x\\n\")",
        "after the first turn: /own.txt = Ok(\"by the component\")",
        "after the first session: /between.txt = Ok(\"by the component\")",
        "after the first session: /state = Ok(\"two\\n\")",
        "after the second session: /state = Ok(\"one\\n\")",
    ] {
        assert!(seen.contains(line), "{line}\n{seen}");
    }
    let regraded = regrade(&suite, []);
    regraded.exits(100);
    assert_eq!(regraded.findings("turns"), run.findings("turns"));
    assert!(regraded.stdout.contains("1 same"), "{}", regraded.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_regrade_runs_plain_commands() {
    let suite = Suite::new();
    let command = fs::read(probe("probe-command")).unwrap();
    suite.file("talks.wasm", &command).file("lists.wasm", &command).file("module.wasm", plain_module("", ""));
    suite.scenario("talks", &format!("args = [\"session\"]\n{SESSION}"));
    suite.agent("talks", "[[step]]\nwrite = \"greeting.txt\"\ntext = \"hi\"\n[[step]]\nsay = \"done\"");
    suite.scenario("lists", "args = [\"list\", \"/host/before\"]\nexpect = { stdout = { contains = \"inside\" } }\n");
    suite.file("scenarios/lists/root/inside", "");
    let run = suite.host(["run", "talks.wasm", "lists.wasm", "module.wasm"]);
    run.exits(0);
    fs::remove_dir_all(suite.path("scenarios/lists/root")).unwrap();
    // Modules were adapted when they ran: the cache has them as components.
    let regraded = regrade(&suite, []);
    regraded.exits(0);
    assert!(regraded.stdout.contains("0 changed, 3 same\nVerdicts now: 3 pass\n"), "{}", regraded.told());

    // What is expected is of today.
    suite.scenario("lists", "args = [\"list\", \"/host/before\"]\nexpect = { stdout = { contains = \"nothing\" } }\n");
    let regraded = regrade(&suite, ["latest", "--", "lists"]);
    regraded.exits(100);
    assert!(regraded.stdout.contains("CHANGED scripted/lists: pass → fail (stdout)"), "{}", regraded.told());

    // Another prompt is another session.
    suite.scenario("talks", "args = [\"session\"]\n[session]\nprompt = \"stop\"\n[grants]\nsession = true\n");
    let regraded = regrade(&suite, ["latest", "--", "talks"]);
    regraded.exits(110);
    assert_eq!(regraded.fault("talks").class, FaultClass::Protocol);
    let told = "NO VERDICT scripted/talks: pass; now: the component starts the session with another prompt";
    assert!(regraded.stdout.contains(told), "{}", regraded.told());
    assert!(regraded.stdout.contains("it says `stop`, not `go`"), "{}", regraded.told());
    assert!(regraded.stdout.contains("0 changed, 0 same, 1 without a verdict\n"), "{}", regraded.told());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_session_that_broke_breaks_again_and_one_that_was_cut_short_is_left_alone() {
    let suite = Suite::new();
    suite.file("scenarios/suite.toml", "[defaults]\nidle-timeout = \"1s\"\n");
    suite.file("passes.wasm", plain_module("", ""));
    for (name, keys, steps) in [
        ("crash", "", "[[step]]\nsay = \"bye\"\n[[step]]\nfault = \"crash\""),
        ("refused", "", "[[step]]\nfault = \"unauthorized\""),
        ("stall", "", "[[step]]\nfault = \"stall\""),
        ("late", "timeout = \"500ms\"\nidle-timeout = \"1m\"\n", "[[step]]\nfault = \"stall\""),
    ] {
        suite.scenario(name, &format!("plugin = \"passes.wasm\"\n{keys}{SESSION}")).agent(name, steps);
    }
    let run = suite.host(["run", "passes.wasm"]);
    run.exits(110);
    let regraded = regrade(&suite, []);
    regraded.exits(110);
    for (name, class) in [("crash", FaultClass::Crash), ("refused", FaultClass::Launch), ("stall", FaultClass::Idle)] {
        assert_eq!(regraded.fault(name).class, class);
        assert_eq!(regraded.fault(name), run.fault(name));
    }
    assert_eq!(regraded.fault("late"), run.fault("late"));
    let stands =
        "stands scripted/late: fault (timeout); cannot be graded again: session 1 is incomplete: its record has no end";
    assert!(regraded.stdout.contains(stands), "{}", regraded.told());
    assert!(regraded.stdout.contains("0 changed, 3 same, 1 not graded again\n"), "{}", regraded.told());
    let noted = regraded.reports("late").into_iter().any(|report| matches!(report, Report::Note { text } if text.starts_with("not graded again: session 1 is incomplete: its record has no end")));
    assert!(noted, "{:?}", regraded.reports("late"));
}

#[test]
fn a_component_that_broke_down_over_a_concluded_session_can_be_corrected() {
    let suite = plain("[[step]]\nsay = \"done\"", &plain_module("unreachable", ""));
    assert_eq!(suite.host(["run", "trial.wasm"]).exits(110).fault("trial").class, FaultClass::Trap);
    suite.file("trial.wasm", plain_module("", ""));
    // A module that was never adapted must be, which takes a process.
    let unadapted = regrade(&suite, ["--no-cache"]);
    unadapted.exits(96);
    assert!(unadapted.stderr.contains("cannot start a process"), "{}", unadapted.told());
    let regraded = suite.host(["regrade"]);
    regraded.exits(0).passes("trial");
    assert!(regraded.stdout.contains("CHANGED scripted/trial: fault (trap) → pass\n"), "{}", regraded.told());
}

#[test]
fn trials_that_never_ran_are_left_out() {
    let suite = Suite::new();
    suite.file("scenarios/suite.toml", "canary = [\"bad\"]\n");
    suite.file("bad.wasm", plain_module("(call $proc_exit (i32.const 1))", ""));
    suite.file("good.wasm", plain_module("", ""));
    suite.host(["run", "bad.wasm", "good.wasm"]).exits(105);
    let regraded = regrade(&suite, []);
    regraded.exits(100);
    assert!(regraded.stdout.contains("left out scripted/good: blocked; it never started\n"), "{}", regraded.told());
    assert!(regraded.stdout.contains("0 changed, 1 same, 1 left out\n"), "{}", regraded.told());
    let nothing = regrade(&suite, ["latest", "--", "good"]);
    nothing.exits(4);
    assert!(nothing.stderr.contains("nothing to grade again"), "{}", nothing.told());
    // Whoever names plugins asks for the scenarios of these.
    suite.file("scenarios/suite.toml", "");
    let named = regrade(&suite, ["latest", "good.wasm"]);
    named.exits(4);
    assert!(!named.stderr.contains("scripted/bad"), "{}", named.told());
    fs::rename(suite.path("bad.wasm"), suite.path("worse.wasm")).unwrap();
    let gone = regrade(&suite, []);
    gone.exits(96);
    assert!(gone.stderr.contains("cannot find the run's plugins `bad.wasm`"), "{}", gone.told());
}

#[test]
fn a_truncated_root_is_not_graded() {
    let suite = plain("[[step]]\nshell = \"truncate -s 65M large\"", &plain_module("", ""));
    let run = suite.host(["run", "trial.wasm"]);
    run.exits(0);
    let cut = |report: &&Report| matches!(report, Report::Cut { what } if what.contains("`host regrade` cannot replay this attempt: root/large"));
    assert!(run.reports("trial").iter().any(cut), "{:?}", run.reports("trial"));
    let regraded = regrade(&suite, []);
    regraded.exits(0);
    let stands = "stands scripted/trial: pass; cannot be graded again: session 1 has no complete record of root and \
                  config dir: root/large";
    assert!(regraded.stdout.contains(stands), "{}", regraded.told());
}

#[test]
fn a_fixture_too_large_to_save_is_reported() {
    let suite = Suite::new();
    suite.file("trial.wasm", plain_module("", "")).file("scenarios/trial/root/large", "");
    fs::File::options().write(true).open(suite.path("scenarios/trial/root/large")).unwrap().set_len(65 << 20).unwrap();
    let run = suite.host(["run", "trial.wasm"]);
    run.exits(0);
    let cut = |report: &&Report| matches!(report, Report::Cut { what } if what.contains("its fixture: before/large"));
    assert!(run.reports("trial").iter().any(cut), "{:?}", run.reports("trial"));
    let regraded = regrade(&suite, []);
    regraded.exits(0);
    let stands = "stands scripted/trial: pass; cannot be graded again: its fixture was not saved: before/large";
    assert!(regraded.stdout.contains(stands), "{}", regraded.told());
}

#[test]
fn an_unreadable_run_is_an_error() {
    let suite = plain("[[step]]\nsay = \"done\"", &plain_module("", ""));
    let refused = |args: &[&str], words: &str| {
        let output = suite.host_command(&suite.path(""), [&["regrade"], args].concat()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(96), "{told}");
        assert!(told.starts_with("error: ") && told.contains(words), "{told}");
    };
    refused(&[], "run `host run` first");
    suite.host(["run", "trial.wasm"]).exits(0);
    refused(&["trial.wasm"], "name the run before the plugins (`host regrade latest trial.wasm`)");
    refused(&["20000101-000000-none"], "cannot find the run `20000101-000000-none`");
    refused(&["scenarios"], "check that its folder is a run directory");
    let log = suite.path(".host/latest/events.jsonl").canonicalize().unwrap();
    let whole = fs::read_to_string(&log).unwrap();
    let tampered = |text: &str, words: &str| {
        fs::write(&log, text).unwrap();
        refused(&[], words);
    };
    tampered("", "is empty");
    tampered("no json\n", "its first line is not `run-started`");
    tampered(&whole.replacen("\"schema\":1", "\"schema\":9", 1), "has schema 9, but this host reads schema 1");
    tampered(&whole.replacen("\"kind\":\"scripted\"", "\"kind\":\"psychic\"", 1), "has the unknown kind `psychic`");
    let lines: Vec<&str> = whole.lines().collect();
    tampered(&[lines[0], "{\"seq\":1}", lines[1], ""].join("\n"), "events.jsonl: line 2 is not an event");
    fs::remove_file(&log).unwrap();
    refused(&[], "check that its folder is a run directory");
    rustix::fs::mkfifoat(rustix::fs::CWD, &log, rustix::fs::Mode::RWXU).unwrap();
    refused(&[], "not a regular file");
    fs::remove_file(&log).unwrap();

    // A log without its end is that of a run that was killed: what has a verdict is graded.
    fs::write(&log, [&lines[..lines.len() - 1], &["{\"seq\":"]].concat().join("\n")).unwrap();
    let cut = regrade(&suite, []);
    cut.exits(0);
    assert!(cut.stdout.contains("its event log is incomplete: the run was killed"), "{}", cut.told());
    assert!(cut.stdout.contains("1 same"), "{}", cut.told());
    fs::write(&log, lines[..2].join("\n") + "\n").unwrap();
    let latest = fs::canonicalize(suite.path(".host/latest")).unwrap();
    let unfinished = regrade(&suite, [latest.to_str().unwrap()]);
    unfinished.exits(4);
    assert!(unfinished.stderr.contains("scripted/trial: no verdict; the run ended before"), "{}", unfinished.told());
    fs::write(&log, &whole).unwrap();

    let fixtures = suite.path(".host/latest/fixtures/fixtures.json").canonicalize().unwrap();
    fs::write(&fixtures, "{\"schema\":7,\"fixtures\":[]}").unwrap();
    refused(&[], "it was recorded with version 7");
    let away = r#"{"schema":1,"fixtures":[{"plugin":"trial","scenario":"trial","kept":{"file":"../../x","bytes":1}}]}"#;
    fs::write(&fixtures, away).unwrap();
    refused(&[], "`../../x` is not the name of a file next to it");
    fs::write(&fixtures, away.replace("../../x", "x")).unwrap();
    refused(&[], "cannot use the recorded fixture of `trial::trial`");
    fs::write(&fixtures, r#"{"schema":1,"fixtures":[]}"#).unwrap();
    let (folder, moved) = (attempt(&suite), suite.path("moved"));
    fs::rename(&folder, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &folder).unwrap();
    refused(&[], "attempt-1 is reached through a link");
    fs::remove_file(&folder).unwrap();
    fs::rename(&moved, &folder).unwrap();
    fs::remove_file(&fixtures).unwrap();
    refused(&[], "has no recording that could be graded again");
}

#[test]
fn a_third_party_run_directory_cannot_write_outside() {
    let suite = plain("[[step]]\nsay = \"done\"", &plain_module("", ""));
    suite.host(["run", "trial.wasm"]).exits(0);
    let outside = suite.path("outside");
    fs::create_dir(&outside).unwrap();
    // The tree that the session left is forged: a link out of the root, and a file through it.
    let mut forged = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o777);
    header.set_entry_type(tar::EntryType::Directory);
    forged.append_data(&mut header, "root", std::io::empty()).unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    forged.append_link(&mut header, "root/link", &outside).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(4);
    forged.append_data(&mut header, "root/link/evil", &b"evil"[..]).unwrap();
    let forged = forged.into_inner().unwrap();
    let folder = attempt(&suite);
    let replay = folder.join("session-1/replay.jsonl");
    let text = fs::read_to_string(&replay).unwrap();
    let sizes = |text: &str| -> Vec<String> {
        text.split("\"bytes\":").skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect()
    };
    let mut told = text.clone();
    for size in sizes(&text) {
        told = told.replace(&format!("\"bytes\":{size}"), &format!("\"bytes\":{}", forged.len()));
    }
    fs::write(&replay, told).unwrap();
    for tree in
        fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().extension().is_some_and(|it| it == "tar"))
    {
        fs::File::create(tree.path()).unwrap().write_all(&forged).unwrap();
    }
    let regraded = regrade(&suite, []);
    regraded.exits(110);
    assert_eq!(regraded.fault("trial").class, FaultClass::Internal);
    assert!(regraded.fault("trial").message.contains("cannot restore root and config dir"), "{}", regraded.told());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A tree of another size than the record says is none.
    fs::write(&replay, &text).unwrap();
    assert!(regrade(&suite, []).fault("trial").message.contains("that were written"));
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn reports_for_machines_have_the_run_and_people_the_comparison() {
    let suite = plain("[[step]]\nsay = \"done\"", &plain_module("", ""));
    suite.host(["run", "trial.wasm"]).exits(0);
    let regraded = regrade(&suite, ["--reporter", "jsonl,human,junit"]);
    regraded.exits(0);
    assert!(regraded.stdout.lines().all(|line| line.starts_with("{\"seq\":")), "{}", regraded.told());
    assert!(regraded.stdout.contains("\"regrades\":"), "{}", regraded.told());
    assert!(regraded.stderr.contains("1 same"), "{}", regraded.told());
    assert!(suite.last_run().unwrap().join("junit.xml").is_file());
    assert_eq!(*regraded.verdict("trial"), Verdict::Pass);
    let silent = regrade(&suite, ["--reporter", "silent"]);
    assert_eq!(silent.exits(0).stdout, "");
}

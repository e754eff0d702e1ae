//! What a run makes of outcomes: retries, expected failures, bounds on failures and repetitions, as files and flags ask
//! for them.

use host_model::{CountsAs, EventKind, FaultClass, PassRate, Verdict};

use host_testing::{Finished, Listed, Suite, host_binary, host_snapshot, plain_module, typed_module, write_program};

/// A suite with the plugins `passes.wasm` and `fails.wasm`, which exits with 3.
fn suite() -> Suite {
    let suite = Suite::new();
    suite.file("passes.wasm", plain_module("", ""));
    suite.file("fails.wasm", plain_module("(call $proc_exit (i32.const 3))", ""));
    suite
}

/// Gives the suite a scenario that passes when its agent takes these steps to the end.
fn with_agent(suite: &Suite, name: &str, toml: &str, steps: &str) {
    let toml = format!("plugin = \"passes.wasm\"\n{toml}\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
    suite.scenario(name, &toml).agent(name, &format!("{steps}\n[[step]]\nsay = \"done\"\n"));
}

/// Steps that kill the agent the first time, and do nothing from then on: what it knows of the first time is a
/// folder outside of the attempt, which the lane lets it write to.
fn dies_once(suite: &Suite, name: &str) -> String {
    let mark = suite.path(&format!("{name}-was-here"));
    format!("[[step]]\nshell = \"if mkdir {} 2>/dev/null; then kill -9 $PPID; sleep 60; fi\"\n", mark.display())
}

fn expected_to_fail(codes: &str, until: &str) -> String {
    format!("[[expect-fail]]\nfindings = {codes}\nowner = \"ada\"\nreason = \"known\"\nuntil = {until}\n")
}

/// How many attempts a trial took.
fn attempts(finished: &Finished, scenario: &str) -> u32 {
    let found = finished.events.iter().find_map(|event| match &event.kind {
        EventKind::TrialFinished { trial, attempts, .. } if trial.scenario.0 == scenario => Some(*attempts),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no verdict on {scenario}; {}", finished.told()))
}

fn words(finished: &Finished) -> Vec<&'static str> {
    let verdict = |kind: &EventKind| match kind {
        EventKind::TrialFinished { verdict, .. } => Some(verdict.word()),
        _ => None,
    };
    finished.events.iter().filter_map(|event| verdict(&event.kind)).collect()
}

#[test]
fn a_pass_after_a_fault_is_flaky() {
    for (flags, code, counts_as) in [(&[][..], 0, CountsAs::Pass), (&["--flaky-result=fail"][..], 100, CountsAs::Fail)]
    {
        let suite = suite();
        suite.file(
            "scenarios/suite.toml",
            "[defaults]\nretries = 1\nretry-delay = \"1ms\"\n[lane.scripted]\nallow-write = [\".\"]\n",
        );
        with_agent(&suite, "shaky", "", &dies_once(&suite, "shaky"));
        let finished = suite.host(["run"].iter().chain(flags).copied());
        let Verdict::Flaky { reason, counts_as: counted } = finished.exits(code).verdict("shaky") else {
            panic!("{}", finished.told())
        };
        assert!(reason.starts_with("attempt 1: crash ("), "{reason}");
        assert_eq!((*counted, attempts(&finished, "shaky")), (counts_as, 2));
        let scheduled = finished.events.iter().filter(|event| matches!(event.kind, EventKind::RetryScheduled { .. }));
        assert_eq!(scheduled.count(), 1);
        assert_eq!(suite.leftovers(), [""; 0]);
    }
}

#[test]
fn only_the_chosen_outcomes_are_retried() {
    let suite = suite();
    suite.file(
        "scenarios/suite.toml",
        "plugins = [\"fails.wasm\"]\n[defaults]\nretry-delay = \"0s\"\n[lane.scripted]\nallow-write = [\".\"]\n",
    );
    with_agent(&suite, "shaky", "", &dies_once(&suite, "shaky"));
    let once = suite.host(["run"]);
    assert_eq!(once.exits(100).fault("shaky").class, FaultClass::Crash, "nothing is tried again unless asked for");
    std::fs::remove_dir(suite.path("shaky-was-here")).unwrap();
    let finished = suite.host(["run", "--retries", "2", "--retry-on", "fail,idle"]);
    finished.exits(100);
    assert_eq!((attempts(&finished, "shaky"), attempts(&finished, "fails")), (1, 3));
}

#[test]
fn a_scenario_has_a_word_in_its_own_retries() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[defaults]\nretries = 1\nretry-on = [\"fail\"]\nretry-delay = \"0s\"\n");
    suite.scenario("often", "plugin = \"fails.wasm\"\nretries = 3\n");
    suite.scenario("seldom", "plugin = \"fails.wasm\"\n");
    suite.scenario("never", "plugin = \"fails.wasm\"\nretry-on = []\n");
    let finished = suite.host(["run"]);
    let made = ["often", "seldom", "never"].map(|name| attempts(finished.exits(100), name));
    assert_eq!(made, [4, 2, 1]);
    let finished = suite.host(["run", "--retries", "0"]);
    assert_eq!(["often", "seldom", "never"].map(|name| attempts(&finished, name)), [1, 1, 1]);
}

#[test]
fn a_failure_that_was_expected_is_none() {
    let suite = suite();
    suite.scenario("fails", &expected_to_fail("\"exit-code\"", "2999-12-31"));
    let finished = suite.host(["run", "fails.wasm"]);
    let Verdict::Xfail { findings, fault: None, expected } = finished.exits(0).verdict("fails") else {
        panic!("{}", finished.told())
    };
    assert_eq!((findings[0].code.as_str(), expected[0].owner.as_str()), ("exit-code", "ada"));
}

#[test]
fn a_fault_that_was_expected_is_no_failure() {
    let suite = suite();
    suite.file("traps.wasm", plain_module("unreachable", ""));
    let expected = |class: &str, until: &str| {
        format!("[[expect-fail]]\nclass = \"{class}\"\nowner = \"ada\"\nreason = \"known\"\nuntil = {until}\n")
    };
    suite.scenario("traps", &expected("trap", "2999-12-31"));
    let finished = suite.host(["run", "traps.wasm", "--retries=2", "--retry-on=trap", "--reporter=human,junit"]);
    let Verdict::Xfail { fault: Some(fault), expected: by, .. } = finished.exits(0).verdict("traps") else {
        panic!("{}", finished.told())
    };
    assert_eq!((fault.class, by[0].owner.as_str(), attempts(&finished, "traps")), (FaultClass::Trap, "ada", 1));
    let junit = std::fs::read_to_string(suite.path(".host/latest/junit.xml")).unwrap();
    assert!(
        junit.contains(r#"type="xfail""#) && junit.contains("expected failure: trap until 2999-12-31 (ada: known)")
    );
    suite.scenario("traps", &expected("limit", "2999-12-31"));
    assert_eq!(suite.host(["run", "traps.wasm"]).exits(110).fault("traps").class, FaultClass::Trap);
    suite.scenario("traps", &expected("trap", "2020-02-29"));
    let fault = suite.host(["run", "traps.wasm"]).exits(110).fault("traps").clone();
    assert!(fault.message.contains("it was expected until 2020-02-29 (ada: known), which has passed"), "{fault}");
    suite.scenario("passes", &expected("trap", "2999-12-31"));
    assert!(matches!(suite.host(["run", "passes.wasm"]).exits(0).verdict("passes"), Verdict::Xpass { .. }));
    suite.scenario("traps", &expected("launch", "2999-12-31"));
    host_snapshot!(suite.host(["run", "traps.wasm"]), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/traps/scenario.toml:2:9: a fault of class `launch` cannot be expected: it comes from the provider, the machine or the host, and says nothing about the scenario
      |
    2 | class = "launch"
      |         ^^^^^^^^
    "#);
}

#[test]
fn an_unexpected_pass_counts_as_configured() {
    let suite = suite();
    suite.scenario("passes", &expected_to_fail("[\"exit-code\"]", "2999-12-31"));
    let told = suite.host(["run", "passes.wasm"]);
    assert!(matches!(told.exits(0).verdict("passes"), Verdict::Xpass { .. }), "{}", told.told());
    suite.host(["run", "passes.wasm", "--xpass=fail"]).exits(100);
    suite.file("scenarios/suite.toml", "xpass = \"fail\"\n");
    suite.host(["run", "passes.wasm"]).exits(100);
    suite.host(["run", "passes.wasm", "--xpass", "pass"]).exits(0);
}

#[test]
fn an_expected_failure_that_expired_fails() {
    let suite = suite();
    suite.scenario("fails", &expected_to_fail("\"exit-code\"", "2020-02-29"));
    let finished = suite.host(["run", "fails.wasm"]);
    let Verdict::Fail { note, .. } = finished.exits(100).verdict("fails") else { panic!("{}", finished.told()) };
    assert_eq!(note.as_deref(), Some("it was expected until 2020-02-29 (ada: known), which has passed"));
}

#[test]
fn a_finding_that_was_not_expected_fails_with_all_of_them() {
    let suite = suite();
    let expect = "[expect]\nstdout = \"something\"\n";
    suite.scenario("fails", &format!("{}{expect}", expected_to_fail("\"exit-code\"", "2999-12-31")));
    let finished = suite.host(["run", "fails.wasm"]);
    let Verdict::Fail { findings, note } = finished.exits(100).verdict("fails") else { panic!("{}", finished.told()) };
    assert_eq!(findings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["exit-code", "stdout"]);
    assert_eq!(note.as_deref(), Some("not expected: `stdout`; expected: `exit-code`"));
}

#[test]
fn a_fault_is_never_masked_by_an_expected_failure() {
    let suite = suite();
    let expected = expected_to_fail("\"exit-code\"", "2999-12-31");
    with_agent(&suite, "breaks", &expected, "[[step]]\nfault = \"crash\"");
    assert_eq!(suite.host(["run"]).exits(110).fault("breaks").class, FaultClass::Crash);
}

#[test]
fn an_expected_failure_of_another_lane_does_not_apply() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[lane.here]\n[lane.there]\n");
    suite.scenario("fails", &format!("{}lane = \"there\"\n", expected_to_fail("\"exit-code\"", "2999-12-31")));
    let run = |lane| suite.host(["run", "fails.wasm", "--lane", lane]);
    run("there").exits(0);
    run("here").exits(100);
}

#[test]
fn a_lane_that_is_refused_repeatedly_is_broken() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "[lane.mine]\njobs = 1\nbreaker = 2\n");
    for name in ["a", "b", "c", "d", "e"] {
        with_agent(&suite, name, "", "[[step]]\nfault = \"unauthorized\"");
    }
    let finished = suite.host(["run"]);
    let mut ends = words(finished.exits(110));
    ends.sort_unstable();
    assert_eq!(ends, ["blocked", "blocked", "blocked", "fault", "fault"]);
    let broken = finished.events.iter().filter(|event| matches!(event.kind, EventKind::LaneBroken { .. }));
    assert_eq!(broken.count(), 1);
    suite.file("scenarios/suite.toml", "[lane.mine]\njobs = 1\nbreaker = 0\n");
    assert_eq!(words(suite.host(["run"]).exits(110)), ["fault"; 5], "0 is never");
}

#[test]
fn after_enough_failures_nothing_more_starts() {
    let suite = suite();
    for name in ["a", "b", "c"] {
        suite.scenario(name, "plugin = \"fails.wasm\"\n");
    }
    let run = |flags: &[&'static str]| suite.host(["run", "-j", "1"].iter().chain(flags).copied());
    for flags in [&["--max-fail", "1"][..], &["--fail-fast"]] {
        assert_eq!(words(run(flags).exits(100)), ["fail", "cancelled", "cancelled"], "{flags:?}");
    }
    suite.file("scenarios/suite.toml", "max-fail = 2\n[profile.all]\nfail-fast = false\n");
    assert_eq!(words(run(&[]).exits(100)), ["fail", "fail", "cancelled"]);
    assert_eq!(words(run(&["--no-fail-fast"]).exits(100)), ["fail"; 3]);
    assert_eq!(words(run(&["--profile", "all"]).exits(100)), ["fail"; 3]);
}

#[test]
fn repetitions_give_rates() {
    let suite = suite();
    let finished = suite.host(["run", "passes.wasm", "fails.wasm", "--repeat-each", "5"]);
    finished.exits(100).passes("passes#1").passes("passes#5");
    let rates: Vec<PassRate> = finished
        .events
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::RunFinished { summary } => Some(summary.rates.clone()),
            _ => None,
        })
        .unwrap();
    let shown: Vec<_> =
        rates.iter().map(|it| (it.id.scenario.0.as_str(), it.passed, it.judged, it.repetitions)).collect();
    assert_eq!(shown, [("fails", 0, 5, 5), ("passes", 5, 5, 5)]);
    let (low, high) = rates[1].interval.unwrap();
    assert!((0.56..0.57).contains(&low) && high == 1.0, "{low} {high}");
}

/// A bare repository in the suite's folder, whose configuration names programs, and programs with the names of the
/// system's own, for whoever has `.` in `PATH`.
#[test]
fn nothing_in_a_suite_runs_on_the_host() {
    let suite = suite();
    let ran = suite.path("ran");
    let trap = format!("touch {}; cat", ran.display());
    suite.file("scenarios/suite.toml", "plugins = [\"passes.wasm\"]\n");
    suite.scenario("passes", "[fixture]\ngit = true\n").file("scenarios/passes/root/file", "text");
    let config = format!(
        "[core]\nrepositoryformatversion = 0\nbare = false\nworktree = {}\nfsmonitor = {trap:?}\n[filter \"x\"]\nclean = {trap:?}\n",
        suite.path("scenarios").display()
    );
    for folder in ["scenarios", "scenarios/passes/root"] {
        for name in ["objects/info", "refs/heads"] {
            std::fs::create_dir_all(suite.path(folder).join(name)).unwrap();
        }
        suite.file(&format!("{folder}/HEAD"), "ref: refs/heads/main\n");
        suite.file(&format!("{folder}/config"), &config);
        suite.file(&format!("{folder}/.gitconfig"), &config);
        suite.file(&format!("{folder}/.gitattributes"), "* filter=x\n");
        for program in ["git", "sh"] {
            let path = suite.path(folder).join(program);
            std::fs::write(&path, format!("#!/bin/sh\n{trap}\n")).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    // An index, so that git has a file to compare.
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "core.fsmonitor=false", "-c", "filter.x.clean=cat"]).args(args);
        git.current_dir(suite.path("scenarios")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.env_remove("GIT_DIR").output().unwrap().status.success(), "{args:?}");
    };
    git(&["add", "suite.toml"]);
    suite.file("scenarios/suite.toml", "plugins = [\"passes.wasm\"]\n\n");
    let path = std::env::var("PATH").unwrap();
    for command in ["run", "check", "prove", "list"] {
        let mut host = suite.host_command(&suite.path("scenarios"), [command, "--suite", "suite.toml"]);
        host.env("PATH", format!(".::{path}:.")).env("GIT_DIR", suite.path("scenarios"));
        let finished = suite.start_command(host).finish();
        assert!(!finished.stderr.contains("git"), "{}", finished.told());
        assert!(!ran.exists(), "{command}");
        if command == "run" {
            let EventKind::RunStarted { revision, .. } = &finished.exits(0).events[0].kind else { panic!() };
            assert_eq!(*revision, None);
        }
    }
}

#[test]
fn the_first_event_names_suite_revision_and_files() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"passes.wasm\"]\n").scenario("passes", "tags = []\n");
    let first = |finished: &Finished| match &finished.events[0].kind {
        EventKind::RunStarted { suite, revision, trials, .. } => {
            (suite.clone().unwrap(), revision.clone(), trials[0].file.clone().unwrap())
        }
        other => panic!("{other:?}"),
    };
    let (info, revision, file) = first(suite.host(["run"]).exits(0));
    assert_eq!(
        (info.path.to_str(), file.to_str()),
        (Some("scenarios/suite.toml"), Some("scenarios/passes/scenario.toml"))
    );
    assert_eq!(revision, None, "there is no repository");
    let again = first(suite.host_in(&suite.path("scenarios"), ["run", "--suite", "suite.toml"]).exits(0));
    assert_eq!((again.0.path.to_str(), again.2.to_str()), (Some("suite.toml"), Some("passes/scenario.toml")));
    assert_eq!(again.0.digest, info.digest);

    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(args).current_dir(suite.path(""));
        assert!(git.env_remove("GIT_DIR").output().unwrap().status.success(), "{args:?}");
    };
    git(&["init", "--quiet"]);
    assert_eq!(first(&suite.host(["run"])).1, None, "there is no commit");
    git(&["add", "scenarios", "passes.wasm"]);
    git(&["commit", "--quiet", "--message", "one"]);
    let (_, revision, _) = first(&suite.host(["run"]));
    let revision = revision.unwrap();
    assert!(revision.commit.len() == 40 && revision.modified == Some(false), "{revision:?}");
    suite.scenario("passes", "tags = [\"x\"]\n");
    let (changed, after, _) = first(&suite.host(["run"]));
    assert!(after.as_ref().unwrap().modified == Some(true) && after.unwrap().commit == revision.commit);
    assert_ne!(changed.digest, info.digest);
}

/// A plugin of somebody else that lists the canary's name and fails it.
#[test]
fn the_canary_of_one_plugin_is_not_that_of_another() {
    let suite = Suite::new();
    let listed = |names: &[&'static str]| -> Vec<Listed<'static>> {
        names.iter().map(|name| Listed { name, ..Listed::default() }).collect()
    };
    suite.file("m-ours.wasm", typed_module(&listed(&["smoke", "work"]), "", "", ""));
    // It sorts before ours, and behind.
    for theirs in ["a-theirs.wasm", "z-theirs.wasm"] {
        suite.file(theirs, typed_module(&listed(&["smoke"]), "", "unreachable", ""));
        for (canary, toml) in [("smoke", ""), ("m-ours::smoke", ""), ("smoke", "plugin = \"m-ours.wasm\"\n")] {
            suite.file("scenarios/suite.toml", format!("plugins = [\"*.wasm\"]\ncanary = [\"{canary}\"]\n"));
            suite.scenario("smoke", toml);
            let finished = suite.host(["run"]);
            finished.exits(110).passes("work");
            finished.passes("m-ours::smoke");
            let checked = suite.host(["check"]);
            let is_ambiguous = checked.exits(0).stderr.contains("2 plugins contain the canary `smoke`");
            assert_eq!(is_ambiguous, canary == "smoke" && toml.is_empty(), "{}", checked.told());
        }
        std::fs::remove_file(suite.path(theirs)).unwrap();
    }
    // What the folder grants goes to both, unless it says to which.
    suite.file("z-theirs.wasm", typed_module(&listed(&["smoke"]), "", "", ""));
    for (tie, warned) in [("", true), ("plugin = \"m-ours.wasm\"\n", false)] {
        suite.scenario("smoke", &format!("{tie}[grants]\nlisten = [\"127.0.0.1:0\"]\n"));
        let checked = suite.host(["check"]);
        let told = "grants something to each of the 2 plugins that have a scenario `smoke`";
        assert_eq!(checked.exits(0).stderr.contains(told), warned, "{}", checked.told());
    }
    // Where theirs alone is meant, it guards.
    suite.file("z-theirs.wasm", typed_module(&listed(&["smoke"]), "", "unreachable", ""));
    suite.file("scenarios/suite.toml", "plugins = [\"*.wasm\"]\ncanary = [\"z-theirs::smoke\"]\n");
    suite.scenario("smoke", "");
    assert!(matches!(suite.host(["run"]).exits(110).verdict("work"), Verdict::Blocked { .. }));
}

/// Scenarios whose seeds make it impossible to give the agent its login.
#[test]
fn a_scenario_that_breaks_its_config_does_not_break_the_lane() {
    let suite = suite();
    write_program(&suite.path("agent.sh"), "#!/bin/sh\ncat \"$HOST_CONFIG_DIR/deep/login\"\n");
    suite.file("login", "known");
    suite.file(
        "scenarios/suite.toml",
        "lanes = [\"live\"]\njobs = 1\n[lane.live]\nkind = \"command\"\ncommand = \"./agent.sh\"\nbreaker = 3\n\
         env = { HOST_CONFIG_DIR = \"x\" }\ncredentials = [{ file = \"login\", to = \"deep/login\" }]\n",
    );
    let session = "plugin = \"passes.wasm\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n";
    for name in ["a", "b", "c", "d"] {
        suite.scenario(name, session).file(&format!("scenarios/{name}/config/deep"), "in the way");
    }
    suite.scenario("good", session).file("agent.sh", "#!/bin/sh\necho done\n");
    let finished = suite.host(["run"]);
    for name in ["a", "b", "c", "d"] {
        let fault = finished.exits(110).fault(name);
        assert_eq!(fault.class, FaultClass::Protocol, "{fault}");
        assert!(fault.message.contains("the file `deep` already exists"), "{fault}");
    }
    finished.passes("good");
}

#[test]
fn a_run_of_nothing_reports_itself_and_never_an_earlier_one() {
    let suite = suite();
    let latest = || std::fs::read_link(suite.path(".host/latest")).ok();
    suite.host(["run", "passes.wasm", "--reporter=junit"]).exits(0);
    let first = latest().unwrap();
    for action in ["pass", "warn"] {
        let summary = suite.path(&format!("summary-{action}"));
        let mut host = suite.host_command(
            &suite.path(""),
            ["run", "passes.wasm", "--reporter=junit,github,jsonl", "--no-tests", action, "--", "none-such"],
        );
        host.env("GITHUB_STEP_SUMMARY", &summary);
        let finished = suite.start_command(host).finish();
        assert_eq!(finished.exits(0).stderr.contains("warning: nothing to run"), action == "warn");
        let now = latest().unwrap();
        assert_ne!(now, first, "{}", finished.told());
        let junit = std::fs::read_to_string(suite.path(".host/latest/junit.xml")).unwrap();
        assert!(junit.contains("tests=\"0\"") && !junit.contains("<testcase"), "{junit}");
        assert!(std::fs::read_to_string(&summary).unwrap().contains("0 passed"), "{}", finished.told());
        assert!(finished.stdout.contains("\"event\":\"run-finished\""), "{}", finished.told());
    }
    // Where nothing began, nothing is the latest run.
    suite.host(["run", "passes.wasm"]).exits(0);
    suite.host(["run", "passes.wasm", "--", "none-such"]).exits(4);
    assert_eq!(latest(), None);
    host_snapshot!(suite.host(["regrade"]), @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: [SUITE]/.host has no latest run: the last `host run` did not begin
    help: name an earlier run (`host regrade [RUN]`)
    ");
    for (file, text) in
        [("scenarios/suite.toml", "nonsense"), ("scenarios/passes/scenario.toml", "max-memory = \"none\"")]
    {
        suite.host(["run", "passes.wasm"]).exits(0);
        assert!(latest().is_some());
        suite.file(file, text);
        suite.host(["run", "passes.wasm"]).exits(96);
        assert_eq!(latest(), None, "{file}");
        std::fs::remove_file(suite.path(file)).unwrap();
    }
}

/// Odd surroundings have a sentence and a code, and no panic.
#[test]
fn missing_folders_and_odd_names_are_reported() {
    use std::os::unix::ffi::OsStrExt;
    let suite = suite();
    let plugin = suite.path("passes.wasm").display().to_string();
    let refused = ["run", "list", "check", "prove", "regrade"].map(|command| {
        let gone = suite.path("gone");
        std::fs::create_dir(&gone).unwrap();
        // The shell removes the folder that it is in.
        let mut shell = suite.command("sh");
        let script = format!("rmdir ../gone && exec {} {command}", host_binary());
        shell.args(["-c", &script]).current_dir(&gone);
        suite.start_command(shell).finish().exits(96).shown_stderr()
    });
    host_snapshot!(refused.concat(), @"
    error: the current folder no longer exists: it was removed or moved
    help: change to a folder that exists (`cd`)
    error: the current folder no longer exists: it was removed or moved
    help: change to a folder that exists (`cd`)
    error: the current folder no longer exists: it was removed or moved
    help: change to a folder that exists (`cd`)
    error: the current folder no longer exists: it was removed or moved
    help: change to a folder that exists (`cd`)
    error: the current folder no longer exists: it was removed or moved
    help: change to a folder that exists (`cd`)
    ");
    let odd = suite.path("").join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    std::fs::create_dir_all(odd.join("scenarios")).unwrap();
    std::fs::write(odd.join("scenarios/suite.toml"), "").unwrap();
    for command in ["list", "check", "run"] {
        suite.start_command(suite.host_command(&odd, [command, &plugin])).finish().exits(0);
    }
    let mut host = suite.host_command(&odd, ["run", &plugin]);
    host.env_remove("HOST_OUTPUT");
    let finished = suite.start_command(host).finish();
    host_snapshot!(finished, @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: cannot use the folder for the runs, [SUITE]/odd-�/.host: its path is not UTF-8
    help: rename the folder, or choose another one with `--output DIR`
    ");
}

/// A suite of thousands is checked in lines that a person can read.
#[test]
fn a_check_of_thousands_of_scenarios_is_readable() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"passes.wasm\"]\n");
    for number in 0..2_000 {
        suite.scenario(&format!("scenario-{number:05}"), "plugin = \"passes.wasm\"\n");
    }
    let checked = suite.host(["check"]);
    assert!(checked.exits(0).stdout.contains("scenario-00019, … (2000 in all)"), "{}", checked.told());
    let longest = |text: &str| text.lines().map(str::len).max().unwrap_or(0);
    assert!(longest(&checked.stdout) < 1_000, "{}", checked.told());
    for number in 0..2_000 {
        suite.scenario(&format!("scenario-{number:05}"), "plugin = \"passes.wasm\"\nmax-memory = \"none\"\n");
    }
    let checked = suite.host(["check"]);
    assert!(checked.exits(96).stdout.contains("2000 errors"), "{}", checked.told());
    assert!(checked.stderr.contains("error: … and 1900 more, 2000 in all"), "{}", checked.told());
    assert!(checked.stderr.lines().count() < 1_000 && longest(&checked.stderr) < 1_000);
}

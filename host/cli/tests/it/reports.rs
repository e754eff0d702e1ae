//! What a run tells: what a person sees of it, what becomes of a report that cannot be written, and the schema that
//! event logs keep to.

use std::{
    fs::{self, OpenOptions},
    io::{Read, pipe},
    os::fd::FromRawFd,
    process::{Command, Output, Stdio},
    ptr::{null, null_mut},
};

use boon::{Compiler, Schemas};
use host_model::{Event, EventKind, Verdict};
use rustix::process::Signal;

use host_testing::{Finished, Suite, events_of, host_binary, plugin, probe, repository, wait_until};

/// A suite of plain commands: the canary `alpha`, which passes, and these.
fn suite(scenarios: &[(&str, &str)]) -> Suite {
    let suite = Suite::new();
    let plugin = probe("probe-command");
    let plugin = plugin.to_str().unwrap();
    suite.file("scenarios/suite.toml", format!("canary = [\"alpha\"]\nplugins = [{plugin:?}]\n"));
    for (name, toml) in [("alpha", "")].iter().chain(scenarios) {
        suite.scenario(name, &format!("plugin = {plugin:?}\n{toml}"));
    }
    suite
}

/// The `scenario.toml` of a command after a session.
const AFTER_A_SESSION: &str =
    "idle-timeout = \"2s\"\nbackoff-timeout = \"300ms\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n";

/// Takes out of snapshots what differs from run to run.
fn redacted() -> impl Drop {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{8}-\d{6}-[a-z]{4}", "RUN");
    settings.add_filter(r"\[ *[\dhms. ]+\]", "[    TIME]");
    settings.add_filter(r"(Summary .*) in [\dhms. ]+", "$1 in TIME");
    // Whether and how times are compared depends on the machine.
    settings.add_filter(r" +(one after another|fan-out of lane) .*\n", "");
    settings.bind_to_scope()
}

/// What a person sees.
fn seen(finished: &Finished) -> String {
    format!("{}{}exit {:?}", finished.stdout, finished.stderr, finished.code)
}

#[test]
fn a_person_sees_a_run_in_which_all_pass() {
    let suite = suite(&[("beta", ""), ("gamma", "args = [\"exit\", \"77\", \"no\", \"database\"]")]);
    let _redacted = redacted();
    insta::assert_snapshot!(seen(&suite.host(["run", "-j", "1"])), @r"
       Running 3 trials from 1 plugin in lane scripted, one at a time (run RUN)
        Canary scripted/alpha
          PASS [    TIME] scripted/alpha (canary)
          Open lane scripted: 2 trials start
         Start scripted/beta
          PASS [    TIME] scripted/beta
         Start scripted/gamma
          SKIP [    TIME] scripted/gamma: no database
    ────────────────────────────────────────────────
       Summary 2 passed, 1 skipped in TIME
               run directory .host/runs/RUN
    exit Some(0)
    ");
}

const DIFFERS: &str = "args = [\"show\"]\n[expect]\nexit-code = 5\nstderr = \"something else\\n\"\n";

#[test]
fn a_person_sees_one_failure_with_its_findings() {
    let suite = suite(&[("beta", ""), ("gamma", DIFFERS)]);
    let _redacted = redacted();
    insta::assert_snapshot!(seen(&suite.host(["run", "-j", "1"])), @"
       Running 3 trials from 1 plugin in lane scripted, one at a time (run RUN)
        Canary scripted/alpha
          PASS [    TIME] scripted/alpha (canary)
          Open lane scripted: 2 trials start
         Start scripted/beta
          PASS [    TIME] scripted/beta
         Start scripted/gamma
          FAIL [    TIME] scripted/gamma
               │ exit-code: the command exited with 0, not 5
               │     stderr: told on stderr
               │ stderr: stderr is not as expected
               │     from line 1:
               │     - something else
               │     + told on stderr
               artifacts: .host/runs/RUN/scripted/gamma/attempt-1
    ────────────────────────────────────────────────
          FAIL [    TIME] scripted/gamma
               │ exit-code: the command exited with 0, not 5
               │     stderr: told on stderr
               │ stderr: stderr is not as expected
               │     from line 1:
               │     - something else
               │     + told on stderr
               artifacts: .host/runs/RUN/scripted/gamma/attempt-1
    ────────────────────────────────────────────────
       Summary 2 passed, 1 failed in TIME
               run directory .host/runs/RUN
    exit Some(100)
    ");
    let quiet = suite.host(["run", "-j", "1", "--quiet"]);
    insta::assert_snapshot!(seen(&quiet), @"
          FAIL [    TIME] scripted/gamma
               │ exit-code: the command exited with 0, not 5
               │     stderr: told on stderr
               │ stderr: stderr is not as expected
               │     from line 1:
               │     - something else
               │     + told on stderr
               artifacts: .host/runs/RUN/scripted/gamma/attempt-1
    ────────────────────────────────────────────────
       Summary 2 passed, 1 failed in TIME
               run directory .host/runs/RUN
    exit Some(100)
    ");
    assert_eq!(quiet.stdout.matches("FAIL").count(), 1, "told once");
}

#[test]
fn a_person_sees_a_canary_that_failed() {
    let suite = suite(&[("beta", ""), ("gamma", "")]);
    let plugin = probe("probe-command");
    suite.scenario("alpha", &format!("plugin = {plugin:?}\nargs = [\"fail\", \"no database\"]"));
    let _redacted = redacted();
    insta::assert_snapshot!(seen(&suite.host(["run", "-j", "1"])), @r"
       Running 3 trials from 1 plugin in lane scripted, one at a time (run RUN)
        Canary scripted/alpha
          FAIL [    TIME] scripted/alpha (canary)
               │ exit-code: the command exited with 1, not 0
               │     stderr: no database
               artifacts: .host/runs/RUN/scripted/alpha/attempt-1
       BLOCKED            scripted/beta: canary alpha failed
       BLOCKED            scripted/gamma: canary alpha failed
    ────────────────────────────────────────────────
          FAIL [    TIME] scripted/alpha (canary)
               │ exit-code: the command exited with 1, not 0
               │     stderr: no database
               artifacts: .host/runs/RUN/scripted/alpha/attempt-1
    ────────────────────────────────────────────────
       Summary 0 passed, 1 failed, 2 blocked in TIME
               run directory .host/runs/RUN
    exit Some(105)
    ");
}

#[test]
fn a_person_sees_faults() {
    let names = ["crash", "login", "overload", "idle"];
    let suite = suite(&names.map(|name| (name, AFTER_A_SESSION)));
    suite.agent("crash", "[[step]]\nsay = \"I begin.\"\n[[step]]\nfault = \"crash\"\ntext = \"out of memory\"\n");
    suite.agent("login", "[[step]]\nfault = \"unauthorized\"\n");
    suite.agent("overload", "[[step]]\nfault = \"overloaded\"\n");
    suite.agent("stall", "[[step]]\nfault = \"stall\"\n");
    let _redacted = redacted();
    insta::assert_snapshot!(seen(&suite.host(["run", "-j", "1"])), @"
    error: the lane `scripted` plays the agent `right`, but the scenario `idle` has no agents; add the file `agents/right.toml` to its folder
    exit Some(96)
    ");
}

#[test]
fn a_person_sees_an_interruption() {
    let patient = AFTER_A_SESSION.replace("2s", "10m");
    let suite = suite(&[("beta", &patient), ("gamma", "")]);
    suite.agent("beta", "[[step]]\nsay = \"I begin.\"\n[[step]]\nsleep = \"10m\"\n");
    let running = suite.start(["run", "-j", "1"]);
    let begun = || {
        suite
            .last_run()
            .is_some_and(|run| fs::read_to_string(run.join("events.jsonl")).is_ok_and(|log| log.contains("I begin.")))
    };
    assert!(wait_until(begun));
    running.signal(Signal::USR1);
    let asked = || fs::read_to_string(suite.last_run().unwrap().join("events.jsonl")).unwrap().contains("\"status\"");
    assert!(wait_until(asked));
    running.signal(Signal::INT);
    let _redacted = redacted();
    insta::assert_snapshot!(seen(&running.finish()), @r"
       Running 3 trials from 1 plugin in lane scripted, one at a time (run RUN)
        Canary scripted/alpha
          PASS [    TIME] scripted/alpha (canary)
          Open lane scripted: 2 trials start
         Start scripted/beta
        Status [    TIME] 1 running, 1 waiting, 1 finished
               [    TIME] scripted/beta  says I begin.
     Interrupt SIGINT: no more trials start, and agents are asked to stop; a second signal kills them immediately
     CANCELLED            scripted/gamma: the run was interrupted by SIGINT
     CANCELLED [    TIME] scripted/beta: the run was interrupted
               artifacts: .host/runs/RUN/scripted/beta/attempt-1
    ────────────────────────────────────────────────
       Summary 1 passed, 2 cancelled in TIME
               interrupted by SIGINT
               run directory .host/runs/RUN
    exit Some(130)
    ");
}

#[test]
fn a_report_in_a_file_is_named_when_no_other_report_names_it() {
    let suite = suite(&[]);
    let told = |reporters: &str| {
        let finished = suite.host(["run", "--reporter", reporters]);
        finished.exits(0);
        finished.stderr
    };
    let junit = told("junit");
    assert!(junit.starts_with("report: .host/runs/") && junit.ends_with("/junit.xml\n"), "{junit}");
    assert!(suite.path(junit.trim().strip_prefix("report: ").unwrap()).is_file());
    let github = told("github");
    assert!(github.starts_with("report: .host/runs/") && !github.contains("junit"), "{github}");
    for others in ["human", "junit,human", "silent", "jsonl"] {
        assert_eq!(told(others), "", "{others}");
    }
}

/// `host run` with other places for its output.
fn host(suite: &Suite, args: &[&str], change: impl FnOnce(&mut Command)) -> Output {
    let mut command = suite.command(host_binary());
    command.arg("run").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    change(&mut command);
    command.spawn().unwrap().wait_with_output().unwrap()
}

/// The run went on to its end, in which `beta` has its verdict, and the broken report is told.
#[track_caller]
fn keeps_its_verdicts(suite: &Suite, output: &Output, broken: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(96), "{stderr}");
    assert!(stderr.contains(&format!("error: cannot write the report {broken}: ")), "{stderr}");
    let events = events_of(&suite.last_run().unwrap());
    let passed = |event: &Event| match &event.kind {
        EventKind::TrialFinished { trial, verdict, .. } => trial.scenario.0 == "beta" && *verdict == Verdict::Pass,
        _ => false,
    };
    assert!(events.iter().any(passed), "{events:#?}");
    assert!(matches!(events.last().unwrap().kind, EventKind::RunFinished { .. }));
}

#[test]
fn a_full_disk_below_the_event_stream_loses_no_verdict() {
    let suite = suite(&[("beta", "")]);
    let run = |reporters| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        host(&suite, &["--reporter", reporters], |command| {
            command.stdout(full);
        })
    };
    for (reporters, broken) in [("jsonl,human", "jsonl"), ("human", "human")] {
        keeps_its_verdicts(&suite, &run(reporters), broken);
    }
    // This report writes to stdout where there is something to annotate.
    suite.scenario("gamma", &format!("plugin = {:?}\nargs = [\"panic\", \"x\"]", probe("probe-command")));
    let output = run("github");
    assert_eq!(output.status.code(), Some(110), "of the two codes the higher one");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: cannot write the report github: No space left"), "{stderr}");
}

#[test]
fn a_closed_pipe_loses_no_verdict() {
    let suite = suite(&[("beta", "")]);
    for reporter in ["human", "jsonl"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = host(&suite, &["--reporter", reporter], |command| {
            command.stdout(writer);
        });
        keeps_its_verdicts(&suite, &output, reporter);
    }
}

#[test]
fn a_junit_report_that_cannot_be_put_in_place_loses_no_verdict() {
    let suite = suite(&[("beta", AFTER_A_SESSION)]);
    // Its agent reaches for the run directory, which no confined one can.
    let unconfined = format!(
        "{}[lane.scripted]\nconfinement = \"none\"\n",
        std::fs::read_to_string(suite.path("scenarios/suite.toml")).unwrap()
    );
    suite.file("scenarios/suite.toml", unconfined);
    let junit = suite.path(".host/latest/junit.xml");
    let shell = format!("mkdir '{0}'", junit.display());
    suite.agent("beta", &format!("[[step]]\nshell = \"{shell}\"\n"));
    let output = host(&suite, &["--reporter", "junit,human"], |_| ());
    keeps_its_verdicts(&suite, &output, "junit");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Summary 2 passed"));
}

#[test]
fn files_of_github_that_cannot_be_written_lose_no_verdict() {
    let suite = suite(&[("beta", "")]);
    fs::create_dir(suite.path("folder")).unwrap();
    for (bad, good) in [("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"), ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")] {
        let output = host(&suite, &["--reporter", "github"], |command| {
            command.env(bad, suite.path("folder")).env(good, suite.path(good));
        });
        keeps_its_verdicts(&suite, &output, "github");
        let written = fs::read_to_string(suite.path(good)).unwrap();
        assert!(written.contains("passed=2\n") || written.contains("## host: 2 passed\n"), "{written}");
    }
}

#[test]
fn a_full_disk_below_the_run_directory_loses_no_verdict() {
    // Enough of them for a report that does not fit.
    let names: Vec<String> = (0..20).map(|number| format!("one-of-many-{number}")).collect();
    let suite = suite(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    // Has the plugin compiled and cached.
    suite.host(["run"]).exits(0);
    // No file may grow beyond one block, of at most 1 KiB; without the signal, writing on is an error as on a full disk.
    let host = format!("trap '' XFSZ; ulimit -f 1; exec '{}' run --reporter human,junit", host_binary());
    let output = suite.command("sh").args(["-c", &host]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(96), "{stdout}{stderr}");
    for report in ["events.jsonl", "junit"] {
        assert!(stderr.contains(&format!("error: cannot write the report {report}: File too large")), "{stderr}");
    }
    assert!(stdout.contains("PASS") && stdout.contains("Summary 21 passed"), "{stdout}");
}

#[test]
fn event_logs_of_real_runs_and_the_examples_keep_to_the_schema() {
    let kept = fs::read_to_string(repository().join("docs/reference/events.schema.json")).unwrap();
    let printed = Suite::new().host(["schema"]);
    printed.exits(0);
    assert_eq!(printed.stdout, kept, "`host schema` prints the file of the documentation");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("events", serde_json::from_str(&kept).unwrap()).unwrap();
    let index = compiler.compile("events", &mut schemas).unwrap();
    let holds = |line: &str| {
        let event = serde_json::from_str(line).unwrap();
        if let Err(error) = schemas.validate(&event, index) {
            panic!("{error:#}: {event:#}");
        }
    };
    let holds_all = |suite: &Suite| {
        let log = fs::read_to_string(suite.last_run().unwrap().join("events.jsonl")).unwrap();
        log.lines().for_each(holds);
    };

    let faults = suite(&[("stall", AFTER_A_SESSION), ("beta", DIFFERS), ("garbage", AFTER_A_SESSION)]);
    faults.agent("stall", "[[step]]\nfault = \"stall\"\n");
    faults.agent("garbage", "[[step]]\nfault = \"garbage\"\n[[step]]\nback-off = \"busy\"\n[[step]]\nshell = \"ls\"\n");
    faults.host(["run"]);
    holds_all(&faults);
    let typed = Suite::new();
    typed.host_in(&repository(), ["run", plugin("gate").to_str().unwrap(), "--no-canary"]).exits(0);
    holds_all(&typed);

    let page = fs::read_to_string(repository().join("docs/reference/events.md")).unwrap();
    page.lines().filter(|line| line.starts_with("{\"seq\"")).for_each(holds);
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn an_unwritable_stderr_changes_no_exit_code() {
    let suite = suite(&[("beta", "")]);
    let ends = |args: &[&str], stderr: Stdio| {
        let mut command = suite.command(host_binary());
        let status = command.args(args).stdout(Stdio::null()).stderr(stderr).status().unwrap();
        status.code().unwrap()
    };
    for (args, code) in [
        (&["run", "--no-such-flag"][..], 2),
        (&["run", "--suite", "nowhere.toml"], 96),
        (&["run", "--no-canary", "--", "no-such-scenario"], 4),
        (&["run", "--no-canary", "--no-tests", "warn", "--", "no-such-scenario"], 0),
        (&["list", "--", "no-such-scenario"], 0),
        (&["prove", "--", "no-such-scenario"], 4),
        (&["run", "--jobs", "100000", "--reporter", "junit", "--keep", "--audit"], 0),
    ] {
        for stderr in [full_disk(), closed_pipe()] {
            assert_eq!(ends(args, stderr), code, "{args:?}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_unless_its_reader_has_gone() {
    let suite = suite(&[("beta", "")]);
    let run = |args: &[&str], stdout: Stdio| {
        let mut command = suite.command(host_binary());
        command.args(args).stdout(stdout).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let plugin = probe("probe-command");
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["list"],
        &["list", "--format", "json"],
        &["inspect", plugin.to_str().unwrap()],
        &["check"],
        &["check", "--format", "json"],
        &["run", "--show-config"],
        &["schema"],
    ] {
        let (code, stderr) = run(args, full_disk());
        assert_eq!(code, 96, "{args:?}: {stderr}");
        assert!(stderr.contains("error: cannot write to stdout: No space left on device"), "{args:?}: {stderr}");
        let (code, stderr) = run(args, closed_pipe());
        assert_eq!((code, stderr.contains("error")), (0, false), "{args:?}: {stderr}");
    }
    let mut closed = suite.command("sh");
    closed.args(["-c", "exec \"$0\" list >&-", host_binary()]);
    let output = closed.output().unwrap();
    assert_eq!(output.status.code(), Some(96));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: cannot write to stdout: it is closed\n");
}

/// What `host run` writes to a terminal.
fn on_a_terminal(suite: &Suite, variables: &[(&str, &str)]) -> String {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: the two descriptors are new and owned by nobody else.
    let (mut master, slave) = unsafe {
        assert_eq!(libc::openpty(&raw mut master, &raw mut slave, null_mut(), null(), null()), 0);
        (fs::File::from_raw_fd(master), fs::File::from_raw_fd(slave))
    };
    let mut command = suite.command(host_binary());
    command.arg("run").envs(variables.iter().copied()).stdout(slave).stderr(Stdio::null());
    let mut host = command.spawn().unwrap();
    drop(command);
    let mut seen = Vec::new();
    // The end is an error, once nobody has the terminal open any more.
    let _ = master.read_to_end(&mut seen);
    assert!(host.wait().unwrap().success());
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_terminal_gets_what_it_can_show() {
    let suite = suite(&[("beta", "")]);
    for variables in [&[("TERM", "dumb")][..], &[], &[("TERM", "")]] {
        let seen = on_a_terminal(&suite, variables);
        assert!(seen.contains("Start scripted/beta") && !seen.contains('\u{1b}'), "{variables:?}: {seen}");
    }
    let seen = on_a_terminal(&suite, &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]);
    assert!(seen.contains("Start\u{1b}[0m scripted/beta"), "{seen:?}");
    let seen = on_a_terminal(&suite, &[("TERM", "xterm")]);
    assert!(seen.contains("\u{1b}[32m") && !seen.contains("Start"), "{seen:?}");
    let seen = on_a_terminal(&suite, &[("TERM", "xterm"), ("NO_COLOR", "1")]);
    assert!(!seen.contains("\u{1b}[32m"), "{seen:?}");
}

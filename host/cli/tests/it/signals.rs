//! Signals at odd moments.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use host_model::{FaultClass, Verdict};

use rustix::process::{Pid, Signal, kill_process};

use host_testing::{Suite, host_binary, plain_module, wait_until, write_program};

#[test]
fn a_bound_on_the_size_of_files_loses_no_verdict() {
    let suite = Suite::new();
    suite.file("plain.wasm", plain_module("", ""));
    let mut command = suite.command("sh");
    // Blocks of 512 bytes. What is compiled is not kept, since it would not fit either.
    command.args(["-c", "ulimit -f 1; exec \"$0\" run plain.wasm --no-cache --repeat-each 9"]);
    command.arg(host_binary());
    let output = command.output().unwrap();
    let (told, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(96), "{told}{errors}");
    assert!(told.contains("Summary 9 passed"), "{told}");
    assert!(errors.contains("cannot write the report events.jsonl: File too large"), "{errors}");
    let log = std::fs::read_to_string(suite.last_run().unwrap().join("events.jsonl")).unwrap();
    assert!(log.is_empty() || log.ends_with('\n'), "{log}");
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let suite = Suite::new();
    let (begun, go) = (suite.path("begun"), suite.path("go"));
    let waits = format!("touch {}; until [ -e {} ]; do sleep 0.02; done", begun.display(), go.display());
    suite.file("waits.wasm", plain_module("", "")).agent("waits", &format!("[[step]]\nshell = \"{waits}\"\n"));
    suite.scenario("waits", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
    // Its agent waits for a file outside of its attempt.
    suite.file("scenarios/suite.toml", "[lane.scripted]\nconfinement = \"none\"\n");
    let mut command = suite.command("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" run waits.wasm", host_binary()]);
    let host = suite.start_command(command);
    assert!(wait_until(|| begun.exists()));
    host.signal(Signal::HUP);
    fs::write(go, "").unwrap();
    host.finish().exits(0).passes("waits");
}

#[test]
fn a_question_before_anything_runs_ends_nothing() {
    let suite = Suite::new();
    suite.file("plain.wasm", plain_module("", ""));
    // stdout is full, so that the command is under way until it is read.
    let (mut stdout, mut full) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&full).unwrap();
    full.write_all(&vec![b'x'; room]).unwrap();
    let mut command = suite.host_command(&suite.path(""), ["list", "plain.wasm"]);
    let mut host = command.stdout(full).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let status = format!("/proc/{}/status", host.id());
    let usr1 = 1_u64 << (Signal::USR1.as_raw() - 1);
    let is_caught = || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & usr1 != 0)
    };
    assert!(wait_until(is_caught), "SIGUSR1 would kill it");
    kill_process(Pid::from_child(&host), Signal::USR1).unwrap();
    let mut told = String::new();
    stdout.read_to_string(&mut told).unwrap();
    assert!(told.ends_with('\n') && host.wait().unwrap().success(), "{told}");
}

/// A suite with a scenario `talk`, whose agent is a shell script.
fn suite_with_agent(script: &str, limits: &str) -> Suite {
    let suite = Suite::new();
    suite.file("talk.wasm", plain_module("", ""));
    write_program(&suite.path("agent"), &format!("#!/bin/sh\n{script}\n"));
    // The agent touches files outside of its attempt.
    let lane = "[lane.a]\nkind = \"command\"\ncommand = \"./agent\"\npath = [\"/usr/bin\"]\nconfinement = \"none\"\n";
    suite.file("scenarios/suite.toml", format!("plugins = [\"talk.wasm\"]\nlanes = [\"a\"]\n{lane}"));
    suite.scenario("talk", &format!("{limits}\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n"));
    suite
}

/// How many files in a folder there are whose names begin like this.
fn count(folder: &Path, name: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(name)).count()
}

/// The states of all processes of a suite; none unless there are `least` or more.
fn states(suite: &Suite, least: usize) -> BTreeSet<char> {
    let state = |process: &String| {
        let stat = fs::read_to_string(Path::new(process.split(' ').nth(1)?).join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    let states: Vec<char> = suite.living().iter().filter_map(state).collect();
    if states.len() < least { BTreeSet::new() } else { states.into_iter().collect() }
}

#[test]
fn time_while_the_host_is_suspended_does_not_count() {
    let marks = tempfile::tempdir().unwrap();
    let mark = |name: &str| format!("touch {}/{name}-$$", marks.path().display());
    let (begun, done) = (mark("begun"), mark("done"));
    let ticks = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo tick; sleep 0.5; done";
    let suite = suite_with_agent(&format!("{begun}; {ticks}; {done}"), "idle-timeout = \"3s\"\ntimeout = \"6s\"");
    let host = suite.start(["run", "--repeat-each", "3"]);
    assert!(wait_until(|| count(marks.path(), "begun") == 3));
    host.signal(Signal::STOP);
    // Its agents go on for longer than both limits, and end well.
    assert!(wait_until(|| count(marks.path(), "done") == 3));
    host.signal(Signal::CONT);
    let finished = host.finish();
    finished.exits(0);
    for number in 1..=3 {
        finished.passes(&format!("talk#{number}"));
    }
}

#[test]
fn the_record_of_a_session_agrees_with_the_verdict() {
    let suite = suite_with_agent("echo tick; sleep 1000", "idle-timeout = \"1s\"");
    let finished = suite.host(["run"]);
    assert_eq!(finished.fault("talk").class, FaultClass::Idle);
    let record = suite.last_run().unwrap().join("a/talk/attempt-1/session-1/session.json");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    assert_eq!((&record["state"], &record["fault"]["class"]), (&"fault".into(), &"idle".into()), "{record}");
}

/// Its agents wait for a file.
fn suite_that_waits(folder: &Path) -> Suite {
    let folder = folder.display();
    suite_with_agent(&format!("sleep 1017 & touch {folder}/begun; until [ -e {folder}/go ]; do sleep 0.1; done"), "")
}

#[test]
fn a_stopped_host_stops_its_agents_and_continues_them() {
    let marks = tempfile::tempdir().unwrap();
    let suite = suite_that_waits(marks.path());
    let mut command = suite.host_command(&suite.path(""), ["run"]);
    command.process_group(0);
    let host = suite.start_command(command);
    assert!(wait_until(|| marks.path().join("begun").exists()));
    host.signal(Signal::TSTP);
    // Host, supervisor, agent, and what it has started; one of those may have just ended.
    let stopped = || {
        let states = states(&suite, 4);
        states.contains(&'T') && states.into_iter().all(|state| "TZ".contains(state))
    };
    assert!(wait_until(stopped), "{:?}", states(&suite, 4));
    fs::write(marks.path().join("go"), "").unwrap();
    host.signal(Signal::CONT);
    host.finish().exits(0).passes("talk");
    assert_eq!(suite.living(), Vec::<String>::new());
}

#[test]
fn an_orphaned_host_ignores_the_stop_signal() {
    let marks = tempfile::tempdir().unwrap();
    let suite = suite_that_waits(marks.path());
    let mut command = suite.command("setsid");
    command.arg(host_binary()).arg("run");
    let host = suite.start_command(command);
    assert!(wait_until(|| marks.path().join("begun").exists()));
    host.signal(Signal::TSTP);
    fs::write(marks.path().join("go"), "").unwrap();
    host.finish().exits(0).passes("talk");
}

#[test]
fn a_reader_that_does_not_read_changes_no_verdict_and_gets_everything() {
    // More than fits into the pipe and into memory; then silence within the limit.
    let script = "i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i+1)); done
        for i in 1 2 3 4 5 6; do echo tick; sleep 0.5; done";
    let suite = suite_with_agent(script, "idle-timeout = \"2s\"");
    let (mut stdout, full) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&full, 4096).unwrap();
    let mut command = suite.host_command(&suite.path(""), ["run", "--repeat-each", "3", "--reporter", "jsonl"]);
    let mut host = command.stdout(full).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let log = || suite.last_run().and_then(|run| fs::read_to_string(run.join("events.jsonl")).ok()).unwrap_or_default();
    assert!(wait_until(|| log().contains("\"run-finished\"")), "the run waits for its reader");
    let mut told = String::new();
    stdout.read_to_string(&mut told).unwrap();
    assert_eq!(host.wait().unwrap().code(), Some(0));
    assert!(told == log(), "{} of {} lines", told.lines().count(), log().lines().count());
    let events = host_testing::events_of(&suite.last_run().unwrap());
    let passed = events
        .iter()
        .filter(|event| matches!(&event.kind, host_model::EventKind::TrialFinished { verdict: Verdict::Pass, .. }));
    assert_eq!(passed.count(), 3);
}

/// A suite that has `host` start every kind of process: one that adapts a core module, git, and an agent that starts others.
fn suite_of_processes() -> Suite {
    let suite = Suite::new();
    suite.file("work.wasm", plain_module("", "")).file("scenarios/work/root/file", "x");
    suite.file("scenarios/suite.toml", "plugins = [\"work.wasm\"]\n");
    let toml = "[session]\nprompt = \"go\"\n[grants]\nsession = true\n[fixture]\ngit = true\n";
    suite.scenario("work", toml).agent("work", "[[step]]\nshell = \"sh -c 'exit 0' && git log -1 && echo $(true)\"\n");
    suite
}

/// `host` with these arguments, which inherits signals that are ignored, and others that are blocked.
fn inheriting(suite: &Suite, args: &[&str], ignored: &'static [libc::c_int], block_all: bool) -> Command {
    let mut command = suite.host_command(&suite.path(""), args.iter().copied());
    // SAFETY: plain system calls, on a set that lives here.
    unsafe {
        command.pre_exec(move || {
            for signal in ignored {
                libc::signal(*signal, libc::SIG_IGN);
            }
            let mut blocked = std::mem::zeroed();
            let _ = if block_all { libc::sigfillset(&raw mut blocked) } else { libc::sigemptyset(&raw mut blocked) };
            match libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut()) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    command
}

#[test]
fn ignored_signals_are_not_inherited() {
    let suite = suite_of_processes();
    for ignored in [
        &[libc::SIGCHLD][..],
        &[libc::SIGPIPE],
        &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT],
        &[libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGXCPU, libc::SIGXFSZ, libc::SIGCONT],
    ] {
        for args in [&["check", "--no-cache"][..], &["list", "--no-cache"], &["run", "--no-cache"]] {
            suite.start_command(inheriting(&suite, args, ignored, false)).finish().exits(0);
        }
        let log = suite.last_run().unwrap().join("scripted/work/attempt-1/session-1/events.jsonl");
        assert!(fs::read_to_string(log).unwrap().contains("\"is-error\":false"), "{ignored:?}");
    }
    // The hidden mode that adapts, too.
    let adapted = fs::File::create(suite.path("adapted.wasm")).unwrap();
    let mut adapt = inheriting(&suite, &["adapt", "--command"], &[libc::SIGCHLD], true);
    adapt.stdin(fs::File::open(suite.path("work.wasm")).unwrap()).stdout(adapted);
    assert!(adapt.status().unwrap().success());
}

#[test]
fn blocked_and_ignored_signals_still_end_a_run() {
    let suite = suite_of_processes();
    suite.agent("work", "[[step]]\nshell = \"touch begun; sleep 600\"\n");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 130)] {
        let host = suite.start_command(inheriting(&suite, &["run"], &[libc::SIGINT, libc::SIGTERM], true));
        assert!(wait_until(|| suite.living().iter().any(|process| process.contains("sleep 600"))));
        host.signal(signal);
        host.finish().exits(code);
        assert_eq!(suite.leftovers(), [""; 0]);
    }
}

#[test]
fn closed_standard_streams_do_no_harm() {
    let suite = suite_of_processes();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let mut shell = suite.command("sh");
        shell.args(["-c", &format!("exec \"$0\" run {closed}"), host_binary()]);
        suite.start_command(shell).finish().exits(0).passes("work");
    }
    let mut shell = suite.command("sh");
    shell.args(["-c", "exec \"$0\" run --reporter jsonl >&-", host_binary()]);
    let finished = suite.start_command(shell).finish();
    finished.exits(96).passes("work");
    assert!(finished.stderr.contains("cannot write the report jsonl: stdout is closed"), "{}", finished.told());
}

/// A process that has nothing to do with any host.
struct Stranger(std::process::Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("setsid").args(["sleep", "1000.95"]).spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills the supervisor of the agent whose shell this is: up from the shell by the numbers of `/proc`; the number of the
/// supervisor for system calls is its last one.
const KILL_SUPERVISOR: &str = "p=self; \
    while :; do \
      p=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$p/status); \
      tr '\\0' ' ' </proc/$p/cmdline | grep -q '^host supervise' && break; \
    done; \
    kill -9 $(sed -n 's/^NSpid:.*[[:space:]]//p' /proc/$p/status); sleep 100";

/// In a new PID namespace, but with the `/proc` of the old one, the numbers there are strangers' to system calls.
#[test]
fn a_proc_of_another_namespace_is_understood() {
    if !host_testing::kernel::runs("unshare --pid --fork true") {
        return;
    }
    let suite = suite_of_processes();
    let lane = "[defaults]\nretries = 0\n[lane.scripted]\nconfinement = \"none\"\n";
    suite.file("scenarios/suite.toml", format!("plugins = [\"work.wasm\"]\n{lane}"));
    suite.file("kill.sh", KILL_SUPERVISOR);
    let kill = suite.path("kill.sh").display().to_string();
    let host = host_binary();
    // As the first process of its namespace, and as a later one.
    for start in [&["--fork", host][..], &["--fork", "sh", "-c", "sleep 0; \"$@\"; exit $?", "sh", host]] {
        let mut stranger = Stranger::start();
        let run = |steps: &str| {
            suite.agent("work", steps);
            let mut command = suite.command("unshare");
            command.arg("--pid").args(start).arg("run");
            suite.start_command(command).finish()
        };
        let ends = run("[[step]]\nshell = \"(setsid sleep 1000.96 &); (setsid env -i sleep 1000.96 &)\"\n");
        ends.exits(0).passes("work");
        assert!(host_testing::processes_with("1000.96").is_empty(), "{}", ends.told());
        let broken = run(&format!("[[step]]\nshell = \"(setsid sleep 1000.97 &)\"\n[[step]]\nshell = \"sh {kill}\"\n"));
        let fault = broken.fault("work");
        assert_eq!(fault.class, FaultClass::Crash, "{fault}");
        assert!(fault.message.contains("its supervisor was killed"), "{fault}");
        assert!(host_testing::processes_with("1000.97").is_empty(), "{}", broken.told());
        assert!(stranger.lives());
    }
}

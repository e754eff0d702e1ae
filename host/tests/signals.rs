//! Signals at odd moments.

use std::{
    fs,
    io::{Read, Write},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Suite, plain_module, wait_until};

mod support;

#[test]
fn a_bound_on_the_size_of_files_loses_no_verdict() {
    let suite = Suite::new();
    suite.file("plain.wasm", plain_module("", ""));
    let mut command = suite.command("sh");
    // Blocks of 512 bytes. What is compiled is not kept, since it would not fit either.
    command.args(["-c", "ulimit -f 1; exec \"$0\" run plain.wasm --no-cache --repeat-each 9"]);
    command.arg(env!("CARGO_BIN_EXE_host"));
    let output = command.output().unwrap();
    let (told, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(96), "{told}{errors}");
    assert!(told.contains("Summary 9 passed"), "{told}");
    assert!(errors.contains("the report events.jsonl could not be written: File too large"), "{errors}");
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let suite = Suite::new();
    let (begun, go) = (suite.path("begun"), suite.path("go"));
    let waits = format!("touch {}; until [ -e {} ]; do sleep 0.02; done", begun.display(), go.display());
    suite.file("waits.wasm", plain_module("", "")).agent("waits", &format!("[[step]]\nshell = \"{waits}\"\n"));
    suite.scenario("waits", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
    // Its agent waits for a file outside of its attempt.
    suite.file("scenarios/suite.toml", "[lane.scripted]\nconfine = \"none\"\n");
    let mut command = suite.command("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" run waits.wasm", env!("CARGO_BIN_EXE_host")]);
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

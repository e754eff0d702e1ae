//! What an agent cannot change of the run it is part of, and what is told where the kernel would let it.

use std::{io, os::unix::process::CommandExt, process::Command};

use host_model::{EventKind, Report, SessionEventKind};

use host_testing::{Suite, kernel, plain_module, target_tmp};

#[test]
fn an_agent_cannot_tamper_with_the_run_its_fixtures_or_the_cache() {
    if kernel::lacks(kernel::FILES) {
        return;
    }
    let suite = Suite::new();
    let cache = target_tmp().join("compiled");
    let (runs, sources) = (suite.path(".host"), suite.path("scenarios"));
    let commands = [
        // Where the fixture's snapshot is, from which the next attempt starts, and what the component sees of the session.
        "ls $HOME/../../..".to_owned(),
        "ls $HOME/../..".to_owned(),
        "mv $HOME/../root $HOME/../other".to_owned(),
        "mkdir $HOME/../session-2".to_owned(),
        format!("touch {}/planted", runs.display()),
        format!("ls {}/runs", runs.display()),
        format!("touch {}/planted", cache.display()),
        format!("echo x >> {}/s/scenario.toml", sources.display()),
    ];
    let steps: String = commands.iter().map(|command| format!("[[step]]\nshell = '''{command}'''\n")).collect();
    suite
        .file("s.wasm", plain_module("", ""))
        .file("scenarios/s/root/file", "as it was")
        .scenario("s", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent("s", &steps);
    let finished = suite.host(["run", "s.wasm", "--", "s"]);
    finished.exits(0).passes("s");
    let answers: Vec<(&str, bool)> = finished
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Session { detail, .. } => match &detail.kind {
                SessionEventKind::ToolResult { output, is_error, .. } => Some((output.as_str(), *is_error)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), commands.len(), "{answers:?}");
    for ((output, failed), command) in answers.iter().zip(&commands) {
        // What the kernel says is what the record keeps.
        assert!(*failed && output.contains("ermission denied"), "{command}: {output}");
    }
    assert!(!cache.join("planted").exists() && !runs.join("planted").exists());
}

/// Lets the kernel answer Landlock's calls (444 to 446) as an older one does: with `ENOSYS`.
fn take_landlock_away(command: &mut Command) {
    let line = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        line(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 2, 444),
        line(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, 446),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: the closure makes system calls only; the filter is its own and lives until they have returned.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) < 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

#[test]
fn unconfined_agents_are_reported_in_every_attempt() {
    let suite = Suite::new();
    for name in ["one", "two"] {
        suite
            .file(&format!("{name}.wasm"), plain_module("", ""))
            .scenario(name, "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
            .agent(name, "[[step]]\nsay = \"hello\"\n");
    }
    let mut command = suite.host_command(&suite.path(""), ["run", "one.wasm", "two.wasm"]);
    take_landlock_away(&mut command);
    let finished = suite.start_command(command).finish();
    finished.exits(0);
    for name in ["one", "two"] {
        let told = finished.reports(name).into_iter().any(
            |report| matches!(report, Report::Unconfined { what } if what.contains("this kernel has no Landlock")),
        );
        assert!(told, "{name}: {}", finished.told());
    }
    assert_eq!(finished.stdout.matches("agents are not fully confined").count(), 1, "{}", finished.told());
}

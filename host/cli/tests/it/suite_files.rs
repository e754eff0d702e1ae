//! What a suite is made of, where whoever wrote it wants more than that: links, pipes, sizes. And the end of who copies.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use host_testing::{
    Finished, Running, Suite, host_snapshot, plain_module, preview1::Program, wait_until, write_program,
};

const SECRET: &str = "the key of the machine";

/// A suite with the command `calls`, beside a folder `outside` with a secret.
fn suite() -> Suite {
    let suite = Suite::new();
    suite.file("outside/id_rsa", SECRET).file("outside/scenario.toml", SECRET);
    suite.file("calls.wasm", plain_module("", "")).scenario("calls", "");
    suite
}

/// `host check` and `host run` refuse with the same errors, which are returned, and leave nothing.
fn refused(suite: &Suite) -> String {
    let [checked, run] = ["check", "run"].map(|command| {
        let finished = suite.host([command, "calls.wasm"]);
        finished.exits(96);
        assert!(!finished.told().contains(SECRET), "{command}: {}", finished.told());
        assert_eq!(suite.leftovers(), [""; 0]);
        finished.shown_stderr()
    });
    // `check` has warnings too.
    assert!(checked.ends_with(&run), "{checked}{run}");
    run
}

#[test]
fn links_of_a_suite_cannot_point_outside() {
    let refused = [
        ("scenarios/calls/root", "../../outside"),
        ("scenarios/calls/config", "../../outside"),
        ("scenarios/calls/bin", "../../outside"),
        ("scenarios/calls/agents", "../../outside"),
        ("scenarios/calls/agents/right.toml", "../../../outside/scenario.toml"),
        ("scenarios/calls/scenario.toml", "../../outside/scenario.toml"),
        ("scenarios/other", "../outside"),
        ("scenarios/suite.toml", "../outside/scenario.toml"),
    ]
    .map(|(name, target)| {
        let suite = suite();
        let link = suite.path(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        symlink(target, link).unwrap();
        refused(&suite)
    });
    host_snapshot!(refused.concat(), @"
    error: scenarios/calls/root is a symbolic link, or inside one, that points outside the suite, to outside; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/calls/config is a symbolic link, or inside one, that points outside the suite, to outside; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/calls/bin is a symbolic link, or inside one, that points outside the suite, to outside; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/calls/agents is a symbolic link, or inside one, that points outside the suite, to outside; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/calls/agents/right.toml is a symbolic link, or inside one, that points outside the suite, to outside/scenario.toml; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/calls/scenario.toml is a symbolic link, or inside one, that points outside the suite, to outside/scenario.toml; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/other is a symbolic link, or inside one, that points outside the suite, to outside; copy its target into scenarios, or point the link to a place in that folder
    error: scenarios/suite.toml is a symbolic link, or inside one, that points outside the suite, to outside/scenario.toml; copy its target into scenarios, or point the link to a place in that folder
    ");
}

#[test]
fn a_link_to_what_scenarios_share_is_followed() {
    let suite = Suite::new();
    suite.file("scenarios/.shared/root/file", "text").file("scenarios/other/data/x", "");
    let mut p = Program::default();
    p.open(host_testing::preview1::DIR, "file", 0, host_testing::preview1::FD_READ, "file");
    suite.file("calls.wasm", p.module()).scenario("calls", "");
    symlink("../.shared/root", suite.path("scenarios/calls/root")).unwrap();
    suite.host(["run", "calls.wasm"]).exits(0).passes("calls");
    suite.host(["check", "calls.wasm"]).exits(0);
}

#[test]
fn a_file_that_never_ends_is_not_waited_for() {
    let mut shown = String::new();
    for name in ["scenarios/calls/scenario.toml", "scenarios/suite.toml", "scenarios/calls/agents/right.toml"] {
        let suite = suite();
        let path = suite.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        shown += &refused(&suite);
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        shown += &refused(&suite);
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        shown += &refused(&suite);
    }
    host_snapshot!(shown, @"
    error: cannot read scenarios/calls/scenario.toml: it is not a regular file but a pipe, a socket or a device; replace it by a file
    error: scenarios/calls/scenario.toml is a symbolic link, or inside one, that points outside the suite, to /dev/zero; copy its target into scenarios, or point the link to a place in that folder
    error: cannot read scenarios/calls/scenario.toml: it is larger than the limit of 16777216 bytes; make it smaller
    error: cannot read scenarios/suite.toml: it is not a regular file but a pipe, a socket or a device; replace it by a file
    error: scenarios/suite.toml is a symbolic link, or inside one, that points outside the suite, to /dev/zero; copy its target into scenarios, or point the link to a place in that folder
    error: cannot read scenarios/suite.toml: it is larger than the limit of 16777216 bytes; make it smaller
    error: cannot read scenarios/calls/agents/right.toml: it is not a regular file but a pipe, a socket or a device; replace it by a file
    error: scenarios/calls/agents/right.toml is a symbolic link, or inside one, that points outside the suite, to /dev/zero; copy its target into scenarios, or point the link to a place in that folder
    error: cannot read scenarios/calls/agents/right.toml: it is larger than the limit of 16777216 bytes; make it smaller
    ");
    let suite = suite();
    for policy in ["/dev/zero", "/dev/stdin"] {
        for command in ["check", "run"] {
            let finished = suite.host([command, "--policy", policy, "calls.wasm"]);
            assert!(finished.exits(96).stderr.contains("it is not a regular file"), "{}", finished.told());
        }
    }
}

fn sparse(path: PathBuf, bytes: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_fixture_over_disk_is_refused_before_it_is_copied() {
    let mut shown = String::new();
    for name in ["root", "config", "data"] {
        for mode in ["ro", "rw"] {
            let suite = suite();
            sparse(suite.path(&format!("scenarios/calls/{name}/sparse")), 1 << 40);
            fs::create_dir_all(suite.path("scenarios/calls/data")).unwrap();
            let preopens = format!("preopens = [{{ from = \"data\", to = \"/\", mode = \"{mode}\" }}]\n");
            suite.scenario("calls", &preopens);
            shown += &refused(&suite);
            sparse(suite.path(&format!("scenarios/calls/{name}/sparse")), 2_000_000);
            suite.scenario("calls", &format!("max-disk = \"1MB\"\n{preopens}"));
            shown += &refused(&suite);
            suite.scenario("calls", &format!("max-disk = \"3MB\"\n{preopens}"));
            suite.host(["check", "calls.wasm"]).exits(0);
            suite.host(["run", "calls.wasm"]).exits(0).passes("calls");
        }
    }
    host_snapshot!(shown, @"
    error: the fixture [SUITE]/scenarios/calls/root exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/root exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/root exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/root exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/config exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/config exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/config exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/config exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/data exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/data exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/data exceeds the limit `max-disk`, 2147483648 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    error: the fixture [SUITE]/scenarios/calls/data exceeds the limit `max-disk`, 1000000 bytes, together with what else the scenario copies; make it smaller, or raise `max-disk`
    ");
}

/// A suite whose fixture waits for git, which tells that it has begun, and goes on when `go` is there.
fn waiting() -> Suite {
    let suite = suite();
    suite.scenario("calls", "[fixture]\ngit = true\n").file("scenarios/calls/root/x", "");
    let git = "#!/bin/sh\ncase \"$1\" in --no-pager) exit 1;; esac\n: > \"${0%/*}/begun\"\n\
               while [ ! -e \"${0%/*}/go\" ]; do sleep 0.05; done\n";
    fs::create_dir(suite.path("programs")).unwrap();
    write_program(&suite.path("programs/git"), git);
    suite
}

/// Starts the command, and returns when git has begun.
fn start<'a>(suite: &'a Suite, command: &'static str) -> Running<'a> {
    let mut host = suite.host_command(&suite.path(""), [command, "calls.wasm"]);
    let path = format!("{}:{}", suite.path("programs").display(), std::env::var("PATH").unwrap_or_default());
    host.env("PATH", path);
    let running = suite.start_command(host);
    assert!(wait_until(|| suite.path("programs/begun").exists()), "git was not started");
    running
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    for command in ["check", "run"] {
        for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
            let suite = waiting();
            let host = start(&suite, command);
            host.signal(signal);
            let finished: Finished = host.finish();
            let told = &finished.exits(130).stderr;
            assert!(told.contains(&format!("interrupted by {name}")), "{}", finished.told());
            // What git itself had started looks for itself whether it is still needed.
            fs::write(suite.path("programs/go"), "").unwrap();
            assert!(wait_until(|| suite.leftovers().is_empty()), "{:?}", suite.leftovers());
            let runs = fs::read_dir(suite.path(".host/runs")).map_or(0, Iterator::count);
            assert_eq!(runs, 0, "a run that never began has no directory");
        }
    }
}

#[test]
fn leftovers_of_a_killed_check_are_removed_and_reported() {
    for next in ["check", "run"] {
        let suite = waiting();
        let check = start(&suite, "check");
        let folders = || -> Vec<PathBuf> {
            let entries = fs::read_dir(suite.tmp()).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| name_of(path).starts_with("host-check-")).collect()
        };
        // One that lives is let be.
        fs::create_dir_all(suite.path("elsewhere")).unwrap();
        let finished = suite.host_in(&suite.path("elsewhere"), ["check"]);
        assert!(!finished.stderr.contains("was killed"), "{}", finished.told());
        assert_eq!(folders().len(), 1);
        check.kill();
        fs::write(suite.path("programs/go"), "").unwrap();
        assert!(wait_until(|| suite.living().is_empty()), "{:?}", suite.living());
        assert_eq!(folders().len(), 1);
        let finished = suite.host([next, "calls.wasm"]);
        let told = &finished.exits(0).stderr;
        assert!(told.contains("note: a `host check` was killed"), "{}", finished.told());
        assert!(told.contains("note: removed 1 temporary folder of dead runs from "), "{}", finished.told());
        assert_eq!(suite.leftovers(), [""; 0]);
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Also where another plugin is named: who builds one alone still hears that the others are not there.
#[test]
fn missing_plugins_of_the_suite_are_always_reported() {
    let suite = suite();
    suite.file("scenarios/suite.toml", "plugins = [\"nope/*.wasm\"]\n");
    suite.scenario("other", "plugin = \"plugins/other.wasm\"\n");
    host_snapshot!(suite.host(["check", "calls.wasm"]), @r#"
    exit code: 0
    ----- stdout -----
    suite      scenarios/suite.toml
    lanes      scripted
    folders    2
    plugins    1
    scenarios  calls
    valid, with 2 warnings
    ----- stderr -----
    warning: scenarios/suite.toml:1:12: `nope/*.wasm` matches no file; build the plugins first, or correct the pattern
      |
    1 | plugins = ["nope/*.wasm"]
      |            ^^^^^^^^^^^^^
    warning: scenarios/other/scenario.toml:1:10: the plugin `plugins/other.wasm` does not exist, so this folder is not used; build it, or correct its name
      |
    1 | plugin = "plugins/other.wasm"
      |          ^^^^^^^^^^^^^^^^^^^^
    "#);
    suite.host(["run", "calls.wasm"]).exits(0).passes("calls");

    suite.file("scenarios/suite.toml", "plugins = [\"[.wasm\"]\n");
    host_snapshot!(refused(&suite), @r#"
    error: scenarios/suite.toml:1:12: `[.wasm` is not a valid pattern: Pattern syntax error near position [N]: invalid range pattern
      |
    1 | plugins = ["[.wasm"]
      |            ^^^^^^^^
    "#);
    suite.file("scenarios/suite.toml", "jobs = 100000\n");
    host_snapshot!(refused(&suite), @"
    error: scenarios/suite.toml:1:8: `jobs` must be from 1 to 5000
      |
    1 | jobs = 100000
      |        ^^^^^^
    ");
    suite.file("scenarios/suite.toml", "").scenario("calls", "plugin = \"\"\n");
    host_snapshot!(refused(&suite), @r#"
    error: scenarios/calls/scenario.toml:1:10: `plugin` is empty; write the plugin's path, or remove the key
      |
    1 | plugin = ""
      |          ^^
    "#);
    for plugin in ["nope.wasm", "."] {
        suite.scenario("calls", &format!("plugin = \"{plugin}\"\n"));
        let error = refused(&suite);
        assert!(error.contains("scenarios/calls/scenario.toml:1:10: there is no plugin `"), "{error}");
    }
    suite.scenario("calls", "plugin = \"built/elsewhere/calls.wasm\"\n");
    let finished = suite.host(["check", "calls.wasm"]);
    assert!(!finished.exits(0).stderr.contains("elsewhere"), "{}", finished.told());
}

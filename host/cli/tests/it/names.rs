//! The program answers to `host` and to `scenario-host`, and another program's `host` is not taken for it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rustix::process::Signal;

use host_testing::{
    Listed, Suite, host_binary, host_snapshot, plain_module, probe, typed_module, wait_until, write_program,
};

/// The launcher that cargo built next to `host`.
fn launcher() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_BIN_EXE_scenario-host").expect("cargo names the launcher"))
}

/// A command in the suite's folder, which finds `program` as `name` on its PATH, and the system's programs.
fn on_path(suite: &Suite, name: &str, program: &Path, command: &str) -> Command {
    fs::create_dir_all(suite.path("bin")).unwrap();
    symlink(program, suite.path("bin").join(name)).unwrap();
    let mut shell = suite.command("sh");
    shell.args(["-c", command]);
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", suite.path("bin").display()));
    shell
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// Runs scenarios with a command that has all processes which the host starts of its own program: they adapt and compile
/// plugins, supervise, and play a scripted agent.
fn runs_a_suite(suite: &Suite, mut command: Command) {
    fs::create_dir_all(suite.path("plugins")).unwrap();
    fs::copy(probe("probe-command"), suite.path("plugins/command.wasm")).unwrap();
    let typed = Listed { name: "typed", ..Listed::default() };
    suite.file("plugins/typed.wasm", typed_module(&[typed], "", "", ""));
    suite.scenario("command", "args = [\"session\"]\n[session]\nprompt = \"Write.\"\n[grants]\nsession = true\n");
    suite.agent("command", "[[step]]\nwrite = \"greeting.txt\"\ntext = \"hello\"\n[[step]]\nsay = \"I wrote it.\"\n");
    // Nothing is compiled yet.
    command.env("HOST_CACHE_DIR", suite.path("cache"));
    suite.start_command(command).finish().exits(0).passes("command").passes("typed");
}

#[test]
fn both_names_print_the_same_version() {
    let versions = [host_binary().into(), launcher()].map(|program| {
        let output = Command::new(program).arg("--version").output().unwrap();
        assert!(output.status.success());
        stdout(&output).to_owned()
    });
    assert_eq!(versions[0], format!("scenario-host {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(versions[0], versions[1]);
}

#[test]
fn help_and_usage_show_the_name_that_was_called() {
    let suite = Suite::new();
    let link =
        on_path(&suite, "scenario-host", Path::new(host_binary()), "scenario-host prove --help").output().unwrap();
    assert!(stdout(&link).contains("Usage: scenario-host prove "), "{}", stdout(&link));
    let usage = Command::new(launcher()).arg("nonsense").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(stderr(&usage).contains("Usage: scenario-host <COMMAND>"), "{}", stderr(&usage));
    let help = Command::new(host_binary()).args(["prove", "--help"]).output().unwrap();
    assert!(stdout(&help).contains("Usage: host prove "), "{}", stdout(&help));
}

#[test]
fn a_new_scenario_is_run_by_the_name_that_created_it() {
    let suite = Suite::new();
    for (name, program) in [("scenario-host", launcher()), ("host", host_binary().into())] {
        let output =
            suite.command(program.to_str().unwrap()).args(["new", "hello", "--lang", "c", "--dir", name]).output();
        let output = output.unwrap();
        assert!(stdout(&output).ends_with(&format!("\n  {name} run\n  {name} prove\n")), "{}", stdout(&output));
    }
}

#[test]
fn a_suite_runs_under_the_second_name() {
    let suite = Suite::new();
    let mut command = suite.command(launcher().to_str().unwrap());
    command.args(["run", "plugins/command.wasm", "plugins/typed.wasm"]);
    runs_a_suite(&suite, command);
}

#[test]
fn a_suite_runs_through_a_link_to_the_launcher() {
    let suite = Suite::new();
    runs_a_suite(&suite, on_path(&suite, "scenario-host", &launcher(), "exec scenario-host run plugins/*.wasm"));
}

#[test]
fn a_suite_runs_through_a_link_to_the_program() {
    let suite = Suite::new();
    runs_a_suite(
        &suite,
        on_path(&suite, "scenario-host", Path::new(host_binary()), "exec scenario-host run plugins/*.wasm"),
    );
}

#[test]
fn the_launcher_passes_on_signals_exit_codes_and_closed_streams() {
    let suite = Suite::new();
    let mut sleeps = suite.command(launcher().to_str().unwrap());
    // The launcher is gone: the signal reaches the program itself, which ends the run.
    suite.file("plugins/waits.wasm", plain_module("(loop (br 0))", "")).scenario("waits", "");
    sleeps.args(["run", "plugins/waits.wasm"]);
    let running = suite.start_command(sleeps);
    assert!(wait_until(|| suite.last_run().is_some_and(|run| run.join("events.jsonl").exists())));
    running.signal(Signal::INT);
    running.finish().exits(130);
    let closed = suite.command("sh").args(["-c", "exec \"$0\" --help >&-"]).arg(launcher()).output().unwrap();
    assert_eq!((closed.status.code(), stderr(&closed)), (Some(96), "error: cannot write to stdout: it is closed\n"));
}

#[test]
fn a_launcher_without_its_program_is_an_error() {
    let suite = Suite::new();
    let alone = suite.path("scenario-host");
    copy_program(&launcher(), &alone);
    let run = || {
        let output = suite.command(alone.to_str().unwrap()).arg("run").output().unwrap();
        assert_eq!(output.status.code(), Some(96));
        stderr(&output).replace(suite.path("").to_str().unwrap(), "[SUITE]/")
    };
    host_snapshot!(run(), @"
    error: cannot run [SUITE]/host: No such file or directory (os error 2)
    help: `scenario-host` starts the `host` in its own directory: install both files there, or the file `host` under the name `scenario-host`
    ");
    // It does not start itself forever.
    symlink(&alone, suite.path("host")).unwrap();
    host_snapshot!(run(), @"
    error: cannot run [SUITE]/host: it is `scenario-host` itself
    help: `scenario-host` starts the `host` in its own directory: install both files there, or the file `host` under the name `scenario-host`
    ");
}

/// Another process writes the copy, as in [`write_program`].
fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

/// Makes the plugin of a new scenario in `language` with the given `host` on the PATH. Its compilers are not needed: make
/// takes the core module as given.
fn make(suite: &Suite, language: &str, program: &Path, command: &str) -> Output {
    let created = suite.host(["new", "hello", "--lang", language, "--dir", language]);
    created.exits(0);
    on_path(suite, "host", program, &format!("cd {language} && {command}")).output().unwrap()
}

#[test]
fn a_makefile_refuses_the_host_of_another_package() {
    for language in ["c", "go"] {
        let suite = Suite::new();
        // As bind9's does.
        let dns = "#!/bin/sh\n[ \"$1\" != componentize ] || touch called\n\
             echo 'host: illegal option -- -' >&2\necho 'Usage: host [-aCdilrTvVw] name [server]' >&2\nexit 1\n";
        let dns = write_program(&suite.path("dns"), dns);
        let output = make(&suite, language, &dns, "make");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let error = "error: `host` is another program, not scenario-host (bind9-host installs a DNS tool named `host`); set \
                     HOST=/path/to/host or HOST=scenario-host\n";
        assert!(stderr(&output).starts_with(error), "{}", stderr(&output));
        assert_eq!(stdout(&output), "", "it compiled first");
        assert!(!suite.path(language).join("called").exists());
    }
}

#[test]
fn a_makefile_reports_a_missing_host() {
    for language in ["c", "go"] {
        let suite = Suite::new();
        let output = make(&suite, language, Path::new("/dev/null"), "make HOST=no-such-host");
        let error = "error: there is no program `no-such-host`; set HOST=/path/to/host or HOST=scenario-host\n";
        assert!(stderr(&output).starts_with(error), "{}", stderr(&output));
    }
}

#[test]
fn a_makefile_takes_the_program_that_host_names() {
    for language in ["c", "go"] {
        for how in ["HOST=\"$0\" make check-host", "make check-host HOST=\"$0\""] {
            let suite = Suite::new();
            let dns = write_program(&suite.path("dns"), "#!/bin/sh\nexit 1\n");
            let command = how.replace("$0", launcher().to_str().unwrap());
            let output = make(&suite, language, &dns, &command);
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
}

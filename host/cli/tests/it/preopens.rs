//! `preopens`: what a plain command sees in place of the default directories.

use std::fs;

use host_model::FaultClass;

use host_testing::{Finished, Suite, host_snapshot, preview1::*, probe};

const FILE: Arg<'static> = Arg::Fd("file");

/// Runs the program as the scenario `calls`.
fn run(suite: &Suite, program: &Program, toml: &str) -> Finished {
    suite.file("calls.wasm", program.module()).scenario("calls", toml);
    suite.host(["run", "calls.wasm"])
}

fn named(program: &mut Program, fd: u64, name: &str) {
    let place = format!("name-{fd}");
    program.ok("fd_prestat_dir_name", &[Arg::N(fd), Arg::Out(&place), Arg::N(64)]);
    program.begins(&place, format!("{name}\0").as_bytes());
}

fn none_at(program: &mut Program, fd: u64) {
    program.call("fd_prestat_get", &[Arg::N(fd), Arg::Out("none")], &[BADF]);
}

#[test]
fn each_attempt_has_its_own_copy_of_a_folder_and_links_stay_links() {
    let suite = Suite::new();
    suite.file("outside", "secret").file("scenarios/calls/data/deep/file", "text");
    std::os::unix::fs::symlink(suite.path("outside"), suite.path("scenarios/calls/data/link")).unwrap();
    let mut p = Program::default();
    p.try_open(DIR, "new", (0, CREAT | EXCL, FD_WRITE, 0), "file", &[SUCCESS]);
    p.open(DIR, "deep/file", TRUNC, READ_WRITE, "file").ok("path_unlink_file", &[DIR, Arg::Text("deep/file")]);
    p.ok("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("link"), Arg::Out("stat")]).holds("stat", 16, 8, TYPE_LINK);
    p.try_open(DIR, "link", (FOLLOW, 0, FD_READ, 0), "other", &[PERM, NOTCAPABLE]);
    named(&mut p, 3, "work.dir");
    none_at(&mut p, 4);
    run(&suite, &p, "preopens = [{ from = \"data\", to = \"work.dir\" }]").exits(0).passes("calls");
    let many = suite.host(["run", "calls.wasm", "--repeat-each", "8"]);
    assert_eq!(many.exits(0).records().len(), 8);
    assert_eq!(fs::read_to_string(suite.path("scenarios/calls/data/deep/file")).unwrap(), "text");
    assert!(!suite.path("scenarios/calls/data/new").exists());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_path_may_say_that_it_is_a_folder_from_here() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/deep/file", "text").file("scenarios/calls/root/file", "of the root");
    for from in ["./data", "data/", "./data/", "data/./"] {
        let mut p = Program::default();
        p.open(DIR, "deep/file", 0, FD_READ, "file");
        run(&suite, &p, &format!("preopens = [{{ from = \"{from}\", to = \"/\" }}]")).exits(0).passes("calls");
    }
    // What is written in the root is there by every name of it.
    let mut p = Program::default();
    p.open(DIR, "new", CREAT, FD_WRITE, "file").open(Arg::N(4), "new", 0, FD_READ, "file");
    let toml = "preopens = [{ from = \"root/\", to = \"/\" }, { from = \"./root\", to = \"/again\" }]";
    run(&suite, &p, toml).exits(0).passes("calls");
}

#[test]
fn an_empty_list_leaves_no_directory_at_all() {
    let suite = Suite::new();
    suite.file("scenarios/calls/root/file", "text");
    let mut p = Program::default();
    none_at(&mut p, 3);
    p.try_open(DIR, "file", (0, 0, FD_READ, 0), "file", &[BADF]);
    run(&suite, &p, "preopens = []").exits(0).passes("calls");
}

#[test]
fn root_config_and_before_can_be_given_by_other_names_and_rights() {
    let suite = Suite::new();
    suite.file("scenarios/calls/root/file", "text").file("scenarios/calls/config/seed", "s");
    let mut p = Program::default();
    for (fd, name) in [(3, "."), (4, "/etc"), (5, "then"), (6, "again")] {
        named(&mut p, fd, name);
    }
    none_at(&mut p, 7);
    let refused = [PERM, NOTCAPABLE, ROFS];
    p.open(Arg::N(3), "seed", TRUNC, READ_WRITE, "file").open(Arg::N(4), "file", 0, FD_READ, "file");
    p.try_open(Arg::N(4), "file", (0, TRUNC, FD_WRITE, 0), "file", &refused);
    p.try_open(Arg::N(5), "file", (0, TRUNC, FD_WRITE, 0), "file", &refused);
    p.open(Arg::N(6), "file", TRUNC, READ_WRITE, "file");
    // It is the same root by both names; what was before stays.
    p.ok("path_filestat_get", &[Arg::N(4), Arg::N(0), Arg::Text("file"), Arg::Out("stat")]).holds("stat", 32, 64, 0);
    p.ok("path_filestat_get", &[Arg::N(5), Arg::N(0), Arg::Text("file"), Arg::Out("stat")]).holds("stat", 32, 64, 4);
    let toml = "preopens = [{ from = \"config\", to = \".\" }, { from = \"root\", to = \"/etc\", mode = \"ro\" },\n\
                { from = \"before\", to = \"then\" }, { from = \"root\", to = \"again\" }]";
    run(&suite, &p, toml).exits(0).passes("calls");
}

#[test]
fn one_folder_by_two_names_is_one_folder() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/deep/file", "text");
    let mut p = Program::default();
    p.try_open(Arg::N(4), "file", (0, CREAT, FD_WRITE, 0), "file", &[PERM, NOTCAPABLE, ROFS]);
    p.open(DIR, "deep/new", CREAT, FD_WRITE, "file").open(Arg::N(4), "new", 0, FD_READ, "file");
    let toml = "preopens = [{ from = \"data\", to = \"/\" }, { from = \"data/deep\", to = \"/d\", mode = \"ro\" }]";
    run(&suite, &p, toml).exits(0).passes("calls");
}

#[test]
fn the_record_of_a_session_comes_after_what_is_named() {
    let suite = Suite::new();
    suite.agent("calls", "[[step]]\nwrite = \"made\"\ntext = \"by the agent\"\n[[step]]\nsay = \"done\"\n");
    let mut p = Program::default();
    named(&mut p, 3, "/work");
    named(&mut p, 4, "/host/session");
    none_at(&mut p, 5);
    p.open(DIR, "made", 0, FD_READ, "file").open(Arg::N(4), "final-message.txt", 0, FD_READ, "file");
    let session = "[session]\nprompt = \"go\"\n[grants]\nsession = true\n";
    run(&suite, &p, &format!("preopens = [{{ from = \"root\", to = \"/work\" }}]\n{session}")).exits(0).passes("calls");
    let taken = format!("preopens = [{{ from = \"root\", to = \"/host/session\" }}]\n{session}");
    host_snapshot!(run(&suite, &p, &taken), @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/calls/scenario.toml:1:35: "/host/session" is already in use; each preopen needs its own name
      |
    1 | preopens = [{ from = "root", to = "/host/session" }]
      |                                   ^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn invalid_preopens_are_errors_with_a_position() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/file", "");
    let p = Program::default();
    let refused = [
        "{ from = \"dota\", to = \"/\" }",
        "{ from = \"data\" }",
        "{ from = \"data\", to = \"/\", mode = \"r\" }",
        "{ from = \"data\", to = \"/\", name = \"x\" }",
        "{ from = \"before\", to = \"/\" }",
    ]
    .map(|entry| run(&suite, &p, &format!("preopens = [{entry}]")).exits(96).shown_stderr());
    host_snapshot!(refused.concat(), @r#"
    error: scenarios/calls/scenario.toml:1:22: "dota" is not a folder of the scenario; did you mean `data`?
      |
    1 | preopens = [{ from = "dota", to = "/" }]
      |                      ^^^^^^
    error: scenarios/calls/scenario.toml:1:13: the key `to` is missing; add it
      |
    1 | preopens = [{ from = "data" }]
      |             ^^^^^^^^^^^^^^^^^
    error: scenarios/calls/scenario.toml:1:47: unknown value `r`; did you mean `rw`?
      |
    1 | preopens = [{ from = "data", to = "/", mode = "r" }]
      |                                               ^^^
    error: scenarios/calls/scenario.toml:1:40: unknown key `name`; expected one of `from`, `to`, `mode`
      |
    1 | preopens = [{ from = "data", to = "/", name = "x" }]
      |                                        ^^^^
    error: scenarios/calls/scenario.toml:1:22: the scenario has no `root/`, so `before` does not exist; add one, or name another folder
      |
    1 | preopens = [{ from = "before", to = "/" }]
      |                      ^^^^^^^^
    "#);
    suite.file("scenarios/calls/root/file", "");
    let finished = run(&suite, &p, "preopens = [{ from = \"before\", to = \"/\", mode = \"rw\" }]");
    host_snapshot!(finished, @r#"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/calls/scenario.toml:1:49: `before` is read-only; write `mode = "ro"`, or remove `mode`
      |
    1 | preopens = [{ from = "before", to = "/", mode = "rw" }]
      |                                                 ^^^^
    "#);
}

#[test]
fn a_typed_plugin_has_no_preopens_of_its_own() {
    let suite = Suite::new();
    let plugin = probe("probe-noop");
    suite.scenario("noop", "preopens = []");
    let finished = suite.host(["run", plugin.to_str().unwrap()]);
    host_snapshot!(finished, @"
    exit code: 96
    ----- stdout -----
    ----- stderr -----
    error: scenarios/noop/scenario.toml:1:12: `preopens` applies to plain WASI commands, but `[REPOSITORY]/plugins/target/probes/probe-noop.wasm` is of the typed world; remove it
      |
    1 | preopens = []
      |            ^^
    ");
}

#[test]
fn a_folder_counts_to_the_disk_that_an_attempt_may_take() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/file", "");
    let mut p = Program::default();
    let block = vec![1; 100_000];
    p.open(DIR, "file", 0, READ_WRITE, "file");
    for _ in 0..20 {
        p.ok("fd_write", &[FILE, Arg::Write(&block), Arg::Out("n")]);
    }
    let finished = run(&suite, &p, "preopens = [{ from = \"data\", to = \"/\" }]\nmax-disk = \"1MiB\"");
    assert_eq!(finished.exits(110).fault("calls").class, FaultClass::Limit);
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn the_folders_of_a_failed_attempt_are_saved() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/deep/file", "text");
    let mut p = Program::default();
    p.open(DIR, "new", CREAT, FD_WRITE, "file").ok("fd_write", &[FILE, Arg::Write(b"left"), Arg::Out("n")]);
    p.call("fd_close", &[FILE], &[BADF]);
    run(&suite, &p, "preopens = [{ from = \"data/deep\", to = \"/\" }]").exits(100);
    let kept = suite.path(".host/latest/scripted/calls/attempt-1/folders/data/deep");
    assert_eq!(fs::read_to_string(kept.join("new")).unwrap(), "left");
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "text");
}

#[test]
fn a_regrade_has_the_folders_as_they_were() {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/file", "text");
    suite.agent("calls", "[[step]]\nsay = \"done\"\n");
    let mut p = Program::default();
    p.open(DIR, "file", 0, FD_READ, "file")
        .ok("fd_read", &[FILE, Arg::Read("b", 64), Arg::Out("n")])
        .begins("b", b"text\0");
    let toml = |folder: &str| {
        format!(
            "preopens = [{{ from = \"{folder}\", to = \"/\" }}]\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n"
        )
    };
    run(&suite, &p, &toml("data")).exits(0).passes("calls");
    suite.file("scenarios/calls/data/file", "changed since");
    suite.host(["regrade"]).exits(0).passes("calls");
    // A folder that came later cannot be made again.
    suite.file("scenarios/calls/later/file", "text").scenario("calls", &toml("later"));
    let finished = suite.host(["regrade"]);
    host_snapshot!(finished.fault("calls").message.clone(), @"the folder `later` of `preopens` was not recorded with that run; run the scenario again");
}

#[test]
fn fixtures_under_other_names_are_no_strays_where_they_are_used() {
    let suite = Suite::new();
    suite.file("scenarios/calls/files/file", "").file("calls.wasm", Program::default().module());
    suite.scenario("calls", "");
    host_snapshot!(suite.host(["check", "calls.wasm"]), @"
    exit code: 0
    ----- stdout -----
    suite      none
    lanes      scripted
    folders    1
    plugins    1
    scenarios  calls
    valid, with 1 warning
    ----- stderr -----
    warning: scenarios/calls/files is not read; did you mean `root`?
    ");
    suite.scenario("calls", "preopens = [{ from = \"files\", to = \"/\" }]");
    host_snapshot!(suite.host(["check", "calls.wasm"]), @"
    exit code: 0
    ----- stdout -----
    suite      none
    lanes      scripted
    folders    1
    plugins    1
    scenarios  calls
    valid
    ----- stderr -----
    ");
}

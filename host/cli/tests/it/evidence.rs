//! What an attempt leaves for whoever wants to know what happened.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use host_model::{FaultClass, Report, Verdict};
use host_testing::{Finished, Suite, plain_module, wait_until};
use rustix::process::Signal;
use wasmparser::{Parser, Payload};

/// The folder of what is kept of the one attempt of the latest run.
fn kept(suite: &Suite, finished: &Finished) -> PathBuf {
    let records = finished.records();
    let [(_, record)] = records[..] else { panic!("{} attempts", records.len()) };
    suite.last_run().unwrap().join(record.artifacts.as_ref().unwrap())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a command that traps.
fn trapping(start: &str, fields: &str) -> (Suite, Finished) {
    let suite = Suite::new();
    suite.file("trap.wasm", plain_module(start, fields));
    let finished = suite.host(["run", "trap.wasm"]);
    assert_eq!(finished.exits(110).fault("trap").class, FaultClass::Trap);
    (suite, finished)
}

/// The names of a core dump's own sections; panics if it is no WebAssembly.
fn sections(core: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::CustomSection(section) = payload.unwrap() {
            names.push(section.name().to_owned());
        }
    }
    names
}

#[test]
fn a_trap_leaves_its_frames_by_name_and_a_core_dump() {
    let fields =
        "(func $_ZN5probe4deep17h0123456789abcdefE (i32.store (i32.const 70) (i32.const 0x6b636162)) unreachable)
                  (func $outer (call $_ZN5probe4deep17h0123456789abcdefE))";
    let (suite, finished) = trapping("(call $outer)", fields);
    let folder = kept(&suite, &finished);
    let trap = read(&folder, "trap.txt");
    assert!(trap.starts_with("wasm trap: wasm `unreachable` instruction executed\n"), "{trap}");
    let frames: Vec<&str> = trap.lines().filter_map(|line| Some(line.rsplit_once('!')?.1)).collect();
    assert_eq!(frames[..2], ["probe::deep::h0123456789abcdef", "outer"], "{trap}");
    let core = fs::read(folder.join("core.wasm")).unwrap();
    assert_eq!(sections(&core), ["core", "coremodules", "coreinstances", "corestack"]);
    assert!(core.windows(4).any(|bytes| bytes == b"back"), "it holds the memory");
}

#[test]
fn a_trap_while_it_starts_leaves_the_same() {
    let (suite, finished) = trapping("", "(func $early unreachable) (start $early)");
    let folder = kept(&suite, &finished);
    assert!(read(&folder, "trap.txt").contains("!early"));
    assert!(folder.join("core.wasm").exists());
}

#[test]
fn a_core_dump_over_the_limit_is_omitted_with_a_note() {
    let (suite, finished) = trapping("(drop (memory.grow (i32.const 600))) unreachable", "");
    let folder = kept(&suite, &finished);
    assert!(folder.join("trap.txt").exists() && !folder.join("core.wasm").exists());
    let told = |report: &&Report| matches!(report, Report::Cut { what } if what.contains("core.wasm"));
    assert!(finished.reports("trap").iter().any(told), "{:?}", finished.reports("trap"));
}

#[test]
fn only_traps_leave_a_core_dump() {
    let suite = Suite::new();
    suite.file("fails.wasm", plain_module("(call $proc_exit (i32.const 3))", ""));
    let finished = suite.host(["run", "fails.wasm"]);
    assert!(matches!(finished.exits(100).verdict("fails"), Verdict::Fail { .. }));
    if let Some(artifacts) = &finished.records()[0].1.artifacts {
        let folder = suite.last_run().unwrap().join(artifacts);
        assert!(!folder.join("core.wasm").exists() && !folder.join("trap.txt").exists());
    }
}

#[test]
fn an_exceeded_limit_leaves_no_core_dump() {
    let suite = Suite::new();
    suite.file("grows.wasm", plain_module("(drop (memory.grow (i32.const 600))) unreachable", ""));
    suite.scenario("grows", "max-memory = \"16MiB\"\n");
    let finished = suite.host(["run", "grows.wasm"]);
    assert_eq!(finished.exits(110).fault("grows").class, FaultClass::Limit);
    assert_eq!(finished.reports("grows"), [] as [&Report; 0]);
    assert!(!kept(&suite, &finished).join("core.wasm").exists());
}

const SESSION: &str = "[session]\nprompt = \"go\"\n[grants]\nsession = true\n";

#[test]
fn changes_of_the_root_are_a_patch_and_a_list() {
    let suite = Suite::new();
    suite
        .file("edits.wasm", plain_module("", ""))
        .scenario("edits", &format!("{SESSION}[fixture]\ngit = true\n"))
        .file("scenarios/edits/root/page.md", "status: review\ntitle: x\n")
        .file("scenarios/edits/root/gone.md", "old\n")
        .agent(
            "edits",
            "[[step]]\nreplace = \"page.md\"\nfrom = \"review\"\nto = \"done\"\n\
             [[step]]\nshell = \"umask 022; rm gone.md; ln -s page.md link; mkdir -m 000 locked; mkfifo pipe; git add -A\"\n",
        );
    for name in ["page.md", "gone.md"] {
        fs::set_permissions(suite.path("scenarios/edits/root").join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let finished = suite.host(["run", "edits.wasm"]);
    finished.exits(0);
    let folder = kept(&suite, &finished);
    assert_eq!(
        read(&folder, "root.diff"),
        "diff --git a/gone.md b/gone.md\ndeleted file mode 100644\n--- a/gone.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n\
         diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+page.md\n\
         \\ No newline at end of file\n\
         # locked: new: mode 040000, a folder\n\
         diff --git a/page.md b/page.md\n--- a/page.md\n+++ b/page.md\n@@ -1,2 +1,2 @@\n-status: review\n+status: done\n \
         title: x\n\
         # pipe: new: mode 000644, named pipe\n"
    );
    let tree = read(&folder, "root.tree");
    let paths: Vec<&str> = tree.lines().filter(|line| !line.starts_with('[')).map(|line| &line[22..]).collect();
    assert_eq!(paths, [".git", "link -> page.md", "locked", "page.md", "pipe (named pipe)"], "{tree}");
}

#[test]
fn an_agent_that_empties_its_root_leaves_that_as_a_patch() {
    let suite = Suite::new();
    suite
        .file("empties.wasm", plain_module("", ""))
        .scenario("empties", SESSION)
        .file("scenarios/empties/root/only.md", "text\n")
        .agent("empties", "[[step]]\nshell = \"rm only.md\"\n");
    let finished = suite.host(["run", "empties.wasm"]);
    let folder = kept(&suite, finished.exits(0));
    assert!(read(&folder, "root.diff").contains("deleted file"));
    assert_eq!(read(&folder, "root.tree"), "");
}

#[test]
fn evidence_is_written_while_it_happens() {
    let suite = Suite::new();
    suite.file("waits.wasm", plain_module("", "")).scenario("waits", SESSION).agent(
        "waits",
        "[[step]]\nsay = \"so far\"\n[[step]]\nshell = \"echo lost >&2\"\n[[step]]\nraw = \"no event\"\n\
         [[step]]\nshell = \"echo on stderr > /proc/$PPID/fd/2; sleep 1000.81735\"\n",
    );
    let running = suite.start(["run", "waits.wasm"]);
    let folder = || suite.last_run().map(|run| run.join("scripted/waits/attempt-1"));
    let has = |name: &str, part: &str| {
        folder().is_some_and(|folder| fs::read_to_string(folder.join(name)).is_ok_and(|text| text.contains(part)))
    };
    let expected = [
        ("session-1/stream.jsonl", "so far"),
        ("session-1/stream.jsonl", "no event\n"),
        ("session-1/events.jsonl", "1000.81735"),
        ("session-1/stderr.txt", "on stderr"),
        ("session-1/session.json", "\"running\""),
        ("timings.json", "first-event-ms"),
    ];
    let there = wait_until(|| expected.iter().all(|(name, part)| has(name, part)));
    let missing: Vec<_> = expected.iter().filter(|(name, part)| !has(name, part)).collect();
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, None);
    assert!(there, "not there while it ran: {missing:?}");
    for (name, part) in expected {
        assert!(has(name, part), "{name} has lost {part}");
    }
    let events = read(&folder().unwrap(), "session-1/events.jsonl");
    assert!(
        events.ends_with('\n') && events.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
    assert!(wait_until(|| host_testing::processes_with("1000.81735").is_empty()), "the agent lives on");
}

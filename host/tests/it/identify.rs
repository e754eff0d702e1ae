//! What is no plugin is told by name, with what it is and what to do, whichever command meets it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    process::{Command, Output},
};

use host_testing::{Listed, Suite, host_binary, plain_module, probe, typed_module};

/// `inspect`, `list` and `run` refuse the file `name` in these words, and name it.
#[track_caller]
fn refused_in(suite: &Suite, name: &str, words: &[&str]) {
    for command in ["inspect", "list", "run"] {
        let finished = suite.host([command, name]);
        finished.exits(96);
        assert_eq!(finished.stdout, "", "{command}");
        for word in [name].iter().chain(words) {
            assert!(finished.stderr.contains(word), "{command}: `{word}` is not in {}", finished.stderr);
        }
        assert_eq!(finished.stderr.matches("error: ").count(), 1, "{}", finished.stderr);
        assert!(finished.events.is_empty());
    }
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>, words: &[&str]) {
    let suite = Suite::new();
    suite.file("given.wasm", content);
    refused_in(&suite, "given.wasm", words);
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn garbage() {
    refused([0xff, 0x00, 0x12, 0x99], &["is no WebAssembly but unknown bytes", "give a `.wasm` component"]);
}

#[test]
fn an_empty_file() {
    refused("", &["is empty", "build it again"]);
}

#[test]
fn text() {
    refused("hello\n", &["is no WebAssembly but text"]);
}

#[test]
fn webassembly_text() {
    refused("(module)", &["is WebAssembly text", "wasm-tools parse"]);
}

#[test]
fn a_native_program() {
    refused(fs::read(host_binary()).unwrap(), &["a native program"]);
}

#[test]
fn a_script() {
    refused("#!/bin/sh\nexit\n", &["a script"]);
}

#[test]
fn a_component_that_is_cut_short() {
    let whole = fs::read(probe("probe-noop")).unwrap();
    refused(&whole[..whole.len() / 2], &["is damaged"]);
}

#[test]
fn a_component_with_a_flipped_byte() {
    let mut bytes = fs::read(probe("probe-noop")).unwrap();
    bytes[9] ^= 0xff;
    refused(bytes, &["is damaged"]);
}

#[test]
fn a_core_module_without_start() {
    refused(
        component("(module (func (export \"f\")))"),
        &["is a core module without `_start`", "build it as a command"],
    );
}

#[test]
fn a_core_module_for_something_else() {
    let module = "(module (import \"env\" \"f\" (func)) (func (export \"_start\")))";
    refused(component(module), &["imports `env`", "wasm32-wasip1 or wasm32-wasip2"]);
}

#[test]
fn a_core_module_that_imports_what_wasi_0_1_does_not_have() {
    let module = |import: &str| {
        component(&format!(
            "(module (import \"wasi_snapshot_preview1\" {import}) (memory (export \"memory\") 1) (func (export \"_start\")))"
        ))
    };
    let needs = "needs something that this host does not offer: it imports";
    let unknown = format!("{needs} `wasi_snapshot_preview1.sock_dance`, which WASI 0.1 does not have; build it with");
    cannot_run(&module("\"sock_dance\" (func)"), &unknown);
    let other = format!("{needs} a function of WASI 0.1 by another type: incompatible import type for");
    cannot_run(&module("\"fd_close\" (func)"), &other);
}

#[test]
fn a_core_module_of_the_version_before_wasi_0_1() {
    let module = "(module (import \"wasi_unstable\" \"proc_exit\" (func (param i32))) (func (export \"_start\")))";
    refused(component(module), &["imports `wasi_unstable`, the version of WASI before 0.1", "current toolchain"]);
}

#[test]
fn a_core_module_whose_memory_has_other_addresses_or_is_shared() {
    let module = |memory: &str| {
        component(&format!(
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32)))
                (memory (export \"memory\") {memory}) (func (export \"_start\")))"
        ))
    };
    refused(module("i64 1"), &["exports as `memory` one of 64-bit addresses"]);
    refused(module("1 1 shared"), &["uses the threads proposal of WebAssembly, which this host does not run"]);
}

/// A module that says of its world that an interface uses a type of itself. `wit-component` follows that for ever.
fn module_that_overflows_the_encoder() -> Vec<u8> {
    const WORLD: &str = "package a:b; world w { import i; import j; export j; }
        interface i { record q { x: u8 } type a = q; f: func(x: a); }
        interface j { use i.{a}; g: func(y: a); }";
    // Only what imports something of a world is made a component.
    let mut module = component(
        "(module (import \"scenario:host/report@0.1.0\" \"note\" (func (param i32 i32))) (func (export \"_start\")))",
    );
    let mut resolve = wit_parser::Resolve::default();
    let packages = [resolve.push_str("w.wit", WORLD).unwrap()];
    let world = resolve.select_world(&packages, None).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    let at = module.windows(5).position(|name| name == b"a:b/j").unwrap();
    module[at] = b'z';
    module
}

#[test]
fn a_core_module_that_overflows_the_encoder_s_stack_does_not_take_the_host_with_it() {
    refused(module_that_overflows_the_encoder(), &["cannot be compiled: the compiler ended by SIGABRT"]);
}

#[test]
fn a_component_of_another_world() {
    let other = "(component (instance $i) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))";
    refused(component(other), &["is a component of another world", "wasi:http/incoming-handler", "`wasi:cli/run`"]);
}

#[test]
fn a_server_of_http() {
    for export in ["wasi:http/incoming-handler@0.2.3", "wasi:http/handler@0.3.0"] {
        let server = format!("(component (instance $i) (export \"{export}\" (instance $i)))");
        refused(component(&server), &["an HTTP server: it exports", export, "`wasmtime serve`", "the grant `http`"]);
    }
}

#[test]
fn a_plugin_for_a_newer_host() {
    let newer = "(component (instance $i) (export \"scenario:host/scenarios@0.2.0\" (instance $i)))";
    refused(component(newer), &["`scenario:host@0.2.0`", "this host speaks `0.1.x`", "update `host`"]);
}

#[test]
fn a_component_that_needs_what_the_host_does_not_have() {
    let importing = "(component
        (import \"wasi:keyvalue/store@0.2.0\" (instance (export \"f\" (func))))
        (instance $i) (export \"scenario:host/scenarios@0.1.0\" (instance $i)))";
    let words = "needs something that this host does not offer: it imports `wasi:keyvalue/store@0.2.0`; this host has no \
                 such thing, and no grant gives it";
    cannot_run(&component(importing), words);
}

#[test]
fn a_folder() {
    let suite = Suite::new();
    fs::create_dir(suite.path("given.wasm")).unwrap();
    refused_in(&suite, "given.wasm", &["is a folder", "given.wasm/*.wasm"]);
}

#[test]
fn a_file_that_is_not_there() {
    refused_in(&Suite::new(), "given.wasm", &["cannot read the plugin", "No such file"]);
}

#[test]
fn a_pattern_that_matches_nothing() {
    refused_in(&Suite::new(), "plugins/*.wasm", &["matches no file", "build the plugins first"]);
}

#[test]
fn a_link_that_leads_nowhere() {
    let suite = Suite::new();
    symlink("gone.wasm", suite.path("given.wasm")).unwrap();
    refused_in(&suite, "given.wasm", &["cannot read the plugin"]);
}

#[test]
fn a_named_pipe_does_not_make_it_wait() {
    let suite = Suite::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, suite.path("given.wasm"), rustix::fs::Mode::RWXU).unwrap();
    refused_in(&suite, "given.wasm", &["cannot read the plugin", "not a regular file"]);
}

#[test]
fn a_device() {
    refused_in(&Suite::new(), "/dev/zero", &["cannot read the plugin", "not a regular file"]);
}

#[test]
fn a_file_that_may_not_be_read() {
    let suite = Suite::new();
    suite.file("given.wasm", "x");
    fs::set_permissions(suite.path("given.wasm"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let words: &[&str] = if fs::read(suite.path("given.wasm")).is_ok() { &["but text"] } else { &["cannot read"] };
    refused_in(&suite, "given.wasm", words);
}

#[test]
fn every_bad_file_is_told_and_not_just_the_first() {
    let suite = Suite::new();
    suite.file("a.wasm", "").file("b.wasm", "hello").file("good.wasm", fs::read(probe("probe-noop")).unwrap());
    let finished = suite.host(["run", "a.wasm", "b.wasm", "good.wasm"]);
    finished.exits(96);
    assert!(finished.stderr.contains("`a.wasm` is empty") && finished.stderr.contains("`b.wasm` is no WebAssembly"));
    assert!(!finished.stderr.contains("good.wasm"), "{}", finished.stderr);
}

#[test]
fn names_of_exports_play_no_tricks_on_a_terminal() {
    let module = "(module (import \"env\\1b[2J\\0d\" \"f\" (func)) (func (export \"_start\")))";
    let suite = Suite::new();
    suite.file("given.wasm", component(module));
    let finished = suite.host(["run", "given.wasm"]);
    finished.exits(96);
    assert!(!finished.stderr.contains(['\u{1b}', '\r']), "{:?}", finished.stderr);
}

fn plugin_listing(listed: &[Listed<'_>]) -> Vec<u8> {
    typed_module(listed, "", "", "")
}

fn named(name: &str) -> Listed<'_> {
    Listed { name, ..Listed::default() }
}

#[test]
fn a_handmade_plugin_is_listed_inspected_and_run() {
    let suite = Suite::new();
    suite.file("given.wasm", plugin_listing(&[Listed { summary: "Does nothing.", ..named("one") }, named("two")]));
    let listed = suite.host(["list", "given.wasm"]);
    listed.exits(0);
    assert!(listed.stdout.contains("one") && listed.stdout.contains("two"), "{}", listed.told());
    let inspected = suite.host(["inspect", "given.wasm"]);
    inspected.exits(0);
    assert!(inspected.stdout.contains("core module of the world scenario:host/plugin"), "{}", inspected.told());
    suite.host(["run", "given.wasm"]).exits(0).passes("one").passes("two");
}

#[test]
fn a_plugin_that_lists_nothing() {
    refused(plugin_listing(&[]), &["lists 0 scenarios"]);
}

#[test]
fn a_plugin_that_lists_a_name_twice() {
    refused(plugin_listing(&[named("same"), named("other"), named("same")]), &["lists `same` twice"]);
}

#[test]
fn a_plugin_that_lists_names_that_lead_elsewhere() {
    for name in ["", "..", "../planted", "a/b", "/tmp/planted", "-rf", ".hidden", "a b", "a::b"] {
        refused(plugin_listing(&[named(name)]), &["lists a scenario with a bad name"]);
    }
}

#[test]
fn a_plugin_that_lists_a_name_that_plays_tricks_on_a_terminal() {
    let suite = Suite::new();
    suite.file("given.wasm", plugin_listing(&[named("\u{1b}[2J\n5 passed\r")]));
    let finished = suite.host(["list", "given.wasm"]);
    finished.exits(96);
    assert!(!finished.stderr.contains(['\u{1b}', '\r']), "{:?}", finished.stderr);
    assert!(!finished.stderr.lines().any(|line| line.starts_with("5 passed")), "{}", finished.stderr);
}

#[test]
fn a_summary_and_clauses_that_play_tricks_on_a_terminal_are_shown_harmlessly() {
    let suite = Suite::new();
    suite.file("given.wasm", plugin_listing(&[Listed { summary: "\u{1b}[2J\n5 passed\r", ..named("one") }]));
    for command in ["list", "inspect", "run"] {
        let finished = suite.host([command, "given.wasm"]);
        finished.exits(0);
        assert!(!finished.stdout.contains(['\u{1b}', '\r']), "{command}: {:?}", finished.stdout);
        assert!(!finished.stdout.lines().any(|line| line.starts_with("5 passed")), "{}", finished.stdout);
    }
}

#[test]
fn a_plugin_that_lists_a_clause_with_a_bad_code() {
    refused(
        plugin_listing(&[Listed { codes: &["../code"], ..named("one") }]),
        &["lists a clause of `one`", "bad code"],
    );
}

#[test]
fn a_plugin_that_needs_an_unknown_grant() {
    let needing = Listed { needs: &["launch-missiles"], ..named("one") };
    refused(plugin_listing(&[needing]), &["needs the grant `launch-missiles`", "update `host`"]);
}

#[test]
fn a_list_that_traps() {
    refused(
        typed_module(&[named("one")], "unreachable", "", ""),
        &["fails when asked for its scenarios", "unreachable"],
    );
}

#[test]
fn a_list_that_points_out_of_its_memory() {
    refused(typed_module(&[named("one")], "(return (i32.const -8))", "", ""), &["fails when asked for its scenarios"]);
}

#[test]
fn a_list_that_fills_memory() {
    let growing = "(loop (drop (memory.grow (i32.const 16))) (br 0))";
    refused(typed_module(&[named("one")], growing, "", ""), &["fails when asked for its scenarios", "memory"]);
}

#[test]
fn a_list_that_fills_memory_with_objects() {
    let growing = "(local $all (ref null $n)) (loop (local.set $all (struct.new $n (local.get $all))) (br 0))";
    let plugin = typed_module(&[named("one")], growing, "", "(type $n (struct (field (ref null $n))))");
    refused(plugin, &["fails when asked for its scenarios", "memory"]);
}

#[test]
fn a_list_that_fills_tables_outside_of_the_pool() {
    let growing = "(loop (drop (table.grow (ref.null func) (i32.const 100000))) (br 0))";
    let plugin = typed_module(&[named("one")], growing, "", "(table 30000 funcref)");
    refused(plugin, &["fails when asked for its scenarios", "table"]);
}

#[test]
fn memories_are_counted_together_while_a_plugin_lists() {
    let memories: String = (0..64).map(|_| "(memory 1024)").collect();
    refused(typed_module(&[named("one")], "", "", &memories), &["fails when asked for its scenarios", "memory"]);
}

#[test]
fn a_list_that_never_ends() {
    let suite = Suite::new();
    suite.file("given.wasm", typed_module(&[named("one")], "(loop (br 0))", "", ""));
    let finished = suite.host(["list", "given.wasm"]);
    finished.exits(96);
    assert!(finished.stderr.contains("`given.wasm` does not list its scenarios within"), "{}", finished.stderr);
}

#[test]
fn a_core_module_with_start_is_a_command() {
    let suite = Suite::new();
    suite.file("given.wasm", plain_module("", ""));
    let inspected = suite.host(["inspect", "given.wasm"]);
    inspected.exits(0);
    assert!(inspected.stdout.contains("core module, a plain command of WASI 0.1"), "{}", inspected.told());
    suite.host(["run", "given.wasm"]).exits(0).passes("given");
}

const HOSTILE_NAME: &str = "a\n::error::b\u{1b}[2J\r.wasm";

#[test]
fn names_of_files_play_no_tricks_on_a_terminal_or_a_ci_runner() {
    let harmless = |text: &str| {
        let forged = text.lines().any(|line| line.trim_start().starts_with("::"));
        assert!(!forged && !text.contains(['\u{1b}', '\r']), "{text:?}");
        assert!(text.contains("a\\n::error::b\\u{1b}[2J\\r.wasm"), "{text}");
    };
    let suite = Suite::new();
    harmless(&suite.host(["inspect", HOSTILE_NAME]).exits(96).stderr);
    harmless(&suite.file(HOSTILE_NAME, "hello").host(["run", HOSTILE_NAME]).exits(96).stderr);
    suite.file(HOSTILE_NAME, plugin_listing(&[named("one")]));
    for command in ["inspect", "list"] {
        harmless(&suite.host([command, HOSTILE_NAME]).exits(0).stdout);
    }
    suite.file(HOSTILE_NAME, plugin_listing(&[Listed { needs: &["x\n::error::y"], ..named("one") }]));
    harmless(&suite.host(["list", HOSTILE_NAME]).exits(96).stderr);
}

/// A shell script in the suite's folder, with the host as `$0`.
fn shell(suite: &Suite, script: &str, args: &[&OsStr]) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, host_binary()]).args(args).current_dir(suite.path(""));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", suite.tmp()).output().unwrap()
}

#[test]
fn a_file_whose_name_is_no_utf8_is_a_plugin_like_any_other() {
    let suite = Suite::new();
    let name = OsStr::from_bytes(b"\xff[1].wasm");
    fs::write(suite.path("").join(name), plugin_listing(&[named("one")])).unwrap();
    for command in ["inspect", "list", "inspect --format json", "list --format json", "run"] {
        let output = shell(&suite, &format!("exec \"$0\" {command} \"$1\""), &[name]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {stdout}");
    }
}

/// The script succeeds and says `words` on stderr once.
fn says_once(script: &str, words: &str) {
    let suite = Suite::new();
    suite.file("given.wasm", plugin_listing(&[named("one"), named("two")]));
    let output = shell(&suite, script, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stderr.starts_with(words), "{stderr}");
}

#[test]
fn little_address_space_makes_it_slower_and_says_so_once() {
    let script = "ulimit -v 3000000 && exec \"$0\" run --no-cache --jobs 8 given.wasm";
    says_once(script, "warning: address space is too short for the engine's pool of 8");
}

#[test]
fn without_a_home_it_is_said_once_that_nothing_is_kept() {
    says_once("exec \"$0\" list given.wasm", "warning: there is no folder for the compile cache");
}

/// A command of WASI 0.2 whose parts are `parts`, which make the instance `$e`.
fn command(parts: &str) -> Vec<u8> {
    component(&format!("(component {parts} (export \"wasi:cli/run@0.2.0\" (instance $e)))"))
}

/// A sound instance `$e`.
const RUNS: &str = "(core module $m (func (export \"f\") (result i32) (i32.const 0)))
    (core instance $c (instantiate $m))
    (func $run (result (result)) (canon lift (core func $c \"f\")))
    (instance $e (export \"run\" (func $run)))";

/// Every command refuses such a command in the same words, and `inspect` shows what it is all the same.
#[track_caller]
fn cannot_run(plugin: &[u8], words: &str) {
    let suite = Suite::new();
    suite.file("given.wasm", plugin).file("good.wasm", plain_module("", ""));
    for args in [&["inspect", "given.wasm"][..], &["list", "given.wasm"], &["check", "given.wasm"], &["run", "*.wasm"]]
    {
        let finished = suite.host(args.iter().copied());
        finished.exits(96);
        let error = format!("error: `given.wasm` {words}");
        assert!(finished.stderr.contains(&error), "{args:?}: `{error}` is not in {}", finished.stderr);
        assert_eq!(finished.stderr.matches("error: ").count(), 1, "{}", finished.stderr);
        assert!(finished.events.is_empty());
        assert_eq!(finished.stdout.contains("\n  kind  "), args[0] == "inspect", "{}", finished.told());
    }
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_command_that_imports_what_the_host_does_not_have_is_told_by_whoever_looks_at_it() {
    let needs = "needs something that this host does not offer: it imports";
    let versions = "but this host has `wasi:clocks` 0.2 up to 0.2.12, and 0.3.0";
    for (import, told) in [
        ("foo:bar/baz@1.0.0", "; it is none of WASI"),
        ("wasi:nn/tensor@0.2.0-rc-2024-10-28", "; this host has no such thing"),
        ("wasi:keyvalue/store@0.2.0", "; this host has no such thing"),
        ("wasi:clocks/monotonic-clock@0.4.0", &format!(", {versions}")),
        ("wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06", &format!(", {versions}")),
    ] {
        let plugin = command(&format!("(import \"{import}\" (instance (export \"f\" (func)))) {RUNS}"));
        cannot_run(&plugin, &format!("{needs} `{import}`{told}"));
    }
    cannot_run(&command(&format!("(import \"parts\" (core module)) {RUNS}")), &format!("{needs} `parts`; it is none"));
}

#[test]
fn a_command_whose_run_cannot_be_called_is_told_by_the_version_that_it_has() {
    let returning = RUNS.replace("(result (result))", "(result u32)");
    for (parts, told) in
        [("(instance $e)", "has no `run`"), (&returning, "has a `run` that does not return a `result`")]
    {
        cannot_run(&command(parts), &format!("cannot be run: its `wasi:cli/run@0.2.0` {told}"));
    }
    let plugin = component("(component (instance $e) (export \"wasi:cli/run@0.3.0\" (instance $e)))");
    cannot_run(&plugin, "cannot be run: its `wasi:cli/run@0.3.0` has no `run`");
}

#[test]
fn a_command_without_a_version_and_a_start_of_another_type_are_told_in_words() {
    let unversioned = "(component (instance $e) (export \"wasi:cli/run\" (instance $e)))";
    refused(component(unversioned), &["is a command for `wasi:cli` without a version, but this host runs 0.2 and 0.3"]);
    let start = "(module (memory (export \"memory\") 1) (func (export \"_start\") (result i32) unreachable))";
    refused(component(start), &["is a core module whose `_start` returns 1 value"]);
}

#[test]
fn a_core_module_needs_a_memory_only_where_its_calls_do() {
    let suite = Suite::new();
    let exit = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))";
    for (name, fields) in [("none", ""), ("own", "(memory 1)"), ("other", "(memory (export \"mem\") 1)")] {
        let module = format!("(module {exit} {fields} (func (export \"_start\") (call $exit (i32.const 0))))");
        suite.file(&format!("{name}.wasm"), component(&module));
    }
    suite.file("nothing.wasm", component("(module (func (export \"_start\")))"));
    suite.host(["run", "*.wasm"]).exits(0).passes("none").passes("own").passes("other").passes("nothing");
    let writes = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))";
    let module = format!("(module {writes} (memory (export \"mem\") 1) (func (export \"_start\")))");
    refused(component(&module), &["calls `fd_write` of WASI 0.1, which needs its memory, but exports it as `mem`"]);
}

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

use host_testing::{Listed, Suite, host_binary, host_snapshot, plain_module, probe, typed_module};

/// `inspect`, `list` and `run` refuse the file `name` with the same error, which is returned.
#[track_caller]
fn refused_in(suite: &Suite, name: &str) -> String {
    let errors = ["inspect", "list", "run"].map(|command| {
        let finished = suite.host([command, name]);
        finished.exits(96);
        assert_eq!(finished.stdout, "", "{command}");
        assert!(finished.stderr.contains(name), "{command}: {}", finished.stderr);
        assert_eq!(finished.stderr.matches("error: ").count(), 1, "{}", finished.stderr);
        assert!(finished.events.is_empty());
        without_offsets(&finished.shown_stderr())
    });
    assert_eq!(suite.leftovers(), [""; 0]);
    let [error, others @ ..] = errors;
    assert!(others.iter().all(|other| *other == error), "{error}{others:?}");
    error
}

/// `text` without the offset of a trap in its module: the same trap is sometimes reported one byte later.
fn without_offsets(text: &str) -> String {
    let line = |line: &str| match line.split_once(" - <unknown>!") {
        Some((_, frame)) => format!("    0: [OFFSET] - <unknown>!{frame}"),
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>) -> String {
    let suite = Suite::new();
    suite.file("given.wasm", content);
    refused_in(&suite, "given.wasm")
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn garbage() {
    host_snapshot!(refused([0xff, 0x00, 0x12, 0x99]), @"error: `given.wasm` is not WebAssembly but unknown bytes; give a `.wasm` component or core module");
}

#[test]
fn an_empty_file() {
    host_snapshot!(refused(""), @"error: `given.wasm` is empty; build it again");
}

#[test]
fn text() {
    host_snapshot!(refused("hello\n"), @"error: `given.wasm` is not WebAssembly but text; give a `.wasm` component or core module");
}

#[test]
fn webassembly_text() {
    host_snapshot!(refused("(module)"), @"error: `given.wasm` is WebAssembly text; convert it to binary first, for example with `wasm-tools parse`");
}

#[test]
fn a_native_program() {
    host_snapshot!(refused(fs::read(host_binary()).unwrap()), @"error: `given.wasm` is not WebAssembly but a native program of this system; give a `.wasm` component or core module");
}

#[test]
fn a_script() {
    host_snapshot!(refused("#!/bin/sh\nexit\n"), @"error: `given.wasm` is not WebAssembly but a script; give a `.wasm` component or core module");
}

#[test]
fn a_component_that_is_cut_short() {
    let whole = fs::read(probe("probe-noop")).unwrap();
    let error = refused(&whole[..whole.len() / 2]);
    assert!(error.contains("is damaged"), "{error}");
}

#[test]
fn a_component_with_a_flipped_byte() {
    let mut bytes = fs::read(probe("probe-noop")).unwrap();
    bytes[9] ^= 0xff;
    let error = refused(bytes);
    assert!(error.contains("is damaged"), "{error}");
}

#[test]
fn a_core_module_without_start() {
    host_snapshot!(refused(component("(module (func (export \"f\")))")), @"error: `given.wasm` is a core module without `_start`, a library; build it as a command (with `main`), or as a component of the world `scenario:host/plugin`");
}

#[test]
fn a_core_module_for_something_else() {
    let module = "(module (import \"env\" \"f\" (func)) (func (export \"_start\")))";
    host_snapshot!(refused(component(module)), @"error: `given.wasm` is a core module that imports `env`, which is not part of WASI 0.1; build it for wasm32-wasip1 or wasm32-wasip2");
}

#[test]
fn a_core_module_that_imports_what_wasi_0_1_does_not_have() {
    let module = |import: &str| {
        component(&format!(
            "(module (import \"wasi_snapshot_preview1\" {import}) (memory (export \"memory\") 1) (func (export \"_start\")))"
        ))
    };
    host_snapshot!(cannot_run(&module("\"sock_dance\" (func)")), @"error: `given.wasm` cannot be linked: it imports `wasi_snapshot_preview1.sock_dance`, which WASI 0.1 does not have; build it with a current toolchain (wasm32-wasip1)");
    host_snapshot!(cannot_run(&module("\"fd_close\" (func)")), @"error: `given.wasm` cannot be linked: it imports a function of WASI 0.1 with the wrong type: incompatible import type for `wasi_snapshot_preview1::fd_close`: types incompatible: expected type `(func)`, found type `(func (param i32) (result i32))`; build it with a current toolchain (wasm32-wasip1)");
}

#[test]
fn a_core_module_of_the_version_before_wasi_0_1() {
    let module = "(module (import \"wasi_unstable\" \"proc_exit\" (func (param i32))) (func (export \"_start\")))";
    host_snapshot!(refused(component(module)), @"error: `given.wasm` is a core module that imports `wasi_unstable`, the version of WASI before 0.1, which this host does not have; build it with a current toolchain (wasm32-wasip1)");
}

#[test]
fn a_core_module_whose_memory_has_other_addresses_or_is_shared() {
    let module = |memory: &str| {
        component(&format!(
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32)))
                (memory (export \"memory\") {memory}) (func (export \"_start\")))"
        ))
    };
    host_snapshot!(refused(module("i64 1")), @"error: `given.wasm` is a core module that exports a memory of 64-bit addresses as `memory`; WASI 0.1 needs a memory with 32-bit addresses there");
    host_snapshot!(refused(module("1 1 shared")), @"error: `given.wasm` uses the threads proposal of WebAssembly, which this host does not support; build it without");
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
    host_snapshot!(refused(module_that_overflows_the_encoder()), @"error: `given.wasm` cannot be compiled: the compiler was ended by SIGABRT");
}

#[test]
fn a_component_of_another_world() {
    let other = "(component (instance $i) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))";
    host_snapshot!(refused(component(other)), @"error: `given.wasm` is a component of another world, an HTTP server: it exports `wasi:http/incoming-handler@0.2.0`, which needs a server program such as `wasmtime serve`; `host` runs only plugins, which export `scenario:host/scenarios` or `wasi:cli/run`. To test the server, serve it, and write a plugin that sends it requests with the grant `http`");
}

#[test]
fn a_server_of_http() {
    let errors = ["wasi:http/incoming-handler@0.2.3", "wasi:http/handler@0.3.0"]
        .map(|export| refused(component(&format!("(component (instance $i) (export \"{export}\" (instance $i)))"))));
    host_snapshot!(errors.concat(), @"
    error: `given.wasm` is a component of another world, an HTTP server: it exports `wasi:http/incoming-handler@0.2.3`, which needs a server program such as `wasmtime serve`; `host` runs only plugins, which export `scenario:host/scenarios` or `wasi:cli/run`. To test the server, serve it, and write a plugin that sends it requests with the grant `http`
    error: `given.wasm` is a component of another world, an HTTP server: it exports `wasi:http/handler@0.3.0`, which needs a server program such as `wasmtime serve`; `host` runs only plugins, which export `scenario:host/scenarios` or `wasi:cli/run`. To test the server, serve it, and write a plugin that sends it requests with the grant `http`
    ");
}

#[test]
fn a_plugin_for_a_newer_host() {
    let newer = "(component (instance $i) (export \"scenario:host/scenarios@0.2.0\" (instance $i)))";
    host_snapshot!(refused(component(newer)), @"error: `given.wasm` is a plugin for `scenario:host@0.2.0`, but this host supports `0.1.x`; update `host`");
}

#[test]
fn a_component_that_needs_what_the_host_does_not_have() {
    let importing = "(component
        (import \"wasi:keyvalue/store@0.2.0\" (instance (export \"f\" (func))))
        (instance $i) (export \"scenario:host/scenarios@0.1.0\" (instance $i)))";
    host_snapshot!(cannot_run(&component(importing)), @"error: `given.wasm` cannot be linked: it imports `wasi:keyvalue/store@0.2.0`; this host does not have it, and no grant provides it; build the plugin without it");
}

#[test]
fn a_folder() {
    let suite = Suite::new();
    fs::create_dir(suite.path("given.wasm")).unwrap();
    host_snapshot!(refused_in(&suite, "given.wasm"), @"error: the plugin `given.wasm` is a folder; name its files, for example `given.wasm/*.wasm`");
}

#[test]
fn a_file_that_is_not_there() {
    host_snapshot!(refused_in(&Suite::new(), "given.wasm"), @"error: cannot read the plugin `given.wasm`: No such file or directory (os error 2)");
}

#[test]
fn a_pattern_that_matches_nothing() {
    host_snapshot!(refused_in(&Suite::new(), "plugins/*.wasm"), @"error: `plugins/*.wasm` matches no file; build the plugins first, or correct the pattern");
}

#[test]
fn a_link_that_leads_nowhere() {
    let suite = Suite::new();
    symlink("gone.wasm", suite.path("given.wasm")).unwrap();
    host_snapshot!(refused_in(&suite, "given.wasm"), @"error: cannot read the plugin `given.wasm`: No such file or directory (os error 2)");
}

#[test]
fn a_named_pipe_does_not_make_it_wait() {
    let suite = Suite::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, suite.path("given.wasm"), rustix::fs::Mode::RWXU).unwrap();
    host_snapshot!(refused_in(&suite, "given.wasm"), @"error: cannot read the plugin `given.wasm`: not a regular file");
}

#[test]
fn a_device() {
    host_snapshot!(refused_in(&Suite::new(), "/dev/zero"), @"error: cannot read the plugin `/dev/zero`: not a regular file");
}

#[test]
fn a_file_that_may_not_be_read() {
    let suite = Suite::new();
    suite.file("given.wasm", "x");
    fs::set_permissions(suite.path("given.wasm"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let words = if fs::read(suite.path("given.wasm")).is_ok() { "but text" } else { "cannot read" };
    let error = refused_in(&suite, "given.wasm");
    assert!(error.contains(words), "{error}");
}

#[test]
fn every_bad_file_is_reported() {
    let suite = Suite::new();
    suite.file("a.wasm", "").file("b.wasm", "hello").file("good.wasm", fs::read(probe("probe-noop")).unwrap());
    let finished = suite.host(["run", "a.wasm", "b.wasm", "good.wasm"]);
    finished.exits(96);
    assert!(finished.stderr.contains("`a.wasm` is empty") && finished.stderr.contains("`b.wasm` is not WebAssembly"));
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
    host_snapshot!(refused(plugin_listing(&[])), @"error: `given.wasm` lists 0 scenarios; a plugin contains 1 to 10000");
}

#[test]
fn a_plugin_that_lists_a_name_twice() {
    host_snapshot!(refused(plugin_listing(&[named("same"), named("other"), named("same")])), @"error: `given.wasm` lists `same` twice");
}

#[test]
fn a_plugin_that_lists_names_that_lead_elsewhere() {
    let errors = ["", "..", "../planted", "a/b", "/tmp/planted", "-rf", ".hidden", "a b", "a::b"]
        .map(|name| refused(plugin_listing(&[named(name)])));
    host_snapshot!(errors.concat(), @"
    error: `given.wasm` lists a scenario with a bad name: `` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `..` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `../planted` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `a/b` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `/tmp/planted` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `-rf` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `.hidden` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `a b` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    error: `given.wasm` lists a scenario with a bad name: `a::b` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit
    ");
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
    host_snapshot!(refused(plugin_listing(&[Listed { codes: &["../code"], ..named("one") }])), @"error: `given.wasm` lists a clause of `one` with a bad code: `../code` is not a valid name: use up to 100 letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
}

#[test]
fn a_plugin_that_needs_an_unknown_grant() {
    let needing = Listed { needs: &["launch-missiles"], ..named("one") };
    host_snapshot!(refused(plugin_listing(&[needing])), @"error: `given.wasm` requests the grant `launch-missiles` for `one`, which this host does not have (it has `session`, `http`, `tcp`, `udp`, `listen`, `env`, `deterministic`); correct the name, or update `host`");
}

#[test]
fn a_list_that_traps() {
    host_snapshot!(refused(typed_module(&[named("one")], "unreachable", "", "")), @"
    error: `given.wasm` cannot list its scenarios: error while executing at wasm backtrace:
        0: [OFFSET] - <unknown>!<wasm function 1>: wasm trap: wasm `unreachable` instruction executed
    ");
}

#[test]
fn a_list_that_points_out_of_its_memory() {
    host_snapshot!(refused(typed_module(&[named("one")], "(return (i32.const -8))", "", "")), @"error: `given.wasm` cannot list its scenarios: pointer out of bounds of memory");
}

#[test]
fn a_list_that_fills_memory() {
    let growing = "(loop (drop (memory.grow (i32.const 16))) (br 0))";
    host_snapshot!(refused(typed_module(&[named("one")], growing, "", "")), @"
    error: `given.wasm` cannot list its scenarios: error while executing at wasm backtrace:
        0: [OFFSET] - <unknown>!<wasm function 1>: the component requests 268500992 bytes of memory; its limit `max-memory` is 268435456
    ");
}

#[test]
fn a_list_that_fills_memory_with_objects() {
    let growing = "(local $all (ref null $n)) (loop (local.set $all (struct.new $n (local.get $all))) (br 0))";
    let plugin = typed_module(&[named("one")], growing, "", "(type $n (struct (field (ref null $n))))");
    host_snapshot!(refused(plugin), @"
    error: `given.wasm` cannot list its scenarios: error while executing at wasm backtrace:
        0: [OFFSET] - <unknown>!<wasm function 1>: GC heap out of memory: no capacity for allocation of 64 bytes
    ");
}

#[test]
fn a_list_that_fills_tables_outside_of_the_pool() {
    let growing = "(loop (drop (table.grow (ref.null func) (i32.const 100000))) (br 0))";
    let plugin = typed_module(&[named("one")], growing, "", "(table 30000 funcref)");
    host_snapshot!(refused(plugin), @"
    error: `given.wasm` cannot list its scenarios: error while executing at wasm backtrace:
        0: [OFFSET] - <unknown>!<wasm function 1>: the component requests 1030000 table elements; its limit `max-table-elements` is 1000000
    ");
}

#[test]
fn memories_are_counted_together_while_a_plugin_lists() {
    let memories: String = (0..64).map(|_| "(memory 1024)").collect();
    host_snapshot!(refused(typed_module(&[named("one")], "", "", &memories)), @"error: `given.wasm` cannot list its scenarios: the component requests 268500992 bytes of memory; its limit `max-memory` is 268435456");
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
    assert_eq!((output.status.code(), stderr.matches("warning: ").count()), (Some(0), 1), "{stderr}");
    assert!(stderr.starts_with(words), "{stderr}");
}

#[test]
fn little_address_space_is_one_warning() {
    let script = "ulimit -v 3000000 && exec \"$0\" run --no-cache --jobs 8 given.wasm";
    says_once(script, "warning: not enough address space for the engine's pool of 8");
}

#[test]
fn without_a_home_the_disabled_cache_is_one_warning() {
    says_once("exec \"$0\" list given.wasm", "warning: the compile cache is disabled: HOME is not set");
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

/// Every command refuses such a command with the same error, which is returned; `inspect` still shows what it is.
#[track_caller]
fn cannot_run(plugin: &[u8]) -> String {
    let suite = Suite::new();
    suite.file("given.wasm", plugin).file("good.wasm", plain_module("", ""));
    let commands =
        [&["inspect", "given.wasm"][..], &["list", "given.wasm"], &["check", "given.wasm"], &["run", "*.wasm"]];
    let errors = commands.map(|args| {
        let finished = suite.host(args.iter().copied());
        finished.exits(96);
        assert_eq!(finished.stderr.matches("error: ").count(), 1, "{}", finished.stderr);
        assert!(finished.events.is_empty());
        assert_eq!(finished.stdout.contains("\n  kind  "), args[0] == "inspect", "{}", finished.told());
        let stderr = finished.shown_stderr();
        let error = stderr.lines().find(|line| line.starts_with("error: `given.wasm` "));
        format!("{}\n", error.unwrap_or_else(|| panic!("{args:?}: {stderr}")))
    });
    assert_eq!(suite.leftovers(), [""; 0]);
    let [error, others @ ..] = errors;
    assert!(others.iter().all(|other| *other == error), "{error}{others:?}");
    error
}

#[test]
fn every_command_reports_an_unknown_import() {
    let errors = [
        "foo:bar/baz@1.0.0",
        "wasi:nn/tensor@0.2.0-rc-2024-10-28",
        "wasi:keyvalue/store@0.2.0",
        "wasi:clocks/monotonic-clock@0.4.0",
        "wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06",
    ]
    .map(|import| cannot_run(&command(&format!("(import \"{import}\" (instance (export \"f\" (func)))) {RUNS}"))));
    host_snapshot!(errors.concat(), @"
    error: `given.wasm` cannot be linked: it imports `foo:bar/baz@1.0.0`; it is not part of WASI, and no grant provides it; link a component that exports it into the plugin (`wac plug`), or build the plugin without it
    error: `given.wasm` cannot be linked: it imports `wasi:nn/tensor@0.2.0-rc-2024-10-28`; this host does not have it, and no grant provides it; build the plugin without it
    error: `given.wasm` cannot be linked: it imports `wasi:keyvalue/store@0.2.0`; this host does not have it, and no grant provides it; build the plugin without it
    error: `given.wasm` cannot be linked: it imports `wasi:clocks/monotonic-clock@0.4.0`, but this host has `wasi:clocks` 0.2 up to 0.2.12, and 0.3.0 (component imports instance `wasi:clocks/monotonic-clock@0.4.0`, but a matching implementation was not found in the linker: instance export `f` has the wrong type: function implementation is missing); build it for those
    error: `given.wasm` cannot be linked: it imports `wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06`, but this host has `wasi:clocks` 0.2 up to 0.2.12, and 0.3.0 (component imports instance `wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06`, but a matching implementation was not found in the linker: instance export `f` has the wrong type: function implementation is missing); build it for those
    ");
    host_snapshot!(cannot_run(&command(&format!("(import \"parts\" (core module)) {RUNS}"))), @"error: `given.wasm` cannot be linked: it imports `parts`; it is not part of WASI, and no grant provides it; link a component that exports it into the plugin (`wac plug`), or build the plugin without it");
}

#[test]
fn a_bad_run_function_is_reported_with_its_version() {
    let returning = RUNS.replace("(result (result))", "(result u32)");
    host_snapshot!(cannot_run(&command("(instance $e)")), @"error: `given.wasm` cannot be run: its `wasi:cli/run@0.2.0` has no `run`; a command has `run: func() -> result`");
    host_snapshot!(cannot_run(&command(&returning)), @"error: `given.wasm` cannot be run: its `wasi:cli/run@0.2.0` has a `run` that does not return a `result`; a command has `run: func() -> result`");
    let plugin = component("(component (instance $e) (export \"wasi:cli/run@0.3.0\" (instance $e)))");
    host_snapshot!(cannot_run(&plugin), @"error: `given.wasm` cannot be run: its `wasi:cli/run@0.3.0` has no `run`; a command has `run: func() -> result`");
}

#[test]
fn commands_without_version_and_bad_starts_are_explained() {
    let unversioned = "(component (instance $e) (export \"wasi:cli/run\" (instance $e)))";
    host_snapshot!(refused(component(unversioned)), @"error: `given.wasm` is a command for `wasi:cli` without a version, but this host runs 0.2 and 0.3; build it for one of them");
    let start = "(module (memory (export \"memory\") 1) (func (export \"_start\") (result i32) unreachable))";
    host_snapshot!(refused(component(start)), @"error: `given.wasm` is a core module whose `_start` returns 1 value; a command's `_start` is a function without parameters and results");
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
    host_snapshot!(refused(component(&module)), @"error: `given.wasm` is a core module that calls `fd_write` of WASI 0.1, which needs its memory, but exports it as `mem`; export it as `memory`");
}

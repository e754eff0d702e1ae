//! `host componentize` and what `host new` says: what needs no tools of another language.

use std::fs;

use host_testing::{
    Listed, Suite, bare_typed_module, bare_typed_module_importing, plain_module, repository, typed_module,
};

/// Makes a component of this module, and says what it is.
fn componentized(suite: &Suite, module: &[u8], args: &[&str]) -> String {
    suite.file("core/made.wasm", module);
    let args = [&["componentize", "core/made.wasm", "-o", "made.wasm"], args].concat();
    suite.host(args).exits(0);
    suite.host(["inspect", "made.wasm"]).exits(0).stdout.clone()
}

fn refused(module: &[u8], args: &[&str]) -> String {
    let suite = Suite::new();
    suite.file("core.wasm", module);
    let finished = suite.host([&["componentize", "core.wasm", "-o", "made.wasm"], args].concat());
    finished.exits(96);
    assert!(!suite.path("made.wasm").exists());
    finished.stderr.clone()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_command_becomes_one_of_wasi_0_2_with_the_same_exit_code() {
    let suite = Suite::new();
    let kind = componentized(&suite, &plain_module("(call $proc_exit (i32.const 3))", ""), &[]);
    assert!(kind.contains("component, a plain command of WASI 0.2"), "{kind}");
    suite.scenario("made", "expect = { exit-code = 3 }");
    suite.host(["run", "made.wasm"]).exits(0).passes("made");
}

#[test]
fn a_module_becomes_a_plugin_by_exports_world_or_wit() {
    let listed = [Listed { name: "made", ..Listed::default() }];
    let wit = repository().join("wit");
    let wit = wit.to_str().unwrap();
    let bare = bare_typed_module(&listed, "", "", "");
    for (module, args) in [(&bare, &[][..]), (&bare, &["--world", wit]), (&typed_module(&listed, "", "", ""), &[])] {
        let suite = Suite::new();
        let kind = componentized(&suite, module, args);
        assert!(kind.contains("component of the world scenario:host/plugin"), "{kind}");
        suite.host(["run", "made.wasm"]).exits(0).passes("made");
    }
}

#[test]
fn a_command_may_report() {
    let text = r#"(module
        (import "scenario:host/report@0.1.0" "note" (func $note (param i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "noted")
        (func (export "_start") (call $note (i32.const 8) (i32.const 5))))"#;
    let suite = Suite::new();
    let kind = componentized(&suite, &wat(text), &[]);
    assert!(kind.contains("scenario:host/report") && kind.contains("a plain command"), "{kind}");
    // The core module is what is made of it.
    for file in ["made.wasm", "core/made.wasm"] {
        suite.host(["run", file]).exits(0).passes("made");
        let events = fs::read_to_string(suite.path(".host/latest/events.jsonl")).unwrap();
        assert!(events.contains("noted"));
    }
}

#[test]
fn a_core_module_runs_like_its_component() {
    let listed = [Listed { name: "made", ..Listed::default() }];
    for module in [bare_typed_module(&listed, "", "", ""), typed_module(&listed, "", "", "")] {
        let suite = Suite::new();
        suite.file("core.wasm", module);
        suite.host(["run", "core.wasm"]).exits(0).passes("made");
    }
    // A command that its bindings were made for.
    let wit = "package mine:mine; world mine { import scenario:host/report@0.1.0; }";
    let text = r#"(module
        (import "scenario:host/report@0.1.0" "note" (func $note (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $note (i32.const 8) (i32.const 0))))"#;
    let suite = Suite::new();
    suite.file("core.wasm", embedded(wat(text), wit));
    suite.host(["run", "core.wasm"]).exits(0).passes("core");
}

#[test]
fn a_plugin_s_start_function_may_call_what_it_imports() {
    let listed = [Listed { name: "begun", ..Listed::default() }];
    let pause = "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))";
    let unless_begun = "(if (i32.eqz (global.get $begun)) (then unreachable))";
    let begins = "(global $begun (mut i32) (i32.const 0)) (start $begin) (func $begin
        (if (call $yield) (then unreachable))
        (global.set $begun (i32.const 1)))";
    // Nobody calls the `_start` of a plugin.
    for also in ["", "(func (export \"_start\"))"] {
        let fields = format!("{begins} {also}");
        let suite = Suite::new();
        suite.file("core.wasm", bare_typed_module_importing(&listed, pause, unless_begun, unless_begun, &fields));
        suite.host(["run", "core.wasm"]).exits(0).passes("begun");
    }
    // Nor a second initialiser, where names are mangled the other way.
    let mangled = wat(&format!(
        "(module (import \"cm32p2|scenario:host/report@0.1\" \"note\" (func (param i32 i32))) {pause}
            (memory (export \"cm32p2_memory\") 1)
            (func (export \"cm32p2_initialize\")) (func (export \"_start\") {unless_begun}) {begins})"
    ));
    let suite = Suite::new();
    suite.file("core.wasm", mangled);
    suite.host(["run", "core.wasm"]).exits(0).passes("core");
}

#[test]
fn only_the_interface_itself_makes_a_plugin() {
    let suite = Suite::new();
    suite.file(
        "core.wasm",
        wat(r#"(module (memory (export "memory") 1) (func (export "_start")) (func (export "scenario:host/scenarios-old@0.1.0#list")))"#),
    );
    suite.host(["run", "core.wasm"]).exits(0).passes("core");
    let kind = componentized(&suite, &fs::read(suite.path("core.wasm")).unwrap(), &[]);
    assert!(kind.contains("a plain command of WASI 0.2"), "{kind}");
}

/// The module with the world of `wit`, which may use the contract.
fn embedded(mut module: Vec<u8>, wit: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_path(repository().join("wit")).unwrap();
    let package = resolve.push_str("own.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    module
}

#[test]
fn run_and_componentize_refuse_with_the_same_message() {
    let command =
        |import: &str| wat(&format!("(module (import \"{import}\" \"f\" (func)) (func (export \"_start\")))"));
    for (module, told) in [
        (command("env"), "imports `env`, which is not part of WASI 0.1; build it for wasm32-wasip1 or wasm32-wasip2"),
        (command("own:own/i"), "name the WIT that defines it: `host componentize FILE --world WIT -o OUT`"),
        (
            command("scenario:host/report@0.2.0"),
            "is a plugin for `scenario:host@0.2.0`, but this host supports `0.1.x`",
        ),
        (wat("(module (func (export \"scenario:host/scenarios@0.2.0#run\")))"), "update `host`"),
    ] {
        let suite = Suite::new();
        suite.file("core.wasm", &module);
        let finished = suite.host(["run", "core.wasm"]);
        assert_eq!(finished.exits(96).stderr, refused(&module, &[]));
        assert!(finished.stderr.contains(told), "{told}: {}", finished.stderr);
    }
}

#[test]
fn a_core_module_of_another_world_names_the_missing_exports() {
    let suite = Suite::new();
    let module = wat("(module (func (export \"act\")))");
    suite.file("core.wasm", embedded(module, "package mine:mine; world mine { export act: func(); }"));
    let finished = suite.host(["run", "core.wasm"]);
    let told = "is a core module of another world: it exports `act`, but a plugin exports `scenario:host/scenarios@0.1.0#list`";
    assert!(finished.exits(96).stderr.contains(told), "{}", finished.told());
    // It can be made a component all the same.
    suite.host(["componentize", "core.wasm", "-o", "made.wasm"]).exits(0);
}

#[test]
fn componentize_names_what_is_missing() {
    for (module, args, told) in [
        (wat("(module)"), &[][..], "without `_start` and without the exports of a plugin"),
        (wat("(component)"), &[], "is already a component"),
        (b"text".to_vec(), &[], "is not WebAssembly but text"),
        (wat("(module)"), &["--world", "none"], "of the world in `none`"),
        (wat("(module (import \"elsewhere\" \"f\" (func)) (func (export \"_start\")))"), &[], "elsewhere"),
        (typed_module(&[], "", "", ""), &["--world", "none"], "already has a world"),
    ] {
        let stderr = refused(&module, args);
        assert!(stderr.starts_with("error: `core.wasm` ") && stderr.contains(told), "{told}: {stderr}");
    }
}

#[test]
fn a_new_folder_is_a_suite_and_overwrites_nothing() {
    let suite = Suite::new();
    for language in ["rust", "c", "go", "js", "python"] {
        let finished = suite.host(["new", "first", "--lang", language, "--dir", language]);
        assert!(finished.exits(0).stdout.contains(&format!("cd {language}\n")), "{}", finished.told());
        for file in ["README.md", "wit/world.wit", "scenarios/first/agents/right.toml"] {
            assert!(suite.path(language).join(file).is_file(), "{language}: {file}");
        }
    }
    let again = suite.host(["new", "other", "--lang", "go", "--dir", "c"]);
    assert!(again.exits(96).stderr.contains("cannot create `c`: the folder is not empty"));
    assert!(!suite.path("c/scenarios/other").exists());
    assert!(suite.host(["new", "a/b", "--lang", "go"]).exits(96).stderr.contains("`a/b` is not a valid name"));
    suite.host(["new", "first", "--lang", "cobol"]).exits(2);
}

#[test]
fn this_folder_and_one_with_a_slash_behind_are_folders_too() {
    for (dir, line) in
        [(".", None), ("./", None), ("there/", Some("cd there/\n")), ("new/deep/", Some("cd new/deep/\n"))]
    {
        let suite = Suite::new();
        std::fs::create_dir(suite.path("there")).unwrap();
        let here = suite.path("here");
        fs::create_dir_all(here.join(".git")).unwrap();
        let cwd = if line.is_none() { here } else { suite.path(".") };
        let finished = suite.host_in(&cwd, ["new", "first", "--lang", "c", "--dir", dir]);
        let said = &finished.exits(0).stdout;
        assert_eq!(said.contains("cd "), line.is_some(), "{said}");
        assert!(line.is_none_or(|line| said.contains(line)), "{said}");
        assert!(cwd.join(dir).join("scenarios/first/scenario.toml").is_file());
        let again = suite.host_in(&cwd, ["new", "first", "--lang", "c", "--dir", dir]);
        assert!(again.exits(96).stderr.contains("is not empty"), "{}", again.told());
    }
}

#[test]
fn invalid_folders_and_names_are_reported() {
    let suite = Suite::new();
    suite.file("file", "");
    for (args, told) in [
        (
            ["new", "first", "--lang", "c", "--dir", "file"],
            "cannot create `file`: it is a file, or a path inside a file",
        ),
        (
            ["new", "first", "--lang", "c", "--dir", "file/in"],
            "cannot create `file/in`: it is a file, or a path inside a file",
        ),
        (["new", "suite.toml", "--lang", "c", "--dir", "x"], "the file `scenarios/suite.toml` needs this name"),
    ] {
        let finished = suite.host(args);
        assert!(finished.exits(96).stderr.contains(told), "{}", finished.told());
    }
    assert!(!suite.path("x").exists());
}

#[test]
fn a_link_is_followed_and_stays() {
    let suite = Suite::new();
    suite.file("core.wasm", wat("(module (memory (export \"memory\") 1) (func (export \"_start\")))"));
    suite.file("out.wasm", "old");
    std::os::unix::fs::symlink("out.wasm", suite.path("link.wasm")).unwrap();
    suite.host(["componentize", "core.wasm", "-o", "link.wasm"]).exits(0);
    assert!(suite.path("link.wasm").is_symlink());
    assert!(std::fs::read(suite.path("out.wasm")).unwrap().starts_with(b"\0asm"));
}

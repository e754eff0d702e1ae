//! What the calls of WASI 0.1 do within preopens, call by call. Every program is a scenario by its `scenario.toml`.

mod conformance {
    mod directories;
    mod files;
    mod links;
    mod paths;
    mod rest;
}
mod support;

use crate::support::{Finished, Suite, preview1::Program};

/// A folder of the scenario, copied for the attempt, is all that the programs see.
const IN_A_FOLDER: &str = "preopens = [{ from = \"data\", to = \"/\" }]\n";

/// Runs the program as the plain command that sees the folder `data`.
fn conforms(program: &Program) {
    conforms_with(program, IN_A_FOLDER);
}

fn conforms_with(program: &Program, toml: &str) {
    let suite = Suite::new();
    suite.file("scenarios/calls/data/there/file", "0123456789");
    let finished = run(&suite, program, toml);
    finished.exits(0).passes("calls");
    assert_eq!(suite.leftovers(), [""; 0]);
    let original = std::fs::read(suite.path("scenarios/calls/data/there/file")).unwrap();
    assert_eq!(original, b"0123456789", "the folder itself was changed");
}

fn run(suite: &Suite, program: &Program, toml: &str) -> Finished {
    suite.file("calls.wasm", program.module()).scenario("calls", toml);
    suite.host(["run", "calls.wasm"])
}

/// A command made by hand: imports, memory and what `_start` executes.
fn passes(imports: &str, memory: &str, start: &str) {
    let suite = Suite::new();
    let text = format!("(module {imports} (memory (export \"memory\") {memory}) (func (export \"_start\") {start}))");
    suite.file("calls.wasm", wat::parse_str(text).unwrap());
    suite.scenario("calls", IN_A_FOLDER).file("scenarios/calls/data/there/file", "");
    suite.host(["run", "calls.wasm"]).exits(0).passes("calls");
}

const CLOCK: &str =
    "(import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))";

#[test]
fn a_memory_that_may_hardly_grow_has_room_for_the_adapter() {
    for memory in ["1", "1 1", "1 2", "3 65536"] {
        passes(CLOCK, memory, "(if (call $clock (i32.const 0) (i64.const 1) (i32.const 0)) (then unreachable))");
    }
}

#[test]
fn a_start_function_may_call_what_the_module_imports() {
    let module = |also: &str| {
        let text = format!(
            "(module {CLOCK} (global $seen (mut i32) (i32.const 0)) (memory (export \"memory\") 1)
                (start $begin)
                (func $begin
                    (if (call $clock (i32.const 0) (i64.const 1) (i32.const 0)) (then unreachable))
                    (global.set $seen (i32.add (global.get $seen) (i32.const 1))))
                (func (export \"_start\") (if (i32.ne (global.get $seen) (i32.const 1)) (then unreachable)))
                {also})"
        );
        wat::parse_str(text).unwrap()
    };
    // What is initialised has begun before.
    let initialised = "(func (export \"_initialize\") (if (i32.eqz (global.get $seen)) (then unreachable)))";
    for also in ["", initialised] {
        let suite = Suite::new();
        suite.file("begins.wasm", module(also));
        suite.host(["run", "begins.wasm"]).exits(0).passes("begins");
        suite.host(["componentize", "begins.wasm", "-o", "made.wasm"]).exits(0);
        suite.host(["run", "made.wasm"]).exits(0).passes("made");
    }
}

/// A heap as AssemblyScript sets it up when it first allocates: of all memory that there is by then. What it takes for
/// itself here it fills; a call of WASI after that must still find the adapter's state.
#[test]
fn a_heap_that_takes_all_memory_leaves_the_adapter_its_own() {
    let parts = "(import \"wasi_snapshot_preview1\" \"args_sizes_get\" (func $sizes (param i32 i32) (result i32)))
        (global $root (mut i32) (i32.const 0))
        (func $set_up
          (drop (i32.lt_s (memory.size) (i32.const 23)))
          (drop (memory.grow (i32.const 0)))
          (i32.store offset=96 (i32.const 64) (i32.const 0))
          (i32.store (i32.const 1024) (i32.shl (memory.size) (i32.const 16)))
          (global.set $root (i32.const 2048)))";
    let sizes = "(if (call $sizes (i32.const 0) (i32.const 4)) (then unreachable))";
    let allocate = "(if (i32.eqz (global.get $root)) (then (call $set_up)))
        (memory.fill (i32.const 2048) (i32.const 1) (i32.sub (i32.load (i32.const 1024)) (i32.const 2048)))";
    passes(parts, "1", &format!("{sizes} {allocate} {sizes}"));
}

/// The bytes ff fe are no UTF-8: 25 is ILSEQ.
#[test]
fn a_function_that_is_imported_twice_is_the_same_under_both_names() {
    let unlink = |name: &str| {
        format!(
            "(import \"wasi_snapshot_preview1\" \"path_unlink_file\" (func ${name} (param i32 i32 i32) (result i32)))"
        )
    };
    let call = |name: &str| {
        format!(
            "(i32.store16 (i32.const 8) (i32.const 0xfeff))
             (if (i32.ne (call ${name} (i32.const 3) (i32.const 8) (i32.const 2)) (i32.const 25)) (then unreachable))"
        )
    };
    passes(&(unlink("one") + &unlink("two")), "1", &(call("one") + &call("two")));
}

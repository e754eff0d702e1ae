//! What the calls of WASI 0.1 do within preopens, call by call. Every program is a scenario by its `scenario.toml`.

mod directories;
mod files;
mod links;
mod paths;
mod rest;

use host_testing::{Finished, Suite, preview1::*};

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
fn a_memory_that_may_not_grow_is_enough() {
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

/// Heaps as AssemblyScript and TinyGo have them: all memory that there is, and whatever it grows by, is the program's.
#[test]
fn all_of_a_memory_is_the_programs_own() {
    let call = "(import \"wasi_snapshot_preview1\" \"args_sizes_get\" (func $sizes (param i32 i32) (result i32)))
        (func $holds (param $from i32) (param $byte i32)
          (loop $next
            (if (i32.ne (i32.load8_u (local.get $from)) (local.get $byte)) (then unreachable))
            (local.set $from (i32.add (local.get $from) (i32.const 4099)))
            (br_if $next (i32.lt_u (local.get $from) (i32.shl (memory.size) (i32.const 16))))))
        (func $fill (param $byte i32)
          (memory.fill (i32.const 64) (local.get $byte)
            (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 64))))";
    let sizes = "(if (call $sizes (i32.const 0) (i32.const 4)) (then unreachable))";
    let grow = "(if (i32.ne (memory.grow (i32.const 3)) (memory.size)) (then (if (i32.ne (memory.size) (i32.const 4)) (then unreachable))))";
    let start = format!(
        "{sizes} (call $fill (i32.const 1)) {sizes} (call $holds (i32.const 64) (i32.const 1))
         {grow} (call $fill (i32.const 2)) {sizes} (call $holds (i32.const 64) (i32.const 2))"
    );
    passes(call, "1", &start);
}

/// A command that also reports is made a component by wasmtime's adapter; what that answers otherwise than WASI 0.1 says
/// is corrected.
#[test]
fn an_adapted_command_is_answered_as_one_that_runs_as_it_is() {
    let mut p = Program::default();
    p.reports();
    p.call("path_unlink_file", &[DIR, Arg::Raw(b"\xff")], &[ILSEQ]);
    p.call("path_filestat_get", &[DIR, Arg::N(0), Arg::Text("there/"), Arg::Out("stat")], &[SUCCESS]);
    p.call("path_remove_directory", &[DIR, Arg::Text("there/")], &[NOTEMPTY]);
    p.call("sock_shutdown", &[DIR, Arg::N(3)], &[NOTSOCK]);
    p.call("fd_write", &[Arg::N(77), Arg::Writes(&[]), Arg::Out("n")], &[BADF]);
    p.ok("fd_filestat_set_times", &[DIR, Arg::N(5), Arg::N(7), Arg::N(5)]);
    conforms(&p);
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

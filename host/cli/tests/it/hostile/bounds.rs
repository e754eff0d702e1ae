//! What an attempt makes the host hold beside its memories and tables, and what attempts share.

use std::fs;

use host_model::{FaultClass, Outcome, Report};

use super::{handmade, handmade_typed, is_fault};
use host_testing::{Finished, Suite, probe};

/// A command of WASI 0.3 whose five calls each hold a stack for as long as they sleep.
const FIBERS: &str = include_str!("../../fixtures/fibers.wat");

/// Runs the command that this text is of, together with the harmless one.
fn command(suite: &Suite, text: &str, toml: &str, more: &[&str]) -> Finished {
    suite.file("guest.wasm", wat::parse_str(text).unwrap()).scenario("guest", toml);
    let harmless = probe("probe-hostile");
    let args = ["run", "guest.wasm", harmless.to_str().unwrap(), "--no-canary"];
    let finished = suite.host(args.into_iter().chain(more.iter().copied()).chain(["--", "harmless", "guest"]));
    assert_eq!(suite.leftovers(), [""; 0]);
    finished
}

#[test]
fn stacks_of_one_attempt_are_not_taken_from_its_neighbors() {
    let suite = Suite::new();
    let finished = command(&suite, FIBERS, "timeout = \"3s\"", &["--jobs", "24", "--repeat-each", "12"]);
    let records = finished.records();
    assert_eq!(records.len(), 24, "{}", finished.told());
    for (scenario, record) in records {
        match &record.outcome {
            Outcome::Pass => assert!(scenario.0.starts_with("harmless"), "{scenario}"),
            Outcome::Fault(fault) => {
                assert!(scenario.0.starts_with("guest") && fault.class == FaultClass::Timeout, "{scenario}: {fault}");
            }
            other => panic!("{scenario}: {other:?}"),
        }
    }
}

#[test]
fn stacks_count_to_the_limit_of_memory() {
    let finished = command(&Suite::new(), FIBERS, "timeout = \"60s\"\nmax-memory = \"1MiB\"", &[]);
    finished.exits(110).passes("harmless");
    is_fault(&finished, "guest", FaultClass::Limit, "stacks of");
    is_fault(&finished, "guest", FaultClass::Limit, "its limit `max-memory` is 1048576");
}

#[test]
fn globals_count_to_the_limit_of_memory() {
    let globals = "(global (mut i32) (i32.const 0))".repeat(200_000);
    let module = handmade_typed("", &globals);
    let finished = handmade(&module, "max-memory = \"8MiB\"");
    is_fault(finished.exits(110), "handmade", FaultClass::Limit, "its instances: globals and functions");
    is_fault(&finished, "handmade", FaultClass::Limit, "its limit `max-memory` is 8388608");
    handmade(&module, "").exits(0);
}

#[test]
fn memories_are_bounded_by_the_limit_of_instances() {
    let module = handmade_typed("", &"(memory 0)".repeat(59));
    let finished = handmade(&module, "max-instances = 50");
    is_fault(finished.exits(110), "handmade", FaultClass::Limit, "memory count");
    is_fault(&finished, "handmade", FaultClass::Limit, "its limit `max-instances` is 50");
    handmade(&module, "").exits(0);
}

/// `-1` where the table has its own maximum, and never because a slot of the engine's pool is smaller.
#[test]
fn a_table_grows_to_its_own_maximum() {
    let grow = |by, wanted| {
        format!("(if (i32.ne (table.grow (ref.null func) (i32.const {by})) (i32.const {wanted})) (then unreachable))")
    };
    for (table, run) in [
        ("(table 1 40000 funcref)", grow(39_999, 1)),
        ("(table 1 20000 funcref)", grow(19_999, 1) + &grow(1, -1)),
        ("(table 1 funcref)", grow(500_000, 1)),
        ("(table 1 10 funcref)", grow(10, -1)),
    ] {
        handmade(&handmade_typed(&run, table), "").exits(0);
    }
}

#[test]
fn growth_that_fails_counts_to_no_limit() {
    let table = "(loop $again
        (drop (table.grow (ref.null func) (i32.const 10)))
        (global.set $times (i32.add (global.get $times) (i32.const 1)))
        (br_if $again (i32.lt_u (global.get $times) (i32.const 200000))))";
    handmade(&handmade_typed(table, "(table 1 10 funcref) (global $times (mut i32) (i32.const 0))"), "").exits(0);
    let memory = "(loop $again
        (drop (memory.grow $small (i32.const 10)))
        (global.set $times (i32.add (global.get $times) (i32.const 1)))
        (br_if $again (i32.lt_u (global.get $times) (i32.const 2000))))";
    handmade(&handmade_typed(memory, "(memory $small 1 2) (global $times (mut i32) (i32.const 0))"), "").exits(0);
}

/// Three instances with so many globals that their dump would be as large as that of a big memory.
#[test]
fn no_core_dump_is_made_of_millions_of_globals() {
    let globals = "(global (mut i32) (i32.const 0))".repeat(800_000);
    let text = format!(
        "(component
           (core module $m {globals} (func (export \"run\") (result i32) unreachable))
           (core instance $a (instantiate $m)) (core instance $b (instantiate $m)) (core instance $c (instantiate $m))
           (func $run (result (result)) (canon lift (core func $a \"run\")))
           (instance $run (export \"run\" (func $run)))
           (export \"wasi:cli/run@0.2.0\" (instance $run)))"
    );
    let suite = Suite::new();
    let finished = command(&suite, &text, "", &[]);
    finished.exits(110).passes("harmless");
    is_fault(&finished, "guest", FaultClass::Trap, "unreachable");
    let cut = finished.reports("guest");
    assert!(matches!(&cut[..], [Report::Cut { what }] if what.contains("2400000 globals")), "{cut:?}");
    let attempt = suite.last_run().unwrap().join("scripted/guest/attempt-1");
    assert!(!attempt.join("core.wasm").exists());
    assert!(fs::metadata(attempt.join("trap.txt")).unwrap().len() < 10_000);
}

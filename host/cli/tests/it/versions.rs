//! Commands of WASI 0.1, 0.2 and 0.3 beside one another in one run.

use std::fs;

use host_model::FaultClass;

use host_testing::{Suite, plain_module, probe};

/// A command of WASI 0.3 whose `run` waits for the clock, is called back, and returns `result`: 0 is `ok`.
fn waits(result: u32, callback: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
                (export "wait-for" (func async (param "how-long" u64)))))
            (core func $wait-for (canon lower (func $clock "wait-for") async))
            (core func $return (canon task.return (result (result))))
            (core func $new-set (canon waitable-set.new))
            (core func $join (canon waitable.join))
            (core func $drop (canon subtask.drop))
            (core module $command
                (import "" "wait-for" (func $wait-for (param i64) (result i32)))
                (import "" "return" (func $return (param i32)))
                (import "" "new-set" (func $new-set (result i32)))
                (import "" "join" (func $join (param i32 i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "run") (result i32) (local $task i32) (local $set i32)
                    ;; The lower four bits are its state, 2 where it is over already; the others are its handle.
                    (local.set $task (call $wait-for (i64.const 2000000)))
                    (if (i32.eq (i32.and (local.get $task) (i32.const 15)) (i32.const 2)) (then unreachable))
                    (local.set $set (call $new-set))
                    (call $join (i32.shr_u (local.get $task) (i32.const 4)) (local.get $set))
                    ;; 2: call back when something of the set happens.
                    (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
                (func (export "callback") (param $event i32) (param $task i32) (param $state i32) (result i32)
                    (if (i32.ne (local.get $event) (i32.const 1)) (then unreachable))
                    (if (i32.ne (local.get $state) (i32.const 2)) (then unreachable))
                    (call $drop (local.get $task))
                    {callback}
                    (call $return (i32.const {result}))
                    (i32.const 0)))
            (core instance $i (instantiate $command (with "" (instance
                (export "wait-for" (func $wait-for))
                (export "return" (func $return))
                (export "new-set" (func $new-set))
                (export "join" (func $join))
                (export "drop" (func $drop))))))
            (func $run async (result (result))
                (canon lift (core func $i "run") async (callback (core func $i "callback"))))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $exported)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn commands_of_all_versions_and_typed_plugins_run_in_one_run() {
    let suite = Suite::new();
    suite.file("plugins/one.wasm", plain_module("(call $proc_exit (i32.const 7))", ""));
    suite.scenario("one", "expect = { exit-code = 7 }");
    fs::copy(probe("probe-command"), suite.path("plugins/two.wasm")).unwrap();
    suite.scenario("two", "args = [\"exit\", \"5\"]\nexpect = { exit-code = 5 }");
    suite.file("plugins/three.wasm", waits(0, ""));
    suite.file("plugins/three-fails.wasm", waits(1, ""));
    suite.scenario("three-fails", "expect = { exit-code = 1 }");
    suite.file("plugins/three-traps.wasm", waits(0, "unreachable"));
    suite.file("plugins/three-loops.wasm", waits(0, "(loop $for-ever (br $for-ever))"));
    suite.scenario("three-loops", "timeout = \"300ms\"");
    fs::copy(probe("probe-noop"), suite.path("plugins/typed.wasm")).unwrap();
    let finished = suite.host(["run", "plugins/*.wasm"]);
    finished.exits(110);
    for passes in ["one", "two", "three", "three-fails", "noop"] {
        finished.passes(passes);
    }
    assert_eq!(finished.fault("three-traps").class, FaultClass::Trap);
    assert_eq!(finished.fault("three-loops").class, FaultClass::Timeout);
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_commands_wasi_version_is_shown() {
    let suite = Suite::new();
    suite.file("three.wasm", waits(0, ""));
    let told = suite.host(["inspect", "three.wasm"]);
    assert!(told.exits(0).stdout.contains("a plain command of WASI 0.3"), "{}", told.told());
}

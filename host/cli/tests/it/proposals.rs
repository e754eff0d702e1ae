//! What of WebAssembly the host runs: a tiny program for each proposal, as a core module and as a component.

use std::collections::BTreeSet;

use host_model::FaultClass;

use host_testing::{Finished, Suite, plain_module, repository};

/// Each proposal with fields of a module, and what is 0 where it works.
const PROPOSALS: &[(&str, &str, &str)] = &[
    ("mutable-globals", "(global (export \"g\") (mut i32) (i32.const 0))", "(i32.const 0)"),
    ("sign-extension-ops", "", "(i32.extend8_s (i32.const 256))"),
    ("nontrapping-fptoint", "", "(i32.trunc_sat_f32_s (f32.const nan))"),
    ("multi-value", "(func $two (result i32 i32) (i32.const 0) (i32.const 0))", "(i32.add (call $two))"),
    ("reference-types", "(table $t 1 externref)", "(i32.eqz (ref.is_null (table.get $t (i32.const 0))))"),
    ("bulk-memory", "", "(memory.fill (i32.const 64) (i32.const 0) (i32.const 8)) (i32.load (i32.const 64))"),
    ("simd", "", "(i32x4.extract_lane 0 (v128.const i32x4 0 1 2 3))"),
    ("relaxed-simd", "", "(i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 0 0 0 0)))"),
    (
        "tail-call",
        "(func $zero (result i32) (i32.const 0)) (func $tail (result i32) (return_call $zero))",
        "(call $tail)",
    ),
    ("extended-const", "(global $g i32 (i32.sub (i32.const 5) (i32.const 5)))", "(global.get $g)"),
    ("multi-memory", "(memory $two 1)", "(i32.load $two (i32.const 64))"),
    ("memory64", "(memory $wide i64 1)", "(i32.load $wide (i64.const 64))"),
    (
        "function-references",
        "(type $f (func (result i32))) (func $zero (type $f) (i32.const 0)) (elem declare func $zero)",
        "(call_ref $f (ref.func $zero))",
    ),
    ("gc", "(type $s (struct (field i32)))", "(struct.get $s 0 (struct.new $s (i32.const 0)))"),
    (
        "exception-handling",
        "(tag $t (param i32))",
        "(block $caught (result i32) (try_table (catch $t $caught) (throw $t (i32.const 0))) (i32.const 1))",
    ),
];

/// A component with the `wasi:cli/run` of 0.2 that fails where `check` is not 0.
fn component(fields: &str, check: &str) -> Vec<u8> {
    let text = format!(
        "(component
            (core module $m (memory 1) {fields} (func (export \"run\") (result i32) {check}))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i \"run\")))
            (instance $e (export \"run\" (func $run)))
            (export \"wasi:cli/run@0.2.0\" (instance $e)))"
    );
    wat::parse_str(&text).unwrap()
}

fn run(module: &[u8], toml: &str, args: &[&str]) -> Finished {
    let suite = Suite::new();
    suite.file("core.wasm", module).scenario("core", toml);
    let finished = suite.host(["run", "core.wasm"].into_iter().chain(args.iter().copied()));
    assert_eq!(suite.leftovers(), [""; 0]);
    finished
}

#[test]
fn each_proposal_runs_in_a_component_and_in_a_core_module() {
    let suite = Suite::new();
    for (name, fields, check) in PROPOSALS {
        suite.file(&format!("{name}-component.wasm"), component(fields, check));
        suite.file(
            &format!("{name}-core.wasm"),
            plain_module(&format!("(if {} (then unreachable))", folded(check)), fields),
        );
    }
    let finished = suite.host(["run", "*.wasm"]);
    finished.exits(0);
    for (name, ..) in PROPOSALS {
        finished.passes(&format!("{name}-component")).passes(&format!("{name}-core"));
    }
}

/// As one operand.
fn folded(check: &str) -> String {
    format!("(block (result i32) {check})")
}

#[test]
fn the_reference_names_each_proposal() {
    let page = std::fs::read_to_string(repository().join("docs/reference/plugins.md")).unwrap();
    let section = page.split("\n## WebAssembly proposals\n").nth(1).expect("the page has the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let tried: BTreeSet<&str> = PROPOSALS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(named, tried);
}

#[test]
fn unsupported_proposals_are_named_before_the_run() {
    for (fields, name) in [("(memory $b 1 (pagesize 1))", "custom-page-sizes"), ("(memory $b 1 1 shared)", "threads")] {
        for module in [component(fields, "(i32.const 0)"), plain_module("", fields)] {
            let suite = Suite::new();
            suite.file("core.wasm", module);
            for command in ["inspect", "list", "check", "run"] {
                let finished = suite.host([command, "core.wasm"]);
                let told =
                    format!("`core.wasm` uses the {name} proposal of WebAssembly, which this host does not support");
                assert!(finished.exits(96).stderr.contains(&told), "{command}: {}", finished.told());
            }
        }
    }
}

const NODE: &str = "(type $node (struct (field (ref null $node)) (field i64)))
    (type $bytes (array (mut i8)))
    (func $one_more (param (ref null $node)) (result (ref null $node))
        (struct.new $node (local.get 0) (i64.const 1)))";
/// What does not fit a slot of the pool.
const ON_DEMAND: &str = "(table 30000 funcref)";

#[test]
fn objects_without_end_run_into_the_limit_of_memory() {
    let list = "(local $all (ref null $node)) (loop (local.set $all (call $one_more (local.get $all))) (br 0))";
    let array = "(drop (array.new_default $bytes (i32.const 1000000000)))";
    for start in [list, array] {
        for place in ["", ON_DEMAND] {
            let finished = run(&plain_module(start, &format!("{NODE}{place}")), "max-memory = \"64MiB\"", &[]);
            let fault = finished.exits(110).fault("core");
            assert_eq!(fault.class, FaultClass::Limit, "{fault}");
            assert!(fault.message.contains("its limit `max-memory` is 67108864"), "{fault}");
            assert!(finished.peak_memory < 400 << 20, "{} bytes", finished.peak_memory);
        }
    }
}

#[test]
fn an_object_larger_than_the_heap_is_a_limit() {
    let start = "(drop (array.new_default $longs (i32.const -1)))";
    let finished = run(&plain_module(start, "(type $longs (array (mut i64)))"), "max-memory = \"100GiB\"", &[]);
    let fault = finished.exits(110).fault("core");
    assert_eq!(fault.class, FaultClass::Limit, "{fault}");
    assert!(fault.message.contains("its limit is `max-memory`"), "{fault}");
}

#[test]
fn unreachable_objects_are_freed() {
    // Twenty times the memory that there is, in cycles too.
    let fields = format!(
        "{NODE} (type $knot (struct (field (mut (ref null $knot))) (field i64)))
        (func $cycle (local $knot (ref $knot))
            (local.set $knot (struct.new $knot (ref.null $knot) (i64.const 1)))
            (struct.set $knot 0 (local.get $knot) (local.get $knot)))"
    );
    let start = "(local $left i32) (local.set $left (i32.const 8000000))
        (loop (drop (call $one_more (ref.null $node))) (call $cycle)
            (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left)))";
    for place in ["", ON_DEMAND] {
        run(&plain_module(start, &format!("{fields}{place}")), "max-memory = \"16MiB\"", &[]).exits(0).passes("core");
    }
}

#[test]
fn heaps_come_free_with_their_attempts() {
    let start = "(drop (call $one_more (ref.null $node)))";
    let finished = run(&plain_module(start, NODE), "", &["--repeat-each", "200"]);
    finished.exits(0);
    assert_eq!(finished.records().len(), 200);
}

#[test]
fn an_uncaught_exception_is_a_trap() {
    let component = component("(tag $t)", "(throw $t)");
    for module in [plain_module("(throw $t)", "(tag $t)"), component] {
        let finished = run(&module, "", &[]);
        let fault = finished.exits(110).fault("core");
        assert_eq!(fault.class, FaultClass::Trap, "{fault}");
        assert!(fault.message.contains("threw an exception that it does not catch"), "{fault}");
    }
}

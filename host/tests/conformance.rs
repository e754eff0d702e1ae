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

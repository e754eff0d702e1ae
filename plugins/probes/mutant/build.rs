//! Copies the source of `gate` without one of its clauses.

use std::{env, fs, path::Path};

const REMOVED: &str = "        code: \"gate-not-held\",\n";

fn main() {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../gate/src");
    let folder = folder.canonicalize().expect("plugins/gate is there");
    println!("cargo::rerun-if-changed={}", folder.display());
    let source = fs::read_to_string(folder.join("lib.rs")).expect("gate has a source");
    let source = without_clause(&source)
        // What is included cannot document the crate around it, and has no folder of its own.
        .replace("//!", "//")
        .replace("mod wording;", &format!("#[path = {:?}]\nmod wording;", folder.join("wording.rs")))
        .replace("#[cfg(test)]\nmod tests;\n", "");
    let made = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("gate.rs");
    fs::write(made, source).expect("OUT_DIR can be written");
}

fn without_clause(source: &str) -> String {
    let code = source.find(REMOVED).expect("gate has the clause `gate-not-held`");
    let start = source[..code].rfind("    Clause {\n").expect("a clause begins");
    let end = code + source[code..].find("\n    },\n").expect("a clause ends") + "\n    },\n".len();
    format!("{}{}", &source[..start], &source[end..])
}

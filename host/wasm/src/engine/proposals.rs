//! Which WebAssembly proposals the engine runs, so that unsupported ones are named before anything is compiled.

use wasmparser::{Validator, WasmFeatures};

/// What the engine runs: WebAssembly 3.0 without threads, and the component model with asynchronous calls. Unfinished
/// proposals are excluded, since wasmtime does not promise their security.
#[must_use]
pub fn features() -> WasmFeatures {
    let finished = WasmFeatures::WASM3.difference(WasmFeatures::THREADS);
    finished | WasmFeatures::GC_TYPES | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_ASYNC
}

/// The proposals that `bytes` need and the engine does not run, as text: `the threads proposal`. `None` if the bytes are
/// invalid even with all of them.
#[must_use]
pub fn missing_proposals(bytes: &[u8]) -> Option<String> {
    let valid = |more| Validator::new_with_features(features() | more).validate_all(bytes).is_ok();
    let mut needed = WasmFeatures::all().difference(features());
    if !valid(needed) || valid(WasmFeatures::empty()) {
        return None;
    }
    for (_, flag) in needed.iter_names() {
        if valid(needed.difference(flag)) {
            needed.remove(flag);
        }
    }
    let names: Vec<_> = needed.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    Some(match &names[..] {
        [name] => format!("the {name} proposal"),
        names => format!("the proposals {}", names.join(" and ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(format!("(component (core module {text}))")).unwrap()
    }

    #[test]
    fn unsupported_proposals_are_named() {
        for (text, proposal) in [
            ("(func (param i64) (drop (drop (i64.mul_wide_u (local.get 0) (local.get 0)))))", "wide-arithmetic"),
            ("(memory 1 (pagesize 1))", "custom-page-sizes"),
            ("(memory 1 1 shared)", "threads"),
            ("(type $f (func)) (type $c (cont $f))", "stack-switching"),
            ("(func try catch_all end)", "legacy-exceptions"),
        ] {
            assert_eq!(missing_proposals(&wat(text)).unwrap(), format!("the {proposal} proposal"), "{text}");
        }
        let both = "(memory 1 (pagesize 1)) (memory 1 1 shared)";
        assert_eq!(missing_proposals(&wat(both)).unwrap(), "the proposals threads and custom-page-sizes");
        assert_eq!(missing_proposals(&wat("(memory 1)")), None);
        assert_eq!(missing_proposals(b"\0asm\x01\0\0\0\xff"), None);
    }

    /// Exactly the valid modules can be compiled.
    #[test]
    fn validated_features_match_the_engine() {
        let engine = Engine::new(1).unwrap();
        for (text, runs) in [
            ("(memory 1 (pagesize 1))", false),
            ("(memory 1 1 shared)", false),
            ("(func (param i64) (drop (drop (i64.mul_wide_u (local.get 0) (local.get 0)))))", false),
            ("(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))", true),
            ("(tag $t) (func (throw $t))", true),
            ("(memory i64 1) (memory 1)", true),
        ] {
            let bytes = wat(text);
            assert_eq!(Validator::new_with_features(features()).validate_all(&bytes).is_ok(), runs, "{text}");
            for wasmtime in engine.wasmtime() {
                assert_eq!(wasmtime.precompile_component(&bytes).is_ok(), runs, "{text}");
            }
        }
    }
}

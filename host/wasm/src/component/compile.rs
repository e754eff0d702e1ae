//! Compiles a plugin: what `host compile` does.

use std::borrow::Cow;

use super::{Contents, Shape, WasiVersion, identify::identify};
use crate::engine::{CodeKind, precompile};
use host_wasip1::{adapt, strip_unreadable};

/// Identifies, adapts if necessary, and compiles the plugin in `bytes`; if `small`, for an engine with little address
/// space. A plugin can make this take any time and memory, or overflow the stack, so the host runs it in a subprocess.
///
/// # Errors
/// What completes "`FILE` …".
pub fn compile(bytes: &[u8], small: bool) -> Result<Vec<u8>, String> {
    let contents = identify(bytes).map_err(|error| error.to_string())?;
    let code: Cow<'_, [u8]> = if contents.adapted {
        let adapted = adapt(bytes, is_command(&contents))
            .map_err(|error| format!("is a core module that does not fit its world or WASI 0.1: {error}"))?;
        adapted.into()
    } else {
        strip_unreadable(bytes).map_or(Cow::Borrowed(bytes), Cow::Owned)
    };
    precompile(kind(&contents), small, &code).map_err(|error| format!("cannot be compiled: {error:#}"))
}

/// The kind of the plugin's code after adapting.
pub(super) fn kind(contents: &Contents) -> CodeKind {
    if contents.is_module() { CodeKind::Module } else { CodeKind::Component }
}

/// Whether a core module is adapted as a command.
pub(super) fn is_command(contents: &Contents) -> bool {
    contents.shape == Shape::Command(WasiVersion::P1)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use wasm_encoder::{CustomSection, RawSection, Section};

    use super::*;
    use crate::engine::Engine;

    /// The length of magic number, version and layer.
    const HEADER_LENGTH: usize = 8;
    const NAMES: &[&str] = &[
        "name",
        "producers",
        "component-name",
        "component-type:plugin",
        "component-type",
        "target_features",
        "dylink",
        "dylink.0",
        "linking",
        "reloc.CODE",
        "sourceMappingURL",
        "external_debug_info",
        ".debug_info",
        ".debug_line",
        ".debug_abbrev",
        "core",
        "coremodules",
        "corestack",
        "metadata.code.branch_hint",
        "webidl-bindings",
        "wasm-interface-types",
        "package-docs",
        "go:buildid",
        "build_id",
        "registry-metadata",
        "authors",
        "description",
        "licenses",
        "source",
        "homepage",
        "revision",
        "version",
        "",
        "made up",
    ];

    /// Custom sections with these names and contents.
    fn sections(named: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, data) in named {
            CustomSection { name: (*name).into(), data: data.into() }.append_to(&mut bytes);
        }
        bytes
    }

    /// Inserts sections after the header and at the end.
    fn with(bytes: &[u8], sections: &[u8]) -> Vec<u8> {
        [&bytes[..HEADER_LENGTH], sections, &bytes[HEADER_LENGTH..], sections].concat()
    }

    /// A component with a nested component that contains this module, and the sections in both.
    fn nested_in_component(module: &[u8], sections: &[u8]) -> Vec<u8> {
        let nest = |data: &[u8], id: u8| {
            let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
            RawSection { id, data }.append_to(&mut outer);
            with(&outer, sections)
        };
        nest(&nest(module, 1), 4)
    }

    fn command() -> Vec<u8> {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (start $begin) (func $begin (drop (call $yield)))
            (func $f (export "_start") (call $exit (i32.const 0))))"#;
        wat::parse_str(text).unwrap()
    }

    fn typed() -> Vec<u8> {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "scenario:host/scenarios@0.1.0#list") (result i32) unreachable)
            (func (export "scenario:host/scenarios@0.1.0#run") (param i32 i32) (result i32) (call $yield)))"#;
        wat::parse_str(text).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn custom_sections_never_refuse_a_module(
            named in vec((select(NAMES), vec(prop_oneof![any::<u8>(), 0..12_u8], 0..24)), 1..4)
        ) {
            thread_local!(static ENGINE: Engine = Engine::new(1).unwrap());
            let sections = sections(&named);
            let cleaned = |bytes: Vec<u8>| strip_unreadable(&bytes).unwrap_or(bytes);
            let (command, typed) = (with(&command(), &sections), with(&typed(), &sections));
            for plugin in [&command, &typed] {
                prop_assert!(identify(plugin).is_ok());
            }
            let nested = nested_in_component(&command, &sections);
            for as_command in [true, false] {
                let module = if as_command { &command } else { &typed };
                let adapted = adapt(module, as_command);
                prop_assert!(adapted.is_ok(), "{:?}", adapted);
                ENGINE.with(|engine| engine.wasmtime()[1].precompile_component(&adapted.unwrap())).unwrap();
            }
            ENGINE.with(|engine| {
                let engine = engine.wasmtime()[1];
                engine.precompile_module(&cleaned(command)).unwrap();
                engine.precompile_component(&cleaned(nested)).unwrap();
            });
        }
    }
}

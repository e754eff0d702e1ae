//! Runs the encoder of components, with what a module needs changed before.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, MemoryType, Module,
    NameMap, NameSection, TypeSection, ValType,
    reencode::{self, Reencode},
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{
    contract::CONTRACT,
    custom_sections::{strip_unreadable, strip_unreadable_world},
    go_heap::reserve_pages,
    names::PREVIEW1,
    shims::{SHIMS, insert_shims},
    start_function::defer_start,
    world::embed_contract_world,
};

/// The encoder's version: another one makes other components from the same modules.
const ENCODER: &str = "wit-component 0.254.2";

/// The module name of [`exit_adapter`].
const EXIT: &str = "host:exit";
const PROC_EXIT: &str = "proc_exit";
/// The function that raises a signal. The official adapter does not have it.
pub const PROC_RAISE: &str = "proc_raise";
const EXIT_INTERFACE: &str = "wasi:cli/exit@0.2.12";
const EXIT_WORLD: &str = "
    package host:exit;
    world adapter { import wasi:cli/exit@0.2.12; }
    package wasi:cli@0.2.12 {
        interface exit { exit-with-code: func(status-code: u8); }
    }
";

/// Changes a module; `None` if it stays as it is.
type Change<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, String>;

/// Turns a core module for WASI 0.1 into a component: a command if it has `_start`, or a component of the world that is
/// embedded in it. Without an embedded world, its exports and imports say whether it uses the contract's. Keeps the
/// exit code, of which the official adapter only keeps whether it was 0, and fixes the calls that the adapter gets wrong.
///
/// A module can make the encoder overflow its stack, so the host runs this in a subprocess.
///
/// # Errors
/// The encoder's message if the module does not fit its world or WASI 0.1.
pub fn adapt(module: &[u8], command: bool) -> Result<Vec<u8>, String> {
    let defer_start = |module: &[u8]| defer_start(module, command);
    let mut module = Cow::Borrowed(module);
    for strip in [strip_unreadable, strip_unreadable_world] {
        module = strip(&module).map_or(module, Cow::Owned);
    }
    // Start functions come first: where they move depends on whether the module came with a world.
    let changes: [Change<'_>; 3] = [&defer_start, &embed_contract_world, &reserve_pages];
    for change in changes {
        module = change(&module)?.map_or(module, Cow::Owned);
    }
    let (module, exits) = redirect_exit(&insert_shims(&module)?)?;
    let encode = || {
        let mut encoder =
            ComponentEncoder::default().validate(true).module(&module)?.adapter(PREVIEW1, adapter(command))?;
        if exits {
            encoder = encoder.adapter(EXIT, &exit_adapter()?)?;
        }
        encoder.encode()
    };
    encode().map_err(|error| format!("{error:#}"))
}

/// Identifies how [`adapt`] works: the same module and recipe give the same component. Compile caches use it as a key.
#[must_use]
pub fn recipe(command: bool) -> String {
    let mut hasher = Sha256::new();
    let sources = [
        include_bytes!("adapt.rs").as_slice(),
        include_bytes!("custom_sections.rs"),
        include_bytes!("go_heap.rs"),
        include_bytes!("names.rs"),
        include_bytes!("shims.rs"),
        include_bytes!("start_function.rs"),
        include_bytes!("world.rs"),
    ];
    let others = [SHIMS.as_bytes(), ENCODER.as_bytes(), adapter(command), &[u8::from(command)]];
    let contract = CONTRACT.iter().map(|(_, text)| text.as_bytes());
    for part in sources.into_iter().chain(others).chain(contract) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adapter(command: bool) -> &'static [u8] {
    if command { WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER } else { WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER }
}

/// Makes the module import `proc_exit` and `proc_raise` from [`exit_adapter`]; returns whether it imports any of them.
fn redirect_exit(module: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let grown = adapter_memory(module).map_err(|error| unreadable(&error))?;
    let mut redirect = ExitRedirect { imports_exit: false, imports_wasi: false, grown, memories: 0 };
    let mut redirected = Module::new();
    redirect
        .parse_core_module(&mut redirected, wasmparser::Parser::new(0), module)
        .map_err(|error| unreadable(&error))?;
    Ok((redirected.finish(), redirect.imports_exit))
}

/// The index of the memory that the adapter works in: the one that the module exports as `memory`.
fn adapter_memory(module: &[u8]) -> wasmparser::Result<Option<u32>> {
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let wasmparser::Payload::ExportSection(exports) = payload? else { continue };
        for export in exports {
            let export = export?;
            if export.name == "memory" && export.kind == wasmparser::ExternalKind::Memory {
                return Ok(Some(export.index));
            }
        }
    }
    Ok(None)
}

struct ExitRedirect {
    imports_exit: bool,
    /// Whether the module imports anything from WASI 0.1.
    imports_wasi: bool,
    /// The memory that the adapter grows.
    grown: Option<u32>,
    /// How many memories were met so far.
    memories: u32,
}

/// Pages that the adapter allocates in the module's memory on its first call. A module whose maximum is lower would trap.
const ADAPTER_PAGES: u64 = 4;
/// 4 GiB, the most that a 32-bit memory can have.
const MAX_PAGES: u64 = 1 << 16;

impl Reencode for ExitRedirect {
    type Error = std::convert::Infallible;

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error<Self::Error>> {
        let memory = reencode::utils::memory_type(self, memory);
        let index = self.memories;
        self.memories += 1;
        let is_plain = !memory.memory64 && memory.page_size_log2.is_none();
        if !self.imports_wasi || self.grown != Some(index) || !is_plain {
            return Ok(memory);
        }
        let raise = |maximum: u64| maximum.saturating_add(ADAPTER_PAGES).min(MAX_PAGES).max(maximum);
        Ok(MemoryType { maximum: memory.maximum.map(raise), ..memory })
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        for import in section.into_imports() {
            let import = import?;
            let is_exit = import.module == PREVIEW1 && matches!(import.name, PROC_EXIT | PROC_RAISE);
            self.imports_exit |= is_exit;
            self.imports_wasi |= import.module == PREVIEW1;
            let module = if is_exit { EXIT } else { import.module };
            imports.import(module, import.name, self.entity_type(import.ty)?);
        }
        Ok(())
    }
}

/// A module whose `proc_exit` passes the low byte of the code to `wasi:cli/exit`, as an operating system does. Its
/// `proc_raise` traps, since WASI has no signals; the function's name is then in the backtrace.
fn exit_adapter() -> anyhow::Result<Vec<u8>> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    imports.import(EXIT_INTERFACE, "exit-with-code", EntityType::Function(0));
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut exports = ExportSection::new();
    exports.export(PROC_EXIT, ExportKind::Func, 1).export(PROC_RAISE, ExportKind::Func, 2);
    let mut raise = Function::new([]);
    raise.instructions().unreachable().end();
    let mut named = NameMap::new();
    named.append(1, PROC_EXIT);
    named.append(2, PROC_RAISE);
    let mut names = NameSection::new();
    names.functions(&named);
    let mut body = Function::new([]);
    body.instructions().local_get(0).i32_const(0xff).i32_and().call(0).unreachable().end();
    let mut code = CodeSection::new();
    code.function(&body).function(&raise);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code).section(&names);
    let mut bytes = module.finish();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("exit.wit", EXIT_WORLD)?;
    let world = resolve.select_world(&[package], Some("adapter"))?;
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(text: &str) -> Result<Vec<u8>, String> {
        adapt(&wat::parse_str(text).unwrap(), true)
    }

    #[test]
    fn the_named_encoder_version_is_the_linked_one() {
        let (name, version) = ENCODER.split_once(' ').unwrap();
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
        assert_ne!(recipe(true), recipe(false));
    }

    #[test]
    fn a_module_that_exits_keeps_its_exact_exit_code() {
        let component = adapted(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const 3))))"#,
        )
        .unwrap();
        wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&component).unwrap();
        let contains = |name: &str| component.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert!(contains("exit-with-code") && contains(EXIT));
    }

    #[test]
    fn a_module_that_never_exits_needs_no_second_adapter() {
        assert!(adapted(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).is_ok());
    }

    /// Minimum and maximum of every memory after the redirect, in a module that imports WASI 0.1.
    fn memories(fields: &str) -> Vec<(u64, Option<u64>)> {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) {fields} (func (export "_start")))"#
        );
        let (redirected, _) = redirect_exit(&wat::parse_str(&text).unwrap()).unwrap();
        let sections = wasmparser::Parser::new(0).parse_all(&redirected).filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::MemorySection(memories) => Some(memories),
            _ => None,
        });
        sections.flatten().map(|memory| memory.map(|memory| (memory.initial, memory.maximum)).unwrap()).collect()
    }

    #[test]
    fn only_the_memory_of_the_adapter_gets_a_higher_maximum() {
        assert_eq!(memories(r#"(memory (export "memory") 1 1)"#), [(1, Some(1 + ADAPTER_PAGES))]);
        assert_eq!(memories(r#"(memory (export "memory") 1)"#), [(1, None)]);
        assert_eq!(memories(r#"(memory (export "memory") 1 65535)"#), [(1, Some(MAX_PAGES))]);
        assert_eq!(
            memories(
                r#"(memory 2 2) (memory (export "memory") 1 3) (memory i64 70000 80000)
                   (memory i64 1 0xffffffffffffffff (pagesize 1))"#
            ),
            [(2, Some(2)), (1, Some(3 + ADAPTER_PAGES)), (70_000, Some(80_000)), (1, Some(u64::MAX))]
        );
    }

    #[test]
    fn memories_of_other_kinds_do_not_change() {
        for (memory, bounds) in [
            ("i64 70000 80000", (70_000, 80_000)),
            ("i64 1 0xffffffffffffffff (pagesize 1)", (1, u64::MAX)),
            ("100 200 (pagesize 1)", (100, 200)),
        ] {
            assert_eq!(memories(&format!(r#"(memory (export "memory") {memory})"#)), [(bounds.0, Some(bounds.1))]);
        }
    }

    #[test]
    fn an_unknown_import_is_refused() {
        let problem = adapted(
            r#"(module (import "wasi_snapshot_preview1" "teleport" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
        );
        assert!(problem.unwrap_err().contains("teleport"));
    }
}

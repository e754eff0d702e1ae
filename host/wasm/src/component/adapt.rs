//! Core modules for WASI 0.1, turned into components in memory.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, MemoryType, Module,
    NameMap, NameSection, TypeSection, ValType,
    reencode::{self, Reencode},
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{
    CONTRACT,
    calls::{CALLS, mend},
    custom_sections::{without_unreadable, without_unreadable_world},
    go_heap::with_room,
    late_start::with_late_start,
    world::with_world,
};

/// The encoder's version, which makes other components of the same modules.
const ENCODER: &str = "wit-component 0.254.2";

/// The name under which a module finds [`exit_adapter`].
const EXIT: &str = "host:exit";
const PROC_EXIT: &str = "proc_exit";
/// The function that a program raises a signal by. The official adapter has none, and names no reason.
pub const PROC_RAISE: &str = "proc_raise";
const EXIT_INTERFACE: &str = "wasi:cli/exit@0.2.12";
const EXIT_WORLD: &str = "
    package host:exit;
    world adapter { import wasi:cli/exit@0.2.12; }
    package wasi:cli@0.2.12 {
        interface exit { exit-with-code: func(status-code: u8); }
    }
";

/// Makes another module of one; `None` where nothing is to be done.
type Change<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, String>;

/// Turns a core module for WASI 0.1 into a component: a command by its `_start`, or, with a world embedded, a
/// component of that world. One that has none is of the host's own where its exports or imports say so. The exit code
/// stays: the official adapter keeps only whether it was 0. Calls that it answers wrongly are mended.
///
/// A module can make the encoder overflow its stack, so the host does this in a process of its own.
///
/// # Errors
/// The encoder's words when the module does not fit its world or WASI 0.1.
pub fn adapt(module: &[u8], command: bool) -> Result<Vec<u8>, String> {
    let late_start = |module: &[u8]| with_late_start(module, command);
    let mut module = Cow::Borrowed(module);
    for cleaned in [without_unreadable, without_unreadable_world] {
        module = cleaned(&module).map_or(module, Cow::Owned);
    }
    // The start function is moved first: what it is moved to depends on whether the module has a world of its own.
    let changes: [Change<'_>; 3] = [&late_start, &with_world, &with_room];
    for changed in changes {
        module = changed(&module)?.map_or(module, Cow::Owned);
    }
    let (module, exits) = redirect_exit(&mend(&module)?)?;
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

/// Names how [`adapt`] turns modules into components: for the same module and name it gives the same component.
pub(super) fn adaptation(command: bool) -> String {
    let mut hasher = Sha256::new();
    // The sources are part of how it is done.
    let sources = [
        include_bytes!("adapt.rs").as_slice(),
        include_bytes!("calls.rs"),
        include_bytes!("custom_sections.rs"),
        include_bytes!("go_heap.rs"),
        include_bytes!("late_start.rs"),
        include_bytes!("world.rs"),
    ];
    let others = [CALLS.as_bytes(), ENCODER.as_bytes(), adapter(command), &[u8::from(command)]];
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

/// Makes the module take `proc_exit` and `proc_raise` from [`exit_adapter`]; says whether it imports one at all.
fn redirect_exit(module: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let grown = adapters_memory(module).map_err(|error| unreadable(&error))?;
    let mut redirect = Redirect { found: false, adapted: false, grown, memories: 0 };
    let mut redirected = Module::new();
    redirect
        .parse_core_module(&mut redirected, wasmparser::Parser::new(0), module)
        .map_err(|error| unreadable(&error))?;
    Ok((redirected.finish(), redirect.found))
}

/// The memory that the adapter works in, by its index: the one that the module exports as `memory`.
fn adapters_memory(module: &[u8]) -> wasmparser::Result<Option<u32>> {
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

struct Redirect {
    found: bool,
    /// Whether it imports anything of WASI 0.1.
    adapted: bool,
    /// The memory that the adapter grows.
    grown: Option<u32>,
    /// Memories so far.
    memories: u32,
}

/// Pages that the adapter takes of the module's memory when it is first called. A module that may not grow so far would trap.
const ADAPTER_PAGES: u64 = 4;
/// Pages of 4 GiB, all that a 32-bit memory can have.
const ALL_PAGES: u64 = 1 << 16;

impl Reencode for Redirect {
    type Error = std::convert::Infallible;

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error<Self::Error>> {
        let memory = reencode::utils::memory_type(self, memory);
        let index = self.memories;
        self.memories += 1;
        let plain = !memory.memory64 && memory.page_size_log2.is_none();
        if !self.adapted || self.grown != Some(index) || !plain {
            return Ok(memory);
        }
        let roomier = |most: u64| most.saturating_add(ADAPTER_PAGES).min(ALL_PAGES).max(most);
        Ok(MemoryType { maximum: memory.maximum.map(roomier), ..memory })
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        for import in section.into_imports() {
            let import = import?;
            let exits = import.module == PREVIEW1 && matches!(import.name, PROC_EXIT | PROC_RAISE);
            self.found |= exits;
            self.adapted |= import.module == PREVIEW1;
            let module = if exits { EXIT } else { import.module };
            imports.import(module, import.name, self.entity_type(import.ty)?);
        }
        Ok(())
    }
}

/// A module whose `proc_exit` hands the low byte of the code to `wasi:cli/exit`, as an operating system does. Its
/// `proc_raise` traps: WASI has no signals. The function's name is in the backtrace then.
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
    fn the_encoder_told_is_the_one_linked() {
        let (name, version) = ENCODER.split_once(' ').unwrap();
        let lock = include_str!("../../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
        assert_ne!(adaptation(true), adaptation(false));
    }

    #[test]
    fn a_module_that_exits_takes_the_exact_code_with_it() {
        let component = adapted(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const 3))))"#,
        )
        .unwrap();
        wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&component).unwrap();
        let named = |name: &str| component.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert!(named("exit-with-code") && named(EXIT));
    }

    #[test]
    fn a_module_that_never_exits_needs_no_second_adapter() {
        assert!(adapted(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).is_ok());
    }

    /// Minimum and maximum of every memory of a module that imports something of WASI 0.1.
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
    fn only_the_memory_that_the_adapter_grows_may_grow_further() {
        assert_eq!(memories(r#"(memory (export "memory") 1 1)"#), [(1, Some(1 + ADAPTER_PAGES))]);
        assert_eq!(memories(r#"(memory (export "memory") 1)"#), [(1, None)]);
        assert_eq!(memories(r#"(memory (export "memory") 1 65535)"#), [(1, Some(ALL_PAGES))]);
        assert_eq!(
            memories(
                r#"(memory 2 2) (memory (export "memory") 1 3) (memory i64 70000 80000)
                   (memory i64 1 0xffffffffffffffff (pagesize 1))"#
            ),
            [(2, Some(2)), (1, Some(3 + ADAPTER_PAGES)), (70_000, Some(80_000)), (1, Some(u64::MAX))]
        );
    }

    #[test]
    fn a_memory_of_another_kind_stays_as_it_is() {
        for (memory, bounds) in [
            ("i64 70000 80000", (70_000, 80_000)),
            ("i64 1 0xffffffffffffffff (pagesize 1)", (1, u64::MAX)),
            ("100 200 (pagesize 1)", (100, 200)),
        ] {
            assert_eq!(memories(&format!(r#"(memory (export "memory") {memory})"#)), [(bounds.0, Some(bounds.1))]);
        }
    }

    #[test]
    fn a_module_for_something_else_is_refused() {
        let problem = adapted(
            r#"(module (import "wasi_snapshot_preview1" "teleport" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
        );
        assert!(problem.unwrap_err().contains("teleport"));
    }
}

//! Sees to the memory that the adapter of WASI 0.1 asks of every command.
//!
//! The adapter takes the module's memory, exported as `memory`, even where the module calls nothing that would use it.
//! Such a command gets one. One that has calls look into its memory must export it.

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1;
use wasm_encoder::{
    ExportKind, ExportSection, MemorySection, MemoryType, Module, RawSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

const MEMORY: &str = "memory";
/// Its name in the other way of mangling names, which the encoder knows too.
const MANGLED_MEMORY: &str = "cm32p2_memory";
/// Calls of WASI 0.1 that are given no address.
const WITHOUT_MEMORY: [&str; 14] = [
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_renumber",
    "fd_sync",
    "proc_exit",
    "proc_raise",
    "sched_yield",
    "sock_shutdown",
];

/// The command with a memory of its own under the name `memory`; `None` where it has one.
///
/// # Errors
/// The module cannot be read, or WASI 0.1 cannot reach its memory. Completes "`FILE` is a core module that …".
pub(super) fn with_memory(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let unread = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let has = Memories::of(module).map_err(|error| unread(&error))?;
    let told =
        |problem: String| Err(format!("calls `{}` of WASI 0.1, which needs its memory, but {problem}", has.needed));
    match has.exported {
        Exported::No if has.needed.is_empty() => has.made(module).map(Some).map_err(|error| unread(&error)),
        Exported::No => match &has.other_names[..] {
            [] if has.count == 0 => told("it has none; build it with a memory that is exported as `memory`".into()),
            [] => told("does not export it; export it as `memory`".into()),
            [name, ..] => told(format!("exports it as `{}`; export it as `memory`", name.escape_debug())),
        },
        Exported::Usable => Ok(None),
        Exported::Unusable(what) => {
            Err(format!("exports as `memory` {what}; WASI 0.1 needs a memory of 32-bit addresses there"))
        }
    }
}

#[derive(Default)]
enum Exported {
    #[default]
    No,
    Usable,
    Unusable(&'static str),
}

#[derive(Default)]
struct Memories {
    /// Imported ones too.
    count: u32,
    exported: Exported,
    /// What else memories are exported as.
    other_names: Vec<String>,
    /// The first import that needs a memory; empty where none does.
    needed: String,
}

impl Memories {
    fn of(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let (mut found, mut wide) = (Self::default(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Memory(memory) => wide.push(memory.memory64),
                            _ if import.module == PREVIEW1 && WITHOUT_MEMORY.contains(&import.name) => {}
                            _ if found.needed.is_empty() => found.needed = import.name.to_owned(),
                            _ => {}
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        wide.push(memory?.memory64);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match (export.name, export.kind) {
                            (MEMORY | MANGLED_MEMORY, ExternalKind::Memory) => {
                                let wide = wide.get(export.index as usize).is_some_and(|wide| *wide);
                                found.exported =
                                    if wide { Exported::Unusable("one of 64-bit addresses") } else { Exported::Usable };
                            }
                            (MEMORY, _) => found.exported = Exported::Unusable("what is no memory"),
                            (name, ExternalKind::Memory) => found.other_names.push(name.to_owned()),
                            _ => {}
                        }
                    }
                }
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        found.count = u32::try_from(wide.len()).unwrap_or(u32::MAX);
        Ok(found)
    }

    /// The module with one memory more, which is exported.
    fn made(&self, module: &[u8]) -> Result<Vec<u8>, wasm_encoder::reencode::Error> {
        let (mut made, mut own) = (Module::new(), Some(MemorySection::new()));
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::MemorySection(section) => {
                    let mut memories = own.take().unwrap_or_default();
                    RoundtripReencoder.parse_memory_section(&mut memories, section.clone())?;
                    made.section(memories.memory(one_page()));
                }
                Payload::ExportSection(section) => {
                    add(&mut made, &mut own);
                    let mut exports = ExportSection::new();
                    RoundtripReencoder.parse_export_section(&mut exports, section.clone())?;
                    made.section(exports.export(MEMORY, ExportKind::Memory, self.count));
                }
                // They come after memories.
                Payload::TagSection(_) | Payload::GlobalSection(_) => {
                    add(&mut made, &mut own);
                    copy(&mut made, &payload, module);
                }
                Payload::CodeSectionEntry(_) => {}
                _ => copy(&mut made, &payload, module),
            }
        }
        Ok(made.finish())
    }
}

fn copy(made: &mut Module, payload: &Payload<'_>, module: &[u8]) {
    if let Some((id, range)) = payload.as_section() {
        made.section(&RawSection { id, data: &module[range] });
    }
}

/// Adds the memory where the module has none before.
fn add(made: &mut Module, own: &mut Option<MemorySection>) {
    if let Some(mut memories) = own.take() {
        made.section(memories.memory(one_page()));
    }
}

fn one_page() -> MemoryType {
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Option<Vec<u8>>, String> {
        let made = with_memory(&wat::parse_str(format!("(module {fields} (func (export \"_start\")))")).unwrap())?;
        if let Some(made) = &made {
            wasmparser::validate(made).unwrap_or_else(|error| panic!("{fields}: {error}"));
            assert_eq!(with_memory(made).unwrap(), None, "it is done once");
        }
        Ok(made)
    }

    const EXIT: &str = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))";
    const WRITE: &str = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))";

    #[test]
    fn a_command_whose_calls_use_no_memory_gets_one() {
        for fields in [
            "",
            "(memory 1)",
            "(memory (export \"mem\") 1) (data (i32.const 0) \"x\")",
            "(memory i64 1)",
            "(tag) (global i32 (i32.const 0)) (table 1 funcref) (elem declare func $f) (func $f)",
            EXIT,
            &format!("{EXIT} (memory 1) (start $go) (func $go)"),
        ] {
            assert!(with(fields).unwrap().is_some(), "{fields}");
        }
        assert_eq!(with("(memory (export \"memory\") 1)").unwrap(), None);
        assert_eq!(with(&format!("{WRITE} (memory (export \"memory\") 1)")).unwrap(), None);
    }

    #[test]
    fn a_memory_that_calls_cannot_reach_is_told_with_what_it_is_exported_as() {
        for (fields, told) in [
            ("", "`fd_write` of WASI 0.1, which needs its memory, but it has none"),
            ("(memory 1)", "but does not export it; export it as `memory`"),
            ("(memory (export \"mem\") 1)", "but exports it as `mem`; export it as `memory`"),
            ("(memory (export \"memory\") i64 1)", "exports as `memory` one of 64-bit addresses"),
            ("(func (export \"memory\"))", "exports as `memory` what is no memory"),
        ] {
            let problem = with(&format!("{WRITE} {fields}")).unwrap_err();
            assert!(problem.contains(told), "{fields}: {problem}");
        }
    }
}

//! Checks that the calls of a WASI 0.1 command can reach its memory: a command whose calls take addresses must export it.

use host_wasip1::PREVIEW1;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

const MEMORY: &str = "memory";
/// Its name in the second name mangling scheme.
const MANGLED_MEMORY: &str = "cm32p2_memory";
/// Calls of WASI 0.1 that take no address.
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

/// Why the calls of a command cannot reach its memory; `None` if they can, or need none. Completes "`FILE` is a core
/// module that …".
///
/// # Errors
/// The module cannot be read.
pub(super) fn memory_problem(module: &[u8]) -> Result<Option<String>, wasmparser::BinaryReaderError> {
    let memories = Memories::of(module)?;
    let needs_memory =
        |problem: &str| Some(format!("calls `{}` of WASI 0.1, which needs its memory, but {problem}", memories.needed));
    Ok(match memories.exported {
        Exported::Usable => None,
        Exported::No if memories.needed.is_empty() => None,
        Exported::No => match &memories.other_names[..] {
            [] if memories.count == 0 => {
                needs_memory("it has none; build it with a memory that is exported as `memory`")
            }
            [] => needs_memory("does not export it; export it as `memory`"),
            [name, ..] => needs_memory(&format!("exports it as `{}`; export it as `memory`", name.escape_debug())),
        },
        Exported::Unusable(what) => {
            Some(format!("exports {what} as `memory`; WASI 0.1 needs a memory with 32-bit addresses there"))
        }
    })
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
    /// Includes imported ones.
    count: u32,
    exported: Exported,
    /// Other names under which memories are exported.
    other_names: Vec<String>,
    /// The first import that needs a memory; empty if none does.
    needed: String,
}

impl Memories {
    fn of(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let (mut found, mut is_64_bit) = (Self::default(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Memory(memory) => is_64_bit.push(memory.memory64),
                            _ if import.module == PREVIEW1 && WITHOUT_MEMORY.contains(&import.name) => {}
                            _ if found.needed.is_empty() => found.needed = import.name.to_owned(),
                            _ => {}
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        is_64_bit.push(memory?.memory64);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match (export.name, export.kind) {
                            (MEMORY | MANGLED_MEMORY, ExternalKind::Memory) => {
                                let is_64_bit =
                                    is_64_bit.get(export.index as usize).is_some_and(|is_64_bit| *is_64_bit);
                                found.exported = if is_64_bit {
                                    Exported::Unusable("a memory of 64-bit addresses")
                                } else {
                                    Exported::Usable
                                };
                            }
                            (MEMORY, _) => found.exported = Exported::Unusable("an item that is not a memory"),
                            (name, ExternalKind::Memory) => found.other_names.push(name.to_owned()),
                            _ => {}
                        }
                    }
                }
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        found.count = u32::try_from(is_64_bit.len()).unwrap_or(u32::MAX);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(fields: &str) -> Option<String> {
        memory_problem(&wat::parse_str(format!("(module {fields} (func (export \"_start\")))")).unwrap()).unwrap()
    }

    const EXIT: &str = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))";
    const WRITE: &str = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))";

    #[test]
    fn commands_without_pointer_arguments_need_no_memory() {
        for fields in [
            "",
            "(memory 1)",
            "(memory (export \"mem\") 1) (data (i32.const 0) \"x\")",
            "(memory i64 1)",
            "(tag) (global i32 (i32.const 0)) (table 1 funcref) (elem declare func $f) (func $f)",
            EXIT,
            &format!("{EXIT} (memory 1) (start $go) (func $go)"),
        ] {
            assert_eq!(problem(fields), None, "{fields}");
        }
        for name in ["memory", "cm32p2_memory"] {
            assert_eq!(problem(&format!("{WRITE} (memory (export \"{name}\") 1)")), None);
        }
    }

    #[test]
    fn an_unreachable_memory_is_reported_with_its_export_name() {
        for (fields, expected) in [
            ("", "`fd_write` of WASI 0.1, which needs its memory, but it has none"),
            ("(memory 1)", "but does not export it; export it as `memory`"),
            ("(memory (export \"mem\") 1)", "but exports it as `mem`; export it as `memory`"),
            ("(memory (export \"memory\") i64 1)", "exports a memory of 64-bit addresses as `memory`"),
            ("(func (export \"memory\"))", "exports an item that is not a memory as `memory`"),
        ] {
            let problem = problem(&format!("{WRITE} {fields}")).unwrap();
            assert!(problem.contains(expected), "{fields}: {problem}");
        }
    }
}

//! Reserves pages for the WASI 0.1 adapter in a module that Go's own linker made.
//!
//! The adapter keeps its stack and state in two pages of the module's memory, which it allocates with `memory.grow` on its
//! first call. Go's runtime uses all memory above its data for its heap, wherever `memory.grow` puts new pages
//! (`runtime/mem_wasm.go`), so a heap of more than a megabyte overwrites those pages. Here the data ends some pages later,
//! and the adapter gets the pages between.

use std::{convert::Infallible, ops::Range};

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, MemoryType, Module, TypeSection, ValType,
    reencode::{self, Reencode, utils},
};
use wasmparser::{CodeSectionReader, Data, DataKind, DataSectionReader, Operator, Parser, Payload, TypeRef};

const PAGE: u64 = 64 << 10;
/// Twice as many pages as the adapter uses today.
const RESERVED_PAGES: u64 = 4;
/// Bytes that the linker adds to the data for the initial memory (`cmd/link/internal/wasm/asm.go`).
const LINKER_EXTRA: u64 = 1 << 20;
/// How many ascending section bounds precede the end of the data in `moduledata` (`runtime/symtab.go`).
const PRECEDING_BOUNDS: usize = 8;
/// The name of Go's compiler in `producers`.
const COMPILER: &[u8] = b"Go cmd/compile";
/// The prefix of the build ID that Go's linker writes.
const BUILD_ID: &[u8] = b"Go build ID: ";
/// The export through which the encoder lets the adapter allocate its pages.
const REALLOC: &str = "cabi_realloc_adapter";

/// Adds pages for the adapter; `None` for a module that Go's linker did not make.
pub(crate) fn reserve_pages(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let facts = Facts::read(module).map_err(|error| format!("it cannot be read: {error}"))?;
    if !facts.is_go || facts.has_realloc {
        return Ok(None);
    }
    let Some((end_at, end)) = facts.end_of_data(module) else {
        return Err("its data does not end where Go's linker puts the end; build it with another version of Go".into());
    };
    let first = end.next_multiple_of(PAGE);
    let mut reserve =
        Reserve { end_at, end, first, types: facts.types, functions: facts.functions, globals: facts.globals };
    let mut made = Module::new();
    reserve
        .parse_core_module(&mut made, Parser::new(0), module)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(Some(made.finish()))
}

/// The parts of a module that matter here.
#[derive(Default)]
struct Facts {
    is_go: bool,
    has_realloc: bool,
    types: u32,
    /// Includes imported functions, as `globals` includes imported globals.
    functions: u32,
    globals: u32,
    /// Pages of the first memory.
    pages: u64,
    /// The address of each data segment, and its range in the file.
    data: Vec<(u64, Range<usize>)>,
}

impl Facts {
    fn read(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) if section.name() == "go:buildid" => {
                    facts.is_go |= section.data().windows(BUILD_ID.len()).any(|bytes| bytes == BUILD_ID);
                }
                Payload::CustomSection(section) if section.name() == "producers" => {
                    // TinyGo, which has another heap, names another compiler.
                    facts.is_go |= section.data().windows(COMPILER.len()).any(|bytes| bytes == COMPILER);
                }
                Payload::TypeSection(section) => facts.types = section.count(),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => facts.functions += 1,
                            TypeRef::Global(_) => facts.globals += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => facts.functions += section.count(),
                Payload::GlobalSection(section) => facts.globals += section.count(),
                Payload::MemorySection(section) => {
                    for memory in section {
                        facts.pages = memory?.initial;
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        facts.has_realloc |= matches!(export?.name, REALLOC | "cabi_realloc");
                    }
                }
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data?;
                        if let Some(address) = address(&data) {
                            facts.data.push((address, data.range.end - data.data.len()..data.range.end));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// The address of `firstmoduledata.end`, and its value: the word that fits the size of the memory, follows the
    /// ascending section bounds, and precedes two bounds that are lower.
    fn end_of_data(&self, module: &[u8]) -> Option<(u64, u64)> {
        let lowest = (self.pages * PAGE).checked_sub(LINKER_EXTRA)?;
        let plausible = lowest..lowest + PAGE;
        let mut found = Vec::new();
        for (address, range) in &self.data {
            let skipped = address.next_multiple_of(8) - address;
            let bytes = module.get(range.clone())?.get(usize::try_from(skipped).ok()?..).unwrap_or_default();
            let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            for (at, &end) in words.iter().enumerate().filter(|(_, word)| plausible.contains(word)) {
                let before = at.checked_sub(PRECEDING_BOUNDS).map(|from| &words[from..=at]);
                let ascends = before.is_some_and(|bounds| bounds[0] > 0 && bounds.is_sorted());
                let within = words.get(at + 1..at + 3).is_some_and(|after| after.iter().all(|&word| word < end));
                if ascends && within {
                    found.push((address + skipped + 8 * at as u64, end));
                }
            }
        }
        let [only] = found[..] else { return None };
        Some(only)
    }
}

/// The address of an active data segment.
fn address(data: &Data<'_>) -> Option<u64> {
    let DataKind::Active { memory_index: 0, offset_expr } = &data.kind else { return None };
    match offset_expr.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        _ => None,
    }
}

struct Reserve {
    /// The address of the word that holds the end of the data, and its value.
    end_at: u64,
    end: u64,
    /// The address of the first reserved page.
    first: u64,
    types: u32,
    functions: u32,
    globals: u32,
}

impl Reserve {
    fn address(value: u64) -> i32 {
        // The memory has 32-bit addresses; the encoder validates the result.
        u32::try_from(value).unwrap_or(u32::MAX).cast_signed()
    }

    /// `(old, old size, alignment, size) -> address`: returns the next reserved page.
    fn realloc(&self) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        let trap_if = |code: &mut wasm_encoder::InstructionSink<'_>| {
            code.if_(wasm_encoder::BlockType::Empty).unreachable().end();
        };
        code.local_get(3).i32_const(Self::address(PAGE)).i32_gt_u();
        trap_if(&mut code);
        code.global_get(self.globals).i32_const(Self::address(self.first + RESERVED_PAGES * PAGE)).i32_ge_u();
        trap_if(&mut code);
        code.global_get(self.globals);
        code.global_get(self.globals).i32_const(Self::address(PAGE)).i32_add().global_set(self.globals);
        code.end();
        body
    }
}

impl Reencode for Reserve {
    type Error = Infallible;

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error<Infallible>> {
        let memory = utils::memory_type(self, memory);
        Ok(MemoryType { minimum: memory.minimum + RESERVED_PAGES, ..memory })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        utils::parse_global_section(self, globals, section)?;
        let next = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(next, &ConstExpr::i32_const(Self::address(self.first)));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(REALLOC, ExportKind::Func, self.functions);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        // Copied verbatim: no index changes.
        for body in section {
            code.raw(body?.as_bytes());
        }
        code.function(&self.realloc());
        Ok(())
    }

    fn parse_data_section(
        &mut self,
        data: &mut DataSection,
        section: DataSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        for piece in section {
            let piece = piece?;
            let offset = address(&piece).and_then(|address| self.end_at.checked_sub(address));
            match offset.and_then(|at| usize::try_from(at).ok()).filter(|at| at + 8 <= piece.data.len()) {
                Some(at) => {
                    let mut bytes = piece.data.to_vec();
                    bytes[at..at + 8].copy_from_slice(&(self.end + RESERVED_PAGES * PAGE).to_le_bytes());
                    let DataKind::Active { memory_index, offset_expr } = piece.kind else { continue };
                    data.active(memory_index, &self.const_expr(offset_expr)?, bytes);
                }
                None => utils::parse_data(self, data, piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a module by Go's linker ends here.
    const END: u64 = 0x2_1234;

    /// A module with these words as data from address 16 on.
    fn module(custom: &str, words: &[u64]) -> Vec<u8> {
        let data: String =
            words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
        let pages = (END + LINKER_EXTRA) / PAGE;
        wat::parse_str(format!(
            r#"(module
                (@custom "{custom}" "\ff Go build ID: 'x'")
                (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                (memory (export "memory") {pages})
                (global i32 (i32.const 0))
                (func (export "_start") (drop (call 0)))
                (data (i32.const 16) "{data}"))"#
        ))
        .unwrap()
    }

    fn words(end: u64) -> Vec<u64> {
        // Section bounds, of which the last three are the end; then two lower ones.
        vec![7, 0x3000, 0x4000, 0x4000, 0x5000, 0x6000, 0x7000, 0x8000, END, END, end, 0x4100, 0x4200, 3]
    }

    #[test]
    fn the_go_heap_begins_after_the_reserved_pages() {
        let original = module("go:buildid", &words(END));
        let made = reserve_pages(&original).unwrap().unwrap();
        wasmparser::Validator::new().validate_all(&made).unwrap();
        let (before, after) = (Facts::read(&original).unwrap(), Facts::read(&made).unwrap());
        assert_eq!(after.pages, before.pages + RESERVED_PAGES);
        assert!(after.has_realloc);
        let (end_at, end) = after.end_of_data(&made).unwrap();
        assert_eq!((end_at, end), (16 + 8 * 10, END + RESERVED_PAGES * PAGE));
        assert_eq!(reserve_pages(&made).unwrap(), None, "it is done once");
    }

    #[test]
    fn modules_of_other_linkers_do_not_change() {
        assert_eq!(reserve_pages(&module("name-of-another", &words(END))).unwrap(), None);
    }

    #[test]
    fn an_unknown_layout_is_refused() {
        let mut unsorted = words(END);
        unsorted[4] = 1;
        let elsewhere = words(END).iter().map(|&word| if word == END { 0x9000 } else { word }).collect();
        let twice = [words(END), words(END)].concat();
        for words in [elsewhere, unsorted, twice, vec![]] {
            assert!(
                reserve_pages(&module("go:buildid", &words)).unwrap_err().contains("its data does not end"),
                "{words:?}"
            );
        }
    }
}

//! Makes room for the adapter of WASI 0.1 in a module that Go's own linker made.
//!
//! The adapter keeps its stack and state in two pages of the module's memory, which it gets with `memory.grow` when it is
//! first called. Go's runtime takes all memory above its data for its heap, wherever `memory.grow` says that new pages
//! are (`runtime/mem_wasm.go`), so a heap of more than a megabyte lies over those pages. Here the data ends some pages
//! later, and the adapter is given what is between.

use std::{convert::Infallible, ops::Range};

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, MemoryType, Module, TypeSection, ValType,
    reencode::{self, Reencode, utils},
};
use wasmparser::{CodeSectionReader, Data, DataKind, DataSectionReader, Operator, Parser, Payload, TypeRef};

const PAGE: u64 = 64 << 10;
/// What the adapter takes, and as much again for what it may take one day.
const RESERVED: u64 = 4;
/// What the linker adds to the data for the first memory (`cmd/link/internal/wasm/asm.go`).
const LINKER_ADDS: u64 = 1 << 20;
/// The bounds of sections before the end of the data in `moduledata` (`runtime/symtab.go`), which ascend.
const BOUNDS_BEFORE: usize = 8;
/// How Go's compiler names itself.
const COMPILER: &[u8] = b"Go cmd/compile";
/// What Go's linker writes before the identity of a build.
const BUILD_ID: &[u8] = b"Go build ID: ";
/// The export from which the encoder has the adapter take its pages.
const REALLOC: &str = "cabi_realloc_adapter";

/// The module with pages for the adapter; `None` for one that Go's linker did not make.
pub(super) fn with_room(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let facts = Facts::read(module).map_err(|error| format!("it cannot be read: {error}"))?;
    if !facts.by_go || facts.has_realloc {
        return Ok(None);
    }
    let Some((place, end)) = facts.end_of_data(module) else {
        return Err("the end of its data is not where Go's linker puts it; build it with another version of Go".into());
    };
    let first = end.next_multiple_of(PAGE);
    let mut room = Room { place, end, first, types: facts.types, functions: facts.functions, globals: facts.globals };
    let mut with_room = Module::new();
    room.parse_core_module(&mut with_room, Parser::new(0), module)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(Some(with_room.finish()))
}

/// What a module says of itself.
#[derive(Default)]
struct Facts {
    by_go: bool,
    has_realloc: bool,
    types: u32,
    /// Imported ones too, as of the globals.
    functions: u32,
    globals: u32,
    /// Pages of the first memory.
    pages: u64,
    /// Address of each piece of data, and where in the file it stands.
    data: Vec<(u64, Range<usize>)>,
}

impl Facts {
    fn read(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) if section.name() == "go:buildid" => {
                    facts.by_go |= section.data().windows(BUILD_ID.len()).any(|bytes| bytes == BUILD_ID);
                }
                Payload::CustomSection(section) if section.name() == "producers" => {
                    // TinyGo, whose heap is another one, names another compiler.
                    facts.by_go |= section.data().windows(COMPILER.len()).any(|bytes| bytes == COMPILER);
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

    /// The address of `firstmoduledata.end`, and its value: the one that fits the size of the memory, ends the bounds of
    /// sections and comes before those of two that lie within.
    fn end_of_data(&self, module: &[u8]) -> Option<(u64, u64)> {
        let least = (self.pages * PAGE).checked_sub(LINKER_ADDS)?;
        let fits = least..least + PAGE;
        let mut found = Vec::new();
        for (address, range) in &self.data {
            let skipped = address.next_multiple_of(8) - address;
            let bytes = module.get(range.clone())?.get(usize::try_from(skipped).ok()?..).unwrap_or_default();
            let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            for (at, &end) in words.iter().enumerate().filter(|(_, word)| fits.contains(word)) {
                let before = at.checked_sub(BOUNDS_BEFORE).map(|from| &words[from..=at]);
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

/// Where an active piece of data is put.
fn address(data: &Data<'_>) -> Option<u64> {
    let DataKind::Active { memory_index: 0, offset_expr } = &data.kind else { return None };
    match offset_expr.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        _ => None,
    }
}

struct Room {
    /// Where the end of the data is noted, and the end.
    place: u64,
    end: u64,
    /// The first address of the room.
    first: u64,
    types: u32,
    functions: u32,
    globals: u32,
}

impl Room {
    fn address(value: u64) -> i32 {
        // A memory has 32-bit addresses; the encoder validates what is made here.
        u32::try_from(value).unwrap_or(u32::MAX).cast_signed()
    }

    /// `(old, old size, alignment, size) -> address`: the next page, for ever.
    fn realloc(&self) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        let too_much = |code: &mut wasm_encoder::InstructionSink<'_>| {
            code.if_(wasm_encoder::BlockType::Empty).unreachable().end();
        };
        code.local_get(3).i32_const(Self::address(PAGE)).i32_gt_u();
        too_much(&mut code);
        code.global_get(self.globals).i32_const(Self::address(self.first + RESERVED * PAGE)).i32_ge_u();
        too_much(&mut code);
        code.global_get(self.globals);
        code.global_get(self.globals).i32_const(Self::address(PAGE)).i32_add().global_set(self.globals);
        code.end();
        body
    }
}

impl Reencode for Room {
    type Error = Infallible;

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error<Infallible>> {
        let memory = utils::memory_type(self, memory);
        Ok(MemoryType { minimum: memory.minimum + RESERVED, ..memory })
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
        // Copied as it is: nothing in it is numbered anew.
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
            let holds = address(&piece).and_then(|address| self.place.checked_sub(address));
            match holds.and_then(|at| usize::try_from(at).ok()).filter(|at| at + 8 <= piece.data.len()) {
                Some(at) => {
                    let mut bytes = piece.data.to_vec();
                    bytes[at..at + 8].copy_from_slice(&(self.end + RESERVED * PAGE).to_le_bytes());
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

    /// A module whose data holds these words from address 16 on.
    fn module(custom: &str, words: &[u64]) -> Vec<u8> {
        let data: String =
            words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
        let pages = (END + LINKER_ADDS) / PAGE;
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
        // Bounds of sections, the last three being the end; then two that lie within.
        vec![7, 0x3000, 0x4000, 0x4000, 0x5000, 0x6000, 0x7000, 0x8000, END, END, end, 0x4100, 0x4200, 3]
    }

    #[test]
    fn the_heap_of_go_begins_behind_the_pages_of_the_adapter() {
        let given = module("go:buildid", &words(END));
        let made = with_room(&given).unwrap().unwrap();
        wasmparser::Validator::new().validate_all(&made).unwrap();
        let (before, after) = (Facts::read(&given).unwrap(), Facts::read(&made).unwrap());
        assert_eq!(after.pages, before.pages + RESERVED);
        assert!(after.has_realloc);
        let (place, end) = after.end_of_data(&made).unwrap();
        assert_eq!((place, end), (16 + 8 * 10, END + RESERVED * PAGE));
        assert_eq!(with_room(&made).unwrap(), None, "it is done once");
    }

    #[test]
    fn only_what_go_has_linked_is_changed() {
        assert_eq!(with_room(&module("name-of-another", &words(END))).unwrap(), None);
    }

    #[test]
    fn a_layout_that_is_not_known_is_refused() {
        let mut unsorted = words(END);
        unsorted[4] = 1;
        let elsewhere = words(END).iter().map(|&word| if word == END { 0x9000 } else { word }).collect();
        let twice = [words(END), words(END)].concat();
        for words in [elsewhere, unsorted, twice, vec![]] {
            assert!(with_room(&module("go:buildid", &words)).unwrap_err().contains("the end of its data"), "{words:?}");
        }
    }
}

//! Has AssemblyScript's heap set up before the adapter of WASI 0.1 takes memory.
//!
//! The adapter keeps its stack and state in pages of the module's memory, which it gets with `memory.grow` when it is
//! first called. AssemblyScript's runtime sets its heap up when it first allocates, and takes for it all memory that there
//! is by then (`~lib/rt/tlsf`, `initialize`): after a call of WASI the adapter's pages too. What it takes later it asks for
//! with `memory.grow`, and expects gaps. Here `_start` sets the heap up first.

use std::convert::Infallible;

use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CompositeInnerType, ConstExpr, ExportSectionReader, FunctionBody, FunctionSectionReader,
    Operator, Parser, Payload, TypeRef,
};

const START: &str = "_start";
/// Lists of free blocks at the first level, and the offset of those of the second (`tlsf.ts`).
const FIRST_LEVEL: i32 = 23;
const SECOND_LEVEL: u64 = 96;

/// The module with a heap that is set up first; `None` for one without AssemblyScript's heap.
pub(super) fn with_early_heap(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let Some(mut early) = Early::read(module).map_err(|error| unreadable(&error))? else { return Ok(None) };
    let mut made = Module::new();
    early.parse_core_module(&mut made, Parser::new(0), module).map_err(|error| unreadable(&error))?;
    Ok(Some(made.finish()))
}

struct Early {
    /// The function that sets the heap up, its type, and what tells that it has been done.
    set_up: u32,
    signature: u32,
    root: u32,
    /// What `_start` was.
    start: u32,
    /// All functions, imported ones too.
    functions: u32,
}

impl Early {
    fn read(module: &[u8]) -> Result<Option<Self>, wasmparser::BinaryReaderError> {
        let (mut empty, mut signatures, mut zero, mut found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut imported, mut bodies, mut start) = (0, 0, None);
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        empty.extend(group?.types().map(|it| match &it.composite_type.inner {
                            CompositeInnerType::Func(it) => it.params().is_empty() && it.results().is_empty(),
                            _ => false,
                        }));
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => imported += 1,
                            TypeRef::Global(_) => zero.push(false),
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => signatures = section.into_iter().collect::<Result<_, _>>()?,
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global?;
                        zero.push(global.ty.mutable && is_zero(&global.init_expr));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        start = start.or((export.name == START).then_some(export.index));
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let signature: Option<&u32> = signatures.get(bodies);
                    if let Some(&signature) = signature.filter(|&&it| empty.get(it as usize) == Some(&true))
                        && let Some(root) = heap_of(&body)?.filter(|&root| zero.get(root as usize) == Some(&true))
                    {
                        found.push((bodies, signature, root));
                    }
                    bodies += 1;
                }
                _ => {}
            }
        }
        let ([(set_up, signature, root)], Some(start)) = (&found[..], start) else { return Ok(None) };
        let at = |own: usize| imported + u32::try_from(own).unwrap_or(u32::MAX);
        Ok(Some(Self { set_up: at(*set_up), signature: *signature, root: *root, start, functions: at(bodies) }))
    }

    fn begin(&self) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        code.global_get(self.root).i32_eqz().if_(BlockType::Empty).call(self.set_up).end();
        code.call(self.start).end();
        body
    }
}

fn is_zero(value: &ConstExpr<'_>) -> bool {
    matches!(value.get_operators_reader().read(), Ok(Operator::I32Const { value: 0 }))
}

/// The global with the heap's root, where the function sets up a heap as AssemblyScript does: it looks twice how large
/// the memory is, empties the lists of free blocks, and sets the root last.
fn heap_of(body: &FunctionBody<'_>) -> Result<Option<u32>, wasmparser::BinaryReaderError> {
    let (mut sizes, mut grows, mut lists, mut levels, mut roots, mut last) = (0, 0, false, false, 0, None);
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        match &operator {
            Operator::MemorySize { .. } => sizes += 1,
            Operator::MemoryGrow { .. } => grows += 1,
            Operator::I32Store { memarg } => lists |= memarg.offset == SECOND_LEVEL,
            Operator::I32Const { value } => levels |= *value == FIRST_LEVEL,
            Operator::GlobalSet { .. } => roots += 1,
            _ => {}
        }
        match operator {
            Operator::GlobalSet { global_index } => last = Some(global_index),
            Operator::End => {}
            _ => last = None,
        }
    }
    Ok(last.filter(|_| sizes == 2 && grows == 1 && roots == 1 && lists && levels))
}

impl Reencode for Early {
    type Error = Infallible;

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.signature);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        for export in section {
            let export = export?;
            if export.name == START {
                exports.export(START, ExportKind::Func, self.functions);
            } else {
                utils::parse_export(self, exports, export)?;
            }
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        // Copied as it is: nothing in it is numbered anew.
        for body in section {
            code.raw(body?.as_bytes());
        }
        code.function(&self.begin());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with a heap that is set up like AssemblyScript's, where its function has this at its end.
    fn module(end: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(module
                (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                (memory (export "memory") 1)
                (global $root (mut i32) (i32.const 0))
                (func $set_up
                    (drop (i32.lt_s (memory.size) (i32.const 23)))
                    (drop (memory.grow (i32.const 0)))
                    (i32.store offset=96 (i32.const 64) (i32.const 0))
                    (drop (memory.size))
                    {end})
                (func (export "_start") (drop (call 0)) (if (i32.eqz (global.get $root)) (then (call $set_up)))))"#
        ))
        .unwrap()
    }

    #[test]
    fn a_heap_that_is_set_up_late_is_set_up_before_anything_runs() {
        let given = module("(global.set $root (i32.const 8))");
        let made = with_early_heap(&given).unwrap().unwrap();
        wasmparser::Validator::new().validate_all(&made).unwrap();
        let early = Early::read(&made).unwrap().unwrap();
        assert_eq!((early.set_up, early.root, early.start, early.functions), (1, 0, 3, 4));
    }

    #[test]
    fn other_modules_stay_as_they_are() {
        for end in
            ["", "(global.set $root (i32.const 8)) (nop)", "(drop (memory.size)) (global.set $root (i32.const 8))"]
        {
            assert_eq!(with_early_heap(&module(end)).unwrap(), None, "{end}");
        }
    }
}

//! Fixes the calls for which the official adapter differs from WASI 0.1: inserts shims around the module's imports.
//! `shims.wat` has them, with the reason for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use wasm_encoder::{
    CodeSection, FunctionSection, ImportSection, Module, TypeSection,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, ExternalKind, FunctionBody, FunctionSectionReader, ImportSectionReader, Operator, Parser,
    Payload, TypeRef, TypeSectionReader,
};

use crate::names::PREVIEW1;

/// The source of the shims.
pub(crate) const SHIMS: &str = include_str!("shims.wat");

/// Replaces the imports that have a shim by the shim.
///
/// # Errors
/// The module cannot be read.
pub(crate) fn insert_shims(module: &[u8]) -> Result<Vec<u8>, String> {
    let shims = wat::parse_str(SHIMS).map_err(|error| format!("cannot read the host's own calls: {error}"))?;
    let outline = |bytes| Outline::of(bytes).map_err(|error| format!("it cannot be read: {error}"));
    let (shims, own) = (outline(&shims)?, outline(module)?);
    let Some(mut insertion) = Insertion::plan(&own, &shims) else { return Ok(module.to_owned()) };
    let mut made = Module::new();
    let parsed = insertion.parse_core_module(&mut made, Parser::new(0), module);
    parsed.map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(made.finish())
}

/// The parts of a module that matter here.
#[derive(Default)]
struct Outline<'a> {
    types: u32,
    type_section: Option<TypeSectionReader<'a>>,
    /// The index of each function imported from WASI 0.1, by name.
    imported: BTreeMap<&'a str, u32>,
    /// The same, including names that are imported more than once.
    all_imported: Vec<(&'a str, u32)>,
    imports: u32,
    exported: BTreeMap<&'a str, u32>,
    memory: Option<u32>,
    signatures: Vec<u32>,
    /// The types of the imports from WASI 0.1.
    imported_types: BTreeMap<&'a str, u32>,
    bodies: Vec<FunctionBody<'a>>,
}

impl<'a> Outline<'a> {
    fn of(module: &'a [u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    outline.type_section = Some(section.clone());
                    for group in section {
                        outline.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(signature) | TypeRef::FuncExact(signature) = import.ty {
                            if import.module == PREVIEW1 {
                                outline.imported.insert(import.name, outline.imports);
                                outline.all_imported.push((import.name, outline.imports));
                                outline.imported_types.insert(import.name, signature);
                            }
                            outline.imports += 1;
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    outline.signatures = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Func => drop(outline.exported.insert(export.name, export.index)),
                            ExternalKind::Memory if export.name == "memory" => outline.memory = Some(export.index),
                            _ => {}
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => outline.bodies.push(body),
                _ => {}
            }
        }
        Ok(outline)
    }

    /// The functions that a function of the module calls directly.
    fn called_by(&self, function: u32) -> BTreeSet<u32> {
        let body = &self.bodies[(function - self.imports) as usize];
        let operators = body.get_operators_reader().into_iter().flatten();
        let called = operators.filter_map(|operator| match operator {
            Ok(Operator::Call { function_index }) => Some(function_index),
            _ => None,
        });
        called.collect()
    }
}

/// How shims are inserted into a module.
struct Insertion<'a, 'b> {
    shims: &'b Outline<'a>,
    /// The shims that it gets, by their indices in the shims' module, ascending.
    added: Vec<u32>,
    /// Imports that the shims need and the module lacks, with their types in the shims' module.
    missing: Vec<(&'a str, u32)>,
    /// The shim for an import, both by index in the new module.
    replacements: BTreeMap<u32, u32>,
    transplant: Transplant,
    imports: u32,
}

impl<'a, 'b> Insertion<'a, 'b> {
    /// `None` if the module needs no shim.
    fn plan(own: &Outline<'_>, shims: &'b Outline<'a>) -> Option<Self> {
        // Without functions it does nothing, and without a memory it cannot pass a path.
        let memory = own.memory.filter(|_| !own.bodies.is_empty())?;
        let wrapped: Vec<(&str, u32)> =
            shims.exported.iter().filter_map(|(name, shim)| own.imported.get(name).map(|_| (*name, *shim))).collect();
        let mut needed: BTreeSet<u32> = wrapped.iter().map(|(_, shim)| *shim).collect();
        let mut open: Vec<u32> = needed.iter().copied().collect();
        while let Some(function) = open.pop().filter(|_| !wrapped.is_empty()) {
            let called = shims.called_by(function).into_iter().filter(|called| needed.insert(*called));
            open.extend(called.filter(|called| *called >= shims.imports));
        }
        let added: Vec<u32> = needed.iter().copied().filter(|function| *function >= shims.imports).collect();
        if added.is_empty() {
            return None;
        }
        let imported = shims.imported.iter().filter(|(_, index)| needed.contains(index));
        let missing: Vec<(&str, u32)> = imported
            .clone()
            .filter(|(name, _)| !own.imported.contains_key(*name))
            .map(|(name, _)| (*name, shims.imported_types[name]))
            .collect();
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let first = own.imports + count(missing.len()) + count(own.bodies.len());
        let index = |name: &str| match own.imported.get(name) {
            Some(index) => *index,
            None => own.imports + count(missing.iter().position(|(missing, _)| *missing == name).unwrap_or(0)),
        };
        let mut functions: BTreeMap<u32, u32> = imported.map(|(name, at)| (*at, index(name))).collect();
        functions.extend(added.iter().zip(first..).map(|(shim, index)| (*shim, index)));
        let replacement =
            |name: &str| wrapped.iter().find(|(known, _)| *known == name).map(|(_, shim)| functions[shim]);
        let replacements =
            own.all_imported.iter().filter_map(|(name, index)| Some((*index, replacement(name)?))).collect();
        let transplant = Transplant { functions, types: own.types, memory };
        Some(Self { shims, added, missing, replacements, transplant, imports: own.imports })
    }
}

impl Reencode for Insertion<'_, '_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(match self.replacements.get(&function) {
            Some(shim) => *shim,
            None if function < self.imports => function,
            None => function + u32::try_from(self.missing.len()).unwrap_or(u32::MAX),
        })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_type_section(self, types, section)?;
        let shim_types = self.shims.type_section.clone();
        shim_types.map_or(Ok(()), |section| utils::parse_type_section(&mut self.transplant, types, section))
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_import_section(self, imports, section)?;
        for (name, signature) in &self.missing {
            imports.import(PREVIEW1, name, wasm_encoder::EntityType::Function(self.transplant.types + signature));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        for shim in &self.added {
            let signature = self.shims.signatures[(shim - self.shims.imports) as usize];
            functions.function(self.transplant.types + signature);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_code_section(self, code, section)?;
        for shim in &self.added {
            let body = self.shims.bodies[(shim - self.shims.imports) as usize].clone();
            self.transplant.parse_function_body(code, body)?;
        }
        Ok(())
    }
}

/// Renumbers the body of a shim for the module that it is inserted into.
struct Transplant {
    functions: BTreeMap<u32, u32>,
    types: u32,
    memory: u32,
}

impl Reencode for Transplant {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.functions[&function])
    }

    fn type_index(&mut self, signature: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.types + signature)
    }

    fn memory_index(&mut self, _memory: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_shims(text: &str) -> Vec<u8> {
        let made = insert_shims(&wat::parse_str(text).unwrap()).unwrap();
        wasmparser::validate(&made).unwrap_or_else(|error| panic!("{error}"));
        made
    }

    /// The imports, and how many functions the module defines.
    fn outline(module: &[u8]) -> (Vec<String>, usize) {
        let outline = Outline::of(module).unwrap();
        let mut imported: Vec<_> = outline.imported.iter().collect();
        imported.sort_by_key(|(_, index)| **index);
        (imported.into_iter().map(|(name, _)| (*name).to_owned()).collect(), outline.bodies.len())
    }

    #[test]
    fn shims_are_valid_and_call_what_they_replace() {
        let shims = wat::parse_str(SHIMS).unwrap();
        wasmparser::validate(&shims).unwrap();
        let shims = Outline::of(&shims).unwrap();
        for (name, shim) in &shims.exported {
            if let Some(import) = shims.imported.get(name) {
                assert!(shims.called_by(*shim).contains(import), "{name}");
            }
        }
    }

    #[test]
    fn a_module_that_needs_no_shims_does_not_change() {
        for text in [
            "(module (memory (export \"memory\") 1) (func (export \"_start\")))",
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32)))
                (memory (export \"memory\") 1) (func (export \"_start\")))",
            // Nothing can call it, or pass a path.
            "(module (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func (param i32 i32) (result i32)))
                (memory (export \"memory\") 1))",
            "(module (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func (param i32 i32) (result i32)))
                (func (export \"_start\")))",
        ] {
            let module = wat::parse_str(text).unwrap();
            assert_eq!(insert_shims(&module).unwrap(), module, "{text}");
        }
    }

    #[test]
    fn only_needed_shims_and_imports_are_added() {
        let module = with_shims(
            "(module
                (import \"wasi_snapshot_preview1\" \"path_unlink_file\" (func $u (param i32 i32 i32) (result i32)))
                (memory (export \"memory\") 1)
                (func (export \"_start\") (drop (call $u (i32.const 3) (i32.const 0) (i32.const 0)))))",
        );
        assert_eq!(outline(&module), (vec!["path_unlink_file".to_owned()], 3));
        let module = with_shims(
            "(module
                (import \"env\" \"other\" (func $other))
                (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func $s (param i32 i32) (result i32)))
                (memory (export \"memory\") 1)
                (func (export \"_start\") (drop (call $s (i32.const 3) (i32.const 0)))))",
        );
        assert_eq!(outline(&module), (vec!["sock_shutdown".to_owned(), "fd_fdstat_get".to_owned()], 3));
    }

    #[test]
    fn all_references_to_functions_are_renumbered() {
        let module = with_shims(
            "(module
                (type $pair (func (param i32 i32) (result i32)))
                (rec (type $a (func)) (type $b (func)))
                (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func $s (type $pair)))
                (import \"env\" \"global\" (global i32))
                (memory $other 1) (memory $memory 2) (export \"memory\" (memory $memory))
                (table 4 funcref) (elem (i32.const 0) func $s $own $start)
                (global $ref funcref (ref.func $own))
                (start $start)
                (func $start)
                (func $own (export \"own\") (type $pair) (call $s (local.get 0) (local.get 1)))
                (func (export \"through\") (result i32)
                    (call_indirect (type $pair) (i32.const 3) (i32.const 0) (i32.const 0)))
                (export \"s\" (func $s)))",
        );
        let outline = Outline::of(&module).unwrap();
        // One import was added, so the first function of its own has index 2, and the shim the last.
        let last = outline.imports + u32::try_from(outline.bodies.len()).unwrap() - 1;
        assert_eq!((outline.imports, outline.exported["own"]), (2, 3));
        assert!(outline.exported["s"] >= last - 1, "{:?}", outline.exported);
        assert_eq!(outline.called_by(3), BTreeSet::from([outline.exported["s"]]));
        assert!(outline.called_by(outline.exported["s"]).len() == 1);
    }
}

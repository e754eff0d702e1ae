//! Mends what the official adapter does otherwise than WASI 0.1 says: puts functions of ours around the module's
//! imports. `calls.wat` has them, with the reason for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1;
use wasm_encoder::{
    CodeSection, FunctionSection, ImportSection, Module, TypeSection,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, ExternalKind, FunctionBody, FunctionSectionReader, ImportSectionReader, Operator, Parser,
    Payload, TypeRef, TypeSectionReader,
};

/// The source of the functions.
pub(super) const CALLS: &str = include_str!("calls.wat");

/// The module, with our functions in the place of the imports that have some.
///
/// # Errors
/// The module cannot be read.
pub(super) fn mend(module: &[u8]) -> Result<Vec<u8>, String> {
    let calls = wat::parse_str(CALLS).map_err(|error| format!("the host's own calls cannot be read: {error}"))?;
    let outline = |bytes| Outline::of(bytes).map_err(|error| format!("it cannot be read: {error}"));
    let (calls, own) = (outline(&calls)?, outline(module)?);
    let Some(mut mended) = Mended::plan(&own, &calls) else { return Ok(module.to_owned()) };
    let mut made = Module::new();
    let parsed = mended.parse_core_module(&mut made, Parser::new(0), module);
    parsed.map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(made.finish())
}

/// What a module has of each kind.
#[derive(Default)]
struct Outline<'a> {
    types: u32,
    type_section: Option<TypeSectionReader<'a>>,
    /// Functions of WASI 0.1, by name, with their places.
    imported: BTreeMap<&'a str, u32>,
    /// The same, and again where one is imported more than once.
    places: Vec<(&'a str, u32)>,
    imports: u32,
    exported: BTreeMap<&'a str, u32>,
    memory: Option<u32>,
    signatures: Vec<u32>,
    /// The types of the imports of WASI 0.1.
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
                                outline.places.push((import.name, outline.imports));
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

/// A module with functions of ours.
struct Mended<'a, 'b> {
    calls: &'b Outline<'a>,
    /// Our functions that it gets, by their places among the calls, in order.
    added: Vec<u32>,
    /// Imports that it does not have and they need, with their types among the calls.
    missing: Vec<(&'a str, u32)>,
    /// What stands in for an import.
    stand_ins: BTreeMap<u32, u32>,
    transplant: Transplant,
    imports: u32,
}

impl<'a, 'b> Mended<'a, 'b> {
    /// What is to be done to the module; `None` where nothing is.
    fn plan(own: &Outline<'_>, calls: &'b Outline<'a>) -> Option<Self> {
        // Without functions of its own it does nothing, and without a memory it can name no path.
        let memory = own.memory.filter(|_| !own.bodies.is_empty())?;
        let wrapped: Vec<(&str, u32)> =
            calls.exported.iter().filter_map(|(name, ours)| own.imported.get(name).map(|_| (*name, *ours))).collect();
        let mut needed: BTreeSet<u32> = wrapped.iter().map(|(_, ours)| *ours).collect();
        let mut open: Vec<u32> = needed.iter().copied().collect();
        while let Some(function) = open.pop().filter(|_| !wrapped.is_empty()) {
            let called = calls.called_by(function).into_iter().filter(|called| needed.insert(*called));
            open.extend(called.filter(|called| *called >= calls.imports));
        }
        let added: Vec<u32> = needed.iter().copied().filter(|function| *function >= calls.imports).collect();
        if added.is_empty() {
            return None;
        }
        let imported = calls.imported.iter().filter(|(_, place)| needed.contains(place));
        let missing: Vec<(&str, u32)> = imported
            .clone()
            .filter(|(name, _)| !own.imported.contains_key(*name))
            .map(|(name, _)| (*name, calls.imported_types[name]))
            .collect();
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let first = own.imports + count(missing.len()) + count(own.bodies.len());
        let place = |name: &str| match own.imported.get(name) {
            Some(place) => *place,
            None => own.imports + count(missing.iter().position(|(missing, _)| *missing == name).unwrap_or(0)),
        };
        let mut functions: BTreeMap<u32, u32> = imported.map(|(name, at)| (*at, place(name))).collect();
        functions.extend(added.iter().zip(first..).map(|(ours, place)| (*ours, place)));
        let stand_in = |name: &str| wrapped.iter().find(|(known, _)| *known == name).map(|(_, ours)| functions[ours]);
        let stand_ins = own.places.iter().filter_map(|(name, place)| Some((*place, stand_in(name)?))).collect();
        let transplant = Transplant { functions, types: own.types, memory };
        Some(Self { calls, added, missing, stand_ins, transplant, imports: own.imports })
    }
}

impl Reencode for Mended<'_, '_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(match self.stand_ins.get(&function) {
            Some(ours) => *ours,
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
        let ours = self.calls.type_section.clone();
        ours.map_or(Ok(()), |section| utils::parse_type_section(&mut self.transplant, types, section))
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
        for ours in &self.added {
            let signature = self.calls.signatures[(ours - self.calls.imports) as usize];
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
        for ours in &self.added {
            let body = self.calls.bodies[(ours - self.calls.imports) as usize].clone();
            self.transplant.parse_function_body(code, body)?;
        }
        Ok(())
    }
}

/// Puts what is written for the calls' own module into another.
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

    fn mended(text: &str) -> Vec<u8> {
        let made = mend(&wat::parse_str(text).unwrap()).unwrap();
        wasmparser::validate(&made).unwrap_or_else(|error| panic!("{error}"));
        made
    }

    /// The imports, and how many functions of its own the module has.
    fn outline(module: &[u8]) -> (Vec<String>, usize) {
        let outline = Outline::of(module).unwrap();
        let mut imported: Vec<_> = outline.imported.iter().collect();
        imported.sort_by_key(|(_, place)| **place);
        (imported.into_iter().map(|(name, _)| (*name).to_owned()).collect(), outline.bodies.len())
    }

    #[test]
    fn the_calls_are_whole_and_stand_in_for_what_they_call() {
        let calls = wat::parse_str(CALLS).unwrap();
        wasmparser::validate(&calls).unwrap();
        let calls = Outline::of(&calls).unwrap();
        for (name, ours) in &calls.exported {
            if let Some(import) = calls.imported.get(name) {
                assert!(calls.called_by(*ours).contains(import), "{name}");
            }
        }
    }

    #[test]
    fn a_module_that_calls_nothing_of_it_stays_as_it_is() {
        for text in [
            "(module (memory (export \"memory\") 1) (func (export \"_start\")))",
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32)))
                (memory (export \"memory\") 1) (func (export \"_start\")))",
            // Nobody can call it, or name a path.
            "(module (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func (param i32 i32) (result i32)))
                (memory (export \"memory\") 1))",
            "(module (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func (param i32 i32) (result i32)))
                (func (export \"_start\")))",
        ] {
            let module = wat::parse_str(text).unwrap();
            assert_eq!(mend(&module).unwrap(), module, "{text}");
        }
    }

    #[test]
    fn only_what_is_called_comes_with_what_it_needs() {
        let module = mended(
            "(module
                (import \"wasi_snapshot_preview1\" \"path_unlink_file\" (func $u (param i32 i32 i32) (result i32)))
                (memory (export \"memory\") 1)
                (func (export \"_start\") (drop (call $u (i32.const 3) (i32.const 0) (i32.const 0)))))",
        );
        assert_eq!(outline(&module), (vec!["path_unlink_file".to_owned()], 3));
        let module = mended(
            "(module
                (import \"env\" \"other\" (func $other))
                (import \"wasi_snapshot_preview1\" \"sock_shutdown\" (func $s (param i32 i32) (result i32)))
                (memory (export \"memory\") 1)
                (func (export \"_start\") (drop (call $s (i32.const 3) (i32.const 0)))))",
        );
        assert_eq!(outline(&module), (vec!["sock_shutdown".to_owned(), "fd_fdstat_get".to_owned()], 3));
    }

    #[test]
    fn every_place_that_names_a_function_names_the_same_one_afterwards() {
        let module = mended(
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
        // One import came, so the first function of its own has the place 2, and the stand-in the last.
        let last = outline.imports + u32::try_from(outline.bodies.len()).unwrap() - 1;
        assert_eq!((outline.imports, outline.exported["own"]), (2, 3));
        assert!(outline.exported["s"] >= last - 1, "{:?}", outline.exported);
        assert_eq!(outline.called_by(3), BTreeSet::from([outline.exported["s"]]));
        assert!(outline.called_by(outline.exported["s"]).len() == 1);
    }
}

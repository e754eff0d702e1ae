//! Puts off the start function of a core module until the module can call what it imports.
//!
//! A component's parts are made one after another. The encoder gives the main module its imports by a table that is filled
//! once the module is made, since the functions need the module's memory: what the module calls from its start function
//! is not there yet, and traps. Here the function becomes the beginning of what the component calls first: `_start` of a
//! command, and elsewhere `_initialize`.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, RawSection, TypeSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

const START: &str = "_start";
/// The names of what is called first, in the two ways of mangling names.
const INITIALIZE: [&str; 2] = ["_initialize", "cm32p2_initialize"];
/// What the entry was is exported still: it may be referred to only because it is.
const BEFORE: &str = "before late start: ";

/// The module without a start function; `None` where it has none, or imports no function that it could call. `_start` is
/// called of a `command`, and not of a module that has a world of its own.
///
/// # Errors
/// The module cannot be read.
pub(super) fn with_late_start(module: &[u8], command: bool) -> Result<Option<Vec<u8>>, String> {
    let late = LateStart::plan(module, command).map_err(|error| format!("it cannot be read: {error}"))?;
    late.map(|late| late.made(module)).transpose().map_err(|error| format!("it cannot be read: {error}"))
}

struct LateStart {
    start: u32,
    /// The export that begins with it, and the function that it named where there is one.
    entry: (&'static str, Option<u32>),
    types: u32,
    /// Imported ones too.
    functions: u32,
}

impl LateStart {
    fn plan(module: &[u8], is_command: bool) -> Result<Option<Self>, wasmparser::BinaryReaderError> {
        let (mut start, mut imported, mut own, mut types) = (None, 0, 0, 0);
        let (mut command, mut reactor, mut embedded) = (None, None, false);
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                    }
                }
                Payload::FunctionSection(section) => own = section.count(),
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.name {
                            _ if export.kind != ExternalKind::Func => {}
                            START => command = Some((START, Some(export.index))),
                            // The encoder, too, takes the first.
                            name => {
                                let known = INITIALIZE.into_iter().find(|known| *known == name);
                                reactor = reactor.or(known.map(|known| (known, Some(export.index))));
                            }
                        }
                    }
                }
                Payload::StartSection { func, .. } => start = Some(func),
                Payload::CustomSection(section) => embedded |= section.name().starts_with("component-type"),
                _ => {}
            }
        }
        let Some(start) = start.filter(|_| imported > 0 && own > 0) else { return Ok(None) };
        // What has both is initialised before it starts.
        let command = command.filter(|_| is_command && !embedded);
        let entry = reactor.or(command).unwrap_or((INITIALIZE[0], None));
        Ok(Some(Self { start, entry, types, functions: imported + own }))
    }

    fn made(&self, module: &[u8]) -> Result<Vec<u8>, wasm_encoder::reencode::Error> {
        let (mut made, mut code, mut bodies) = (Module::new(), CodeSection::new(), 0);
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::StartSection { .. } => {}
                Payload::TypeSection(section) => {
                    let mut types = TypeSection::new();
                    RoundtripReencoder.parse_type_section(&mut types, section.clone())?;
                    types.ty().function([], []);
                    made.section(&types);
                }
                Payload::FunctionSection(section) => {
                    let mut functions = FunctionSection::new();
                    RoundtripReencoder.parse_function_section(&mut functions, section.clone())?;
                    functions.function(self.types);
                    made.section(&functions);
                }
                Payload::ExportSection(section) => {
                    made.section(&self.exports(section.clone())?);
                }
                Payload::CodeSectionStart { count, .. } => bodies = *count,
                Payload::CodeSectionEntry(body) => {
                    code.raw(body.as_bytes());
                    if code.len() == bodies {
                        code.function(&self.body());
                        made.section(&code);
                    }
                }
                other => {
                    if let Some((id, range)) = other.as_section() {
                        made.section(&RawSection { id, data: &module[range] });
                    }
                }
            }
        }
        Ok(made.finish())
    }

    fn exports(
        &self,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<ExportSection, wasm_encoder::reencode::Error> {
        let mut exports = ExportSection::new();
        for export in section {
            let export = export?;
            if export.name == self.entry.0 {
                exports.export(&format!("{BEFORE}{}", export.name), ExportKind::Func, export.index);
            } else {
                RoundtripReencoder.parse_export(&mut exports, export)?;
            }
        }
        exports.export(self.entry.0, ExportKind::Func, self.functions);
        Ok(exports)
    }

    fn body(&self) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        code.call(self.start);
        if let Some(entry) = self.entry.1 {
            code.call(entry);
        }
        code.end();
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPORT: &str = r#"(import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))"#;

    fn late(text: &str, command: bool) -> Option<Vec<u8>> {
        let made = with_late_start(&wat::parse_str(text).unwrap(), command).unwrap()?;
        wasmparser::validate(&made).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(with_late_start(&made, command).unwrap(), None, "it is done once");
        Some(made)
    }

    fn exports(module: &[u8]) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                let exports = section.into_iter().map(Result::unwrap);
                found.extend(exports.map(|export| (export.name.to_owned(), export.index)));
            }
        }
        found
    }

    #[test]
    fn the_entry_of_a_module_begins_with_its_start_function() {
        let module = |exported: &str| {
            format!(
                r#"(module {IMPORT}
                    (rec (type $a (func)) (type $b (func (param i32))))
                    (memory (export "memory") 1)
                    (start $begin)
                    (elem declare func $begin)
                    (func $begin (drop (call $yield)))
                    (func $own (export "own"))
                    {exported}
                    (data (i32.const 0) "x"))"#
            )
        };
        let exports = |exported: &str, command: bool| exports(&late(&module(exported), command).unwrap());
        let with = |added: &[(&str, u32)]| {
            let added = added.iter().map(|(name, at)| ((*name).to_owned(), *at));
            [("memory".to_owned(), 0), ("own".to_owned(), 2)].into_iter().chain(added).collect::<Vec<_>>()
        };
        let start = r#"(func (export "_start"))"#;
        assert_eq!(exports(start, true), with(&[("before late start: _start", 3), ("_start", 4)]));
        // Nobody calls the `_start` of what is no command.
        assert_eq!(exports(start, false), with(&[("_start", 3), ("_initialize", 4)]));
        let world = format!(r#"{start} (@custom "component-type:w" "")"#);
        assert_eq!(exports(&world, true), with(&[("_start", 3), ("_initialize", 4)]));
        for name in INITIALIZE {
            let before = format!("before late start: {name}");
            let exported = format!(r#"(func (export "{name}"))"#);
            assert_eq!(exports(&exported, false), with(&[(&before, 3), (name, 4)]));
            let both = format!("{start} {exported}");
            assert_eq!(exports(&both, true), with(&[("_start", 3), (&before, 4), (name, 5)]));
        }
        assert_eq!(exports("", false), with(&[("_initialize", 3)]));
        // Its export is what lets the function name itself.
        exports(r#"(func $s (export "_start") (drop (ref.func $s)))"#, true);
    }

    #[test]
    fn what_calls_nobody_when_it_is_made_stays_as_it_is() {
        for text in [
            format!(r#"(module {IMPORT} (func (export "_start")))"#),
            r#"(module (func $begin) (start $begin) (func (export "_start")))"#.to_owned(),
        ] {
            assert_eq!(late(&text, true), None, "{text}");
        }
    }
}

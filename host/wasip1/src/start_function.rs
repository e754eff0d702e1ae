//! Defers the start function of a core module until the module can call its imports.
//!
//! A component instantiates its modules one after another. The main module calls its imports through a table that is
//! filled after the module is instantiated, because the imported functions need its memory: calls from its start function
//! would trap. Here the start function becomes the beginning of what the component calls first: `_start` of a command,
//! otherwise `_initialize`.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, RawSection, TypeSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

const START: &str = "_start";
/// What is called first, in the two name mangling schemes.
const INITIALIZE: [&str; 2] = ["_initialize", "cm32p2_initialize"];
/// The old entry point stays exported under this prefix: `ref.func` is valid only for an exported function.
const OLD_ENTRY_PREFIX: &str = "before late start: ";

/// Removes the start function; `None` if the module has none, or imports no function that it could call. The host calls
/// `_start` of a `command`, but not of a module that came with a world.
///
/// # Errors
/// The module cannot be read.
pub(crate) fn defer_start(module: &[u8], command: bool) -> Result<Option<Vec<u8>>, String> {
    let deferred = DeferredStart::plan(module, command).map_err(|error| format!("it cannot be read: {error}"))?;
    deferred.map(|deferred| deferred.apply(module)).transpose().map_err(|error| format!("it cannot be read: {error}"))
}

struct DeferredStart {
    start: u32,
    /// The export that will begin with it, and the function exported there so far.
    entry: (&'static str, Option<u32>),
    types: u32,
    /// Includes imported ones.
    functions: u32,
}

impl DeferredStart {
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
        // A module with both is initialized before it starts.
        let command = command.filter(|_| is_command && !embedded);
        let entry = reactor.or(command).unwrap_or((INITIALIZE[0], None));
        Ok(Some(Self { start, entry, types, functions: imported + own }))
    }

    fn apply(&self, module: &[u8]) -> Result<Vec<u8>, wasm_encoder::reencode::Error> {
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
                exports.export(&format!("{OLD_ENTRY_PREFIX}{}", export.name), ExportKind::Func, export.index);
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

    fn deferred(text: &str, command: bool) -> Option<Vec<u8>> {
        let made = defer_start(&wat::parse_str(text).unwrap(), command).unwrap()?;
        wasmparser::validate(&made).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(defer_start(&made, command).unwrap(), None, "it is done once");
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
    fn the_entry_point_begins_with_the_start_function() {
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
        let exports = |exported: &str, command: bool| exports(&deferred(&module(exported), command).unwrap());
        let with = |added: &[(&str, u32)]| {
            let added = added.iter().map(|(name, at)| ((*name).to_owned(), *at));
            [("memory".to_owned(), 0), ("own".to_owned(), 2)].into_iter().chain(added).collect::<Vec<_>>()
        };
        let start = r#"(func (export "_start"))"#;
        assert_eq!(exports(start, true), with(&[("before late start: _start", 3), ("_start", 4)]));
        // The `_start` of a module that is not a command is not called.
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
        // `ref.func` needs the export.
        exports(r#"(func $s (export "_start") (drop (ref.func $s)))"#, true);
    }

    #[test]
    fn modules_without_start_function_or_imports_do_not_change() {
        for text in [
            format!(r#"(module {IMPORT} (func (export "_start")))"#),
            r#"(module (func $begin) (start $begin) (func (export "_start")))"#.to_owned(),
        ] {
            assert_eq!(deferred(&text, true), None, "{text}");
        }
    }
}

//! Leaves out custom sections that nothing could be made of. What they hold is for debuggers and tools: it never decides
//! whether a module can run, but some of what reads a module refuses it for them.

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentName, ComponentNameSectionReader, Name, NameSectionReader,
    ProducersSectionReader,
};
use wit_component::metadata;

/// The world of a core module, encoded by its bindings.
const WORLD: &str = "component-type";
/// wasmtime refuses every module that has one of these; they were a proposal once.
const REFUSED: [&str; 2] = ["webidl-bindings", "wasm-interface-types"];
/// Components within components that are looked into.
const DEPTH: usize = 100;

const CUSTOM: u8 = 0;
/// Of the sections of a component, those that hold a module or a component.
const NESTED: [u8; 2] = [1, 4];
/// Magic number, version and layer.
const HEADER: usize = 8;
/// What the layer is of a component.
const COMPONENT_LAYER: [u8; 2] = [1, 0];

/// The module or component without sections that cannot be read, wherever they are in it; `None` where it has none.
pub(super) fn without_unreadable(bytes: &[u8]) -> Option<Vec<u8>> {
    without(bytes, &|name, data| REFUSED.contains(&name) || !is_readable(name, data), DEPTH).ok().flatten()
}

/// The core module without its worlds where they cannot be read; `None` where they can, or it has none.
pub(super) fn without_unreadable_world(module: &[u8]) -> Option<Vec<u8>> {
    metadata::decode(module).err()?;
    without(module, &|name, _| name.starts_with(WORLD), DEPTH).ok().flatten()
}

/// The same bytes without the custom sections that `is_dropped` names, by their names and content.
fn without(
    bytes: &[u8],
    is_dropped: &dyn Fn(&str, &[u8]) -> bool,
    depth: usize,
) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER)?;
    let is_component = header[6..] == COMPONENT_LAYER;
    // What was copied so far, and from where on nothing was.
    let (mut made, mut copied): (Option<Vec<u8>>, usize) = (None, 0);
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let begin = reader.original_position();
        let content = reader.read_bytes(size)?;
        let nested = if id == CUSTOM {
            let mut custom = BinaryReader::new(content, 0);
            let name = custom.read_string()?;
            if !is_dropped(name, &content[custom.original_position()..]) {
                continue;
            }
            None
        } else if is_component && NESTED.contains(&id) && depth > 0 {
            match without(content, is_dropped, depth - 1)? {
                Some(nested) => Some(nested),
                None => continue,
            }
        } else {
            continue;
        };
        let made = made.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
        made.extend(&bytes[copied..start]);
        if let Some(nested) = nested {
            made.push(id);
            push_leb(made, nested.len());
            made.extend(nested);
        }
        copied = begin + size;
    }
    Ok(made.map(|mut made| {
        made.extend(&bytes[copied..]);
        made
    }))
}

/// A number in LEB128.
fn push_leb(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// Whether a section that something reads can be read to its end.
fn is_readable(name: &str, data: &[u8]) -> bool {
    let reader = || BinaryReader::new(data, 0);
    match name {
        "name" => read_names(NameSectionReader::new(reader())).is_ok(),
        "component-name" => read_component_names(ComponentNameSectionReader::new(reader())).is_ok(),
        "producers" => read_producers(reader()).is_ok(),
        _ => true,
    }
}

fn read_names(names: NameSectionReader<'_>) -> Result<(), BinaryReaderError> {
    for names in names {
        match names? {
            Name::Module { .. } | Name::Unknown { .. } => {}
            Name::Function(names)
            | Name::Type(names)
            | Name::Table(names)
            | Name::Memory(names)
            | Name::Global(names)
            | Name::Element(names)
            | Name::Data(names)
            | Name::Tag(names) => names.into_iter().try_for_each(|name| name.map(drop))?,
            Name::Local(names) | Name::Label(names) | Name::Field(names) => {
                for names in names {
                    names?.names.into_iter().try_for_each(|name| name.map(drop))?;
                }
            }
        }
    }
    Ok(())
}

fn read_component_names(names: ComponentNameSectionReader<'_>) -> Result<(), BinaryReaderError> {
    use ComponentName as Of;
    for names in names {
        match names? {
            Of::Component { .. } | Of::Unknown { .. } => {}
            Of::CoreFuncs(names)
            | Of::CoreGlobals(names)
            | Of::CoreMemories(names)
            | Of::CoreTables(names)
            | Of::CoreTags(names)
            | Of::CoreModules(names)
            | Of::CoreInstances(names)
            | Of::CoreTypes(names)
            | Of::Types(names)
            | Of::Instances(names)
            | Of::Components(names)
            | Of::Funcs(names)
            | Of::Values(names) => names.into_iter().try_for_each(|name| name.map(drop))?,
        }
    }
    Ok(())
}

fn read_producers(reader: BinaryReader<'_>) -> Result<(), BinaryReaderError> {
    for field in ProducersSectionReader::new(reader)? {
        field?.values.into_iter().try_for_each(|value| value.map(drop))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::component::{adapt, identify};
    use crate::engine::Engine;

    const NAMES: &[&str] = &[
        "name",
        "producers",
        "component-name",
        "component-type:plugin",
        "component-type",
        "target_features",
        "dylink",
        "dylink.0",
        "linking",
        "reloc.CODE",
        "sourceMappingURL",
        "external_debug_info",
        ".debug_info",
        ".debug_line",
        ".debug_abbrev",
        "core",
        "coremodules",
        "corestack",
        "metadata.code.branch_hint",
        "webidl-bindings",
        "wasm-interface-types",
        "package-docs",
        "go:buildid",
        "build_id",
        "registry-metadata",
        "authors",
        "description",
        "licenses",
        "source",
        "homepage",
        "revision",
        "version",
        "",
        "made up",
    ];

    /// A section of this name and content.
    fn section(name: &str, data: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        push_leb(&mut content, name.len());
        content.extend(name.bytes());
        content.extend(data);
        let mut section = vec![CUSTOM];
        push_leb(&mut section, content.len());
        section.extend(content);
        section
    }

    /// The binary with sections behind its header and at its end.
    fn with(bytes: &[u8], sections: &[u8]) -> Vec<u8> {
        [&bytes[..HEADER], sections, &bytes[HEADER..], sections].concat()
    }

    /// A component that holds this module in a component of its own.
    fn holding(module: &[u8], sections: &[u8]) -> Vec<u8> {
        let nest = |bytes: &[u8], id: u8| {
            let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
            outer.push(id);
            push_leb(&mut outer, bytes.len());
            outer.extend(bytes);
            with(&outer, sections)
        };
        nest(&nest(module, 1), 4)
    }

    fn command() -> Vec<u8> {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (start $begin) (func $begin (drop (call $yield)))
            (func $f (export "_start") (call $exit (i32.const 0))))"#;
        wat::parse_str(text).unwrap()
    }

    fn typed() -> Vec<u8> {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "scenario:host/scenarios@0.1.0#list") (result i32) unreachable)
            (func (export "scenario:host/scenarios@0.1.0#run") (param i32 i32) (result i32) (call $yield)))"#;
        wat::parse_str(text).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn no_custom_section_refuses_a_module(
            sections in vec((select(NAMES), vec(prop_oneof![any::<u8>(), 0..12_u8], 0..24)), 1..4)
        ) {
            thread_local!(static ENGINE: Engine = Engine::new(1).unwrap());
            let sections: Vec<u8> = sections.iter().flat_map(|(name, data)| section(name, data)).collect();
            let cleaned = |bytes: Vec<u8>| without_unreadable(&bytes).unwrap_or(bytes);
            let (command, typed) = (with(&command(), &sections), with(&typed(), &sections));
            for plugin in [&command, &typed] {
                prop_assert!(identify(plugin).is_ok());
            }
            let nested = holding(&command, &sections);
            for as_command in [true, false] {
                let module = if as_command { &command } else { &typed };
                let adapted = adapt(module, as_command);
                prop_assert!(adapted.is_ok(), "{:?}", adapted);
                ENGINE.with(|engine| engine.wasmtime()[1].precompile_component(&adapted.unwrap())).unwrap();
            }
            ENGINE.with(|engine| {
                let engine = engine.wasmtime()[1];
                engine.precompile_module(&cleaned(command)).unwrap();
                engine.precompile_component(&cleaned(nested)).unwrap();
            });
        }
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        let module = wat::parse_str("(module $named (func $f (param $p i32)))").unwrap();
        let names: Vec<u8> = section("producers", b"\0");
        let readable = with(&module, &[section("made up", b"\xff"), names].concat());
        assert_eq!(without_unreadable(&readable), None);
        assert_eq!(without_unreadable(&holding(&readable, &section("name", b""))), None);
        assert_eq!(without_unreadable_world(&readable), None);
    }

    #[test]
    fn only_what_cannot_be_read_is_left_out() {
        let module = command();
        let (good, bad) = (section("made up", b"\xff"), section("name", b"\xff"));
        assert_eq!(without_unreadable(&with(&module, &bad)).unwrap(), module);
        let both = [&bad[..], &good, &bad].concat();
        assert_eq!(without_unreadable(&with(&module, &both)).unwrap(), with(&module, &good));
        let nested = holding(&with(&module, &bad), &bad);
        assert_eq!(without_unreadable(&nested).unwrap(), holding(&module, &[]));
        let world = section("component-type:w", b"\xff");
        assert_eq!(without_unreadable_world(&with(&module, &world)).unwrap(), module);
        assert_eq!(without_unreadable(b"\0asm\x01\0\0\0\0\xff"), None, "it is for the validator to say what is wrong");
    }
}

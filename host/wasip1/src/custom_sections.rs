//! Removes custom sections that cannot be parsed. They are for debuggers and tools and never decide whether a module can
//! run, but some readers refuse a module because of them.

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentName, ComponentNameSectionReader, Name, NameSectionReader,
    ProducersSectionReader,
};
use wit_component::metadata;

/// The world of a core module, encoded by its bindings.
const WORLD_SECTION: &str = "component-type";
/// wasmtime refuses every module that has one of these sections of former proposals.
const REFUSED: [&str; 2] = ["webidl-bindings", "wasm-interface-types"];
/// How deep nested components are searched.
const MAX_DEPTH: usize = 100;

const CUSTOM: u8 = 0;
/// The sections of a component that contain a module or a component.
const NESTED: [u8; 2] = [1, 4];
/// The length of magic number, version and layer.
const HEADER_LENGTH: usize = 8;
/// The layer of a component.
const COMPONENT_LAYER: [u8; 2] = [1, 0];

/// Removes unreadable sections from a module or component and everything nested in it; `None` if it has none.
#[must_use]
pub fn strip_unreadable(bytes: &[u8]) -> Option<Vec<u8>> {
    strip(bytes, &|name, data| REFUSED.contains(&name) || !is_readable(name, data), MAX_DEPTH).ok().flatten()
}

/// Removes the worlds of a core module if they cannot be read; `None` if they can, or it has none.
pub(crate) fn strip_unreadable_world(module: &[u8]) -> Option<Vec<u8>> {
    metadata::decode(module).err()?;
    strip(module, &|name, _| name.starts_with(WORLD_SECTION), MAX_DEPTH).ok().flatten()
}

/// Removes the custom sections for which `is_dropped` returns true, given their names and content.
fn strip(
    bytes: &[u8],
    is_dropped: &dyn Fn(&str, &[u8]) -> bool,
    depth: usize,
) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER_LENGTH)?;
    let is_component = header[6..] == COMPONENT_LAYER;
    // The new bytes, and up to where the old ones were copied or dropped.
    let (mut made, mut done): (Option<Vec<u8>>, usize) = (None, 0);
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
            match strip(content, is_dropped, depth - 1)? {
                Some(nested) => Some(nested),
                None => continue,
            }
        } else {
            continue;
        };
        let made = made.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
        made.extend(&bytes[done..start]);
        if let Some(nested) = nested {
            made.push(id);
            push_leb(made, nested.len());
            made.extend(nested);
        }
        done = begin + size;
    }
    Ok(made.map(|mut made| {
        made.extend(&bytes[done..]);
        made
    }))
}

/// Appends a number in LEB128.
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

/// Whether a section that some tool parses can be read to its end.
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
    use super::*;

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

    /// Inserts sections after the header and at the end.
    fn with(bytes: &[u8], sections: &[u8]) -> Vec<u8> {
        [&bytes[..HEADER_LENGTH], sections, &bytes[HEADER_LENGTH..], sections].concat()
    }

    /// A component with a nested component that contains this module.
    fn nested_in_component(module: &[u8], sections: &[u8]) -> Vec<u8> {
        let nest = |bytes: &[u8], id: u8| {
            let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
            outer.push(id);
            push_leb(&mut outer, bytes.len());
            outer.extend(bytes);
            with(&outer, sections)
        };
        nest(&nest(module, 1), 4)
    }

    #[test]
    fn readable_sections_stay() {
        let module = wat::parse_str("(module $named (func $f (param $p i32)))").unwrap();
        let names: Vec<u8> = section("producers", b"\0");
        let readable = with(&module, &[section("made up", b"\xff"), names].concat());
        assert_eq!(strip_unreadable(&readable), None);
        assert_eq!(strip_unreadable(&nested_in_component(&readable, &section("name", b""))), None);
        assert_eq!(strip_unreadable_world(&readable), None);
    }

    #[test]
    fn only_unreadable_sections_are_removed() {
        let module = wat::parse_str("(module (func (export \"_start\")))").unwrap();
        let (good, bad) = (section("made up", b"\xff"), section("name", b"\xff"));
        assert_eq!(strip_unreadable(&with(&module, &bad)).unwrap(), module);
        let both = [&bad[..], &good, &bad].concat();
        assert_eq!(strip_unreadable(&with(&module, &both)).unwrap(), with(&module, &good));
        let nested = nested_in_component(&with(&module, &bad), &bad);
        assert_eq!(strip_unreadable(&nested).unwrap(), nested_in_component(&module, &[]));
        let world = section("component-type:w", b"\xff");
        assert_eq!(strip_unreadable_world(&with(&module, &world)).unwrap(), module);
        assert_eq!(strip_unreadable(b"\0asm\x01\0\0\0\0\xff"), None, "invalid modules are left to the validator");
    }
}

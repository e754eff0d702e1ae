//! The imports and exports at the top level of a file.

use wasmparser::{Chunk, ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};

/// The names at the top level.
#[derive(Default)]
pub(in crate::component) struct TopLevel {
    pub(in crate::component) component: bool,
    pub(in crate::component) imports: Vec<String>,
    pub(in crate::component) exports: Vec<String>,
    /// Whether it is a core module that was built for a world of components.
    pub(in crate::component) world_embedded: bool,
}

impl TopLevel {
    /// Skips nested modules and components, and code.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut top = Self::default();
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        // No more bytes follow, so the parser fails where it would ask for more.
        while let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? {
            rest = &rest[consumed..];
            match payload {
                Payload::Version { encoding, .. } => top.component = encoding == Encoding::Component,
                Payload::End(_) => break,
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                    rest = rest.get(unchecked_range.len()..).unwrap_or_default();
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    rest = usize::try_from(size).ok().and_then(|size| rest.get(size..)).unwrap_or_default();
                }
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import?;
                        let provided = matches!(
                            import.ty,
                            ComponentTypeRef::Instance(_)
                                | ComponentTypeRef::Func(_)
                                | ComponentTypeRef::Module(_)
                                | ComponentTypeRef::Component(_)
                        );
                        if provided {
                            top.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if matches!(export.kind, ComponentExternalKind::Instance | ComponentExternalKind::Func) {
                            top.exports.push(export.name.name.to_owned());
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        top.imports.push(import?.module.to_owned());
                    }
                    top.imports.dedup();
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        top.exports.push(export?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    top.world_embedded |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        Ok(top)
    }
}

//! Estimates from a plugin's bytes what its instances need: how they are allocated, and how much memory they use that a
//! `ResourceLimiter` does not see.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, ElementItems, ElementKind, Instance, Parser, Payload, TypeRef,
};

use super::POOLED_TABLE_ELEMENTS;

/// A lower estimate of the bytes that the engine keeps for each entity of an instance.
const FUNCTION_BYTES: u64 = 32;
const IMPORT_BYTES: u64 = 32;
const TABLE_OR_MEMORY_BYTES: u64 = 256;
const ELEMENT_BYTES: u64 = 16;
/// A global takes 16 bytes, and a trap makes the engine list all of them for the core dump.
const GLOBAL_BYTES: u64 = 64;
/// A function of the component itself, and a nested instance.
const COMPONENT_FUNCTION_BYTES: u64 = 64;
const COMPONENT_INSTANCE_BYTES: u64 = 512;
/// Bytes of instances that do not count.
const FREE_BYTES: u64 = 1 << 20;

/// What a component or a core module needs, as far as its bytes show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whether several of its calls can run concurrently, each with its own stack.
    concurrent: bool,
    /// Whether one of its tables may grow beyond a slot of the pool.
    has_growing_table: bool,
    /// Bytes of all instances together.
    instances: Size,
    /// Bytes of one instance of its largest module.
    largest: u64,
    /// Whether it instantiates something that is only known when it is linked.
    unknown: bool,
}

/// Bytes of core instances, whose number is limited, and of what the component model adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    core: u64,
    own: u64,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.core = self.core.saturating_add(other.core);
        self.own = self.own.saturating_add(other.own);
    }
}

/// A component that is being parsed.
#[derive(Default)]
struct Frame {
    /// The bytes of an instance of each core module; `None` for an imported one.
    modules: Vec<Option<u64>>,
    /// The bytes of all instances within an instance of each component.
    components: Vec<Option<Size>>,
    instances: Size,
}

/// What is being parsed.
enum Nesting {
    Component(Frame),
    Module(u64),
}

impl Survey {
    /// Surveys `bytes`. They are validated elsewhere: what cannot be parsed is skipped.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut survey = Self::default();
        let mut parts: Vec<Nesting> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else { break };
            if survey.visit(&mut parts, &payload).is_err() {
                break;
            }
        }
        survey
    }

    /// Whether a slot of the pool may be enough: a slot has one stack for each call, and small tables.
    #[must_use]
    pub fn fits_pool(&self) -> bool {
        !self.concurrent && !self.has_growing_table
    }

    /// Bytes that its instances use in the host beyond the free ones, if it may have up to `max` instances.
    #[must_use]
    pub fn instance_bytes(&self, max: u32) -> u64 {
        let limit = self.largest.saturating_mul(u64::from(max));
        let core = if self.unknown { limit } else { self.instances.core.min(limit) };
        core.saturating_add(self.instances.own).saturating_sub(FREE_BYTES)
    }

    fn visit(&mut self, parts: &mut Vec<Nesting>, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                parts.push(Nesting::Component(Frame::default()));
            }
            Payload::Version { .. } => parts.push(Nesting::Module(0)),
            Payload::End(_) => self.visit_end(parts),
            payload => match parts.last_mut() {
                Some(Nesting::Module(size)) => *size = size.saturating_add(self.visit_module(payload)?),
                Some(Nesting::Component(_)) => self.visit_component(parts, payload)?,
                None => {}
            },
        }
        Ok(())
    }

    fn visit_end(&mut self, parts: &mut Vec<Nesting>) {
        match (parts.pop(), parts.last_mut()) {
            (Some(Nesting::Module(size)), outer) => {
                self.largest = self.largest.max(size);
                match outer {
                    Some(Nesting::Component(frame)) => frame.modules.push(Some(size)),
                    _ => self.instances = Size { core: size, own: 0 },
                }
            }
            (Some(Nesting::Component(frame)), Some(Nesting::Component(outer))) => {
                outer.components.push(Some(frame.instances));
            }
            (Some(Nesting::Component(frame)), _) => self.instances = frame.instances,
            (None, _) => {}
        }
    }

    /// What a section of a core module adds to each of its instances.
    fn visit_module(&mut self, payload: &Payload<'_>) -> wasmparser::Result<u64> {
        let times = |count: u32, bytes: u64| u64::from(count).saturating_mul(bytes);
        Ok(match payload {
            Payload::ImportSection(imports) => {
                let mut bytes: u64 = 0;
                for import in imports.clone().into_imports() {
                    let global = matches!(import?.ty, TypeRef::Global(_));
                    bytes = bytes.saturating_add(if global { GLOBAL_BYTES } else { IMPORT_BYTES });
                }
                bytes
            }
            Payload::FunctionSection(functions) => times(functions.count(), FUNCTION_BYTES),
            Payload::MemorySection(memories) => times(memories.count(), TABLE_OR_MEMORY_BYTES),
            Payload::GlobalSection(globals) => times(globals.count(), GLOBAL_BYTES),
            Payload::TagSection(tags) => times(tags.count(), IMPORT_BYTES),
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let max = table?.ty.maximum;
                    self.has_growing_table |= max.is_none_or(|max| max > POOLED_TABLE_ELEMENTS as u64);
                }
                times(tables.count(), TABLE_OR_MEMORY_BYTES)
            }
            Payload::ElementSection(segments) => {
                let mut bytes: u64 = 0;
                for segment in segments.clone() {
                    let segment = segment?;
                    if matches!(segment.kind, ElementKind::Passive) {
                        let count = match segment.items {
                            ElementItems::Functions(functions) => functions.count(),
                            ElementItems::Expressions(_, expressions) => expressions.count(),
                        };
                        bytes = bytes.saturating_add(times(count, ELEMENT_BYTES));
                    }
                    bytes = bytes.saturating_add(ELEMENT_BYTES);
                }
                bytes
            }
            _ => 0,
        })
    }

    fn visit_component(&mut self, parts: &mut [Nesting], payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    add_alias(parts, &alias?);
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone() {
                    self.concurrent |= is_concurrent(&function?);
                }
                if let Some(Nesting::Component(frame)) = parts.last_mut() {
                    let own = u64::from(functions.count()).saturating_mul(COMPONENT_FUNCTION_BYTES);
                    frame.instances.add(Size { core: 0, own });
                }
            }
            payload => {
                if let Some(Nesting::Component(frame)) = parts.last_mut() {
                    self.visit_frame(frame, payload)?;
                }
            }
        }
        Ok(())
    }

    fn visit_frame(&mut self, frame: &mut Frame, payload: &Payload<'_>) -> wasmparser::Result<()> {
        let mut add_instance = |size: Option<Size>| {
            self.unknown |= size.is_none();
            frame.instances.add(size.unwrap_or_default());
        };
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        add_instance(get(&frame.modules, module_index).map(|core| Size { core, own: 0 }));
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        add_instance(get(&frame.components, component_index));
                        add_instance(Some(Size { core: 0, own: COMPONENT_INSTANCE_BYTES }));
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    match import?.ty {
                        ComponentTypeRef::Module(_) => frame.modules.push(None),
                        ComponentTypeRef::Component(_) => frame.components.push(None),
                        _ => {}
                    }
                }
            }
            // An export gets an index of its own.
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    match export.kind {
                        ComponentExternalKind::Module => frame.modules.push(get(&frame.modules, export.index)),
                        ComponentExternalKind::Component => {
                            frame.components.push(get(&frame.components, export.index));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn get<S: Copy>(list: &[Option<S>], index: u32) -> Option<S> {
    list.get(index as usize).copied().flatten()
}

fn add_alias(parts: &mut [Nesting], alias: &ComponentAlias<'_>) {
    let (module, component) = match alias {
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => (Some(None), None),
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => (None, Some(None)),
        ComponentAlias::Outer { kind, count, index } => {
            let outer = parts.len().checked_sub(1 + *count as usize).and_then(|place| parts.get(place));
            let Some(Nesting::Component(outer)) = outer else { return };
            match kind {
                ComponentOuterAliasKind::CoreModule => (outer.modules.get(*index as usize).copied(), None),
                ComponentOuterAliasKind::Component => (None, outer.components.get(*index as usize).copied()),
                _ => return,
            }
        }
        _ => return,
    };
    if let Some(Nesting::Component(frame)) = parts.last_mut() {
        frame.modules.extend(module);
        frame.components.extend(component);
    }
}

/// Whether a component with this function can run several calls concurrently: anything of the asynchronous ABI.
fn is_concurrent(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.iter().any(|option| matches!(option, CanonicalOption::Async))
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(text: &str) -> Survey {
        Survey::of(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn only_components_whose_tables_stay_small_fit_the_pool() {
        for (table, fits) in [
            ("1 1", true),
            ("0 20000", true),
            ("0 20001", false),
            ("1", false),
            ("i64 1", false),
            ("30000 30000", false),
        ] {
            let module = format!("(module (table {table} funcref))");
            assert_eq!(survey(&module).fits_pool(), fits, "{table}");
            let component = format!("(component (core {}", &module[1..]) + ")";
            assert_eq!(survey(&component).fits_pool(), fits, "{table} in a component");
        }
        assert!(survey("(component)").fits_pool());
    }

    #[test]
    fn components_of_the_asynchronous_abi_do_not_fit_the_pool() {
        let fibers = include_str!("../../../cli/tests/fixtures/fibers.wat");
        assert!(!survey(fibers).fits_pool());
        for (function, fits) in [
            ("(core func (canon lower (func $f)))", true),
            ("(core func (canon lower (func $f) async))", false),
            ("(core func (canon waitable-set.new))", false),
            ("(type $s (stream u8)) (core func (canon stream.new $s))", false),
        ] {
            let component = format!("(component (import \"f\" (func $f async)) {function})");
            assert_eq!(survey(&component).fits_pool(), fits, "{function}");
        }
    }

    /// A module with so many globals, in a component that instantiates it so often.
    fn globals(count: usize, instances: usize) -> String {
        let module = format!("(core module $m {})", "(global (mut i32) (i32.const 0))".repeat(count));
        format!("(component {module} {})", "(core instance (instantiate $m))".repeat(instances))
    }

    #[test]
    fn globals_of_all_instances_are_counted() {
        let bytes = |count, instances| survey(&globals(count, instances)).instance_bytes(100);
        assert_eq!(bytes(100, 10), 0, "every component may have a little");
        assert_eq!(bytes(10_000, 10), 10_000 * 10 * GLOBAL_BYTES - FREE_BYTES);
        assert_eq!(
            survey(&globals(10_000, 10)).instance_bytes(5),
            10_000 * 5 * GLOBAL_BYTES - FREE_BYTES,
            "no more than may be made"
        );
    }

    #[test]
    fn nested_instances_are_counted_as_often_as_they_are_created() {
        let globals = "(global (mut i32) (i32.const 0))".repeat(10_000);
        let nested = |inner: &str| {
            format!(
                "(component $outer (core module $m {globals}) (component $c {inner}) (instance (instantiate $c)) (instance (instantiate $c)))"
            )
        };
        let twice = "(alias outer $outer $m (core module $n)) (core instance (instantiate $n)) (core instance (instantiate $n))";
        assert_eq!(
            survey(&nested(twice)).instance_bytes(100),
            10_000 * 4 * GLOBAL_BYTES + 2 * COMPONENT_INSTANCE_BYTES - FREE_BYTES
        );
        let unknown = format!(
            "(component (core module $m {globals}) \
             (component $c (import \"m\" (core module $n)) (core instance (instantiate $n))) \
             (instance (instantiate $c (with \"m\" (core module $m)))))"
        );
        assert_eq!(
            survey(&unknown).instance_bytes(7),
            10_000 * 7 * GLOBAL_BYTES + COMPONENT_INSTANCE_BYTES - FREE_BYTES,
            "as many as may be made"
        );
    }

    #[test]
    fn nested_components_multiply() {
        let mut component = String::from("(component $c0)");
        for level in 1..=6 {
            let inner = "(instance (instantiate $c))".repeat(10);
            component =
                format!("(component $c{level} {} {inner})", component.replacen(&format!("$c{}", level - 1), "$c", 1));
        }
        let parts: u64 = (1..=6).map(|level| 10_u64.pow(level)).sum();
        assert_eq!(survey(&component).instance_bytes(100), parts * COMPONENT_INSTANCE_BYTES - FREE_BYTES);
    }

    #[test]
    fn passive_elements_are_counted() {
        let items = "$f ".repeat(100_000);
        let module = format!("(module (func $f) (elem func {items}))");
        assert!(survey(&module).instance_bytes(1) > 100_000 * ELEMENT_BYTES - FREE_BYTES);
        assert_eq!(survey(&module.replace("(elem func", "(elem declare func")).instance_bytes(1), 0);
    }
}

//! The world of a core module that says nothing of it: known by what it exports and imports.

use wasmparser::{Parser, Payload};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::{contract::push_contract, identify::is_scenarios};

/// What the core module of a plugin exports, in whatever way its names are mangled.
pub(super) const SCENARIOS: &str = "scenario:host/scenarios";
const OWN: &str = "scenario:host/";
/// What stands before names in the other way of mangling them.
pub(super) const MANGLED: &str = "cm32p2|";
/// The world that a plugin is of.
pub(super) const PLUGIN: &str = "plugin";
/// For a command that talks to the host besides.
const COMMAND_WORLD: &str = "
    package host:command;
    world command { import scenario:host/agent@0.1.0; import scenario:host/report@0.1.0; }
";

/// Whether a core module imports this module from the host's contract.
pub(super) fn is_own(module: &str) -> bool {
    module.strip_prefix(MANGLED).unwrap_or(module).starts_with(OWN)
}

/// Embeds the world that the module is of by its exports or imports; `None` where it has one already, or needs none.
///
/// # Errors
/// The module cannot be read, or the contract does not fit.
pub(super) fn with_world(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let facts = Facts::read(module).map_err(|error| format!("it cannot be read: {error}"))?;
    let world = match facts {
        Facts { embedded: true, .. } => return Ok(None),
        Facts { typed: true, .. } => plugin_world(),
        Facts { talks: true, .. } => command_world(),
        Facts { .. } => return Ok(None),
    };
    let embedded = world.and_then(|(resolve, world)| {
        let mut module = module.to_vec();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        Ok(module)
    });
    embedded.map(Some).map_err(|error| format!("it does not fit `scenario:host`: {error:#}"))
}

#[derive(Default)]
struct Facts {
    embedded: bool,
    typed: bool,
    talks: bool,
}

impl Facts {
    fn read(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => facts.embedded |= section.name().starts_with("component-type"),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        facts.talks |= is_own(import?.module);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        facts.typed |= is_scenarios(export?.name);
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

fn plugin_world() -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let package = push_contract(&mut resolve)?;
    let world = resolve.select_world(&[package], Some(PLUGIN))?;
    Ok((resolve, world))
}

fn command_world() -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    push_contract(&mut resolve)?;
    let package = resolve.push_source("command.wit", COMMAND_WORLD)?;
    let world = resolve.select_world(&[package], None)?;
    Ok((resolve, world))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_that_the_binary_holds_has_both_worlds() {
        for world in [plugin_world(), command_world()] {
            let (resolve, world) = world.unwrap();
            assert!(resolve.worlds[world].imports.len() >= 2);
        }
    }

    #[test]
    fn only_a_module_of_the_contract_without_a_world_gets_one() {
        let with = |text: &str| with_world(&wat::parse_str(text).unwrap()).unwrap();
        let talks = r#"(import "scenario:host/report@0.1.0" "note" (func (param i32 i32)))"#;
        let made = with(&format!("(module {talks})")).unwrap();
        assert!(with_world(&made).unwrap().is_none(), "it is done once");
        assert!(with(r#"(module (import "cm32p2|scenario:host/report@0.1" "note" (func)))"#).is_some());
        assert!(with(r#"(module (func (export "scenario:host/scenarios@0.1.0#run")))"#).is_some());
        assert!(with(r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))"#).is_none());
        assert!(with(&format!(r#"(module (@custom "component-type:x" "") {talks})"#)).is_none());
    }
}

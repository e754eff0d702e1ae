//! Embeds a world into a core module.

use std::path::Path;

use wasmparser::{Parser, Payload};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::{
    contract::push_contract,
    names::{is_contract_import, is_scenarios_export},
};

/// The world of a typed plugin.
const PLUGIN: &str = "plugin";
/// The world of a command that also calls the host.
const COMMAND_WORLD: &str = "
    package host:command;
    world command { import scenario:host/agent@0.1.0; import scenario:host/report@0.1.0; }
";

/// Embeds the world `plugin` of a WIT file or directory, or its only one.
///
/// # Errors
/// The message of the WIT parser.
pub fn embed_world(module: &mut Vec<u8>, wit: &Path) -> Result<(), String> {
    world_in(wit)
        .and_then(|(resolve, world)| embed_component_metadata(module, &resolve, world, StringEncoding::UTF8))
        .map_err(|error| format!("{error:#}"))
}

fn world_in(wit: &Path) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let name = resolve.packages[package].worlds.contains_key(PLUGIN).then_some(PLUGIN);
    let world = resolve.select_world(&[package], name)?;
    Ok((resolve, world))
}

/// Embeds the contract's world that fits the module's exports or imports; `None` if it has a world, or needs none.
///
/// # Errors
/// The module cannot be read, or the contract does not fit.
pub(crate) fn embed_contract_world(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let facts = Facts::read(module).map_err(|error| format!("it cannot be read: {error}"))?;
    let world = match facts {
        Facts { embedded: true, .. } => return Ok(None),
        Facts { exports_scenarios: true, .. } => plugin_world(),
        Facts { imports_contract: true, .. } => command_world(),
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
    exports_scenarios: bool,
    imports_contract: bool,
}

impl Facts {
    fn read(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => facts.embedded |= section.name().starts_with("component-type"),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        facts.imports_contract |= is_contract_import(import?.module);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        facts.exports_scenarios |= is_scenarios_export(export?.name);
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
    fn the_embedded_contract_has_both_worlds() {
        for world in [plugin_world(), command_world()] {
            let (resolve, world) = world.unwrap();
            assert!(resolve.worlds[world].imports.len() >= 2);
        }
    }

    #[test]
    fn only_modules_of_the_contract_get_a_world() {
        let with = |text: &str| embed_contract_world(&wat::parse_str(text).unwrap()).unwrap();
        let talks = r#"(import "scenario:host/report@0.1.0" "note" (func (param i32 i32)))"#;
        let made = with(&format!("(module {talks})")).unwrap();
        assert!(embed_contract_world(&made).unwrap().is_none(), "it is done once");
        assert!(with(r#"(module (import "cm32p2|scenario:host/report@0.1" "note" (func)))"#).is_some());
        assert!(with(r#"(module (func (export "scenario:host/scenarios@0.1.0#run")))"#).is_some());
        assert!(with(r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))"#).is_none());
        assert!(with(&format!(r#"(module (@custom "component-type:x" "") {talks})"#)).is_none());
    }
}

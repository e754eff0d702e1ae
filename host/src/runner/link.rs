//! Links plugins with what a component can call here. Whoever only looks at a plugin links it in the same way, so that
//! nothing is called sound that a run refuses.

use wasmtime::component::Linker;

use super::{
    command::Command,
    guest::{Guest, linker},
};
use crate::{
    component::{Plugin, Shape, bindings::PluginPre, run_problem, unlinked},
    model::Limits,
    sandbox::Mappings,
};

/// Why a plugin cannot run here. Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It imports what the host does not have.
    #[error("needs something that this host does not offer: {reason}")]
    Import {
        /// Which import, and what would give it.
        reason: String,
    },
    /// What it is called by has another type.
    #[error("{problem}")]
    Entry {
        /// What is wrong, and what is right.
        problem: String,
    },
}

/// The linkers of the engines that were met so far.
#[derive(Default)]
pub struct Linkers {
    linkers: Vec<Linker<Guest>>,
}

pub(super) struct LinkedPlugin {
    pub(super) linked: Linked,
    pub(super) digest: String,
    /// Keeps its engine's epochs going.
    plugin: Plugin,
}

impl LinkedPlugin {
    /// How many mappings of the process's address space an attempt of it may have.
    pub(super) fn mappings(&self) -> Mappings {
        self.plugin.engine.mappings()
    }

    /// Bytes that its instances make the host hold beyond its memories and tables.
    pub(super) fn instance_bytes(&self, limits: &Limits) -> u64 {
        self.plugin.survey.instance_bytes(limits.instances)
    }
}

pub(super) enum Linked {
    Typed(Box<PluginPre<Guest>>),
    Command(Command),
}

impl Linkers {
    /// Whether a run could link `plugin`.
    ///
    /// # Errors
    /// [`LinkError`], as a run would tell it.
    pub fn check(&mut self, plugin: &Plugin) -> Result<(), LinkError> {
        self.link(plugin).map(drop)
    }

    pub(super) fn link(&mut self, plugin: &Plugin) -> Result<LinkedPlugin, LinkError> {
        if let Some(problem) = run_problem(&plugin.component, plugin.contents.shape) {
            return Err(LinkError::Entry { problem });
        }
        let linked = self.linked(plugin);
        let linked =
            linked.map_err(|error| LinkError::Import { reason: unlinked(&plugin.contents.imports, &error) })?;
        Ok(LinkedPlugin { linked, digest: plugin.digest.clone(), plugin: plugin.clone() })
    }

    fn linked(&mut self, plugin: &Plugin) -> wasmtime::Result<Linked> {
        let engine = plugin.component.engine();
        let known = self.linkers.iter().position(|linker| wasmtime::Engine::same(linker.engine(), engine));
        let place = match known {
            Some(place) => place,
            None => {
                self.linkers.push(linker(engine)?);
                self.linkers.len() - 1
            }
        };
        let pre = self.linkers[place].instantiate_pre(&plugin.component)?;
        Ok(match plugin.contents.shape {
            Shape::Typed => Linked::Typed(Box::new(PluginPre::new(pre)?)),
            Shape::Command(version) => Linked::Command(Command::link(pre, version)?),
        })
    }
}

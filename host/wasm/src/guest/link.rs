//! Links plugins with the functions that a component can call. Commands that only inspect a plugin link it in the same way,
//! so that they accept nothing that a run refuses.

use wasmtime::{
    Module, Store,
    component::{Component, Linker},
};

use super::{
    command::Command,
    state::{Guest, linker, module_linker},
};
use crate::component::{
    Code, Plugin, Shape,
    bindings::{PluginPre, exports::scenario::host::scenarios::Verdict},
    entry_point_problem, explain_link_error, explain_module_link_error,
};
use crate::sandbox::Mappings;
use host_model::Limits;

/// Why a plugin cannot run here. Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It imports something that the host does not have.
    #[error("cannot be linked: {reason}")]
    Import {
        /// The import, and what would provide it.
        reason: String,
    },
    /// The function that it is called by has another type.
    #[error("{problem}")]
    Entry {
        /// What is wrong, and what is right.
        problem: String,
    },
}

/// The result of a component that returned.
pub enum Returned {
    /// The verdict of a typed scenario.
    Verdict(Verdict),
    /// The exit code of a plain command.
    Exit(i32),
}

/// A linker for each engine so far.
#[derive(Default)]
pub struct Linkers {
    components: Vec<Linker<Guest>>,
    modules: Vec<wasmtime::Linker<Guest>>,
}

/// A plugin that is linked with the host's functions.
pub struct LinkedPlugin {
    pub(super) linked: Linked,
    /// The digest of its file.
    pub digest: String,
    /// Keeps its engine's epochs advancing.
    plugin: Plugin,
}

impl LinkedPlugin {
    /// The most mappings of the process's address space that an attempt of it may have.
    pub(super) fn mappings(&self) -> Mappings {
        self.plugin.engine.mappings()
    }

    /// Bytes that the host holds for its instances, beyond memories and tables.
    pub(super) fn instance_bytes(&self, limits: &Limits) -> u64 {
        self.plugin.survey.instance_bytes(limits.max_instances)
    }
}

pub(super) enum Linked {
    Typed(Box<PluginPre<Guest>>),
    Command(Command),
}

impl Linked {
    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::Typed(pre) => pre.engine(),
            Self::Command(command) => command.engine(),
        }
    }

    /// Calls it; a typed plugin runs the scenario `name`.
    ///
    /// # Errors
    /// A trap.
    pub(super) async fn call(&self, store: &mut Store<Guest>, name: &str) -> wasmtime::Result<Returned> {
        match self {
            Self::Typed(pre) => {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.scenario_host_scenarios().call_run(store, name).await.map(Returned::Verdict)
            }
            Self::Command(command) => command.call(store).await.map(Returned::Exit),
        }
    }
}

impl Linkers {
    /// Whether a run could link `plugin`.
    ///
    /// # Errors
    /// [`LinkError`], as in a run.
    pub fn check(&mut self, plugin: &Plugin) -> Result<(), LinkError> {
        self.link(plugin).map(drop)
    }

    /// Links `plugin`.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn link(&mut self, plugin: &Plugin) -> Result<LinkedPlugin, LinkError> {
        let linked = match &plugin.code {
            Code::Component(component) => {
                if let Some(problem) = entry_point_problem(component, plugin.contents.shape) {
                    return Err(LinkError::Entry { problem });
                }
                let linked = self.component(component, plugin.contents.shape);
                linked.map_err(|error| explain_link_error(&plugin.contents.imports, &error))
            }
            Code::Module(module) => self.module(module).map_err(|error| explain_module_link_error(&error)),
        };
        let linked = linked.map_err(|reason| LinkError::Import { reason })?;
        Ok(LinkedPlugin { linked, digest: plugin.digest.clone(), plugin: plugin.clone() })
    }

    fn component(&mut self, component: &Component, shape: Shape) -> wasmtime::Result<Linked> {
        let engine = component.engine();
        let known = self.components.iter().position(|linker| wasmtime::Engine::same(linker.engine(), engine));
        let place = match known {
            Some(place) => place,
            None => {
                self.components.push(linker(engine)?);
                self.components.len() - 1
            }
        };
        let pre = self.components[place].instantiate_pre(component)?;
        Ok(match shape {
            Shape::Typed => Linked::Typed(Box::new(PluginPre::new(pre)?)),
            Shape::Command(version) => Linked::Command(Command::link(pre, version)?),
        })
    }

    fn module(&mut self, module: &Module) -> wasmtime::Result<Linked> {
        let engine = module.engine();
        let known = self.modules.iter().position(|linker| wasmtime::Engine::same(linker.engine(), engine));
        let place = match known {
            Some(place) => place,
            None => {
                self.modules.push(module_linker(engine)?);
                self.modules.len() - 1
            }
        };
        Ok(Linked::Command(Command::P1(self.modules[place].instantiate_pre(module)?)))
    }
}

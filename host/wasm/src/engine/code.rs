use wasmtime::{Module, Precompiled, component::Component};

/// A compiled plugin.
#[derive(Clone)]
pub enum Code {
    /// A component.
    Component(Component),
    /// A core module, a command of WASI 0.1.
    Module(Module),
}

impl Code {
    /// The engine that it was loaded into.
    #[must_use]
    pub fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::Component(component) => component.engine(),
            Self::Module(module) => module.engine(),
        }
    }

    /// The component, where it is one.
    #[must_use]
    pub fn component(&self) -> Option<&Component> {
        match self {
            Self::Component(component) => Some(component),
            Self::Module(_) => None,
        }
    }
}

/// What a binary is compiled as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A component.
    Component,
    /// A core module.
    Module,
}

impl CodeKind {
    pub(super) fn precompile(self, engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::Component => engine.precompile_component(bytes),
            Self::Module => engine.precompile_module(bytes),
        }
    }

    /// # Safety
    /// [`CodeKind::precompile`] made the artifact, of the same kind.
    pub(super) unsafe fn deserialize(self, engine: &wasmtime::Engine, artifact: &[u8]) -> wasmtime::Result<Code> {
        Ok(match self {
            // SAFETY: the caller's promise.
            Self::Component => Code::Component(unsafe { Component::deserialize(engine, artifact) }?),
            // SAFETY: the caller's promise.
            Self::Module => Code::Module(unsafe { Module::deserialize(engine, artifact) }?),
        })
    }

    /// Maps the artifact in `file`, whatever it is of.
    ///
    /// # Safety
    /// [`CodeKind::precompile`] made the artifact.
    pub(super) unsafe fn map(engine: &wasmtime::Engine, file: &std::path::Path) -> wasmtime::Result<Code> {
        Ok(match wasmtime::Engine::detect_precompiled_file(file)? {
            // SAFETY: the caller's promise.
            Some(Precompiled::Module) => Code::Module(unsafe { Module::deserialize_file(engine, file) }?),
            // SAFETY: the caller's promise. What is of no kind is refused here.
            Some(Precompiled::Component) | None => {
                Code::Component(unsafe { Component::deserialize_file(engine, file) }?)
            }
        })
    }
}

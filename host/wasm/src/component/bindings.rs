//! Bindings of the world `scenario:host/plugin`, generated from `wit/`.
#![expect(missing_docs, reason = "generated; documented in wit/")]

/// A session as a component holds it: an index into its attempt's sessions.
#[derive(Debug)]
pub struct SessionHandle(pub usize);

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "scenario:host/plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "scenario:host/agent.session": SessionHandle },
});

//! Calls plain WASI commands.

use wasmtime::{Store, component};
use wasmtime_wasi::{I32Exit, p2, p3};

use super::state::Guest;
use crate::component::WasiVersion;

/// A plain command, linked.
#[derive(Clone)]
pub(super) enum Command {
    /// A core module.
    P1(wasmtime::InstancePre<Guest>),
    P2(p2::bindings::CommandPre<Guest>),
    P3(component::InstancePre<Guest>),
}

impl Command {
    pub(super) fn link(pre: component::InstancePre<Guest>, version: WasiVersion) -> wasmtime::Result<Self> {
        match version {
            // A command of 0.1 that is a component has been adapted to 0.2.
            WasiVersion::P1 | WasiVersion::P2 => Ok(Self::P2(p2::bindings::CommandPre::new(pre)?)),
            WasiVersion::P3 => Ok(Self::P3(pre)),
        }
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::P1(pre) => pre.module().engine(),
            Self::P2(pre) => pre.engine(),
            Self::P3(pre) => pre.engine(),
        }
    }

    /// Runs it and returns its exit code.
    ///
    /// # Errors
    /// A trap.
    pub(super) async fn call(&self, store: &mut Store<Guest>) -> wasmtime::Result<i32> {
        let called = match self {
            Self::P1(pre) => call_p1(pre, store).await.map(Ok),
            Self::P2(pre) => match pre.instantiate_async(&mut *store).await {
                Ok(command) => command.wasi_cli_run().call_run(&mut *store).await,
                Err(error) => Err(error),
            },
            Self::P3(pre) => call_p3(pre, store).await,
        };
        match called {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => Ok(*code),
                None => Err(error),
            },
        }
    }
}

/// A module with both entries is initialized before it starts.
async fn call_p1(pre: &wasmtime::InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<()> {
    let instance = pre.instantiate_async(&mut *store).await?;
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call_async(&mut *store, ()).await?;
    }
    instance.get_typed_func::<(), ()>(&mut *store, "_start")?.call_async(&mut *store, ()).await
}

async fn call_p3(pre: &component::InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), ()>> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let command = p3::bindings::Command::new(&mut *store, &instance)?;
    store.run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await).await?
}

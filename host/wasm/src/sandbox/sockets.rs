//! Records which sockets of a component have which loopback address, for [`Loopback`](super::loopback::Loopback).
//!
//! wasmtime asks whether an address may be bound, but reports neither which port the system then chose nor when the socket
//! is closed. So the functions that bind, listen, connect and close are wrapped here. The wrappers also return the error
//! code that WASI defines where `access-denied` would be misleading: see [`DenialCode`].

mod p2;
mod p3;

use std::{net::SocketAddr, sync::Arc};

use wasmtime::{StoreContextMut, component::Linker};
use wasmtime_wasi::{
    TrappableError, p2::bindings::sockets::network::ErrorCode as P2ErrorCode,
    p3::bindings::sockets::types::ErrorCode as P3ErrorCode,
};

use super::{HasSandbox, Network, denial_code::DenialCode, loopback::Protocol};

/// Replaces the functions in `linker` by their wrappers.
pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker(linker)?;
    p3::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn network<T: HasSandbox>(store: &mut StoreContextMut<'_, T>) -> Arc<Network> {
    Arc::clone(&store.data_mut().sandbox().network)
}

impl Network {
    /// Records that the socket `handle` was bound to `local`; the component requested `requested`.
    pub(super) fn bound<E>(
        &self,
        handle: u32,
        protocol: Protocol,
        requested: SocketAddr,
        local: Result<SocketAddr, E>,
    ) {
        if let Ok(local) = local {
            self.loopback().bound(handle, protocol, requested.port(), local);
        }
    }

    /// Records that the socket `handle` listens on `local`.
    fn listens<E>(&self, handle: u32, local: Result<SocketAddr, E>) {
        if let Ok(local) = local {
            self.loopback().listens(handle, local);
        }
    }

    /// Records that the socket `handle` was connected or disconnected, and is now at `local`.
    fn moved<E>(&self, handle: u32, local: Result<SocketAddr, E>) {
        self.loopback().moved(handle, local.ok());
    }

    /// Records that the socket `handle` was closed.
    fn closed(&self, handle: u32) {
        self.loopback().closed(handle);
    }
}

/// The return value of a WASI function.
fn returned<V, E>(result: Result<V, TrappableError<E>>) -> wasmtime::Result<(Result<V, E>,)>
where
    TrappableError<E>: Into<wasmtime::Error>,
    E: std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

/// An error code of WASI.
trait SocketError: Sized {
    fn is_denied(&self) -> bool;
    fn not_bindable() -> Self;
    fn refused() -> Self;

    /// Replaces the code of a denial; any other stays.
    fn replaced(self, denial_code: impl FnOnce() -> DenialCode) -> Self {
        if !self.is_denied() {
            return self;
        }
        match denial_code() {
            DenialCode::Denied => self,
            DenialCode::NotBindable => Self::not_bindable(),
            DenialCode::Refused => Self::refused(),
        }
    }
}

macro_rules! implement_socket_error {
    ($($code:ty),*) => {
        $(impl SocketError for $code {
            fn is_denied(&self) -> bool {
                matches!(self, Self::AccessDenied)
            }

            fn not_bindable() -> Self {
                Self::AddressNotBindable
            }

            fn refused() -> Self {
                Self::ConnectionRefused
            }
        })*
    };
}

implement_socket_error!(P2ErrorCode, P3ErrorCode);

/// [`returned`], with the code of a denial replaced as `denial_code` says.
fn with_denial_code<V, E>(
    result: Result<V, TrappableError<E>>,
    denial_code: impl FnOnce() -> DenialCode,
) -> wasmtime::Result<(Result<V, E>,)>
where
    TrappableError<E>: Into<wasmtime::Error>,
    E: SocketError + std::error::Error + Send + Sync + 'static,
{
    let (result,) = returned(result)?;
    Ok((result.map_err(|code| code.replaced(denial_code)),))
}

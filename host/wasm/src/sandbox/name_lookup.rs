//! `wasi:sockets/ip-name-lookup` 0.2 and 0.3 instead of wasmtime's, which resolves every name or none and reports nothing: a
//! lookup can carry information to the owner of a domain.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
    vec,
};

use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    WasiView,
    p2::{
        DynPollable, Pollable,
        bindings::sockets::network::{ErrorCode, IpAddress},
        subscribe,
    },
    p3::bindings::sockets::{ip_name_lookup as p3, types as p3_types},
    runtime::{AbortOnDropJoinHandle, spawn},
};

use super::{HasSandbox, Network, network::LookupError};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package host:look-up;

            world look-up {
                import wasi:sockets/ip-name-lookup@0.2.12;
            }
        ",
        world: "host:look-up/look-up",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": super::AddressStream,
        },
    });
}

use generated::wasi::sockets::ip_name_lookup as p2;

/// The parts of a sandbox that a lookup needs.
pub(super) struct NameLookupView<'a> {
    network: &'a Arc<Network>,
    table: &'a mut ResourceTable,
}

struct NameLookup;

impl HasData for NameLookup {
    type Data<'a> = NameLookupView<'a>;
}

/// Replaces both versions in `linker`.
pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker::<T, NameLookup>(linker, view)?;
    p3::add_to_linker::<T, NameLookup>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn view<T: HasSandbox>(data: &mut T) -> NameLookupView<'_> {
    let sandbox = data.sandbox();
    NameLookupView { network: &sandbox.network, table: sandbox.wasi.ctx().table }
}

/// The addresses of one lookup.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct AddressStream(State);

enum State {
    Pending(AbortOnDropJoinHandle<Result<Vec<IpAddr>, LookupError>>),
    Resolved(Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

impl AddressStream {
    fn resolved(&mut self, found: Result<Vec<IpAddr>, LookupError>) {
        self.0 = State::Resolved(found.map(Vec::into_iter).map_err(|error| match error {
            LookupError::Refused => ErrorCode::AccessDenied,
            LookupError::Unknown => ErrorCode::NameUnresolvable,
            LookupError::TimedOut | LookupError::TooMany => ErrorCode::TemporaryResolverFailure,
        }));
    }
}

/// The longest name, with its final dot. Checking and reporting longer texts would cost the host memory and time.
const MAX_NAME_BYTES: usize = 254;

#[async_trait::async_trait]
impl Pollable for AddressStream {
    async fn ready(&mut self) {
        if let State::Pending(pending) = &mut self.0 {
            let found = pending.await;
            self.resolved(found);
        }
    }
}

impl p2::Host for NameLookupView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<wasmtime_wasi::p2::bindings::sockets::network::Network>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<AddressStream>, ErrorCode>> {
        // The handle gives no rights; the policy decides below.
        self.table.get(&network)?;
        if name.len() > MAX_NAME_BYTES {
            return Ok(Err(ErrorCode::NameUnresolvable));
        }
        let pending = Arc::clone(self.network);
        let stream = AddressStream(State::Pending(spawn(async move { pending.look_up(&name).await })));
        Ok(Ok(self.table.push(stream)?))
    }
}

impl p2::HostResolveAddressStream for NameLookupView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<AddressStream>,
    ) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
        let stream = self.table.get_mut(&stream)?;
        if let State::Pending(pending) = &mut stream.0
            && let Poll::Ready(found) = std::pin::pin!(pending).poll(&mut Context::from_waker(Waker::noop()))
        {
            stream.resolved(found);
        }
        Ok(match &mut stream.0 {
            State::Pending(_) => Err(ErrorCode::WouldBlock),
            State::Resolved(Ok(found)) => Ok(found.next().map(IpAddress::from)),
            State::Resolved(Err(error)) => Err(*error),
        })
    }

    fn subscribe(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl p3::Host for NameLookupView<'_> {}

impl<T> p3::HostWithStore<T> for NameLookup {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<p3_types::IpAddress>, p3::ErrorCode>> {
        if name.len() > MAX_NAME_BYTES {
            return Ok(Err(p3::ErrorCode::NameUnresolvable));
        }
        let network = store.with(|mut view| Arc::clone(view.get().network));
        Ok(match network.look_up(&name).await {
            Ok(found) => Ok(found.into_iter().map(p3_types::IpAddress::from).collect()),
            Err(LookupError::Refused) => Err(p3::ErrorCode::AccessDenied),
            Err(LookupError::Unknown) => Err(p3::ErrorCode::NameUnresolvable),
            Err(LookupError::TimedOut | LookupError::TooMany) => Err(p3::ErrorCode::TemporaryResolverFailure),
        })
    }
}

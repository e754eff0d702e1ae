//! `wasi:sockets/ip-name-lookup` 0.2 and 0.3 in the place of wasmtime's, which looks up every name or none and tells
//! nobody: a name can carry what a component knows to whoever answers for its domain.

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

use super::{HasSandbox, Network, network::NoAddress};

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
            "wasi:sockets/ip-name-lookup.resolve-address-stream": super::Answers,
        },
    });
}

use generated::wasi::sockets::ip_name_lookup as p2;

/// What a look-up needs of an attempt.
pub(super) struct LookUpView<'a> {
    network: &'a Arc<Network>,
    table: &'a mut ResourceTable,
}

struct LookUp;

impl HasData for LookUp {
    type Data<'a> = LookUpView<'a>;
}

/// Puts both versions in the place of those that are in `linker`.
pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker::<T, LookUp>(linker, view)?;
    p3::add_to_linker::<T, LookUp>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn view<T: HasSandbox>(data: &mut T) -> LookUpView<'_> {
    let sandbox = data.sandbox();
    LookUpView { network: &sandbox.network, table: sandbox.wasi.ctx().table }
}

/// The answers to one look-up, as they come.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Answers(State);

enum State {
    Asked(AbortOnDropJoinHandle<Result<Vec<IpAddr>, NoAddress>>),
    Answered(Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

impl Answers {
    fn answered(&mut self, found: Result<Vec<IpAddr>, NoAddress>) {
        self.0 = State::Answered(found.map(Vec::into_iter).map_err(|error| match error {
            NoAddress::Refused => ErrorCode::AccessDenied,
            NoAddress::Unknown => ErrorCode::NameUnresolvable,
            NoAddress::TooSlow | NoAddress::TooMany => ErrorCode::TemporaryResolverFailure,
        }));
    }
}

/// Bytes of a name with its last dot. A longer text is none: to keep, judge and tell many of them would take the host's
/// memory and time.
const LONGEST_NAME: usize = 254;

#[async_trait::async_trait]
impl Pollable for Answers {
    async fn ready(&mut self) {
        if let State::Asked(asked) = &mut self.0 {
            let found = asked.await;
            self.answered(found);
        }
    }
}

impl p2::Host for LookUpView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<wasmtime_wasi::p2::bindings::sockets::network::Network>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Answers>, ErrorCode>> {
        // Whoever holds it may ask; what is answered is another matter.
        self.table.get(&network)?;
        if name.len() > LONGEST_NAME {
            return Ok(Err(ErrorCode::NameUnresolvable));
        }
        let asked = Arc::clone(self.network);
        let answers = Answers(State::Asked(spawn(async move { asked.look_up(&name).await })));
        Ok(Ok(self.table.push(answers)?))
    }
}

impl p2::HostResolveAddressStream for LookUpView<'_> {
    fn resolve_next_address(
        &mut self,
        answers: Resource<Answers>,
    ) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
        let answers = self.table.get_mut(&answers)?;
        if let State::Asked(asked) = &mut answers.0
            && let Poll::Ready(found) = std::pin::pin!(asked).poll(&mut Context::from_waker(Waker::noop()))
        {
            answers.answered(found);
        }
        Ok(match &mut answers.0 {
            State::Asked(_) => Err(ErrorCode::WouldBlock),
            State::Answered(Ok(found)) => Ok(found.next().map(IpAddress::from)),
            State::Answered(Err(error)) => Err(*error),
        })
    }

    fn subscribe(&mut self, answers: Resource<Answers>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, answers)
    }

    fn drop(&mut self, answers: Resource<Answers>) -> wasmtime::Result<()> {
        self.table.delete(answers)?;
        Ok(())
    }
}

impl p3::Host for LookUpView<'_> {}

impl<T> p3::HostWithStore<T> for LookUp {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<p3_types::IpAddress>, p3::ErrorCode>> {
        if name.len() > LONGEST_NAME {
            return Ok(Err(p3::ErrorCode::NameUnresolvable));
        }
        let network = store.with(|mut view| Arc::clone(view.get().network));
        Ok(match network.look_up(&name).await {
            Ok(found) => Ok(found.into_iter().map(p3_types::IpAddress::from).collect()),
            Err(NoAddress::Refused) => Err(p3::ErrorCode::AccessDenied),
            Err(NoAddress::Unknown) => Err(p3::ErrorCode::NameUnresolvable),
            Err(NoAddress::TooSlow | NoAddress::TooMany) => Err(p3::ErrorCode::TemporaryResolverFailure),
        })
    }
}

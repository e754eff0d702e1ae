//! Notes which sockets of a component hold which loopback address, for [`Loopback`](super::loopback::Loopback).
//!
//! wasmtime asks whether an address may be bound, and tells neither which port the system chose then nor when the socket
//! is gone. So those functions that bind, listen, connect and close have others in their place here, which call them and look.
//! They also answer as WASI says where a refusal is no news: see [`Answer`].

use std::{net::SocketAddr, sync::Arc};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Access, Accessor, Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    TrappableError,
    p2::bindings::sockets::{
        network::{ErrorCode, IpSocketAddress, Network as Instance},
        tcp as p2_tcp, udp as p2_udp,
    },
    p3::bindings::sockets::types as p3,
    sockets::{WasiSockets, WasiSocketsView},
};

use super::{
    HasSandbox, Network,
    answer::Answer,
    loopback::Protocol::{Tcp, Udp},
};

/// Bytes of the host's memory that a datagram takes which is waited for.
const DATAGRAM: u64 = 64 << 10;

/// Puts functions that look in the place of those that are in `linker`.
pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2_tcp_to_linker(linker)?;
    p2_udp_to_linker(linker)?;
    p3_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn network<T: HasSandbox>(store: &mut StoreContextMut<'_, T>) -> Arc<Network> {
    Arc::clone(&store.data_mut().sandbox().network)
}

/// What a function of WASI returns.
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
trait Code: Sized {
    fn is_denied(&self) -> bool;
    fn not_bindable() -> Self;
    fn refused() -> Self;

    /// The code for what was denied; any other stays.
    fn answered(self, answer: impl FnOnce() -> Answer) -> Self {
        if !self.is_denied() {
            return self;
        }
        match answer() {
            Answer::Denied => self,
            Answer::NotBindable => Self::not_bindable(),
            Answer::Refused => Self::refused(),
        }
    }
}

impl Code for ErrorCode {
    fn is_denied(&self) -> bool {
        *self == Self::AccessDenied
    }

    fn not_bindable() -> Self {
        Self::AddressNotBindable
    }

    fn refused() -> Self {
        Self::ConnectionRefused
    }
}

impl Code for p3::ErrorCode {
    fn is_denied(&self) -> bool {
        matches!(self, Self::AccessDenied)
    }

    fn not_bindable() -> Self {
        Self::AddressNotBindable
    }

    fn refused() -> Self {
        Self::ConnectionRefused
    }
}

/// The same, where a denial is called what `answer` says.
fn answered<V, E>(
    result: Result<V, TrappableError<E>>,
    answer: impl FnOnce() -> Answer,
) -> wasmtime::Result<(Result<V, E>,)>
where
    TrappableError<E>: Into<wasmtime::Error>,
    E: Code + std::error::Error + Send + Sync + 'static,
{
    let (result,) = returned(result)?;
    Ok((result.map_err(|code| code.answered(answer)),))
}

fn p2_tcp_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use p2_tcp::{HostTcpSocket as Host, TcpSocket};

    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, asked): (Resource<TcpSocket>, Resource<Instance>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = Host::start_bind(&mut sockets, socket, instance, asked).await;
                if bound.is_ok() {
                    let local = Host::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Tcp, asked.into(), local.map(SocketAddr::from));
                }
                answered(bound, || network.unbound(asked.into()))
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.start-connect",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, remote): (Resource<TcpSocket>, Resource<Instance>, IpSocketAddress)| {
            network(&mut store).connects(socket.rep(), remote.into());
            returned(Host::start_connect(&mut store.data_mut().sockets(), socket, instance, remote))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            let (network, handle) = (network(&mut store), socket.rep());
            let connected = Host::finish_connect(&mut store.data_mut().sockets(), socket);
            answered(connected, || network.unconnected(handle))
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-listen",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let listens = Host::start_listen(&mut sockets, socket).await;
                if listens.is_ok() {
                    let local = Host::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.listens(handle, local.map(SocketAddr::from));
                }
                returned(listens)
            })
        },
    )?;
    tcp.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, handle| {
        network(&mut store).closed(handle);
        Host::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

fn p2_udp_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use p2_udp::{HostOutgoingDatagramStream as HostStream, HostUdpSocket as Host, OutgoingDatagramStream, UdpSocket};

    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    udp.func_wrap_async(
        "[method]udp-socket.start-bind",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, asked): (Resource<UdpSocket>, Resource<Instance>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = Host::start_bind(&mut sockets, socket, instance, asked).await;
                if bound.is_ok() {
                    let local = Host::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Udp, asked.into(), local.map(SocketAddr::from));
                }
                answered(bound, || network.unbound(asked.into()))
            })
        },
    )?;
    udp.func_wrap_async(
        "[method]udp-socket.stream",
        |mut store: StoreContextMut<'_, T>, (socket, remote): (Resource<UdpSocket>, Option<IpSocketAddress>)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let streams = Host::stream(&mut sockets, socket, remote).await;
                let local = Host::local_address(&mut sockets, Resource::new_borrow(handle));
                network.moved(handle, local.map(SocketAddr::from));
                answered(streams, || remote.map_or(Answer::Denied, |remote| network.unreached(Udp, remote.into())))
            })
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.send",
        |mut store: StoreContextMut<'_, T>,
         (stream, datagrams): (Resource<OutgoingDatagramStream>, Vec<p2_udp::OutgoingDatagram>)| {
            let network = network(&mut store);
            // The first that cannot be sent is the one that the error is of.
            let first = datagrams.first().and_then(|datagram| datagram.remote_address);
            let sent = HostStream::send(&mut store.data_mut().sockets(), stream, datagrams);
            answered(sent, || first.map_or(Answer::Denied, |remote| network.unreached(Udp, remote.into())))
        },
    )?;
    udp.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, handle| {
        let network = network(&mut store);
        // To send binds a socket too, and nobody says where.
        let local = Host::local_address(&mut store.data_mut().sockets(), Resource::new_borrow(handle));
        network.moved(handle, local.map(SocketAddr::from));
        network.closed(handle);
        Host::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

fn p3_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use p3::{
        HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, TcpSocket,
        UdpSocket,
    };

    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap_async(
        "[method]tcp-socket.bind",
        |mut store: StoreContextMut<'_, T>, (socket, asked): (Resource<TcpSocket>, p3::IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostTcpSocket::bind(&mut sockets, socket, asked).await;
                if bound.is_ok() {
                    let local = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Tcp, asked.into(), local.map(SocketAddr::from));
                }
                answered(bound, || network.unbound(asked.into()))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |store: &Accessor<T>, (socket, remote): (Resource<TcpSocket>, p3::IpSocketAddress)| {
            Box::pin(async move {
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                let connected = <WasiSockets as HostTcpSocketWithStore<T>>::connect(&sockets, socket, remote).await;
                answered(connected, || {
                    let network = store.with(|mut access| Arc::clone(&access.get().sandbox().network));
                    network.unreached(Tcp, remote.into())
                })
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |store: &Accessor<T>, (socket, data, remote): (Resource<UdpSocket>, Vec<u8>, Option<p3::IpSocketAddress>)| {
            Box::pin(async move {
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                let sent = <WasiSockets as HostUdpSocketWithStore<T>>::send(&sockets, socket, data, remote).await;
                answered(sent, || {
                    let network = store.with(|mut access| Arc::clone(&access.get().sandbox().network));
                    remote.map_or(Answer::Denied, |remote| network.unreached(Udp, remote.into()))
                })
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |store: &Accessor<T>, (socket,): (Resource<UdpSocket>,)| {
            Box::pin(async move {
                let network = store.with(|mut access| Arc::clone(&access.get().sandbox().network));
                // A component may wait for any number of them on one socket.
                let _held = network.hold(DATAGRAM, "datagrams that are waited for")?;
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                returned(<WasiSockets as HostUdpSocketWithStore<T>>::receive(&sockets, socket).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.listen",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                // wasmtime would listen on all addresses, which nobody is granted. Where the port is the system's
                // choice anyway, the address can be the one that is granted.
                let is_ipv4 = matches!(
                    HostTcpSocket::get_address_family(&mut sockets, Resource::new_borrow(handle))?,
                    IpAddressFamily::Ipv4
                );
                let unbound = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle)).is_err();
                if unbound && let Some(asked) = network.any_loopback(is_ipv4) {
                    // Where it fails, to listen fails the same way.
                    let bound = HostTcpSocket::bind(&mut sockets, Resource::new_borrow(handle), asked.into()).await;
                    if bound.is_ok() {
                        let local = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                        network.bound(handle, Tcp, asked, local.map(SocketAddr::from));
                    }
                }
                let access = Access::<T, WasiSockets>::new(store.as_context_mut(), T::sockets);
                let listens = <WasiSockets as HostTcpSocketWithStore<T>>::listen(access, socket).await;
                if listens.is_ok() {
                    let mut sockets = store.data_mut().sockets();
                    let local = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                    network.listens(handle, local.map(SocketAddr::from));
                }
                returned(listens)
            })
        },
    )?;
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, handle| {
        network(&mut store).closed(handle);
        HostTcpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })?;
    types.func_wrap_async(
        "[method]udp-socket.bind",
        |mut store: StoreContextMut<'_, T>, (socket, asked): (Resource<UdpSocket>, p3::IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostUdpSocket::bind(&mut sockets, socket, asked).await;
                if bound.is_ok() {
                    let local = HostUdpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Udp, asked.into(), local.map(SocketAddr::from));
                }
                answered(bound, || network.unbound(asked.into()))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.connect",
        |mut store: StoreContextMut<'_, T>, (socket, remote): (Resource<UdpSocket>, p3::IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let connected = HostUdpSocket::connect(&mut sockets, socket, remote).await;
                let local = HostUdpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                network.moved(handle, local.map(SocketAddr::from));
                answered(connected, || network.unreached(Udp, remote.into()))
            })
        },
    )?;
    types.func_wrap(
        "[method]udp-socket.disconnect",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<UdpSocket>,)| {
            let (network, handle) = (network(&mut store), socket.rep());
            let mut sockets = store.data_mut().sockets();
            let disconnected = HostUdpSocket::disconnect(&mut sockets, socket);
            let local = HostUdpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
            network.moved(handle, local.map(SocketAddr::from));
            returned(disconnected)
        },
    )?;
    types.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, handle| {
        let network = network(&mut store);
        // To send binds a socket too, and nobody says where.
        let local = HostUdpSocket::get_local_address(&mut store.data_mut().sockets(), Resource::new_borrow(handle));
        network.moved(handle, local.map(SocketAddr::from));
        network.closed(handle);
        HostUdpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

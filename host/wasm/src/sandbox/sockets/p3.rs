//! Sockets of WASI 0.3.

use std::{net::SocketAddr, sync::Arc};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Access, Accessor, Linker, LinkerInstance, Resource, ResourceType, StreamReader},
};
use wasmtime_wasi::{
    p3::bindings::sockets::types::{
        ErrorCode, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily,
        IpSocketAddress, TcpSocket, UdpSocket,
    },
    sockets::{WasiSockets, WasiSocketsView},
};

use super::{network, returned, with_denial_code};
use crate::sandbox::{
    HasSandbox, Network,
    denial_code::DenialCode,
    loopback::Protocol::{Tcp, Udp},
};

/// Bytes of the host's memory that a pending receive takes.
const DATAGRAM_BYTES: u64 = 64 << 10;

pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    add_tcp(&mut types)?;
    add_udp(&mut types)
}

fn add_tcp<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]tcp-socket.bind",
        |mut store: StoreContextMut<'_, T>, (socket, requested): (Resource<TcpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostTcpSocket::bind(&mut sockets, socket, requested).await;
                if bound.is_ok() {
                    let local = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Tcp, requested.into(), local.map(SocketAddr::from));
                }
                with_denial_code(bound, || network.bind_denial(requested.into()))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |store: &Accessor<T>, (socket, remote): (Resource<TcpSocket>, IpSocketAddress)| {
            Box::pin(async move {
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                let connected = <WasiSockets as HostTcpSocketWithStore<T>>::connect(&sockets, socket, remote).await;
                with_denial_code(connected, || network_of(store).reach_denial(Tcp, remote.into()))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.listen",
        |store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| Box::new(listen(store, socket)),
    )?;
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, handle| {
        network(&mut store).closed(handle);
        HostTcpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

async fn listen<T: HasSandbox + 'static>(
    mut store: StoreContextMut<'_, T>,
    socket: Resource<TcpSocket>,
) -> wasmtime::Result<(Result<StreamReader<Resource<TcpSocket>>, ErrorCode>,)> {
    let (network, handle) = (network(&mut store), socket.rep());
    let mut sockets = store.data_mut().sockets();
    // wasmtime would listen on all addresses, which cannot be granted. If the system chooses the port anyway, the address
    // can be the granted one.
    let is_ipv4 =
        matches!(HostTcpSocket::get_address_family(&mut sockets, Resource::new_borrow(handle))?, IpAddressFamily::Ipv4);
    let bind_denial = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle)).is_err();
    if bind_denial && let Some(requested) = network.any_loopback(is_ipv4) {
        // If this fails, listening fails in the same way.
        let bound = HostTcpSocket::bind(&mut sockets, Resource::new_borrow(handle), requested.into()).await;
        if bound.is_ok() {
            let local = HostTcpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
            network.bound(handle, Tcp, requested, local.map(SocketAddr::from));
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
}

fn add_udp<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |store: &Accessor<T>, (socket, data, remote): (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>)| {
            Box::pin(async move {
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                let sent = <WasiSockets as HostUdpSocketWithStore<T>>::send(&sockets, socket, data, remote).await;
                with_denial_code(sent, || {
                    remote.map_or(DenialCode::Denied, |remote| network_of(store).reach_denial(Udp, remote.into()))
                })
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |store: &Accessor<T>, (socket,): (Resource<UdpSocket>,)| {
            Box::pin(async move {
                // A component may have any number of pending receives on one socket.
                let _reservation = network_of(store).reserve(DATAGRAM_BYTES, "datagrams that it waits for")?;
                let sockets = store.with_getter::<WasiSockets>(T::sockets);
                returned(<WasiSockets as HostUdpSocketWithStore<T>>::receive(&sockets, socket).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.bind",
        |mut store: StoreContextMut<'_, T>, (socket, requested): (Resource<UdpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostUdpSocket::bind(&mut sockets, socket, requested).await;
                if bound.is_ok() {
                    let local = HostUdpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Udp, requested.into(), local.map(SocketAddr::from));
                }
                with_denial_code(bound, || network.bind_denial(requested.into()))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.connect",
        |mut store: StoreContextMut<'_, T>, (socket, remote): (Resource<UdpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let connected = HostUdpSocket::connect(&mut sockets, socket, remote).await;
                let local = HostUdpSocket::get_local_address(&mut sockets, Resource::new_borrow(handle));
                network.moved(handle, local.map(SocketAddr::from));
                with_denial_code(connected, || network.reach_denial(Udp, remote.into()))
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
        // Sending binds a socket too, without a call that reports where.
        let local = HostUdpSocket::get_local_address(&mut store.data_mut().sockets(), Resource::new_borrow(handle));
        network.moved(handle, local.map(SocketAddr::from));
        network.closed(handle);
        HostUdpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

/// [`network`] for a concurrent call.
fn network_of<T: HasSandbox + 'static>(store: &Accessor<T>) -> Arc<Network> {
    store.with(|mut access| Arc::clone(&access.get().sandbox().network))
}

//! Notes which sockets of a component hold which loopback address, for [`Loopback`](super::loopback::Loopback).
//!
//! wasmtime asks whether an address may be bound, and tells neither which port the system chose then nor when the socket
//! is gone. So those functions that bind, listen, connect and close have others in their place here, which call them and look.

use std::{net::SocketAddr, sync::Arc};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Access, Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    TrappableError,
    p2::bindings::sockets::{
        network::{IpSocketAddress, Network as Instance},
        tcp as p2_tcp, udp as p2_udp,
    },
    p3::bindings::sockets::types as p3,
    sockets::{WasiSockets, WasiSocketsView},
};

use super::{
    HasSandbox, Network,
    loopback::Protocol::{Tcp, Udp},
};

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
                returned(bound)
            })
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
    use p2_udp::{HostUdpSocket as Host, UdpSocket};

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
                returned(bound)
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
                returned(streams)
            })
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
    use p3::{HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, IpAddressFamily, TcpSocket, UdpSocket};

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
                returned(bound)
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
                returned(bound)
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
                returned(connected)
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

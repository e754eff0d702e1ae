//! Sockets of WASI 0.2.

use std::net::SocketAddr;

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    p2::bindings::sockets::{
        network::{IpSocketAddress, Network as Instance},
        tcp::{HostTcpSocket, TcpSocket},
        udp::{HostOutgoingDatagramStream, HostUdpSocket, OutgoingDatagram, OutgoingDatagramStream, UdpSocket},
    },
    sockets::WasiSocketsView,
};

use super::{network, returned, with_denial_code};
use crate::sandbox::{
    HasSandbox,
    denial_code::DenialCode,
    loopback::Protocol::{Tcp, Udp},
};

pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    add_tcp(linker)?;
    add_udp(linker)
}

fn add_tcp<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, requested): (Resource<TcpSocket>, Resource<Instance>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostTcpSocket::start_bind(&mut sockets, socket, instance, requested).await;
                if bound.is_ok() {
                    let local = HostTcpSocket::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Tcp, requested.into(), local.map(SocketAddr::from));
                }
                with_denial_code(bound, || network.bind_denial(requested.into()))
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.start-connect",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, remote): (Resource<TcpSocket>, Resource<Instance>, IpSocketAddress)| {
            network(&mut store).connecting_to(socket.rep(), remote.into());
            returned(HostTcpSocket::start_connect(&mut store.data_mut().sockets(), socket, instance, remote))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            let (network, handle) = (network(&mut store), socket.rep());
            let connected = HostTcpSocket::finish_connect(&mut store.data_mut().sockets(), socket);
            with_denial_code(connected, || network.connect_denial(handle))
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-listen",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let listens = HostTcpSocket::start_listen(&mut sockets, socket).await;
                if listens.is_ok() {
                    let local = HostTcpSocket::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.listens(handle, local.map(SocketAddr::from));
                }
                returned(listens)
            })
        },
    )?;
    tcp.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, handle| {
        network(&mut store).closed(handle);
        HostTcpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

fn add_udp<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    udp.func_wrap_async(
        "[method]udp-socket.start-bind",
        |mut store: StoreContextMut<'_, T>,
         (socket, instance, requested): (Resource<UdpSocket>, Resource<Instance>, IpSocketAddress)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let bound = HostUdpSocket::start_bind(&mut sockets, socket, instance, requested).await;
                if bound.is_ok() {
                    let local = HostUdpSocket::local_address(&mut sockets, Resource::new_borrow(handle));
                    network.bound(handle, Udp, requested.into(), local.map(SocketAddr::from));
                }
                with_denial_code(bound, || network.bind_denial(requested.into()))
            })
        },
    )?;
    udp.func_wrap_async(
        "[method]udp-socket.stream",
        |mut store: StoreContextMut<'_, T>, (socket, remote): (Resource<UdpSocket>, Option<IpSocketAddress>)| {
            Box::new(async move {
                let (network, handle) = (network(&mut store), socket.rep());
                let mut sockets = store.data_mut().sockets();
                let streams = HostUdpSocket::stream(&mut sockets, socket, remote).await;
                let local = HostUdpSocket::local_address(&mut sockets, Resource::new_borrow(handle));
                network.moved(handle, local.map(SocketAddr::from));
                with_denial_code(streams, || {
                    remote.map_or(DenialCode::Denied, |remote| network.reach_denial(Udp, remote.into()))
                })
            })
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.send",
        |mut store: StoreContextMut<'_, T>,
         (stream, datagrams): (Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>)| {
            let network = network(&mut store);
            // The first that cannot be sent is the one that the error is of.
            let first = datagrams.first().and_then(|datagram| datagram.remote_address);
            let sent = HostOutgoingDatagramStream::send(&mut store.data_mut().sockets(), stream, datagrams);
            with_denial_code(sent, || {
                first.map_or(DenialCode::Denied, |remote| network.reach_denial(Udp, remote.into()))
            })
        },
    )?;
    udp.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, handle| {
        let network = network(&mut store);
        // Sending binds a socket too, without a call that reports where.
        let local = HostUdpSocket::local_address(&mut store.data_mut().sockets(), Resource::new_borrow(handle));
        network.moved(handle, local.map(SocketAddr::from));
        network.closed(handle);
        HostUdpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(handle))
    })
}

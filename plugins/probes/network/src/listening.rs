//! Sockets that listen, and talk with themselves.

use std::net::IpAddr;

use crate::{
    raw::wasi::{
        io::streams::{InputStream, OutputStream},
        sockets::{
            instance_network::instance_network,
            network::{ErrorCode, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
            tcp::TcpSocket,
            tcp_create_socket::create_tcp_socket,
            udp::{IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket},
            udp_create_socket::create_udp_socket,
        },
    },
    sockets::{family, finished},
};

fn told(what: &str) -> impl Fn(ErrorCode) -> String {
    move |error| format!("{what}: {error:?}")
}

fn address(ip: &str, port: u16) -> IpSocketAddress {
    match ip.parse().expect("an address") {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn any(like: &IpSocketAddress) -> IpSocketAddress {
    match like {
        IpSocketAddress::Ipv4(_) => address("0.0.0.0", 0),
        IpSocketAddress::Ipv6(_) => address("::", 0),
    }
}

fn tcp_bound(to: IpSocketAddress) -> Result<TcpSocket, String> {
    let socket = create_tcp_socket(family(&to)).map_err(told("socket"))?;
    socket
        .start_bind(&instance_network(), to)
        .and_then(|()| finished(|| socket.finish_bind(), || socket.subscribe().block()))
        .map_err(told("bind"))?;
    Ok(socket)
}

fn tcp_listening(on: IpSocketAddress) -> Result<TcpSocket, String> {
    let socket = tcp_bound(on)?;
    socket
        .start_listen()
        .and_then(|()| finished(|| socket.finish_listen(), || socket.subscribe().block()))
        .map_err(told("listen"))?;
    Ok(socket)
}

fn udp_bound(to: IpSocketAddress) -> Result<UdpSocket, String> {
    let socket = create_udp_socket(family(&to)).map_err(told("socket"))?;
    socket
        .start_bind(&instance_network(), to)
        .and_then(|()| finished(|| socket.finish_bind(), || socket.subscribe().block()))
        .map_err(told("bind"))?;
    Ok(socket)
}

type Connection = (TcpSocket, InputStream, OutputStream);

fn connected(to: IpSocketAddress) -> Result<Connection, String> {
    let socket = create_tcp_socket(family(&to)).map_err(told("socket"))?;
    let (input, output) = socket
        .start_connect(&instance_network(), to)
        .and_then(|()| finished(|| socket.finish_connect(), || socket.subscribe().block()))
        .map_err(told("connect"))?;
    Ok((socket, input, output))
}

fn accepted(listener: &TcpSocket) -> Result<Connection, String> {
    finished(|| listener.accept(), || listener.subscribe().block()).map_err(told("accept"))
}

fn read(input: &InputStream) -> Result<Vec<u8>, String> {
    input.blocking_read(100).map_err(|error| format!("receive: {error:?}"))
}

fn write(output: &OutputStream, text: &[u8]) -> Result<(), String> {
    output.blocking_write_and_flush(text).map_err(|error| format!("send: {error:?}"))
}

fn received(incoming: &IncomingDatagramStream) -> Result<(Vec<u8>, IpSocketAddress), String> {
    loop {
        if let Some(datagram) = incoming.receive(1).map_err(told("receive"))?.pop() {
            return Ok((datagram.data, datagram.remote_address));
        }
        incoming.subscribe().block();
    }
}

fn sent(outgoing: &OutgoingDatagramStream, data: Vec<u8>, to: IpSocketAddress) -> Result<(), String> {
    let permitted = || if outgoing.check_send()? > 0 { Ok(()) } else { Err(ErrorCode::WouldBlock) };
    finished(permitted, || outgoing.subscribe().block()).map_err(told("send"))?;
    outgoing.send(&[OutgoingDatagram { data, remote_address: Some(to) }]).map_err(told("send"))?;
    Ok(())
}

fn answer(asked: &[u8]) -> Vec<u8> {
    [b"echo of ", asked].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Listens on a port of the system's choice, connects to it, and says what comes back.
pub(crate) fn own_tcp(ip: &str) -> Result<String, String> {
    let listener = tcp_listening(address(ip, 0))?;
    let own = listener.local_address().map_err(told("address"))?;
    // Nobody else gets the port meanwhile.
    let again = tcp_bound(own).map(|_| ()).unwrap_err();
    let (_client, from, to) = connected(own)?;
    let (_served, asked, answering) = accepted(&listener)?;
    write(&to, b"ping")?;
    write(&answering, &answer(&read(&asked)?))?;
    Ok(format!("tcp {}, again {again}", text(&read(&from)?)))
}

/// The same with datagrams.
pub(crate) fn own_udp(ip: &str) -> Result<String, String> {
    let server = udp_bound(address(ip, 0))?;
    let own = server.local_address().map_err(told("address"))?;
    let client = udp_bound(any(&own))?;
    let (asked, answering) = server.stream(None).map_err(told("stream"))?;
    let (from, to) = client.stream(None).map_err(told("stream"))?;
    sent(&to, b"ping".to_vec(), own)?;
    let (data, sender) = received(&asked)?;
    sent(&answering, answer(&data), sender)?;
    Ok(format!("udp {}", text(&received(&from)?.0)))
}

/// Connects to a port of its own that it has closed.
pub(crate) fn closed_tcp(ip: &str) -> Result<String, String> {
    let own = tcp_listening(address(ip, 0))?.local_address().map_err(told("address"))?;
    connected(own).map(|_| "connected".into())
}

/// Sends to one.
pub(crate) fn closed_udp(ip: &str) -> Result<String, String> {
    let own = udp_bound(address(ip, 0))?.local_address().map_err(told("address"))?;
    let client = udp_bound(any(&own))?;
    let (_from, to) = client.stream(None).map_err(told("stream"))?;
    sent(&to, b"ping".to_vec(), own).map(|()| "sent".into())
}

/// Gives back a port of its own while the socket is still there, as one that is disconnected does, and sends to it.
pub(crate) fn disconnected_udp(ip: &str) -> Result<String, String> {
    let (server, client) = (udp_bound(address(ip, 0))?, udp_bound(address(ip, 0))?);
    let own = server.local_address().map_err(told("address"))?;
    let (_from, to) = client.stream(None).map_err(told("stream"))?;
    sent(&to, b"ping".to_vec(), own)?;
    drop(server.stream(Some(client.local_address().map_err(told("address"))?)).map_err(told("stream"))?);
    drop(server.stream(None).map_err(told("stream"))?);
    sent(&to, b"ping".to_vec(), own).map(|()| "sent".into())
}

/// Binds, and gives the address back; again, where the port was the system's choice.
pub(crate) fn bind_tcp(ip: &str, port: u16) -> Result<String, String> {
    let first = tcp_bound(address(ip, port))?.local_address().map_err(told("address"))?;
    tcp_listening(first).map(|_| "bound twice".into())
}

/// Binds a socket for datagrams.
pub(crate) fn bind_udp(ip: &str, port: u16) -> Result<String, String> {
    udp_bound(address(ip, port)).map(|_| "bound".into())
}

/// Answers one connection.
pub(crate) fn serve_tcp(ip: &str, port: u16) -> Result<String, String> {
    let listener = tcp_listening(address(ip, port))?;
    let (_served, asked, answering) = accepted(&listener)?;
    let data = read(&asked)?;
    write(&answering, &answer(&data))?;
    Ok(format!("served {}", text(&data)))
}

/// Answers one datagram.
pub(crate) fn serve_udp(ip: &str, port: u16) -> Result<String, String> {
    let server = udp_bound(address(ip, port))?;
    let (asked, answering) = server.stream(None).map_err(told("stream"))?;
    let (data, sender) = received(&asked)?;
    sent(&answering, answer(&data), sender)?;
    Ok(format!("served {}", text(&data)))
}

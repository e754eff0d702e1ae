//! TCP, UDP and name look-ups.

use crate::raw::wasi::sockets::{
    instance_network::instance_network,
    ip_name_lookup::{ResolveAddressStream, resolve_addresses},
    network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
    tcp_create_socket::create_tcp_socket,
    udp::OutgoingDatagram,
    udp_create_socket::create_udp_socket,
};

/// The first address of `host`, which may be one.
fn address(host: &str, port: u16) -> Result<IpSocketAddress, String> {
    Ok(match look_up(host)?.first().ok_or("no address")? {
        IpAddress::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: *address }),
        IpAddress::Ipv6(address) => {
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address: *address, scope_id: 0 })
        }
    })
}

pub(crate) fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

pub(crate) fn finished<T>(mut finish: impl FnMut() -> Result<T, ErrorCode>, wait: impl Fn()) -> Result<T, ErrorCode> {
    loop {
        match finish() {
            Err(ErrorCode::WouldBlock) => wait(),
            other => return other,
        }
    }
}

/// Connects, sends `ping` and returns what comes back.
pub(crate) fn tcp(host: &str, port: u16) -> Result<String, String> {
    let address = address(host, port)?;
    let socket = create_tcp_socket(family(&address)).map_err(|error| format!("socket: {error:?}"))?;
    let connected = socket
        .start_connect(&instance_network(), address)
        .and_then(|()| finished(|| socket.finish_connect(), || socket.subscribe().block()));
    let (input, output) = connected.map_err(|error| format!("connect: {error:?}"))?;
    output.blocking_write_and_flush(b"ping").map_err(|error| format!("send: {error:?}"))?;
    let answer = input.blocking_read(100).map_err(|error| format!("receive: {error:?}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Sends `ping` and returns the first datagram that comes.
pub(crate) fn udp(host: &str, port: u16) -> Result<String, String> {
    let address = address(host, port)?;
    let socket = create_udp_socket(family(&address)).map_err(|error| format!("socket: {error:?}"))?;
    let any = match address {
        IpSocketAddress::Ipv4(_) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) }),
        IpSocketAddress::Ipv6(_) => {
            let address = (0, 0, 0, 0, 0, 0, 0, 0);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port: 0, flow_info: 0, address, scope_id: 0 })
        }
    };
    socket
        .start_bind(&instance_network(), any)
        .and_then(|()| finished(|| socket.finish_bind(), || socket.subscribe().block()))
        .map_err(|error| format!("bind: {error:?}"))?;
    let (incoming, outgoing) = socket.stream(None).map_err(|error| format!("stream: {error:?}"))?;
    let permitted = || if outgoing.check_send()? > 0 { Ok(()) } else { Err(ErrorCode::WouldBlock) };
    finished(permitted, || outgoing.subscribe().block()).map_err(|error| format!("send: {error:?}"))?;
    let datagram = OutgoingDatagram { data: b"ping".to_vec(), remote_address: Some(address) };
    outgoing.send(&[datagram]).map_err(|error| format!("send: {error:?}"))?;
    loop {
        let received = incoming.receive(1).map_err(|error| format!("receive: {error:?}"))?;
        if let Some(datagram) = received.first() {
            return Ok(String::from_utf8_lossy(&datagram.data).into_owned());
        }
        incoming.subscribe().block();
    }
}

/// All addresses of a name.
pub(crate) fn look_up(name: &str) -> Result<Vec<IpAddress>, String> {
    let answers = resolve_addresses(&instance_network(), name).map_err(|error| format!("look-up: {error:?}"))?;
    all(&answers)
}

fn all(answers: &ResolveAddressStream) -> Result<Vec<IpAddress>, String> {
    let mut found = Vec::new();
    loop {
        let next = finished(|| answers.resolve_next_address(), || answers.subscribe().block());
        match next.map_err(|error| format!("look-up: {error:?}"))? {
            Some(address) => found.push(address),
            None => return Ok(found),
        }
    }
}

/// Looks up a name `count` times at once; what came of the last.
pub(crate) fn look_ups(count: u32, name: &str) -> Result<String, String> {
    let begin = |_| resolve_addresses(&instance_network(), name).map_err(|error| format!("look-up: {error:?}"));
    let begun = (0..count).map(begin).collect::<Result<Vec<_>, _>>()?;
    all(begun.last().ok_or("none")?).map(|found| format!("{found:?}"))
}

//! The network. The test listens on the addresses that the fixture names and hears nothing.

use std::fs;

use probe_raw::sockets::{
    instance_network::instance_network,
    ip_name_lookup::resolve_addresses,
    network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
    tcp::TcpSocket,
    tcp_create_socket::create_tcp_socket,
    udp::UdpSocket,
    udp_create_socket::create_udp_socket,
};
use scenario_sdk::Outcome;

use crate::Attempts;

/// Not `connection-refused` or the like: that would mean that a packet went out.
const DENIED: &[ErrorCode] = &[ErrorCode::AccessDenied];
const FAMILIES: [IpAddressFamily; 2] = [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6];

/// The port that the test listens on, for TCP and UDP.
fn port() -> u16 {
    fs::read_to_string("/port.txt").ok().and_then(|text| text.trim().parse().ok()).expect("the test's fixture")
}

fn local(family: IpAddressFamily, port: u16) -> IpSocketAddress {
    match family {
        IpAddressFamily::Ipv4 => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) }),
        IpAddressFamily::Ipv6 => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address: (0, 0, 0, 0, 0, 0, 0, 1),
            scope_id: 0,
        }),
    }
}

/// Every address of the machine. With the port 0, which the system chooses, it can be bound: nothing comes in by it.
fn any(family: IpAddressFamily, port: u16) -> IpSocketAddress {
    match family {
        IpAddressFamily::Ipv4 => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (0, 0, 0, 0) }),
        IpAddressFamily::Ipv6 => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address: (0, 0, 0, 0, 0, 0, 0, 0),
            scope_id: 0,
        }),
    }
}

fn finished<T>(mut finish: impl FnMut() -> Result<T, ErrorCode>, wait: impl Fn()) -> Result<T, ErrorCode> {
    loop {
        match finish() {
            Err(ErrorCode::WouldBlock) => wait(),
            other => return other,
        }
    }
}

fn bind_tcp(socket: &TcpSocket, address: IpSocketAddress) -> Result<(), ErrorCode> {
    socket.start_bind(&instance_network(), address)?;
    finished(|| socket.finish_bind(), || socket.subscribe().block())
}

fn bind_udp(socket: &UdpSocket, address: IpSocketAddress) -> Result<(), ErrorCode> {
    socket.start_bind(&instance_network(), address)?;
    finished(|| socket.finish_bind(), || socket.subscribe().block())
}

pub(crate) fn tcp_connect() -> Outcome {
    let mut attempts = Attempts::default();
    for family in FAMILIES {
        let connected = create_tcp_socket(family).and_then(|socket| {
            socket.start_connect(&instance_network(), local(family, port()))?;
            finished(|| socket.finish_connect().map(drop), || socket.subscribe().block())
        });
        attempts.refused_as(&format!("connect over {family:?}"), connected, DENIED);
    }
    attempts.outcome()
}

pub(crate) fn tcp_bind() -> Outcome {
    let mut attempts = Attempts::default();
    for family in FAMILIES {
        for address in [local(family, 0), any(family, port())] {
            let bound = create_tcp_socket(family).and_then(|socket| bind_tcp(&socket, address));
            attempts.refused_as(&format!("bind {address:?}"), bound, DENIED);
        }
    }
    attempts.outcome()
}

pub(crate) fn tcp_listen() -> Outcome {
    let mut attempts = Attempts::default();
    for family in FAMILIES {
        let listening = create_tcp_socket(family).and_then(|socket| {
            bind_tcp(&socket, any(family, 0))?;
            socket.start_listen()?;
            finished(|| socket.finish_listen(), || socket.subscribe().block())
        });
        attempts.refused(&format!("listen over {family:?}"), listening);
    }
    attempts.outcome()
}

pub(crate) fn udp_bind() -> Outcome {
    let mut attempts = Attempts::default();
    for family in FAMILIES {
        for address in [local(family, 0), any(family, port())] {
            let bound = create_udp_socket(family).and_then(|socket| bind_udp(&socket, address));
            attempts.refused_as(&format!("bind {address:?}"), bound, DENIED);
        }
    }
    attempts.outcome()
}

pub(crate) fn udp_send() -> Outcome {
    use probe_raw::sockets::udp::OutgoingDatagram;
    let mut attempts = Attempts::default();
    for family in FAMILIES {
        let to = local(family, port());
        let sent = create_udp_socket(family).and_then(|socket| {
            let _ = bind_udp(&socket, any(family, 0));
            let (_incoming, outgoing) = socket.stream(None)?;
            finished(|| if outgoing.check_send()? > 0 { Ok(()) } else { Err(ErrorCode::WouldBlock) }, || {})?;
            outgoing.send(&[OutgoingDatagram { data: b"leak".to_vec(), remote_address: Some(to) }])
        });
        attempts.refused(&format!("send a datagram to {to:?}"), sent);
        let connected = create_udp_socket(family).and_then(|socket| {
            let _ = bind_udp(&socket, any(family, 0));
            let (_incoming, outgoing) = socket.stream(Some(to))?;
            outgoing.check_send()?;
            outgoing.send(&[OutgoingDatagram { data: b"leak".to_vec(), remote_address: None }])
        });
        attempts.refused(&format!("connect to {to:?} and send"), connected);
    }
    attempts.outcome()
}

pub(crate) fn name_lookup() -> Outcome {
    let mut attempts = Attempts::default();
    for name in ["localhost", "example.com", "secret.attacker.invalid"] {
        let found = resolve_addresses(&instance_network(), name)
            .and_then(|answers| finished(|| answers.resolve_next_address(), || answers.subscribe().block()));
        attempts.refused(&format!("look up {name}"), found);
    }
    attempts.outcome()
}

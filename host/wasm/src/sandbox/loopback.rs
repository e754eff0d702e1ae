//! The loopback addresses of one attempt: where it may listen, and what it may reach because it listens.
//!
//! Loopback ports are shared: another attempt or a service of the machine can listen there. So without a grant an attempt
//! reaches only what its own sockets have open at that time, and nothing that they had before: a closed port can soon
//! belong to someone else.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use host_model::ListenTarget;

/// Remembered senders; anyone on the machine can send from any number of ports.
const MAX_SENDERS: usize = 1_000;

/// The protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// The loopback addresses of one attempt.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    /// Addresses that listen or receive, by the handle of the socket.
    open: HashMap<u32, (Protocol, SocketAddr)>,
    /// Every address whose port the system chose. A socket may be bound there again.
    system_chosen: HashSet<(Protocol, SocketAddr)>,
    /// Every address that a socket was bound to.
    own: HashSet<(Protocol, SocketAddr)>,
    /// The addresses that TCP sockets are being connected to, by handle.
    connecting: HashMap<u32, SocketAddr>,
    /// The senders of received datagrams.
    senders: HashSet<SocketAddr>,
    /// The UDP ports of the attempt's sockets, on loopback or all addresses, by handle.
    ports: HashMap<u32, Port>,
    /// The UDP ports that they have or had. They are not remembered as senders: after the socket is closed, a port can
    /// belong to someone else.
    own_ports: HashSet<Port>,
    /// The ports that the system chose for its sockets, on any address.
    system_ports: HashSet<u16>,
}

/// A UDP port, of IPv4 (`true`) or IPv6.
type Port = (bool, u16);

fn port_of(address: SocketAddr) -> Port {
    (address.is_ipv4(), address.port())
}

impl Loopback {
    /// The grant that allows a socket to be bound to `address`, and to listen there.
    pub(super) fn listening(
        &self,
        granted: &[ListenTarget],
        protocol: Protocol,
        address: SocketAddr,
    ) -> Option<ListenTarget> {
        let requested = ListenTarget::asked(address)?;
        if granted.contains(&requested) {
            return Some(requested);
        }
        let any = requested.any_port();
        (granted.contains(&any) && self.system_chosen.contains(&(protocol, requested.socket_address()))).then_some(any)
    }

    /// The grant that allows `address` to be reached: a socket of this attempt listens or receives there, or has received a
    /// datagram from there.
    pub(super) fn reachable(
        &self,
        granted: &[ListenTarget],
        protocol: Protocol,
        address: SocketAddr,
    ) -> Option<ListenTarget> {
        if self.open.values().any(|open| *open == (protocol, address)) {
            return self.listening(granted, protocol, address);
        }
        let port = port_of(address);
        let answers = protocol == Protocol::Udp
            && (self.senders.contains(&address) || self.ports.values().any(|own| *own == port));
        answers.then(|| receive_grant(granted, address.ip())).flatten()
    }

    /// Whether a datagram from `sender` may be received. The receiver may respond.
    pub(super) fn receives(&mut self, granted: &[ListenTarget], sender: SocketAddr) -> bool {
        if receive_grant(granted, sender.ip()).is_none() {
            return false;
        }
        if self.own_ports.contains(&port_of(sender)) {
            return true;
        }
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains(&sender) {
            self.senders.clear();
        }
        self.senders.insert(sender);
        true
    }

    /// Whether the system chose this port for a socket of the attempt.
    pub(super) fn is_system_port(&self, port: u16) -> bool {
        self.system_ports.contains(&port)
    }

    /// A socket was bound to `address`, whose port the system chose unless it is `requested`.
    pub(super) fn bound(&mut self, handle: u32, protocol: Protocol, requested_port: u16, address: SocketAddr) {
        if protocol == Protocol::Udp {
            self.add_port(handle, address);
        }
        if requested_port == 0 {
            self.system_ports.insert(address.port());
        }
        if !address.ip().is_loopback() {
            return;
        }
        self.own.insert((protocol, address));
        if requested_port == 0 {
            self.system_chosen.insert((protocol, address));
        }
        // A TCP socket has an address for itself only when it listens.
        if protocol == Protocol::Udp {
            self.open.insert(handle, (protocol, address));
        }
    }

    /// A socket listens on `address`.
    pub(super) fn listens(&mut self, handle: u32, address: SocketAddr) {
        if address.ip().is_loopback() {
            self.open.insert(handle, (Protocol::Tcp, address));
        }
    }

    /// A UDP socket was connected or disconnected, and is now at `address`, if it has one. On Linux a disconnected socket
    /// loses a port of the system's choice.
    pub(super) fn moved(&mut self, handle: u32, address: Option<SocketAddr>) {
        self.ports.remove(&handle);
        if let Some(address) = address {
            self.add_port(handle, address);
        }
        if self.open.get(&handle).is_some_and(|(_, open)| Some(*open) != address) {
            self.open.remove(&handle);
        }
    }

    /// Whether `address` belonged to this attempt, as far as it can know. It then learns that its port is closed, but not who
    /// may have it now.
    pub(super) fn was_own(&self, protocol: Protocol, address: SocketAddr) -> bool {
        let implicit = protocol == Protocol::Udp && address.ip().is_loopback();
        self.own.contains(&(protocol, address)) || (implicit && self.own_ports.contains(&port_of(address)))
    }

    /// A TCP socket is being connected to `address`.
    pub(super) fn connecting_to(&mut self, handle: u32, address: SocketAddr) {
        self.connecting.insert(handle, address);
    }

    /// The address that a TCP socket was being connected to.
    pub(super) fn connected(&mut self, handle: u32) -> Option<SocketAddr> {
        self.connecting.remove(&handle)
    }

    /// The socket was closed.
    pub(super) fn closed(&mut self, handle: u32) {
        self.connecting.remove(&handle);
        self.open.remove(&handle);
        self.ports.remove(&handle);
    }

    fn add_port(&mut self, handle: u32, address: SocketAddr) {
        let port = port_of(address);
        if port.1 != 0 {
            self.ports.insert(handle, port);
            self.own_ports.insert(port);
            self.senders.retain(|sender| port_of(*sender) != port);
        }
    }
}

/// The grant that allows datagrams from `sender`.
fn receive_grant(granted: &[ListenTarget], sender: IpAddr) -> Option<ListenTarget> {
    let near = |target: &&ListenTarget| target.socket_address().is_ipv4() == sender.is_ipv4();
    granted.iter().find(near).copied().filter(|_| sender.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Protocol::*, *};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn granted(texts: &[&str]) -> Vec<ListenTarget> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn sockets_bind_to_granted_and_system_chosen_ports() {
        let granted = granted(&["127.0.0.1:0", "[::1]:8080"]);
        let mut own = Loopback::default();
        own.bound(1, Tcp, 0, address("127.0.0.1:40000"));
        own.bound(2, Tcp, 0, address("0.0.0.0:40001"));
        own.closed(1);
        let may = |protocol, to: &str| own.listening(&granted, protocol, address(to)).map(|target| target.to_string());
        assert_eq!(may(Tcp, "127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(may(Tcp, "127.0.0.1:40000").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(may(Udp, "[::1]:8080").as_deref(), Some("[::1]:8080"));
        for (protocol, other) in [
            (Udp, "127.0.0.1:40000"),
            (Tcp, "127.0.0.1:40001"),
            (Tcp, "127.0.0.2:40000"),
            (Tcp, "127.0.0.1:5432"),
            (Tcp, "[::1]:0"),
            (Tcp, "0.0.0.0:0"),
            (Tcp, "0.0.0.0:40000"),
            (Tcp, "192.168.0.1:0"),
        ] {
            assert_eq!(may(protocol, other), None, "{other}");
        }
    }

    #[test]
    fn only_open_own_sockets_are_reachable() {
        let granted = granted(&["127.0.0.1:0"]);
        let mut own = Loopback::default();
        let (server, client) = (address("127.0.0.1:40000"), address("127.0.0.1:40002"));
        own.bound(1, Tcp, 0, server);
        assert_eq!(own.reachable(&granted, Tcp, server), None, "nobody listens there yet, so it can be another's");
        own.listens(1, server);
        assert!(own.reachable(&granted, Tcp, server).is_some());
        assert_eq!(own.reachable(&granted, Udp, server), None);
        assert_eq!(own.reachable(&granted, Tcp, client), None);
        own.closed(1);
        assert_eq!(own.reachable(&granted, Tcp, server), None);
        own.bound(2, Udp, 0, server);
        assert!(own.reachable(&granted, Udp, server).is_some());
        assert_eq!(own.reachable(&granted, Udp, client), None);
        assert!(own.receives(&granted, client) && own.reachable(&granted, Udp, client).is_some(), "it may be answered");
        assert!(
            !own.receives(&granted, address("192.168.0.1:40000")) && !own.receives(&granted, address("[::1]:40000"))
        );
        assert!(!own.receives(&[], client));
        own.moved(2, Some(server));
        assert!(own.reachable(&granted, Udp, server).is_some());
        own.moved(2, Some(address("127.0.0.1:0")));
        assert_eq!(own.reachable(&granted, Udp, server), None, "its port was given back");
    }

    #[test]
    fn own_ports_are_reachable_only_while_open() {
        let granted = granted(&["127.0.0.1:0"]);
        let mut own = Loopback::default();
        let (client, late) = (address("127.0.0.1:40002"), address("127.0.0.1:40003"));
        // Bound to all addresses, its datagrams come from loopback.
        own.bound(3, Udp, 0, address("0.0.0.0:40002"));
        assert!(own.receives(&granted, client) && own.reachable(&granted, Udp, client).is_some());
        assert_eq!(own.reachable(&granted, Tcp, client), None);
        assert_eq!(own.reachable(&granted, Udp, address("[::1]:40002")), None, "that can be another's");
        own.closed(3);
        assert_eq!(own.reachable(&granted, Udp, client), None);
        // A datagram can be received after that, too.
        assert!(own.receives(&granted, client));
        assert_eq!(own.reachable(&granted, Udp, client), None);
        // One that was bound by sending is known when it is closed.
        assert!(own.receives(&granted, late) && own.reachable(&granted, Udp, late).is_some());
        own.moved(4, Some(address("0.0.0.0:40003")));
        own.closed(4);
        assert_eq!(own.reachable(&granted, Udp, late), None);
    }

    #[test]
    fn closed_own_ports_are_not_confused_with_others() {
        let mut own = Loopback::default();
        let (tcp, udp, implicit) = (address("127.0.0.1:40000"), address("[::1]:40001"), address("127.0.0.1:40002"));
        own.bound(1, Tcp, 0, tcp);
        own.bound(2, Udp, 40001, udp);
        own.moved(3, Some(address("0.0.0.0:40002")));
        (1..=3).for_each(|handle| own.closed(handle));
        assert!(own.was_own(Tcp, tcp) && own.was_own(Udp, udp) && own.was_own(Udp, implicit));
        for (protocol, other) in [
            (Udp, tcp),
            (Tcp, udp),
            (Tcp, implicit),
            (Tcp, address("127.0.0.2:40000")),
            (Udp, address("[::1]:40002")),
            (Udp, address("192.0.2.1:40002")),
        ] {
            assert!(!own.was_own(protocol, other), "{protocol:?} {other}");
        }
    }

    #[test]
    fn remembered_senders_are_bounded() {
        let granted = granted(&["127.0.0.1:0"]);
        let mut own = Loopback::default();
        for port in 1..=u16::MAX {
            own.receives(&granted, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        assert!(own.senders.len() <= MAX_SENDERS && own.senders.contains(&address("127.0.0.1:65535")));
    }
}

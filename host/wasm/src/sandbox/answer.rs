//! How WASI calls what is refused.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use super::{Network, loopback::Protocol};

/// How WASI calls what is refused, where `access-denied` would be no news to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not granted.
    Denied,
    /// The address is not of the machine that a component sees, which has loopback addresses alone. So no component hears
    /// which addresses this machine has.
    NotBindable,
    /// It was the component's own port, and it has closed it.
    Refused,
}

impl Network {
    /// How WASI calls it that an address may not be bound.
    pub(super) fn unbound(&self, address: SocketAddr) -> Answer {
        if is_outside(address.ip()) { Answer::NotBindable } else { Answer::Denied }
    }

    /// How WASI calls it that an address may not be talked with.
    pub(super) fn unreached(&self, protocol: Protocol, address: SocketAddr) -> Answer {
        if self.loopback().was_own(protocol, address) { Answer::Refused } else { Answer::Denied }
    }

    /// The component connects its socket `handle` to `address`.
    pub(super) fn connects(&self, handle: u32, address: SocketAddr) {
        self.loopback().connects(handle, address);
    }

    /// How WASI calls it that the component may not connect its socket `handle`.
    pub(super) fn unconnected(&self, handle: u32) -> Answer {
        let address = self.loopback().connected(handle);
        address.map_or(Answer::Denied, |address| self.unreached(Protocol::Tcp, address))
    }
}

/// Whether an address is neither loopback nor "any".
pub(super) fn is_outside(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !address.is_loopback() && !address.is_unspecified()
}

/// Whether a socket of this machine can be bound to `address`.
pub(super) fn is_of_this_machine(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
        Ok(_) => true,
    }
}

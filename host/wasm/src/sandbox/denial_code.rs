//! How WASI calls what is refused.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use super::{Network, loopback::Protocol};

/// How WASI calls what is refused, where `access-denied` would be no news to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DenialCode {
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
    pub(super) fn bind_denial(&self, address: SocketAddr) -> DenialCode {
        if is_outside(address.ip()) { DenialCode::NotBindable } else { DenialCode::Denied }
    }

    /// How WASI calls it that an address may not be talked with.
    pub(super) fn reach_denial(&self, protocol: Protocol, address: SocketAddr) -> DenialCode {
        if self.loopback().was_own(protocol, address) { DenialCode::Refused } else { DenialCode::Denied }
    }

    /// The component connects its socket `handle` to `address`.
    pub(super) fn connecting_to(&self, handle: u32, address: SocketAddr) {
        self.loopback().connecting_to(handle, address);
    }

    /// How WASI calls it that the component may not connect its socket `handle`.
    pub(super) fn connect_denial(&self, handle: u32) -> DenialCode {
        let address = self.loopback().connected(handle);
        address.map_or(DenialCode::Denied, |address| self.reach_denial(Protocol::Tcp, address))
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

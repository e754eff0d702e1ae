//! The WASI error codes for denied uses.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use super::{Network, loopback::Protocol};

/// The WASI error code for a denied use, which is not always `access-denied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DenialCode {
    /// Not granted.
    Denied,
    /// The address does not belong to the machine that a component sees, which only has loopback addresses. So components
    /// do not learn which addresses this machine has.
    NotBindable,
    /// It was the component's own port, which is closed.
    Refused,
}

impl Network {
    /// The code for an address that may not be bound.
    pub(super) fn bind_denial(&self, address: SocketAddr) -> DenialCode {
        if is_outside(address.ip()) { DenialCode::NotBindable } else { DenialCode::Denied }
    }

    /// The code for an address that may not be reached.
    pub(super) fn reach_denial(&self, protocol: Protocol, address: SocketAddr) -> DenialCode {
        if self.loopback().was_own(protocol, address) { DenialCode::Refused } else { DenialCode::Denied }
    }

    /// Records that the socket `handle` is being connected to `address`.
    pub(super) fn connecting_to(&self, handle: u32, address: SocketAddr) {
        self.loopback().connecting_to(handle, address);
    }

    /// The code for a denied connection of the socket `handle`.
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

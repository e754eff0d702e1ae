use core::net::IpAddr;

use super::judge;
use crate::target::{HostPattern, SocketTarget};

/// The sockets of one protocol that are granted.
#[derive(Clone, Copy, Debug)]
pub struct SocketGrants<'a>(pub &'a [SocketTarget]);

impl SocketGrants<'_> {
    /// Whether the name `name` may be looked up for them.
    #[must_use]
    pub fn name(&self, name: &HostPattern) -> bool {
        self.0.iter().any(|target| target.host == *name)
    }

    /// Whether `name`, which is granted, may lead to `address`, on any of the ports that are granted.
    ///
    /// # Errors
    /// What kind of address it is that no name may lead to.
    pub fn answer(&self, name: &HostPattern, address: IpAddr) -> Result<(), &'static str> {
        let ports: Vec<u16> = self.0.iter().filter(|target| target.host == *name).map(|target| target.port).collect();
        let by_itself = |port: u16| self.address(address, port);
        judge(name, address, ports.into_iter().any(by_itself))
    }

    /// Whether a grant names `address` itself.
    #[must_use]
    pub fn address(&self, address: IpAddr, port: u16) -> bool {
        let named = HostPattern::Address(address.to_canonical());
        self.0.iter().any(|target| target.port == port && target.host == named)
    }

    /// Whether `address`, to which `name` has resolved, may be used.
    #[must_use]
    pub fn resolved(&self, name: &HostPattern, address: IpAddr, port: u16) -> bool {
        let granted = self.0.iter().any(|target| target.port == port && target.host == *name);
        granted && judge(name, address, self.address(address, port)).is_ok()
    }
}

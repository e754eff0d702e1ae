use core::net::{IpAddr, SocketAddr};
use std::{fmt, str::FromStr};

use super::target::BadTarget;

/// A loopback address that a component may listen on: `127.0.0.1:8080`, or `[::1]:0` for a port that the system chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenTarget {
    address: IpAddr,
    port: u16,
}

impl ListenTarget {
    /// What would grant to listen on `address`; `None` for one that is no loopback address, which nothing grants.
    #[must_use]
    pub fn asked(address: SocketAddr) -> Option<Self> {
        let ip = address.ip().to_canonical();
        ip.is_loopback().then_some(Self { address: ip, port: address.port() })
    }

    /// The same address with a port that the system chooses.
    #[must_use]
    pub fn any_port(self) -> Self {
        Self { port: 0, ..self }
    }

    /// As a socket takes it; port 0 has the system choose.
    #[must_use]
    pub fn socket_address(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl FromStr for ListenTarget {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let shown = text.escape_debug();
        let read = text.parse::<SocketAddr>().ok().filter(|address| match address {
            SocketAddr::V4(_) => true,
            SocketAddr::V6(address) => address.scope_id() == 0,
        });
        let Some(address) = read else {
            return Err(BadTarget::new(format!(
                "`{shown}` is not an address with a port; write `127.0.0.1:0` or `[::1]:0`, where 0 stands for a port that the \
                 system chooses"
            )));
        };
        Self::asked(address).ok_or_else(|| {
            BadTarget::new(format!(
                "`{shown}` is not a loopback address, and listening for other machines is never granted; write \
                 `127.0.0.1:{port}` or `[::1]:{port}`",
                port = address.port()
            ))
        })
    }
}

impl fmt::Display for ListenTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_address().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ListenTarget, String> {
        text.parse().map_err(|error: BadTarget| error.to_string())
    }

    #[test]
    fn loopback_addresses_have_one_spelling() {
        for (written, shown) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.8.8.8:8080", "127.8.8.8:8080"),
            ("[0::1]:0", "[::1]:0"),
            ("[::ffff:127.0.0.1]:7", "127.0.0.1:7"),
        ] {
            let target = read(written).unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(read(shown).unwrap(), target);
        }
    }

    #[test]
    fn only_loopback_addresses_can_be_listened_on() {
        for (written, part) in [
            ("0.0.0.0:0", "is not a loopback address"),
            ("[::]:80", "write `127.0.0.1:80` or `[::1]:80`"),
            ("192.168.0.1:0", "is not a loopback address"),
            ("localhost:0", "is not an address with a port"),
            ("127.0.0.1", "is not an address with a port"),
            ("127.1:0", "is not an address with a port"),
            ("::1:0", "is not an address with a port"),
            ("[::1%1]:0", "is not an address with a port"),
            ("127.0.0.1:*", "is not an address with a port"),
            ("http://127.0.0.1:80", "is not an address with a port"),
        ] {
            let problem = read(written).unwrap_err();
            assert!(problem.contains(part), "{written}: {problem}");
        }
    }
}

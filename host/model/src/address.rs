//! Which addresses a name may lead to.
//!
//! A grant names a host, but packets go to an address, which the owner of the name chooses: a name of the public
//! internet that resolves to `127.0.0.1`, to the router or to the machine's metadata service would carry a component
//! past every firewall into what trusts its neighbours. Such answers are refused unless a grant names the address
//! itself. An IPv4 address is checked in every IPv6 form.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses at which clouds hand out credentials to every process of the machine.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Public by its number, but answered by the machine's own host.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What kind of address a name must not lead to; `None` for one of the public internet. Completes "it is …".
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return Some("a metadata service");
    }
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("an unspecified address"),
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [100, 64..=127, ..] => Some("a private address of a provider"),
        [224..=239, ..] => Some("a multicast address"),
        // Protocol assignments, documentation, 6to4 relays, benchmarks, and what is reserved.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some("a reserved address")
        }
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some("a private address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // A translator turns it into the IPv4 address at its end.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => special(IpAddr::V4(embedded(high, low))),
        [0x2002, high, low, ..] => {
            special_v4(embedded(high, low)).or(Some("a 6to4 address, which a third-party relay serves"))
        }
        // Teredo, documentation, and others that are assigned to no host.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        special(address.parse().unwrap())
    }

    #[test]
    fn local_addresses_are_special() {
        for (address, expected) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "provider"),
            ("fd12::1", "private"),
            ("fec0::1", "private"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("169.254.170.2", "metadata"),
            ("100.100.100.200", "metadata"),
            ("168.63.129.16", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("224.0.0.251", "multicast"),
            ("ff02::fb", "multicast"),
            ("255.255.255.255", "reserved"),
            ("192.0.2.1", "reserved"),
            ("198.18.0.1", "reserved"),
            ("2001:db8::1", "reserved"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved"),
            ("64:ff9b:1::1", "reserved"),
            ("100::1", "reserved"),
        ] {
            let kind = kind(address).unwrap_or_else(|| panic!("{address} is let through"));
            assert!(kind.contains(expected), "{address} is {kind}");
        }
    }

    #[test]
    fn embedded_ipv4_addresses_are_checked() {
        for (address, expected) in [
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("metadata")),
            ("::ffff:93.184.215.14", None),
            ("::127.0.0.1", Some("reserved")),
            ("64:ff9b::10.0.0.1", Some("private")),
            ("64:ff9b::93.184.215.14", None),
            ("64:ff9b::169.254.169.254", Some("metadata")),
            ("64:ff9b::168.63.129.16", Some("metadata")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:a9fe:a9fe::1", Some("link-local")),
            ("2002:5db8:d70e::1", Some("6to4")),
        ] {
            match expected {
                Some(expected) => assert!(kind(address).is_some_and(|kind| kind.contains(expected)), "{address}"),
                None => assert_eq!(kind(address), None, "{address}"),
            }
        }
    }

    #[test]
    fn public_addresses_are_not_special() {
        for address in ["93.184.215.14", "1.1.1.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"] {
            assert_eq!(kind(address), None, "{address}");
        }
    }
}

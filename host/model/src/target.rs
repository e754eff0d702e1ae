//! What a grant names, and what a component asks for: hosts and ports, in one spelling.
//!
//! Both sides are brought into the same form before they are compared, since a comparison of texts is where such lists
//! are got around: upper case, a dot at the end, a default port that is written out, an IPv4 address within an IPv6
//! one. A spelling that resolvers and URL parsers read differently (`127.1`, `0x7f.1`, user names before an `@`) has no
//! such form: it can be neither granted nor asked for.

use core::net::{IpAddr, Ipv6Addr};
use std::{fmt, str::FromStr};

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// As everyone on the way can read and change them.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The word of URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host as a grant names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// An address.
    Address(IpAddr),
    /// One name, in lower case, without a dot at its end.
    Name(String),
    /// `*.NAME`: every name below it, not the name itself.
    Below(String),
}

/// Where HTTP requests go: `https://*.example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpTarget {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: HostPattern,
    /// Where there.
    pub port: u16,
}

/// Where TCP connections or datagrams go: `db.example.com:5432`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketTarget {
    /// To whom; never a pattern.
    pub host: HostPattern,
    /// Where there.
    pub port: u16,
}

/// An invalid target, with a hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(String);

impl BadTarget {
    /// With these words.
    pub(super) fn new(what: String) -> Self {
        Self(what)
    }
}

impl HostPattern {
    /// A host as a URL has it: a name, an IPv4 address, or an IPv6 address in brackets. No pattern.
    ///
    /// # Errors
    /// The problem.
    pub fn host(text: &str) -> Result<Self, BadTarget> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let address: Ipv6Addr =
                inner.parse().map_err(|_| bad(format!("`{}` is not an IPv6 address", text.escape_debug())))?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        name(text).map(Self::Name)
    }

    fn pattern(text: &str) -> Result<Self, BadTarget> {
        let Some(below) = text.strip_prefix("*.") else { return Self::host(text) };
        let below = name(below)?;
        if !below.contains('.') {
            return Err(bad(format!("`*.{below}` is too wide; name at least two labels, as in `*.example.com`")));
        }
        Ok(Self::Below(below))
    }

    /// The address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            _ => None,
        }
    }

    /// Whether it means this machine, by its name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost",
            Self::Below(_) => false,
        }
    }

    /// Whether a grant of this covers `asked`.
    #[must_use]
    pub fn covers(&self, asked: &Self) -> bool {
        match (self, asked) {
            (Self::Below(domain), Self::Name(name)) => is_below(name, domain),
            (Self::Below(domain), Self::Below(narrower)) => domain == narrower || is_below(narrower, domain),
            _ => self == asked,
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|labels| labels.ends_with('.'))
}

/// A name in lower case, without a dot at its end.
fn name(text: &str) -> Result<String, BadTarget> {
    if text.len() > 254 {
        return Err(bad("a host name has at most 253 characters".into()));
    }
    let shown = text.escape_debug();
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if !name.is_ascii() {
        return Err(bad(format!("`{shown}` is not a host name; write it as the DNS has it (`xn--…`)")));
    }
    if name.contains('*') {
        return Err(bad(format!("`{shown}`: a `*` stands for whole labels, at the beginning: `*.example.com`")));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(bad(format!("`{shown}` is not a host name")));
    }
    // Resolvers take these for IPv4 addresses in octal, hexadecimal, or with parts left out.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err(bad(format!("`{shown}` is not a host name; write an IPv4 address as four numbers")));
    }
    Ok(name)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl HttpTarget {
    /// What a request asks for: no pattern. `authority` is host and port.
    ///
    /// # Errors
    /// The problem.
    pub fn asked(scheme: Scheme, authority: &str) -> Result<Self, BadTarget> {
        let (host, port) = split_port(authority)?;
        Ok(Self { scheme, host: HostPattern::host(host)?, port: port.unwrap_or(scheme.default_port()) })
    }

    /// Whether a grant of this covers `asked`.
    #[must_use]
    pub fn covers(&self, asked: &Self) -> bool {
        self.scheme == asked.scheme && self.port == asked.port && self.host.covers(&asked.host)
    }
}

impl FromStr for HttpTarget {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let shown = text.escape_debug();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            bad(format!("`{shown}` has no scheme; write `https://{shown}`, or `http://` for requests in the clear"))
        })?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => {
                let other = other.escape_debug();
                return Err(bad(format!("`{other}` is not a scheme that can be granted; write `https` or `http`")));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(bad(format!("`{shown}`: a grant names a scheme, a host and a port; remove the path")));
        }
        if rest.contains('@') {
            return Err(bad(format!(
                "`{shown}`: a grant names a scheme, a host and a port; add a secret with `header`"
            )));
        }
        let (host, port) = split_port(rest)?;
        Ok(Self { scheme, host: HostPattern::pattern(host)?, port: port.unwrap_or(scheme.default_port()) })
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for SocketTarget {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let shown = text.escape_debug();
        if text.contains("://") {
            return Err(bad(format!("`{shown}` is a URL; write host and port: `db.example.com:5432`")));
        }
        let (host, port) = split_port(text)?;
        let port = port.ok_or_else(|| bad(format!("`{shown}` has no port; write host and port: `{shown}:5432`")))?;
        Ok(Self { host: HostPattern::host(host)?, port })
    }
}

impl fmt::Display for SocketTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Host and port of `HOST[:PORT]`; the host of an IPv6 address has its brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), BadTarget> {
    let at = match text.rfind(']') {
        Some(end) => text[end..].find(':').map(|colon| end + colon),
        None if text.matches(':').count() > 1 => {
            let shown = text.escape_debug();
            return Err(bad(format!("`{shown}`: write an IPv6 address in brackets, as in `[::1]:8080`")));
        }
        None => text.find(':'),
    };
    let Some(at) = at else { return Ok((text, None)) };
    let (host, port) = (&text[..at], &text[at + 1..]);
    let number =
        Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit())).and_then(|it| it.parse().ok());
    match number {
        Some(0) | None => Err(bad(format!("`{}` is not a port; write a number from 1 to 65535", port.escape_debug()))),
        Some(port) => Ok((host, Some(port))),
    }
}

fn bad(what: String) -> BadTarget {
    BadTarget(what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(text: &str) -> HttpTarget {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn problem(text: &str) -> String {
        text.parse::<HttpTarget>().unwrap_err().to_string()
    }

    #[test]
    fn targets_have_one_spelling() {
        for (written, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.Example.COM.:443/", "https://api.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::FFFF:127.0.0.1]:80", "http://127.0.0.1"),
            ("https://[2606:4700:0::1111]", "https://[2606:4700::1111]"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("http://localhost:80", "http://localhost"),
        ] {
            assert_eq!(http(written).to_string(), shown);
            assert_eq!(http(shown), http(written));
        }
        for (written, shown) in [("[0::1]:53", "[::1]:53"), ("DB.internal:5432", "db.internal:5432")] {
            assert_eq!(written.parse::<SocketTarget>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn ambiguous_targets_are_refused() {
        for (written, part) in [
            ("api.example.com", "has no scheme; write `https://api.example.com`"),
            ("ftp://a.example", "`ftp` is not a scheme"),
            ("https://a.example/v1", "remove the path"),
            ("https://a.example?q", "remove the path"),
            ("https://user@a.example", "with `header`"),
            ("https://", "is not a host name"),
            ("https://a..b", "is not a host name"),
            ("https://a b", "is not a host name"),
            ("https://*", "whole labels"),
            ("https://a.*.example.com", "whole labels"),
            ("https://*.com", "too wide"),
            ("https://127.1", "four numbers"),
            ("https://2130706433", "four numbers"),
            ("https://0x7f.0x1", "four numbers"),
            ("https://127.0.0.1.", "four numbers"),
            ("https://bücher.example", "xn--"),
            ("https://a.example:0", "is not a port"),
            ("https://a.example:+80", "is not a port"),
            ("https://a.example:", "is not a port"),
            ("https://a.example:99999", "is not a port"),
            ("https://::1", "in brackets"),
            ("https://[fe80::1%eth0]", "is not an IPv6 address"),
        ] {
            assert!(problem(written).contains(part), "{written}: {}", problem(written));
        }
        for (written, part) in
            [("127.0.0.1", "has no port"), ("tcp://a.example:1", "is a URL"), ("*.example.com:5432", "whole labels")]
        {
            let problem = written.parse::<SocketTarget>().unwrap_err().to_string();
            assert!(problem.contains(part), "{written}: {problem}");
        }
    }

    #[test]
    fn requests_match_by_scheme_host_and_port() {
        let asked = |scheme, authority| HttpTarget::asked(scheme, authority).unwrap();
        let granted = http("https://api.example.com");
        assert!(granted.covers(&asked(Scheme::Https, "api.example.com")));
        assert!(granted.covers(&asked(Scheme::Https, "API.EXAMPLE.COM.:443")));
        for (scheme, other) in [
            (Scheme::Http, "api.example.com:443"),
            (Scheme::Https, "api.example.com:444"),
            (Scheme::Https, "example.com"),
            (Scheme::Https, "x.api.example.com"),
            (Scheme::Https, "api.example.com.evil.example"),
            (Scheme::Https, "evilapi.example.com"),
        ] {
            assert!(!granted.covers(&asked(scheme, other)), "{other}");
        }
        for authority in ["api.example.com@evil.example", "api.example.com:443@evil.example", "*.example.com", ""] {
            assert!(HttpTarget::asked(Scheme::Https, authority).is_err(), "{authority}");
        }
    }

    #[test]
    fn wildcards_cover_subdomains_and_narrower_wildcards() {
        let wide = http("https://*.example.com");
        for covered in
            ["https://a.example.com", "https://a.b.example.com", "https://*.example.com", "https://*.b.example.com"]
        {
            assert!(wide.covers(&http(covered)), "{covered}");
        }
        for other in ["https://example.com", "https://aexample.com", "https://*.com.example", "http://a.example.com"] {
            assert!(!wide.covers(&http(other)), "{other}");
        }
        assert!(!http("https://*.b.example.com").covers(&wide));
    }

    proptest! {
        #[test]
        fn targets_survive_a_round_trip(text in "\\PC{0,40}", host in "[a-zA-Z0-9.*:@\\[\\]_-]{0,30}") {
            for text in [text, format!("https://{host}"), host] {
                if let Ok(target) = text.parse::<HttpTarget>() {
                    prop_assert_eq!(target.to_string().parse::<HttpTarget>().unwrap(), target);
                }
                if let Ok(target) = text.parse::<SocketTarget>() {
                    prop_assert_eq!(target.to_string().parse::<SocketTarget>().unwrap(), target);
                }
            }
        }
    }
}

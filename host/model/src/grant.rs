mod sockets;

use core::net::IpAddr;
use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    address::special,
    listen::ListenTarget,
    target::{HostPattern, HttpTarget, Scheme, SocketTarget},
    words::words,
};

pub use sockets::SocketGrants;

words! {
    /// A capability that a scenario may request. Without a grant, it is denied.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Grant {
        /// Sessions with the lane's agent.
        Session = "session",
        /// HTTP requests to named hosts.
        Http = "http",
        /// TCP connections to named hosts.
        Tcp = "tcp",
        /// Datagrams to and from named hosts.
        Udp = "udp",
        /// Sockets that listen on loopback addresses.
        Listen = "listen",
        /// Variables of the host's environment.
        Env = "env",
        /// Clocks and random numbers that are the same every time.
        Deterministic = "deterministic",
    }
}

impl Grant {
    /// The line under `[grants]` that gives it, with an example value.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Session => "session = true",
            Self::Http => "http = [\"https://HOST\"]",
            Self::Tcp => "tcp = [\"HOST:PORT\"]",
            Self::Udp => "udp = [\"HOST:PORT\"]",
            Self::Listen => "listen = [\"127.0.0.1:0\"]",
            Self::Env => "env = [\"NAME\"]",
            Self::Deterministic => "deterministic = true",
        }
    }
}

/// The grants of one scenario; empty by default, and empty means denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Sessions with the lane's agent.
    pub session: bool,
    /// Where HTTP requests may go.
    pub http: Vec<HttpGrant>,
    /// Where TCP connections may go.
    pub tcp: Vec<SocketTarget>,
    /// Where datagrams may go, and come from.
    pub udp: Vec<SocketTarget>,
    /// Where it may listen, and talk with itself.
    pub listen: Vec<ListenTarget>,
    /// Variables of the host's environment that are handed over.
    pub env: BTreeSet<String>,
    /// The seed of random numbers, and fixed clocks.
    pub deterministic: Option<u64>,
}

/// A target of HTTP requests, and the header that the host adds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpGrant {
    /// Where they may go.
    pub to: HttpTarget,
    /// A header with a secret that the component does not know.
    pub header: Option<SecretHeader>,
}

/// A header that the host adds, with a secret of its own environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHeader {
    /// The header's name, in lower case.
    pub name: String,
    /// The variable of the host's environment that holds the secret.
    pub secret: String,
    /// The header's value; `{}` stands for the secret.
    pub value: String,
    /// Whether it may be sent without TLS to another machine.
    pub cleartext: bool,
}

/// One thing that is granted, or asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantItem {
    /// Sessions.
    Session,
    /// HTTP requests.
    Http(HttpGrant),
    /// TCP connections.
    Tcp(SocketTarget),
    /// Datagrams.
    Udp(SocketTarget),
    /// An address to listen on.
    Listen(ListenTarget),
    /// A variable.
    Env(String),
    /// Fixed clocks and this seed.
    Deterministic(u64),
}

impl GrantItem {
    /// The grant that it is one of.
    #[must_use]
    pub fn grant(&self) -> Grant {
        match self {
            Self::Session => Grant::Session,
            Self::Http(_) => Grant::Http,
            Self::Tcp(_) => Grant::Tcp,
            Self::Udp(_) => Grant::Udp,
            Self::Listen(_) => Grant::Listen,
            Self::Env(_) => Grant::Env,
            Self::Deterministic(_) => Grant::Deterministic,
        }
    }

    /// Its value as TOML writes it; of a list one entry.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Session => "true".into(),
            Self::Http(HttpGrant { to, header: None }) => quoted(to),
            Self::Http(HttpGrant { to, header: Some(header) }) => {
                format!("{{ to = {}, header = {header} }}", quoted(to))
            }
            Self::Tcp(target) | Self::Udp(target) => quoted(target),
            Self::Listen(target) => quoted(target),
            Self::Env(name) => quoted(name),
            Self::Deterministic(0) => "true".into(),
            Self::Deterministic(seed) => seed.to_string(),
        }
    }
}

/// As TOML: `http = ["https://api.example.com"]`.
impl fmt::Display for GrantItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (grant, value) = (self.grant(), self.value());
        match self {
            Self::Session | Self::Deterministic(_) => write!(f, "{grant} = {value}"),
            _ => write!(f, "{grant} = [{value}]"),
        }
    }
}

impl fmt::Display for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, secret, value, cleartext } = self;
        write!(f, "{{ name = {}, secret = {}", quoted(name), quoted(secret))?;
        if value != "{}" {
            write!(f, ", value = {}", quoted(value))?;
        }
        if *cleartext {
            f.write_str(", cleartext = true")?;
        }
        f.write_str(" }")
    }
}

fn quoted(value: &impl ToString) -> String {
    serde_json::Value::String(value.to_string()).to_string()
}

impl Grants {
    /// Whether anything of `grant` was given.
    #[must_use]
    pub fn has(&self, grant: Grant) -> bool {
        match grant {
            Grant::Session => self.session,
            Grant::Http => !self.http.is_empty(),
            Grant::Tcp => !self.tcp.is_empty(),
            Grant::Udp => !self.udp.is_empty(),
            Grant::Listen => !self.listen.is_empty(),
            Grant::Env => !self.env.is_empty(),
            Grant::Deterministic => self.deterministic.is_some(),
        }
    }

    /// Those of `needs` that were not given.
    #[must_use]
    pub fn missing(&self, needs: &[Grant]) -> Vec<Grant> {
        needs.iter().copied().filter(|grant| !self.has(*grant)).collect()
    }

    /// Everything that is granted, one by one.
    #[must_use]
    pub fn items(&self) -> Vec<GrantItem> {
        let session = self.session.then_some(GrantItem::Session);
        session
            .into_iter()
            .chain(self.http.iter().cloned().map(GrantItem::Http))
            .chain(self.tcp.iter().cloned().map(GrantItem::Tcp))
            .chain(self.udp.iter().cloned().map(GrantItem::Udp))
            .chain(self.listen.iter().copied().map(GrantItem::Listen))
            .chain(self.env.iter().cloned().map(GrantItem::Env))
            .chain(self.deterministic.map(GrantItem::Deterministic))
            .collect()
    }

    /// The lines below `[grants]` that grant all this.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let items = self.items();
        for same in items.chunk_by(|one, other| one.grant() == other.grant()) {
            let values: Vec<String> = same.iter().map(GrantItem::value).collect();
            let line = match same {
                [one @ (GrantItem::Session | GrantItem::Deterministic(_))] => one.to_string(),
                _ => format!("{} = [{}]", same[0].grant(), values.join(", ")),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Whether these grants cover `asked`. A secret is allowed only by its name and for the same header: a grant to reach a
    /// host is not a grant to send it every secret.
    #[must_use]
    pub fn allows(&self, asked: &GrantItem) -> bool {
        match asked {
            GrantItem::Session => self.session,
            GrantItem::Http(asked) => self.http.iter().any(|granted| {
                granted.to.covers(&asked.to) && (asked.header.is_none() || granted.header == asked.header)
            }),
            GrantItem::Tcp(target) => self.tcp.contains(target),
            GrantItem::Udp(target) => self.udp.contains(target),
            GrantItem::Listen(target) => self.listen.contains(target),
            GrantItem::Env(name) => self.env.contains(name),
            GrantItem::Deterministic(_) => self.deterministic.is_some(),
        }
    }

    /// The grants of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.items().into_iter().chain(other.items()).collect()
    }

    /// The headers that the host adds to a request to `asked`; `None` when it is not granted.
    #[must_use]
    pub fn http(&self, asked: &HttpTarget) -> Option<Vec<&SecretHeader>> {
        let granted: Vec<_> = self.http.iter().filter(|granted| granted.to.covers(asked)).collect();
        (!granted.is_empty()).then(|| granted.into_iter().filter_map(|granted| granted.header.as_ref()).collect())
    }

    /// Whether a request to `asked`, which is granted, may go to `address`, to which its host has resolved.
    ///
    /// # Errors
    /// What kind of address it is that no name may lead to.
    pub fn http_address(&self, asked: &HttpTarget, address: IpAddr) -> Result<(), &'static str> {
        let named = HttpTarget { host: HostPattern::Address(address.to_canonical()), ..asked.clone() };
        let by_itself = self.http.iter().any(|granted| granted.to == named);
        judge(&asked.host, address, by_itself)
    }
}

/// A section of a policy for one scenario of one plugin, as TOML, with `notes` as comments.
#[must_use]
pub fn policy_section(name: &str, digest: &str, grants: &Grants, notes: impl Iterator<Item = String>) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let key = if name.bytes().all(bare) { name.to_owned() } else { quoted(&name) };
    let mut text = format!("[scenario.{key}]\nplugin = \"sha256:{digest}\"\n");
    let notes: Vec<String> = notes.collect();
    if *grants != Grants::default() || !notes.is_empty() {
        text.push_str(&format!("\n[scenario.{key}.grants]\n"));
    }
    text.push_str(&grants.to_toml());
    notes.iter().for_each(|note| text.push_str(&format!("# {note}\n")));
    text
}

/// Whether what is meant for `host` may go to `address`; `by_itself` when a grant names the address.
fn judge(host: &HostPattern, address: IpAddr, by_itself: bool) -> Result<(), &'static str> {
    if by_itself || host.is_loopback() && address.to_canonical().is_loopback() {
        return Ok(());
    }
    special(address).map_or(Ok(()), Err)
}

impl FromIterator<GrantItem> for Grants {
    fn from_iter<I: IntoIterator<Item = GrantItem>>(items: I) -> Self {
        let mut grants = Self::default();
        for item in items {
            match item {
                GrantItem::Session => grants.session = true,
                GrantItem::Http(http) if !grants.http.contains(&http) => grants.http.push(http),
                GrantItem::Tcp(target) if !grants.tcp.contains(&target) => grants.tcp.push(target),
                GrantItem::Udp(target) if !grants.udp.contains(&target) => grants.udp.push(target),
                GrantItem::Listen(target) if !grants.listen.contains(&target) => grants.listen.push(target),
                GrantItem::Http(_) | GrantItem::Tcp(_) | GrantItem::Udp(_) | GrantItem::Listen(_) => {}
                GrantItem::Env(name) => drop(grants.env.insert(name)),
                GrantItem::Deterministic(seed) => grants.deterministic = Some(seed),
            }
        }
        grants
    }
}

impl HttpGrant {
    /// A target without a secret.
    #[must_use]
    pub fn to(to: HttpTarget) -> Self {
        Self { to, header: None }
    }

    /// Why the header cannot be added to requests to this target.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let header = self.header.as_ref()?;
        let to = &self.to;
        if let HostPattern::Below(domain) = &to.host {
            return Some(format!(
                "a secret is for one host, but `{to}` is for every name below `{domain}`; name the host"
            ));
        }
        if to.scheme == Scheme::Http && !to.host.is_loopback() && !header.cleartext {
            return Some(format!(
                "`{to}` would send the secret in the clear; write `https://`, or add `cleartext = true` to the header"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests;

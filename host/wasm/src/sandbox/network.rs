//! The network policy of an attempt: the only place that decides about HTTP, TCP, UDP and name lookups.
//!
//! Each use is checked twice: whether the named host is granted, and whether its name may resolve to that address
//! ([`host_model::special`]). Connections use the address that was checked: names are resolved once, here, so that a second
//! lookup cannot return another address (DNS rebinding).

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::{
    Audit, Granted, Resolve, Violations,
    denial_code::{is_of_this_machine, is_outside},
    loopback::{Loopback, Protocol},
    resolver::AttemptResolver,
};
use crate::engine::{Account, Exceeded, Reservation};
use host_clock::timeout;
use host_model::{
    GrantItem, HostPattern, HttpGrant, HttpTarget, ListenTarget, SecretHeader, SocketGrants, SocketTarget,
};

/// Characters of an invalid name in messages.
const MAX_SHOWN_CHARS: usize = 100;
/// How long a component waits for a lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Remembered addresses of one name; its DNS server can send any number.
const MAX_ANSWERS: usize = 1_000;

/// The network as one attempt may use it.
pub struct Network {
    granted: Arc<Granted>,
    resolver: AttemptResolver,
    violations: Arc<Violations>,
    audit: Option<Arc<Audit>>,
    /// Permits for pending requests and lookups.
    permits: Arc<Semaphore>,
    at_once: u32,
    account: Option<Arc<Account>>,
    /// The addresses that granted names resolved to.
    answers: Mutex<HashMap<HostPattern, HashSet<IpAddr>>>,
    /// The loopback addresses of its sockets.
    loopback: Mutex<Loopback>,
}

/// A permit for a pending request or lookup, until it is dropped.
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
    _reservation: Option<Reservation>,
}

/// Why a name has no usable address.
#[derive(Debug)]
pub(super) enum LookupError {
    /// The name resolves only to addresses that are refused; this is recorded.
    Refused,
    /// The name does not resolve.
    Unknown,
    /// The lookup timed out.
    TimedOut,
    /// Too many are pending; this is recorded.
    TooMany,
}

/// A kind of use, as messages and as the audit name it.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    shown: &'static str,
    word: &'static str,
}

pub(super) const HTTP: Kind = Kind { shown: "HTTP", word: "http" };
const TCP: Kind = Kind { shown: "TCP", word: "tcp" };
const UDP: Kind = Kind { shown: "UDP", word: "udp" };
const LOOK_UP: Kind = Kind { shown: "name look-up", word: "look-up" };

impl Protocol {
    fn kind(self) -> Kind {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }
}

impl Network {
    /// The network with what `granted` allows, and up to `at_once` pending requests and lookups. Denied uses are recorded
    /// in `violations`, and all uses in `audit`.
    #[must_use]
    pub fn new(
        granted: Arc<Granted>,
        resolver: Arc<dyn Resolve>,
        violations: Arc<Violations>,
        audit: Option<Arc<Audit>>,
        at_once: u32,
    ) -> Self {
        let resolver = AttemptResolver::of(resolver);
        let permits = Arc::new(Semaphore::new((at_once as usize).min(Semaphore::MAX_PERMITS)));
        Self {
            granted,
            resolver,
            violations,
            audit,
            permits,
            at_once,
            account: None,
            answers: Mutex::default(),
            loopback: Mutex::default(),
        }
    }

    pub(super) fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Where denied uses are recorded.
    pub(super) fn violations(&self) -> &Arc<Violations> {
        &self.violations
    }

    /// Records that `what` was denied; `item` would have granted it.
    pub(super) fn refuse(&self, kind: Kind, what: &str, item: Option<GrantItem>) {
        let item = item.and_then(|item| self.grantable(item));
        let how = item.as_ref().map(|item| format!(" (to grant it: `{item}`)")).unwrap_or_default();
        self.violations.denied(format!("{}: {what}{how}", kind.shown));
        self.note(kind, what, item.as_ref(), false);
    }

    /// `item`, or what can be granted instead. The system chooses another port in the next attempt, so a grant that names a
    /// chosen port is useless, and so is one for port 0.
    fn grantable(&self, item: GrantItem) -> Option<GrantItem> {
        let address = match &item {
            GrantItem::Tcp(target) | GrantItem::Udp(target) if target.port == 0 => return None,
            GrantItem::Tcp(target) | GrantItem::Udp(target) => {
                target.host.address().map(|ip| SocketAddr::new(ip, target.port))
            }
            GrantItem::Listen(target) => Some(target.socket_address()),
            _ => None,
        };
        let own = address.filter(|address| address.port() != 0 && self.loopback().is_system_port(address.port()));
        let Some(own) = own.and_then(ListenTarget::asked) else { return Some(item) };
        let any = own.any_port();
        (!self.listen().contains(&any)).then_some(GrantItem::Listen(any))
    }

    /// Counts pending requests in `account`.
    pub(super) fn with_account(mut self, account: Arc<Account>) -> Self {
        self.account = Some(account);
        self
    }

    /// A permit for a pending request or lookup, which takes `bytes` of the host's memory. `None` if none is left, which is
    /// recorded: WASI 0.3 has no handles for them, so the limit on handles does not bound them by itself.
    pub(super) fn permit(&self, kind: Kind, what: &str, bytes: u64) -> Option<Permit> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.violations.add_concurrency_exceeded(self.at_once);
            self.note(kind, &format!("{what}, beyond {} in parallel (limit `max-handles`)", self.at_once), None, false);
            return None;
        };
        Some(Permit { _permit: permit, _reservation: self.reserve(bytes, "requests in progress").ok()? })
    }

    /// Reserves `bytes` of the host's memory for `what`. If the limit is exceeded, the attempt ends.
    pub(super) fn reserve(&self, bytes: u64, what: &str) -> Result<Option<Reservation>, Exceeded> {
        self.account.as_ref().map(|account| account.take(bytes, what)).transpose()
    }

    fn note(&self, kind: Kind, what: &str, item: Option<&GrantItem>, allowed: bool) {
        if let Some(audit) = &self.audit {
            audit.note(kind.word, what, item, allowed);
        }
    }

    /// Records that a request is sent, with the headers that the host adds.
    pub(super) fn note_request(
        &self,
        what: &str,
        requested: &HttpTarget,
        headers: &[SecretHeader],
        addresses: &[IpAddr],
    ) {
        let grant = |header: Option<&SecretHeader>| {
            GrantItem::Http(HttpGrant { to: requested.clone(), header: header.cloned() })
        };
        self.note(HTTP, what, Some(&grant(headers.first())), true);
        headers.iter().skip(1).for_each(|header| self.note(HTTP, what, Some(&grant(Some(header))), true));
        // An address that needs its own grant is recorded in addition to the name.
        let by_itself =
            addresses.iter().map(|address| HttpTarget { host: HostPattern::Address(*address), ..requested.clone() });
        for target in by_itself.filter(|target| target != requested) {
            let item = GrantItem::Http(HttpGrant::to(target));
            if self.granted.grants().allows(&item) {
                self.note(HTTP, what, Some(&item), true);
            }
        }
    }

    /// The addresses for a request to `requested`, which is granted. `what` is recorded if there are none.
    pub(super) async fn http_addresses(&self, requested: &HttpTarget, what: &str) -> Result<Vec<IpAddr>, LookupError> {
        let grants = self.granted.grants();
        let judge = |address| grants.http_address(requested, address);
        let named = |address: IpAddr| {
            GrantItem::Http(HttpGrant::to(HttpTarget { host: HostPattern::Address(address), ..requested.clone() }))
        };
        self.addresses(&requested.host, (HTTP, what), judge, named).await
    }

    async fn addresses(
        &self,
        host: &HostPattern,
        (kind, what): (Kind, &str),
        judge: impl Fn(IpAddr) -> Result<(), &'static str>,
        named: impl Fn(IpAddr) -> GrantItem,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let name = match host {
            HostPattern::Address(address) => return Ok(vec![*address]),
            HostPattern::Name(name) | HostPattern::Below(name) => name,
        };
        let found = timeout(LOOKUP_TIMEOUT, self.resolver.resolve(name)).await.map_err(|_| LookupError::TimedOut)?;
        let found = found.map_err(|_| LookupError::Unknown)?;
        let (mut matching_grant, mut refused) = (Vec::new(), None);
        for address in found.into_iter().map(|address| address.to_canonical()) {
            match judge(address) {
                Ok(()) => matching_grant.push(address),
                Err(kind) => refused = refused.or(Some((address, kind))),
            }
        }
        match (matching_grant.is_empty(), refused) {
            (false, _) => Ok(matching_grant),
            (true, Some((address, special))) => {
                let why = format!("{what}, but the name `{name}` resolves to {address}, {special}");
                self.refuse(kind, &why, Some(named(address)));
                Err(LookupError::Refused)
            }
            (true, None) => Err(LookupError::Unknown),
        }
    }

    /// Resolves a name for the component, which may then use the addresses with its sockets.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let literal = name.parse::<IpAddr>().ok().or_else(|| HostPattern::host(name).ok()?.address());
        if let Some(address) = literal {
            return Ok(vec![address]);
        }
        let shown = name.chars().take(MAX_SHOWN_CHARS).collect::<String>().escape_debug().to_string();
        let (tcp, udp) = (self.tcp(), self.udp());
        let granted = |host: &HostPattern| tcp.0.iter().chain(udp.0).find(|target| target.host == *host);
        let Some(target) = HostPattern::host(name).ok().as_ref().and_then(granted) else {
            // The port is not known yet.
            self.refuse(LOOK_UP, &shown, None);
            return Err(LookupError::Refused);
        };
        let _permit = self.permit(LOOK_UP, &shown, 0).ok_or(LookupError::TooMany)?;
        let host = &target.host;
        let item = |target| if tcp.name(host) { GrantItem::Tcp(target) } else { GrantItem::Udp(target) };
        let judge = |address| match (tcp.name(host), udp.name(host)) {
            (true, true) => tcp.answer(host, address).or_else(|_| udp.answer(host, address)),
            (true, false) => tcp.answer(host, address),
            (false, _) => udp.answer(host, address),
        };
        let named = |address| item(SocketTarget { host: HostPattern::Address(address), port: target.port });
        let found = self.addresses(host, (LOOK_UP, &shown), judge, named).await?;
        self.note(LOOK_UP, &shown, Some(&item(target.clone())), true);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = answers.entry(host.clone()).or_default();
        if known.len() > MAX_ANSWERS {
            known.clear();
        }
        known.extend(&found);
        Ok(found)
    }

    /// Whether the component may use `address` in this way.
    pub(super) fn socket(&self, address: SocketAddr, used: SocketAddrUse) -> bool {
        // Binding to a port of the system's choice sends and receives nothing; later uses are checked again.
        if matches!(used, SocketAddrUse::TcpBind | SocketAddrUse::UdpBind)
            && address.ip().is_unspecified()
            && address.port() == 0
        {
            return true;
        }
        match used {
            SocketAddrUse::TcpConnect => self.may_send(Protocol::Tcp, "to connect to", address),
            SocketAddrUse::UdpSend => self.may_send(Protocol::Udp, "to send to", address),
            // Anyone can send a datagram; a refused one is dropped and is no denied use. Also asked for an address to connect
            // to, but only after `UdpSend`.
            SocketAddrUse::UdpReceive => {
                self.matching_grant(self.udp(), address).is_some() || self.loopback().receives(self.listen(), address)
            }
            SocketAddrUse::TcpBind => self.may_listen(Protocol::Tcp, "to bind", address),
            SocketAddrUse::UdpBind => self.may_listen(Protocol::Udp, "to bind", address),
            SocketAddrUse::TcpListen => self.may_listen(Protocol::Tcp, "to listen on", address),
            // Only clients on this machine. Others need routes that were set up on purpose, and are not the component's
            // doing either.
            SocketAddrUse::TcpAccept => address.ip().to_canonical().is_loopback() && !self.listen().is_empty(),
        }
    }

    fn may_listen(&self, protocol: Protocol, what: &str, address: SocketAddr) -> bool {
        let what = format!("{what} {address}");
        let granted = self.loopback().listening(self.listen(), protocol, address);
        match (granted, ListenTarget::asked(address)) {
            (Some(target), _) => self.note(protocol.kind(), &what, Some(&GrantItem::Listen(target)), true),
            (None, Some(requested)) => self.refuse(protocol.kind(), &what, Some(GrantItem::Listen(requested))),
            // No denied use: nobody on this machine could bind that address.
            (None, None) if is_outside(address.ip()) && !is_of_this_machine(address.ip()) => {}
            (None, None) => {
                let what = format!("{what}, which other machines can reach; no grant allows that");
                self.refuse(protocol.kind(), &what, None);
            }
        }
        granted.is_some()
    }

    /// The granted address for listening on a port of the system's choice.
    pub(super) fn any_loopback(&self, is_ipv4: bool) -> Option<SocketAddr> {
        let mut addresses = self.listen().iter().map(|target| target.socket_address());
        addresses.find(|address| address.port() == 0 && address.is_ipv4() == is_ipv4)
    }

    fn may_send(&self, protocol: Protocol, what: &str, address: SocketAddr) -> bool {
        let kind = protocol.kind();
        let (granted, item): (_, fn(SocketTarget) -> GrantItem) = match protocol {
            Protocol::Tcp => (self.tcp(), GrantItem::Tcp),
            Protocol::Udp => (self.udp(), GrantItem::Udp),
        };
        let what = format!("{what} {address}");
        let own = || self.loopback().reachable(self.listen(), protocol, address).map(GrantItem::Listen);
        match self.matching_grant(granted, address).map(item).or_else(own) {
            Some(item) => self.note(kind, &what, Some(&item), true),
            None => {
                let host = HostPattern::Address(address.ip().to_canonical());
                self.refuse(kind, &what, Some(item(SocketTarget { host, port: address.port() })));
                return false;
            }
        }
        true
    }

    /// The grant that allows `address`: its own, or that of a name that resolved to it.
    fn matching_grant(&self, granted: SocketGrants<'_>, address: SocketAddr) -> Option<SocketTarget> {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        if granted.address(ip, port) {
            return Some(SocketTarget { host: HostPattern::Address(ip), port });
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut led = answers.iter().filter(|(name, found)| found.contains(&ip) && granted.resolved(name, ip, port));
        led.next().map(|(name, _)| SocketTarget { host: name.clone(), port })
    }

    fn tcp(&self) -> SocketGrants<'_> {
        SocketGrants(&self.granted.grants().tcp)
    }

    fn udp(&self) -> SocketGrants<'_> {
        SocketGrants(&self.granted.grants().udp)
    }

    fn listen(&self) -> &[ListenTarget] {
        &self.granted.grants().listen
    }

    pub(super) fn loopback(&self) -> MutexGuard<'_, Loopback> {
        self.loopback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

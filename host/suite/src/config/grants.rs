//! `[grants]`: the grants that a scenario requests, or a policy allows.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::{
    source::{FileText, SourceError, SourceSpan},
    value::Table,
};
use host_model::{GrantItem, Grants, HttpGrant, HttpTarget, ListenTarget, SecretHeader, SocketTarget};

/// Headers that route or frame a request: a secret cannot be in them.
const NO_SECRETS: [&str; 8] =
    ["connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// `[grants]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct GrantsTable {
    session: Option<Spanned<bool>>,
    http: Vec<Spanned<HttpEntry>>,
    tcp: Vec<Spanned<SocketEntry>>,
    udp: Vec<Spanned<SocketEntry>>,
    listen: Vec<Spanned<ListenEntry>>,
    env: Vec<Spanned<Variable>>,
    deterministic: Option<Spanned<Seed>>,
}

/// The grants of a file, with their positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourcedGrants {
    /// The grants.
    pub grants: Grants,
    /// The position of each of [`Grants::items`].
    pub places: BTreeMap<GrantItem, SourceSpan>,
}

impl GrantsTable {
    /// The grants; what is wrong with them is added to `problems`.
    pub(super) fn read(&self, file: &FileText, problems: &mut Vec<SourceError>) -> SourcedGrants {
        let mut places = BTreeMap::new();
        let mut headers: BTreeMap<(HttpTarget, String), Range<usize>> = BTreeMap::new();
        for (item, span) in self.items() {
            if let GrantItem::Http(HttpGrant { to, header: Some(header) }) = &item {
                let known = headers.insert((to.clone(), header.name.clone()), span.clone());
                if known.is_some() && !places.contains_key(&item) {
                    let message = format!("`{}` is added to requests to `{to}` twice; remove one", header.name);
                    problems.push(file.error(span.clone(), message));
                }
            }
            places.entry(item).or_insert_with(|| file.place(span));
        }
        // In the order of the file: the items of a map are in one of their own.
        let grants = self.items().map(|(item, _)| item).collect();
        SourcedGrants { grants, places }
    }

    fn items(&self) -> impl Iterator<Item = (GrantItem, Range<usize>)> {
        let session = self.session.iter().filter(|it| *it.get_ref()).map(|it| (GrantItem::Session, it.span()));
        let http = self.http.iter().map(|it| (GrantItem::Http(it.get_ref().0.clone()), it.span()));
        let tcp = self.tcp.iter().map(|it| (GrantItem::Tcp(it.get_ref().0.clone()), it.span()));
        let udp = self.udp.iter().map(|it| (GrantItem::Udp(it.get_ref().0.clone()), it.span()));
        let listen = self.listen.iter().map(|it| (GrantItem::Listen(it.get_ref().0), it.span()));
        let env = self.env.iter().map(|it| (GrantItem::Env(it.get_ref().0.clone()), it.span()));
        let seed =
            self.deterministic.iter().filter_map(|it| Some((GrantItem::Deterministic(it.get_ref().0?), it.span())));
        session.chain(http).chain(tcp).chain(udp).chain(listen).chain(env).chain(seed)
    }
}

/// `"https://api.example.com"`, or a table that adds a header.
#[derive(Clone, Debug)]
struct HttpEntry(HttpGrant);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HttpTable {
    to: HttpTo,
    header: Option<Table<HeaderTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HeaderTable {
    name: HeaderName,
    secret: Variable,
    #[serde(default)]
    value: HeaderValue,
    #[serde(default)]
    cleartext: bool,
}

impl<'de> Deserialize<'de> for HttpEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = HttpEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as `\"https://api.example.com\"`, or `{ to = URL, header = { … } }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HttpEntry, E> {
                text.parse().map(|to| HttpEntry(HttpGrant::to(to))).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HttpEntry, A::Error> {
                let HttpTable { to, header } = HttpTable::deserialize(MapAccessDeserializer::new(map))?;
                let header = header.map(|Table(header)| SecretHeader {
                    name: header.name.0,
                    secret: header.secret.0,
                    value: header.value.0,
                    cleartext: header.cleartext,
                });
                let grant = HttpGrant { to: to.0, header };
                grant.problem().map_or(Ok(HttpEntry(grant)), |problem| Err(A::Error::custom(problem)))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// A word that is checked while it is read, so that its error has its position.
macro_rules! checked_word {
    ($(#[$doc:meta])* $name:ident($value:ty), $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        struct $name($value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Written;

                impl Visitor<'_> for Written {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        let check: fn(&str) -> Result<$value, String> = $check;
                        check(text).map($name).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Written)
            }
        }
    };
}

checked_word!(
    /// A target of HTTP requests.
    HttpTo(HttpTarget), "a URL such as `\"https://api.example.com\"`", |text| {
        text.parse().map_err(|error: host_model::BadTarget| error.to_string())
    }
);
checked_word!(
    /// A target of sockets.
    SocketEntry(SocketTarget), "host and port such as `\"127.0.0.1:5432\"`", |text| {
        text.parse().map_err(|error: host_model::BadTarget| error.to_string())
    }
);
checked_word!(
    /// An address to listen on.
    ListenEntry(ListenTarget), "a loopback address and a port such as `\"127.0.0.1:0\"`", |text| {
        text.parse().map_err(|error: host_model::BadTarget| error.to_string())
    }
);
checked_word!(
    /// The name of a variable of the host's environment.
    Variable(String), "the name of a variable in quotes", |text| {
        let usable = !text.is_empty() && !text.contains(['=', '\0', '*', ' ', '$']);
        let wrong = || format!("`{}` is not a variable name; write it without `$`", text.escape_debug());
        usable.then(|| text.to_owned()).ok_or_else(wrong)
    }
);
checked_word!(
    /// The name of a header that carries a secret.
    HeaderName(String), "the name of a header in quotes", |text| {
        let name = text.to_ascii_lowercase();
        let shown = text.escape_debug();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("`{shown}` is not a header name; write one such as `authorization`"));
        }
        if NO_SECRETS.contains(&name.as_str()) || name.starts_with("proxy-") {
            return Err(format!("`{shown}` controls how a request is sent and cannot carry a secret; use `authorization`"));
        }
        Ok(name)
    }
);
checked_word!(
    /// The value of a header, with a place for the secret.
    HeaderValue(String), "a text in quotes such as `\"Bearer {}\"`", |text| {
        let shown = text.escape_debug();
        if text.matches("{}").count() != 1 {
            return Err(format!("`{shown}` needs `{{}}` once, where the secret belongs: `Bearer {{}}`"));
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(format!("`{shown}` contains characters that no header can; write ASCII without control characters"));
        }
        Ok(text.to_owned())
    }
);

impl Default for HeaderValue {
    fn default() -> Self {
        Self("{}".into())
    }
}

/// `true` for the seed 0, or a seed; `false` for none.
#[derive(Clone, Copy, Debug)]
struct Seed(Option<u64>);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Seed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or a seed, a whole number of at least 0")
            }

            fn visit_bool<E: Error>(self, asked: bool) -> Result<Seed, E> {
                Ok(Seed(asked.then_some(0)))
            }

            fn visit_i64<E: Error>(self, seed: i64) -> Result<Seed, E> {
                let wrong = |_| E::custom(format!("{seed} is not a seed; write a whole number of at least 0"));
                u64::try_from(seed).map(|seed| Seed(Some(seed))).map_err(wrong)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

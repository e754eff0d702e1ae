//! `[lane.NAME]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    suite_file::Jobs,
    table::{Optional, Written, list, settings_table, written},
    value::{Bytes, CauseName, Wait},
};
use host_model::{AgentSettings, Confinement, ConfinementMode, Credential, LaneKind, Ports, Provider, RetryOverride};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A lane as its table has it: settings of every kind of lane side by side.
#[derive(Clone, Debug)]
pub(super) struct LaneForm {
    pub(super) kind: LaneKind,
    pub(super) agent: String,
    pub(super) program: AgentSettings,
    pub(super) provider: Provider,
    pub(super) confinement: Confinement,
    /// The TCP ports to connect to, unless they are the usual ones.
    pub(super) connect: Option<Ports>,
    pub(super) jobs: Option<usize>,
    /// The number of trials in a row that end as faults of the whole lane, after which no more of its trials start.
    pub(super) breaker: u32,
    pub(super) retry: RetryOverride,
}

/// Kinds whose agent is a program of the user's.
const PROGRAMS: &[LaneKind] = &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp, LaneKind::Command];

settings_table! {
    /// `[lane.NAME]`, and `[profile.NAME.lane.NAME]`.
    LaneTable for LaneForm {
        "kind" kind: LaneKind => kind;
        "agent" agent: String => agent, for &[LaneKind::Scripted];
        "command" command: Optional<String> => program.command, for PROGRAMS;
        "path" path: Paths => program.path, for PROGRAMS;
        "model" model: Optional<String> => program.model, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Command];
        "args" args: Vec<String> => program.args, for PROGRAMS;
        "env" env: BTreeMap<String, String> => program.env, for PROGRAMS;
        "version" version: Optional<String> => program.version, for PROGRAMS;
        "credentials" credentials: Vec<WrittenCredential> => program.credentials, for PROGRAMS;
        "required" required: bool => program.required, for PROGRAMS;
        "provider" provider: Optional<String> => provider.name, for &[LaneKind::Codex, LaneKind::Pi];
        "base-url" base_url: Optional<String> => provider.base_url, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
        "api" api: Optional<String> => provider.api, for &[LaneKind::Pi];
        "key-variable" key_variable: Optional<String> => provider.key_variable, for &[LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
        "mode" mode: Optional<String> => program.mode, for &[LaneKind::Acp];
        "config" config: Optional<PathText> => program.config_seed, for PROGRAMS;
        "confinement" confinement: ConfinementMode => confinement.mode;
        "allow-read" allow_read: Paths => confinement.readable;
        "allow-write" allow_write: Paths => confinement.writable;
        "allow-connect" allow_connect: Optional<PortList> => connect;
        "allow-listen" allow_listen: PortList => confinement.tcp_bind;
        "max-processes" max_processes: Optional<u64> => confinement.limits.processes;
        "max-file-size" max_file_size: Optional<Bytes> => confinement.limits.file_size;
        "max-address-space" max_address_space: Optional<Bytes> => confinement.limits.address_space;
        "jobs" jobs: Optional<Jobs> => jobs;
        "breaker" breaker: u32 => breaker;
        "retries" retries: Optional<u32> => retry.retries;
        "retry-on" retry_on: Optional<Vec<CauseName>> => retry.on;
        "retry-delay" retry_delay: Optional<Wait> => retry.delay;
    }
}

/// A path; relative ones are resolved when the whole lane is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct PathText(String);

/// A list of paths.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Paths(Vec<String>);

written! {
    PathText => PathBuf: |path| PathBuf::from(&path.0), |path| Some(path.to_string_lossy().into_owned().into());
    Paths => Vec<PathBuf>:
        |paths| paths.0.iter().map(PathBuf::from).collect(),
        |paths| list(paths.iter().filter_map(PathText::to_toml));
    Vec<WrittenCredential> => Vec<Credential>:
        |written| written.iter().map(WrittenCredential::value).collect(),
        |credentials| list(credentials.iter().filter_map(shown_credential));
    PortList => Ports: |ports| ports.0.clone(), |ports| Some(match ports {
        Ports::Any => "any".into(),
        Ports::Only(ports) => toml::Value::Array(ports.iter().map(|port| i64::from(*port).into()).collect()),
    });
}

impl WrittenCredential {
    fn value(&self) -> Credential {
        match self {
            Self::Variable(name) => Credential::Variable(name.clone()),
            Self::File(FileTable { file, to }) => Credential::File { from: PathBuf::from(file), to: to.clone() },
        }
    }
}

/// The names of a credential, never its content.
fn shown_credential(credential: &Credential) -> Option<toml::Value> {
    Some(match credential {
        Credential::Variable(name) => name.as_str().into(),
        Credential::File { from, to } => toml::Value::Table(
            [("file".to_owned(), PathText::to_toml(from)?), ("to".to_owned(), to.as_str().into())]
                .into_iter()
                .collect(),
        ),
    })
}

/// The name of a variable, or `{ file = "…", to = "…" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WrittenCredential {
    Variable(String),
    File(FileTable),
}

/// A file to log in with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    /// Where the user has it.
    pub(super) file: String,
    /// Where the agent looks for it, within its config dir.
    pub(super) to: String,
}

impl<'de> Deserialize<'de> for WrittenCredential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WrittenCredential;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a variable in quotes, or `{ file = \"PATH\", to = \"PATH\" }`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<WrittenCredential, E> {
                Ok(WrittenCredential::Variable(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenCredential, A::Error> {
                FileTable::deserialize(MapAccessDeserializer::new(map)).map(WrittenCredential::File)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `"any"`, or a list of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortList(pub(super) Ports);

impl<'de> Deserialize<'de> for PortList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyOrList;

        impl<'de> Visitor<'de> for AnyOrList {
            type Value = PortList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of ports such as `[443]`, or `\"any\"`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<PortList, E> {
                match word {
                    "any" => Ok(PortList(Ports::Any)),
                    _ => Err(E::custom(format!(
                        "`{}` is not a list of ports; write `[443]`, or `\"any\"` for all",
                        word.escape_debug()
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PortList, A::Error> {
                let mut ports = Vec::new();
                while let Some(port) = list.next_element::<i64>()? {
                    let known = u16::try_from(port);
                    ports.push(
                        known.map_err(|_| A::Error::custom(format!("`{port}` is not a port; ports are 0 to 65535")))?,
                    );
                }
                Ok(PortList(Ports::Only(ports)))
            }
        }

        deserializer.deserialize_any(AnyOrList)
    }
}

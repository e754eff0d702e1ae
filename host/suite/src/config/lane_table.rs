//! `[lane.NAME]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    suite_file::Jobs,
    table::{Optional, Written, list, settings_table},
    value::{Bytes, CauseName, Wait},
};
use host_model::{
    AgentSettings, Confinement, ConfinementMode, Credential, LaneKind, Ports, Provider, RetryOverride,
    text::did_you_mean,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A lane as its table has it: settings of every kind of lane side by side.
#[derive(Clone, Debug)]
pub(super) struct LaneForm {
    /// Its kind of agent.
    pub(super) kind: LaneKind,
    /// The scripted agent.
    pub(super) agent: String,
    /// The program.
    pub(super) program: AgentSettings,
    /// The model's provider.
    pub(super) provider: Provider,
    /// What the operating system lets the agent use.
    pub(super) confinement: Confinement,
    /// The TCP ports to connect to, unless they are the usual ones.
    pub(super) connect: Option<Ports>,
    /// Attempts in parallel in this lane.
    pub(super) jobs: Option<usize>,
    /// The number of trials in a row that end as faults of the whole lane, after which no more of its trials start.
    pub(super) breaker: u32,
    /// Its retries.
    pub(super) retry: RetryOverride,
}

/// Kinds whose agent is a program of the user's.
const PROGRAMS: &[LaneKind] = &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp, LaneKind::Command];

settings_table! {
    /// `[lane.NAME]`, and `[profile.NAME.lane.NAME]`.
    LaneTable for LaneForm {
        /// Its kind of agent.
        "kind" kind: KindName => kind;
        /// The scripted agent that plays each scenario.
        "agent" agent: String => agent, for &[LaneKind::Scripted];
        /// The program.
        "command" command: Optional<String> => program.command, for PROGRAMS;
        /// Folders that come before the system's in the agent's `PATH`.
        "path" path: Paths => program.path, for PROGRAMS;
        /// The model, by the agent's name for it.
        "model" model: Optional<String> => program.model, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Command];
        /// Further arguments.
        "args" args: Vec<String> => program.args, for PROGRAMS;
        /// Further variables of its environment.
        "env" env: BTreeMap<String, String> => program.env, for PROGRAMS;
        /// The versions that are accepted.
        "version" version: Optional<String> => program.version, for PROGRAMS;
        /// Its credentials.
        "credentials" credentials: Vec<WrittenCredential> => program.credentials, for PROGRAMS;
        /// Whether a missing credential is a fault; else the lane is skipped.
        "required" required: bool => program.required, for PROGRAMS;
        /// The name of the model's provider.
        "provider" provider: Optional<String> => provider.name, for &[LaneKind::Codex, LaneKind::Pi];
        /// The base URL of the provider's API, without `/v1`.
        "base-url" base_url: Optional<String> => provider.base_url, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
        /// The API of the provider.
        "api" api: Optional<String> => provider.api, for &[LaneKind::Pi];
        /// The variable with the provider's key.
        "key-variable" key_variable: Optional<String> => provider.key_variable, for &[LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
        /// The mode of an ACP session.
        "mode" mode: Optional<String> => program.mode, for &[LaneKind::Acp];
        /// A folder of seeds for the config dir.
        "config" config: Optional<PathText> => program.config_seed, for PROGRAMS;
        /// Whether the operating system confines it.
        "confinement" confinement: ModeName => confinement.mode;
        /// Further files that it may read and run.
        "allow-read" allow_read: Paths => confinement.readable;
        /// Further files that it may change.
        "allow-write" allow_write: Paths => confinement.writable;
        /// The TCP ports that it may connect to.
        "allow-connect" allow_connect: Optional<PortList> => connect;
        /// The TCP ports that it may listen on.
        "allow-listen" allow_listen: PortList => confinement.tcp_bind;
        /// Processes and threads of the user.
        "max-processes" max_processes: Optional<u64> => confinement.limits.processes;
        /// Bytes of a file that it writes.
        "max-file-size" max_file_size: Optional<Bytes> => confinement.limits.file_size;
        /// Bytes of a process's address space.
        "max-address-space" max_address_space: Optional<Bytes> => confinement.limits.address_space;
        /// Attempts in parallel in this lane.
        "jobs" jobs: Optional<Jobs> => jobs;
        /// The number of trials in a row that end as faults of the whole lane, after which no more of its trials start; 0
        /// is never.
        "breaker" breaker: u32 => breaker;
        /// Attempts after the first.
        "retries" retries: Optional<u32> => retry.retries;
        /// What a trial is retried after.
        "retry-on" retry_on: Optional<Vec<CauseName>> => retry.on;
        /// Wait before the first retry.
        "retry-delay" retry_delay: Optional<Wait> => retry.delay;
    }
}

/// A path; relative ones are resolved when the whole lane is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct PathText(String);

impl Written for PathText {
    type Value = PathBuf;

    fn value(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }

    fn to_toml(path: &PathBuf) -> Option<toml::Value> {
        Some(path.to_string_lossy().into_owned().into())
    }
}

/// A list of paths.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Paths(Vec<String>);

impl Written for Paths {
    type Value = Vec<PathBuf>;

    fn value(&self) -> Vec<PathBuf> {
        self.0.iter().map(PathBuf::from).collect()
    }

    fn to_toml(paths: &Vec<PathBuf>) -> Option<toml::Value> {
        list(paths.iter().filter_map(PathText::to_toml))
    }
}

impl Written for Vec<WrittenCredential> {
    type Value = Vec<Credential>;

    fn value(&self) -> Vec<Credential> {
        let credential = |written: &WrittenCredential| match written {
            WrittenCredential::Variable(name) => Credential::Variable(name.clone()),
            WrittenCredential::File(FileTable { file, to }) => {
                Credential::File { from: PathBuf::from(file), to: to.clone() }
            }
        };
        self.iter().map(credential).collect()
    }

    /// The names, never what they hold.
    fn to_toml(credentials: &Vec<Credential>) -> Option<toml::Value> {
        list(credentials.iter().filter_map(|credential| {
            match credential {
                Credential::Variable(name) => Some(name.as_str().into()),
                Credential::File { from, to } => Some(toml::Value::Table(
                    [("file".to_owned(), PathText::to_toml(from)?), ("to".to_owned(), to.as_str().into())]
                        .into_iter()
                        .collect(),
                )),
            }
        }))
    }
}

/// A kind of lane, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KindName(pub(super) LaneKind);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map(Self).map_err(|_| {
            let hint = did_you_mean(&word, &LaneKind::ALL.map(LaneKind::as_str), "the known ones are");
            D::Error::custom(format!("unknown lane kind `{}`; {hint}", word.escape_debug()))
        })
    }
}

impl Written for KindName {
    type Value = LaneKind;

    fn value(&self) -> LaneKind {
        self.0
    }

    fn to_toml(kind: &LaneKind) -> Option<toml::Value> {
        Some(kind.as_str().into())
    }
}

/// A way to confine an agent, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModeName(pub(super) ConfinementMode);

impl<'de> Deserialize<'de> for ModeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map(Self).map_err(|_| {
            let hint = did_you_mean(&word, &ConfinementMode::ALL.map(ConfinementMode::as_str), "the known ones are");
            D::Error::custom(format!("unknown confinement mode `{}`; {hint}", word.escape_debug()))
        })
    }
}

impl Written for ModeName {
    type Value = ConfinementMode;

    fn value(&self) -> ConfinementMode {
        self.0
    }

    fn to_toml(mode: &ConfinementMode) -> Option<toml::Value> {
        Some(mode.as_str().into())
    }
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
                    ports.push(known.map_err(|_| A::Error::custom(format!("`{port}` is not a port; ports are 0 to 65535")))?);
                }
                Ok(PortList(Ports::Only(ports)))
            }
        }

        deserializer.deserialize_any(AnyOrList)
    }
}

impl Written for PortList {
    type Value = Ports;

    fn value(&self) -> Ports {
        self.0.clone()
    }

    fn to_toml(ports: &Ports) -> Option<toml::Value> {
        Some(match ports {
            Ports::Any => "any".into(),
            Ports::Only(ports) => toml::Value::Array(ports.iter().map(|port| i64::from(*port).into()).collect()),
        })
    }
}

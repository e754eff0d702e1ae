//! `[lane.NAME]` as written: one list of its keys, and the kinds of lane that each is for.

use std::{collections::BTreeMap, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::{
    source::did_you_mean,
    value::{Bytes, CauseName, Wait},
};
use host_model::{ConfinementMode, LaneKind, Ports};

/// Kinds whose agent is a program of the user's.
const PROGRAMS: &[LaneKind] = &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp, LaneKind::Command];

macro_rules! lane_table {
    ($($(#[doc = $doc:literal])* $key:literal $field:ident: $type:ty, for $kinds:expr;)*) => {
        /// `[lane.NAME]`, and `[profile.NAME.lane.NAME]`.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct LaneTable {
            $($(#[doc = $doc])* #[serde(rename = $key)] pub(super) $field: Option<Spanned<$type>>,)*
        }

        impl LaneTable {
            /// What this table says, and what `base` says where this says nothing.
            pub(super) fn over(&self, base: &Self) -> Self {
                Self { $($field: self.$field.as_ref().or(base.$field.as_ref()).cloned(),)* }
            }

            /// Where its values stand, by key.
            pub(super) fn spans(&self) -> Vec<(&'static str, Range<usize>)> {
                let all = [$(($key, self.$field.as_ref().map(Spanned::span)),)*];
                all.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
            }
        }

        /// The kinds of lane that a key is for.
        pub(super) fn kinds_for(key: &str) -> &'static [LaneKind] {
            match key {
                $($key => $kinds,)*
                _ => &LaneKind::ALL,
            }
        }
    };
}

lane_table! {
    /// Its kind of agent.
    "kind" kind: KindName, for &LaneKind::ALL;
    /// The scripted agent that plays each scenario.
    "agent" agent: String, for &[LaneKind::Scripted];
    /// The program.
    "command" command: String, for PROGRAMS;
    /// Folders that come before the system's in the agent's `PATH`.
    "path" path: Vec<Spanned<String>>, for PROGRAMS;
    /// The model, in the agent's words.
    "model" model: String, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Command];
    /// Further arguments.
    "args" args: Vec<String>, for PROGRAMS;
    /// Further variables of its environment.
    "env" env: BTreeMap<String, String>, for PROGRAMS;
    /// Which versions will do.
    "version" version: String, for PROGRAMS;
    /// What it logs in with.
    "credentials" credentials: Vec<Spanned<WrittenCredential>>, for PROGRAMS;
    /// Whether a missing credential is a fault; else the lane is skipped.
    "required" required: bool, for PROGRAMS;
    /// The name of the model's provider.
    "provider" provider: String, for &[LaneKind::Codex, LaneKind::Pi];
    /// The base URL of the provider's API, without `/v1`.
    "base-url" base_url: String, for &[LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
    /// The API that the provider speaks.
    "api" api: String, for &[LaneKind::Pi];
    /// The variable that holds the provider's key.
    "key-variable" key_variable: String, for &[LaneKind::Codex, LaneKind::Pi, LaneKind::Acp];
    /// The mode of an ACP session.
    "mode" mode: String, for &[LaneKind::Acp];
    /// A folder of seeds for the config dir.
    "config" config: String, for PROGRAMS;
    /// Whether the operating system confines it.
    "confine" confine: ModeName, for &LaneKind::ALL;
    /// What it may read and run besides.
    "readable" readable: Vec<Spanned<String>>, for &LaneKind::ALL;
    /// What it may change besides.
    "writable" writable: Vec<Spanned<String>>, for &LaneKind::ALL;
    /// The TCP ports that it may connect to.
    "connect-ports" connect_ports: PortList, for &LaneKind::ALL;
    /// The TCP ports that it may listen on.
    "listen-ports" listen_ports: PortList, for &LaneKind::ALL;
    /// Processes and threads of the user at once.
    "max-processes" max_processes: u64, for &LaneKind::ALL;
    /// Bytes of a file that it writes.
    "max-file-size" max_file_size: Bytes, for &LaneKind::ALL;
    /// Bytes of a process's address space.
    "max-address-space" max_address_space: Bytes, for &LaneKind::ALL;
    /// Attempts at once in this lane.
    "jobs" jobs: usize, for &LaneKind::ALL;
    /// After so many trials in a row that end as faults of the whole lane nothing more of it starts; 0 is never.
    "breaker" breaker: u32, for &LaneKind::ALL;
    /// Attempts after the first.
    "retries" retries: u32, for &LaneKind::ALL;
    /// What a trial is tried again after.
    "retry-on" retry_on: Vec<CauseName>, for &LaneKind::ALL;
    /// Wait before the first retry.
    "retry-delay" retry_delay: Wait, for &LaneKind::ALL;
}

/// A kind of lane, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KindName(pub(super) LaneKind);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map(Self).map_err(|_| {
            let hint = did_you_mean(&word, &LaneKind::ALL.map(LaneKind::as_str), "known are");
            D::Error::custom(format!("unknown kind of lane `{}`; {hint}", word.escape_debug()))
        })
    }
}

/// A way to confine an agent, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModeName(pub(super) ConfinementMode);

impl<'de> Deserialize<'de> for ModeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map(Self).map_err(|_| {
            let hint = did_you_mean(&word, &ConfinementMode::ALL.map(ConfinementMode::as_str), "known are");
            D::Error::custom(format!("an agent is not confined by `{}`; {hint}", word.escape_debug()))
        })
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
                        "`{}` is no list of ports; write `[443]`, or `\"any\"` for all",
                        word.escape_debug()
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PortList, A::Error> {
                let mut ports = Vec::new();
                while let Some(port) = list.next_element::<i64>()? {
                    let known = u16::try_from(port);
                    ports.push(known.map_err(|_| A::Error::custom(format!("`{port}` is no port: 0 to 65535 are")))?);
                }
                Ok(PortList(Ports::Only(ports)))
            }
        }

        deserializer.deserialize_any(AnyOrList)
    }
}

//! The part of a scripted agent's file that can be played without a host.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;

/// A script file, `scenarios/<name>/agents/<agent>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// One sentence: what this agent does right or wrong.
    pub summary: String,
    pub(super) expect: Expectation,
    #[serde(default, rename = "step")]
    pub(super) steps: Vec<Step>,
}

/// The verdict that a trial with the agent must get.
#[derive(Debug, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Expectation {
    Pass,
    Fail { findings: BTreeSet<String> },
    Skip,
}

/// One step; which one is told by the keys that it has.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Step {
    Say {
        say: String,
    },
    Shell {
        shell: String,
    },
    Write {
        write: String,
        text: String,
    },
    Append {
        append: String,
        text: String,
    },
    Replace {
        replace: String,
        from: String,
        to: String,
    },
    Sleep {
        /// Not waited for.
        #[serde(rename = "sleep")]
        _sleep: String,
    },
    Dispatch {
        dispatch: String,
        #[serde(default)]
        task: String,
    },
    MessageWorker {
        #[serde(rename = "message-worker")]
        message_worker: String,
        text: String,
    },
    Tool {
        tool: String,
        #[serde(default)]
        input: Option<toml::Value>,
        #[serde(default)]
        output: String,
        #[serde(default, rename = "is-error")]
        is_error: bool,
    },
    Usage {
        /// No grader looks at it.
        #[serde(rename = "usage")]
        _usage: toml::Value,
    },
}

impl Script {
    /// Reads a script file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        toml::from_str(&text).map_err(|error| error.to_string())
    }
}

use serde::{Deserialize, Serialize};

use super::{Conclusion, Fault, SessionEvent, Usage};

/// Version of what is kept for `host regrade`; a record of another version is not replayed.
pub const REPLAY_SCHEMA: u32 = 1;

/// One line of a session's `replay.jsonl`: what its component asked, and what it was answered.
///
/// Events are all that the turn had, whether the component fetched them or its `send` or `conclude` dropped them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ReplayStep {
    /// The first line: the component started the session.
    Start {
        /// [`REPLAY_SCHEMA`].
        schema: u32,
        /// The first message.
        prompt: String,
    },
    /// An event of the turn.
    Event(SessionEvent),
    /// The turn is over: no event more.
    TurnEnd {
        /// Root and config dir at that moment.
        tree: RecordedTree,
    },
    /// The component gave the agent another message.
    Send {
        /// The message.
        message: String,
    },
    /// The session is concluded; the last line.
    Concluded {
        /// The agent's last message to the person.
        final_message: String,
        /// Why the agent stopped, in its words.
        stop_reason: String,
        /// Turns of the conversation.
        turns: u32,
        /// The usage of the whole session.
        usage: Usage,
        /// Milliseconds from start to conclusion.
        duration_ms: u64,
        /// Root and config dir at that moment.
        tree: RecordedTree,
    },
    /// The session broke; the last line.
    Fault {
        /// The call that was answered with it: `start`, `next-event`, `send`, `conclude`, or `end`, which is the host's.
        call: String,
        /// The fault.
        fault: Fault,
    },
}

/// Root and config dir at one moment of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum RecordedTree {
    /// They are in `tree-NUMBER.tar` of the attempt's folder.
    Kept {
        /// From 1, in the order in which the attempt's trees were kept.
        number: u32,
        /// The file's size: a file of another size is not the one that was kept.
        bytes: u64,
    },
    /// They could not be kept.
    Lost {
        /// Why not.
        reason: String,
    },
}

impl ReplayStep {
    /// The line for a conclusion.
    #[must_use]
    pub fn concluded(conclusion: &Conclusion, tree: RecordedTree) -> Self {
        Self::Concluded {
            final_message: conclusion.final_message.clone(),
            stop_reason: conclusion.stop_reason.clone(),
            turns: conclusion.turns,
            usage: conclusion.usage.clone(),
            duration_ms: u64::try_from(conclusion.duration.as_millis()).unwrap_or(u64::MAX),
            tree,
        }
    }
}

/// The name of a kept tree in its attempt's folder.
#[must_use]
pub fn tree_file(number: u32) -> String {
    format!("tree-{number}.tar")
}

/// A session's replay, in the folder of its record.
pub const REPLAY_FILE: &str = "replay.jsonl";

/// What a run has in [`FIXTURES_FOLDER`] beside the images.
pub const FIXTURES_FILE: &str = "fixtures.json";

/// The folder of a run directory that holds the fixtures.
pub const FIXTURES_FOLDER: &str = "fixtures";

/// `fixtures.json` of a run: what its scenarios started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedFixtures {
    /// [`REPLAY_SCHEMA`].
    pub schema: u32,
    /// The scenarios that have a fixture.
    pub fixtures: Vec<RecordedFixture>,
}

/// The fixture of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedFixture {
    /// The plugin's label in this run.
    pub plugin: String,
    /// The scenario's own name.
    pub scenario: String,
    /// Where it is.
    #[serde(flatten)]
    pub kept: KeptFixture,
}

/// Where a fixture is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum KeptFixture {
    /// In a file beside `fixtures.json`: `before/`, `config/`, `folders/`, and `root/` where it differs, as far as there
    /// are any.
    Kept {
        /// Its name.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// It could not be kept.
    Lost {
        /// Why not.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{FaultClass, SessionEventKind};

    #[test]
    fn every_step_reads_back() {
        let conclusion = Conclusion {
            final_message: "done".into(),
            stop_reason: "end-turn".into(),
            turns: 2,
            usage: Usage { input_tokens: Some(3), ..Usage::default() },
            duration: Duration::from_millis(1500),
        };
        let call = SessionEventKind::ToolCall {
            id: "1".into(),
            name: "shell".into(),
            input: serde_json::json!({"n": 1e300, "big": u64::MAX, "list": [null]}),
        };
        for step in [
            ReplayStep::Start { schema: REPLAY_SCHEMA, prompt: "go".into() },
            ReplayStep::Event(SessionEvent { at_ms: 7, kind: call }),
            ReplayStep::Event(SessionEvent { at_ms: 8, kind: SessionEventKind::Usage(Usage::default()) }),
            ReplayStep::TurnEnd { tree: RecordedTree::Lost { reason: "a socket".into() } },
            ReplayStep::Send { message: "more".into() },
            ReplayStep::concluded(&conclusion, RecordedTree::Kept { number: 2, bytes: 10_240 }),
            ReplayStep::Fault { call: "send".into(), fault: Fault::new(FaultClass::Crash, "it died") },
        ] {
            let line = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<ReplayStep>(&line).unwrap(), step, "{line}");
        }
        let fixture = RecordedFixture {
            plugin: "gate".into(),
            scenario: "gate".into(),
            kept: KeptFixture::Kept { file: "gate-1.tar".into(), bytes: 1 },
        };
        let line = serde_json::to_string(&fixture).unwrap();
        assert_eq!(line, r#"{"plugin":"gate","scenario":"gate","kept":{"file":"gate-1.tar","bytes":1}}"#);
        assert_eq!(serde_json::from_str::<RecordedFixture>(&line).unwrap(), fixture);
    }
}

//! The language of a kind of agent: what a line of its output means.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use host_model::{Fault, FaultClass, Redactor, SessionEventKind};

use crate::{
    exit::AgentExit,
    json::{
        line::{Line, LineContent, ParsedJson},
        shape::WantedFields,
    },
};

/// What a line of an agent means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ParsedLine {
    Event(SessionEventKind),
    /// Nothing that an event should tell: the line is in the record of the stream only.
    Ignored,
    /// This line is for the agent's standard input.
    Reply(String),
    /// The turn is over.
    Finished {
        stop_reason: String,
    },
    /// The turn is over once the agent's output ends or it is silent for `exit_grace`: until then it may still write to
    /// its files, or start anew by itself. Of several ones the last counts.
    Idle {
        stop_reason: String,
    },
    /// The turn is over once the agent has been silent for this long, or its output ends: words that belong to the turn
    /// may come right behind its end. [`Dialect::settled`] then says how it ended.
    FinishedAfterSilence {
        silence: Duration,
    },
    /// A line that may have been a message could not be read: an earlier message is not the final one.
    LostMessage,
    /// The agent cannot go on.
    Failed(Fault),
}

/// The language of a kind of agent.
pub(crate) trait Dialect: Send {
    /// What it needs of each line of JSON. `None` if its lines are text.
    fn wanted_fields(&self) -> Option<&'static WantedFields>;

    /// What a value means; nothing, if it is not understood. Such a line is kept as it is.
    fn parse_json(&mut self, _json: &ParsedJson) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// What a line means that is not JSON.
    fn parse_text(&mut self, _line: &str) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// What a damaged line means, of which the members before the damage are known. It is kept as it is too.
    fn parse_damaged(&mut self, _json: &ParsedJson) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// Begins a turn, for an agent that is told so on its standard input.
    fn begin_turn(&mut self, _message: &str) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// How a turn ended that was [`ParsedLine::FinishedAfterSilence`].
    fn finish_turn(&mut self) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// What a line means, as the reader of a session finds it.
    #[cfg(test)]
    fn parse(&mut self, line: &str) -> Vec<ParsedLine> {
        let Some(wanted) = self.wanted_fields() else { return self.parse_text(line) };
        let lines = crate::json::tests::lines(wanted, format!("{line}\n").as_bytes());
        lines.iter().flat_map(|line| self.parse_line(line, &Redactor::default())).collect()
    }

    /// What a line means, of whatever sort it is.
    fn parse_line(&mut self, line: &Line, redactor: &Redactor) -> Vec<ParsedLine> {
        match &line.content {
            LineContent::Json(json) => self.parse_json(json),
            LineContent::Damaged(json) => self.parse_damaged(json),
            LineContent::Text => self.parse_text(&line.text(redactor)),
            LineContent::Incomplete => Vec::new(),
        }
    }

    /// What it means that the agent's process has ended, and all that it printed was read, before the turn was over.
    /// Nothing, if that is a crash. `stderr` is the end of what it wrote there.
    fn process_exited(&mut self, _exit: &AgentExit, _stderr: &str) -> Vec<ParsedLine> {
        Vec::new()
    }
}

/// What was heard of a turn, whether the component fetched its events or not.
#[derive(Debug, Default)]
pub(crate) struct TurnState {
    /// The stop reason, or why the agent could not go on. The first end of the turn counts.
    pub(crate) outcome: Option<Result<String, Fault>>,
    /// The end of stderr.
    pub(crate) stderr: Vec<u8>,
}

impl TurnState {
    pub(crate) fn with<T>(this: &Mutex<Self>, with: impl FnOnce(&mut Self) -> T) -> T {
        with(&mut this.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it means that the agent ended in this way, when nobody had asked it to.
    pub(crate) fn fault_of(&self, exit: &AgentExit) -> Option<Fault> {
        let (class, mut message) = match (&self.outcome, exit) {
            (Some(Err(fault)), _) => return Some(fault.clone()),
            (Some(Ok(_)), AgentExit::Code(0)) => return None,
            (_, AgentExit::NotStarted(reason)) => return Some(Fault::of_launch(reason.clone())),
            (Some(Ok(_)), _) => {
                let lost = "the end of its transcript may be lost";
                (FaultClass::Crash, format!("the agent broke down after it had finished its turn: {exit}; {lost}"))
            }
            (None, _) => (FaultClass::Crash, format!("the agent ended without finishing its turn: {exit}")),
        };
        match String::from_utf8_lossy(&self.stderr).trim() {
            "" => message.push_str("; it wrote nothing to stderr"),
            tail => message.push_str(&format!("; the end of its stderr:\n{tail}{}", hint(tail))),
        }
        Some(Fault::new(class, message))
    }
}

/// What to do about a refusal that an agent tells of.
pub(crate) fn hint(stderr: &str) -> &'static str {
    const REFUSED: [&str; 4] = ["Permission denied", "permission denied", "EACCES", "Operation not permitted"];
    const SHORT: [&str; 6] = [
        "Resource temporarily unavailable",
        "Cannot fork",
        "Cannot allocate memory",
        "Too many open files",
        "No space left on device",
        "Disk quota exceeded",
    ];
    if REFUSED.iter().any(|words| stderr.contains(words)) {
        "\n(a confined agent reaches only what its lane lists: `readable`, `writable`, `connect-ports`)"
    } else if SHORT.iter().any(|words| stderr.contains(words)) {
        "\n(the machine may have run out of something: see `resources` in docs/guides/troubleshooting.md, or lower `--jobs`)"
    } else {
        ""
    }
}

//! The output format of a kind of agent: what each line means.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use host_model::{Fault, FaultClass, Redactor, SessionEventKind};

use crate::{
    exit::AgentExit,
    json::{
        line::{LineContent, OutputLine, ParsedJson},
        wanted_fields::WantedFields,
    },
};

/// The meaning of a line of output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ParsedLine {
    Event(SessionEventKind),
    /// The line produces no event; it is only in the recorded stream.
    Ignored,
    /// Write this line to the agent's standard input.
    Reply(String),
    /// The turn is over.
    Finished {
        stop_reason: String,
    },
    /// The turn is over once the agent's output ends or pauses for `exit_grace`: until then the agent may still write
    /// files or resume on its own. The last one counts.
    Idle {
        stop_reason: String,
    },
    /// The turn is over once the agent's output ends or pauses for `silence`: messages that belong to the turn may
    /// follow its end. [`Dialect::finish_turn`] then decides the outcome.
    FinishedAfterSilence {
        silence: Duration,
    },
    /// A line that may have been a message could not be parsed, so an earlier message is not the final one.
    LostMessage,
    Failed(Fault),
}

impl ParsedLine {
    pub(crate) fn failed(class: FaultClass, message: impl Into<String>) -> Self {
        Self::Failed(Fault::new(class, message))
    }
}

pub(crate) trait Dialect: Send {
    /// The fields this dialect needs of each JSON line. `None` if lines are text.
    fn wanted_fields(&self) -> Option<&'static WantedFields>;

    /// Parses a JSON value. Returns nothing if it is unknown; the line then becomes a raw event.
    fn parse_json(&mut self, _json: &ParsedJson) -> Vec<ParsedLine> {
        Vec::new()
    }

    fn parse_text(&mut self, _line: &str) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// Parses the fields before the damage in a damaged line. The line also becomes a raw event.
    fn parse_damaged(&mut self, _json: &ParsedJson) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// Begins a turn of an agent that reads messages from its standard input.
    fn begin_turn(&mut self, _message: &str) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// Finishes a turn that ended with [`ParsedLine::FinishedAfterSilence`].
    fn finish_turn(&mut self) -> Vec<ParsedLine> {
        Vec::new()
    }

    /// Parses a line the way a session does.
    #[cfg(test)]
    fn parse(&mut self, line: &str) -> Vec<ParsedLine> {
        let Some(wanted) = self.wanted_fields() else { return self.parse_text(line) };
        let lines = crate::json::tests::lines(wanted, format!("{line}\n").as_bytes());
        lines.iter().flat_map(|line| self.parse_line(line, &Redactor::default())).collect()
    }

    fn parse_line(&mut self, line: &OutputLine, redactor: &Redactor) -> Vec<ParsedLine> {
        match &line.content {
            LineContent::Json(json) => self.parse_json(json),
            LineContent::Damaged(json) => self.parse_damaged(json),
            LineContent::Text => self.parse_text(&line.text(redactor)),
            LineContent::Incomplete => Vec::new(),
        }
    }

    /// Called when the process exited before the turn was over and all of its output was read. Returns nothing if that
    /// is a crash. `stderr` is the end of its stderr.
    fn process_exited(&mut self, _exit: &AgentExit, _stderr: &str) -> Vec<ParsedLine> {
        Vec::new()
    }
}

/// What is known of a turn, even if the component has not fetched its events.
#[derive(Debug, Default)]
pub(crate) struct TurnState {
    /// The stop reason, or why the agent could not continue. The first end of the turn counts.
    pub(crate) outcome: Option<Result<String, Fault>>,
    /// The end of stderr.
    pub(crate) stderr: Vec<u8>,
}

impl TurnState {
    pub(crate) fn with<T>(this: &Mutex<Self>, with: impl FnOnce(&mut Self) -> T) -> T {
        with(&mut this.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The fault of an agent that exited like this without being asked to.
    pub(crate) fn fault_of(&self, exit: &AgentExit) -> Option<Fault> {
        let (class, mut message) = match (&self.outcome, exit) {
            (Some(Err(fault)), _) => return Some(fault.clone()),
            (Some(Ok(_)), AgentExit::Code(0)) => return None,
            (_, AgentExit::NotStarted(reason)) => return Some(Fault::of_launch(reason.clone())),
            (Some(Ok(_)), _) => {
                let lost = "the end of its transcript may be missing";
                (FaultClass::Crash, format!("the agent crashed after it had finished its turn: {exit}; {lost}"))
            }
            (None, _) => (FaultClass::Crash, format!("the agent exited without finishing its turn: {exit}")),
        };
        match String::from_utf8_lossy(&self.stderr).trim() {
            "" => message.push_str("; it wrote nothing to stderr"),
            tail => message.push_str(&format!("; the end of its stderr:\n{tail}{}", error_hint(tail))),
        }
        Some(Fault::new(class, message))
    }
}

/// A hint for an error that an agent printed.
pub(crate) fn error_hint(stderr: &str) -> &'static str {
    const PERMISSION_ERRORS: [&str; 4] =
        ["Permission denied", "permission denied", "EACCES", "Operation not permitted"];
    const SHORTAGE_ERRORS: [&str; 6] = [
        "Resource temporarily unavailable",
        "Cannot fork",
        "Cannot allocate memory",
        "Too many open files",
        "No space left on device",
        "Disk quota exceeded",
    ];
    if PERMISSION_ERRORS.iter().any(|words| stderr.contains(words)) {
        "\n(a confined agent can access only what its lane allows: `allow-read`, `allow-write`, `allow-connect`)"
    } else if SHORTAGE_ERRORS.iter().any(|words| stderr.contains(words)) {
        "\n(the machine may have run out of a resource: see `resources` in docs/guides/troubleshooting.md, or lower `--jobs`)"
    } else {
        ""
    }
}

//! The lane kind `command`: any program that takes a prompt, prints lines and exits.
//!
//! The lane's `args` are its arguments. In each of them, `{prompt}` is replaced by the prompt, `{prompt-file}` by the
//! path of a file that holds it, and `{model}` by the lane's model. Without the first two, the prompt is passed on
//! standard input.
//!
//! Every line of stdout is a raw event. Exit code 0 ends the turn, and the last 64 KiB of stdout, in whole lines, are
//! the final message (only the beginning of a line longer than 1 MiB); any other exit is a crash. There are no tool
//! calls, usage, back-offs or second turns.

use std::collections::VecDeque;

use crate::{
    agent_program::{AgentProgram, Invocation, TurnRequest},
    conversation::Conversation,
    dialect::{Dialect, ParsedLine},
    exit::AgentExit,
    json::wanted_fields::WantedFields,
    safe_dir::write_new_file,
};
use host_model::{AgentSettings, Fault, FaultClass, LaneKind, SessionEventKind};

#[cfg(test)]
mod tests;

/// How many bytes of stdout the final message may have.
const MAX_FINAL_MESSAGE: usize = 64 << 10;

pub(crate) struct CommandProgram;

impl AgentProgram for CommandProgram {
    fn kind(&self) -> LaneKind {
        LaneKind::Command
    }

    fn invocation(&self, request: &TurnRequest<'_>) -> Result<Invocation, Fault> {
        if request.turn > 1 {
            let message = "a lane of kind `command` has one turn per session, but the scenario sent another message";
            return Err(Fault::new(FaultClass::Protocol, message));
        }
        let settings = request.settings;
        let uses = |placeholder: &str| settings.args.iter().any(|arg| arg.contains(placeholder));
        let mut file = None;
        if uses("{prompt-file}") || !uses("{prompt}") {
            let path = request.tmp_dir.join(format!("prompt-{}.txt", request.session_id));
            write_new_file(&path, request.message.as_bytes()).map_err(|error| {
                Fault::of_host(format_args!("cannot write the prompt to {}", path.display()), &error)
            })?;
            file = Some(path);
        }
        let path_text = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let model = settings.model.as_deref().unwrap_or_default();
        let placeholders = [("{prompt}", request.message), ("{prompt-file}", path_text.as_str()), ("{model}", model)];
        let args = settings.args.iter().map(|arg| substitute(arg, &placeholders).into()).collect();
        let stdin = file.filter(|_| !uses("{prompt-file}"));
        Ok(Invocation { args, stdin })
    }

    fn dialect(&self, _conversation: &Conversation, _settings: &AgentSettings) -> Box<dyn Dialect> {
        Box::new(CommandDialect::default())
    }
}

/// Replaces every placeholder in `text` once; placeholders within the values are not replaced.
fn substitute(text: &str, placeholders: &[(&str, &str)]) -> String {
    let mut substitute = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        substitute.push_str(&rest[..at]);
        rest = &rest[at..];
        match placeholders.iter().find(|(placeholder, _)| rest.starts_with(placeholder)) {
            Some((placeholder, value)) => {
                substitute.push_str(value);
                rest = &rest[placeholder.len()..];
            }
            None => {
                substitute.push('{');
                rest = &rest[1..];
            }
        }
    }
    substitute + rest
}

#[derive(Default)]
struct CommandDialect {
    /// The last lines.
    lines: VecDeque<String>,
    bytes: usize,
}

impl CommandDialect {
    fn push_line(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > MAX_FINAL_MESSAGE && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |first| first.len() + 1);
        }
    }
}

impl Dialect for CommandDialect {
    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        None
    }

    fn parse_text(&mut self, line: &str) -> Vec<ParsedLine> {
        self.push_line(line.to_owned());
        Vec::new()
    }

    fn process_exited(&mut self, exit: &AgentExit, _stderr: &str) -> Vec<ParsedLine> {
        if *exit != AgentExit::Code(0) {
            return Vec::new();
        }
        let mut parsed = Vec::new();
        let lines: Vec<String> = std::mem::take(&mut self.lines).into();
        let text = lines.join("\n").trim().to_owned();
        if !text.is_empty() {
            parsed.push(ParsedLine::Event(SessionEventKind::Message { text }));
        }
        parsed.push(ParsedLine::Finished { stop_reason: "exit code 0".into() });
        parsed
    }
}

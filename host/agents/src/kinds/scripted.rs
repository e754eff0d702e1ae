//! The lane kind `scripted`: the host's own `host agent`, started like any other agent.

use std::{ffi::OsString, path::PathBuf};

use serde::Deserialize;

use crate::{
    dialect::{Dialect, ParsedLine},
    external::environment::agent_environment,
    json::{line::ParsedJson, values::text, wanted_fields::WantedFields},
    lane::{Lane, LaneFuture, Protection, Session, SessionSpec},
    session::{
        id::new_session_id,
        process::{AgentCommand, HostProgram},
        turn_session::{TurnAgent, TurnSession},
    },
};
use host_model::{AgentSettings, Confinement, Fault, FaultClass, LaneKind, Redactor, SessionEventKind};

const WANTED: WantedFields = WantedFields {
    facts: &[
        "type",
        "id",
        "name",
        "session-id",
        "model",
        "attempt",
        "delay-ms",
        "reason",
        "stop-reason",
        "class",
        "message",
        "is-error",
        "input-tokens",
        "cached-input-tokens",
        "output-tokens",
        "cost-micro-usd",
    ],
    texts: &["text", "output"],
};

#[derive(Debug)]
pub(crate) struct ScriptedLane {
    pub(super) host: HostProgram,
    pub(super) protection: Protection,
}

impl Lane for ScriptedLane {
    fn kind(&self) -> LaneKind {
        LaneKind::Scripted
    }

    fn start(&self, spec: SessionSpec) -> LaneFuture<'_, Box<dyn Session>> {
        Box::pin(async move {
            let Some(script) = spec.script.clone() else {
                let message = "a scripted lane needs a script: add `agents/NAME.toml` to the scenario's folder";
                return Err(Fault::new(FaultClass::Launch, message));
            };
            let id = new_session_id();
            let own = [&spec.root, &spec.config_dir, &spec.home, &spec.tmp].map(Clone::clone);
            let readable = std::iter::once(script.clone()).chain(spec.bin.clone());
            let confinement = self.protection.confinement.clone().and(own, readable).with_view(spec.view.clone());
            let agent =
                ScriptedTurnAgent { host: self.host.clone(), script, id: id.clone(), spec: spec.clone(), confinement };
            TurnSession::start(self.host.clone(), self.kind(), id, Box::new(agent), &spec, self.redactor()).await
        })
    }

    fn redactor(&self) -> Redactor {
        self.protection.redactor.clone()
    }
}

struct ScriptedTurnAgent {
    host: HostProgram,
    script: PathBuf,
    id: String,
    spec: SessionSpec,
    confinement: Confinement,
}

impl TurnAgent for ScriptedTurnAgent {
    fn command(&self, turn: u32, message: &str) -> Result<AgentCommand, Fault> {
        let spec = &self.spec;
        let args: Vec<OsString> = vec![
            "agent".into(),
            "--script".into(),
            self.script.clone().into(),
            "--turn".into(),
            turn.to_string().into(),
            "--session".into(),
            self.id.clone().into(),
            // Joined, so that a message that looks like a flag is not one.
            format!("--prompt={message}").into(),
        ];
        let settings = AgentSettings::new(LaneKind::Scripted);
        let env = agent_environment(&settings, spec, Vec::new(), Vec::new());
        let (program, cwd) = (self.host.path().to_owned(), spec.root.clone());
        Ok(AgentCommand { program, args, env, cwd, stdin: None, confinement: self.confinement.clone() })
    }

    fn dialect(&self) -> Box<dyn Dialect> {
        Box::new(ScriptedDialect)
    }
}

/// The scripted agent prints events in the model's format, and two more kinds of lines.
struct ScriptedDialect;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum FinalLine {
    Finished { stop_reason: String },
    Error { class: String, message: String },
}

impl Dialect for ScriptedDialect {
    fn wanted_fields(&self) -> Option<&'static WantedFields> {
        Some(&WANTED)
    }

    fn parse_json(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        match SessionEventKind::deserialize(&json.value) {
            // Agents do not send raw events: the line itself becomes one.
            Ok(SessionEventKind::Raw { .. }) => Vec::new(),
            Ok(kind) => vec![ParsedLine::Event(kind)],
            Err(_) => match FinalLine::deserialize(&json.value) {
                Ok(FinalLine::Finished { stop_reason }) => vec![ParsedLine::Finished { stop_reason }],
                Ok(FinalLine::Error { class, message }) => vec![ParsedLine::Failed(fault(&class, &message))],
                Err(_) => Vec::new(),
            },
        }
    }

    fn parse_damaged(&mut self, json: &ParsedJson) -> Vec<ParsedLine> {
        if text(&json.value, "type") == "message" { vec![ParsedLine::LostMessage] } else { Vec::new() }
    }
}

fn fault(class: &str, message: &str) -> Fault {
    match class {
        "unauthorized" => Fault::new(FaultClass::Launch, format!("the provider refused the agent's login: {message}")),
        "overloaded" => Fault::new(FaultClass::Overload, format!("the agent gave up on its provider: {message}")),
        "script" => Fault::new(FaultClass::Protocol, format!("the agent's script failed: {message}")),
        other => Fault::new(FaultClass::Crash, format!("the agent stopped ({other}): {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<ParsedLine> {
        ScriptedDialect.parse(line)
    }

    #[test]
    fn every_kind_of_line_is_parsed() {
        let usage = r#"{"type":"usage","input-tokens":3}"#;
        assert!(
            matches!(&read(usage)[..], [ParsedLine::Event(SessionEventKind::Usage(usage))] if usage.input_tokens == Some(3))
        );
        let finished = read(r#"{"stop-reason":"end-turn","type":"finished"}"#);
        assert_eq!(finished, [ParsedLine::Finished { stop_reason: "end-turn".into() }]);
        for (class, expected) in [
            ("unauthorized", FaultClass::Launch),
            ("overloaded", FaultClass::Overload),
            ("script", FaultClass::Protocol),
            ("boom", FaultClass::Crash),
        ] {
            let line = format!(r#"{{"type":"error","class":"{class}","message":"why"}}"#);
            let parsed = read(&line);
            assert!(
                matches!(&parsed[..], [ParsedLine::Failed(it)] if it.class == expected && it.message.contains("why"))
            );
        }
    }

    #[test]
    fn unknown_lines_are_ignored() {
        let deep = "[".repeat(100_000);
        for line in ["", "garbage", "{", r#"{"type":"later"}"#, r#"{"type":"raw","line":"x"}"#, "null", "[]", &deep] {
            assert_eq!(read(line), [], "{}", &line[..line.len().min(40)]);
        }
    }
}

//! The start of a session and of each of its turns.

use serde_json::{Value, json};

use crate::{
    dialect::ParsedLine,
    json::values::{list, name, text},
    kinds::acp::{
        AcpDialect, NEW_SESSION, SET_MODE,
        messages::{error_text, model, request},
    },
};
use host_model::{Fault, FaultClass};

/// The modes of `claude-agent-acp` and `codex-acp` without permission requests. The confinement decides what an agent
/// may do.
const UNRESTRICTED_MODES: [&str; 2] = ["bypassPermissions", "agent-full-access"];

impl AcpDialect {
    pub(super) fn prompt(&mut self, message: &str) -> ParsedLine {
        self.prompt_id = self.prompt_id.max(NEW_SESSION) + 1;
        self.busy = true;
        (self.acted, self.failed, self.final_result) = (false, false, None);
        let session = self.conversation.id().unwrap_or_default();
        let prompt = json!([{ "type": "text", "text": message }]);
        request(self.prompt_id, "session/prompt", &json!({ "sessionId": session, "prompt": prompt }))
    }

    pub(super) fn started(&mut self, result: &Value) -> Vec<ParsedLine> {
        let id = name(result, "sessionId");
        let Some(started) = self.conversation.started(id.clone(), model(result)) else {
            let message = "the agent's response to `session/new` has no session id";
            return vec![ParsedLine::failed(FaultClass::Protocol, message)];
        };
        let next = match self.wanted_mode(&result["modes"]) {
            Ok(Some(mode)) => request(SET_MODE, "session/set_mode", &json!({ "sessionId": id, "modeId": mode })),
            Ok(None) => {
                let first_message = self.first_message.take().unwrap_or_default();
                self.prompt(&first_message)
            }
            Err(problem) => ParsedLine::failed(FaultClass::Launch, problem),
        };
        vec![started, next]
    }

    /// The mode to switch the session to, unless it is in it already.
    fn wanted_mode(&self, modes: &Value) -> Result<Option<String>, String> {
        let offered: Vec<&str> = list(modes, "availableModes").iter().map(|mode| text(mode, "id")).collect();
        let wanted = match self.mode.as_deref() {
            Some(mode) if !offered.contains(&mode) => {
                let offered =
                    if offered.is_empty() { "none".to_owned() } else { format!("`{}`", offered.join("`, `")) };
                return Err(format!("the lane requires the mode `{mode}`, but the agent offers {offered}"));
            }
            Some(mode) => Some(mode),
            None => UNRESTRICTED_MODES.into_iter().find(|mode| offered.contains(mode)),
        };
        Ok(wanted.filter(|mode| *mode != text(modes, "currentModeId")).map(str::to_owned))
    }

    /// An error before the first prompt. An unknown one is attributed to the lane: it would happen again.
    pub(super) fn start_error(&self, error: &Value) -> ParsedLine {
        let mut fault = self.provider_error(error, "");
        if fault.class == FaultClass::Crash {
            fault = Fault::new(
                FaultClass::Launch,
                format!("the agent did not start its session: {}", error_text(error, "")),
            );
        }
        ParsedLine::Failed(fault)
    }
}

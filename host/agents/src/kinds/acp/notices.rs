//! What adapters report outside of the protocol: retries, failures, warnings, a banner.

use serde_json::Value;

use crate::{json::values::text, kinds::codex};
use host_model::BackOff;

/// A message that is not from the model.
#[derive(Debug, PartialEq)]
pub(super) enum Notice {
    BackOff(BackOff),
    /// Nothing of interest.
    Noise,
}

/// Recognizes a message that is not from the model. Such a message is complete and has no id.
pub(super) fn notice(words: &str) -> Option<Notice> {
    // pi-acp 0.0.34.
    if let Some(rest) = words.strip_prefix("Retrying (attempt ") {
        let number =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse::<u32>().ok());
        let delay = rest.split_once("waiting ").and_then(|(_, delay)| number(delay));
        let delay_ms = delay.map(|seconds| u64::from(seconds) * 1000);
        return Some(Notice::BackOff(BackOff { attempt: number(rest), delay_ms, reason: words.to_owned() }));
    }
    // pi-acp 0.0.34 and codex-acp 2.6.
    let banner = words.starts_with("pi v") && words.ends_with("---\n");
    (banner || words.starts_with("Retry finished") || words.starts_with("Warning: ")).then_some(Notice::Noise)
}

/// What codex-acp 2.6 reports about Codex in a `session_info_update`.
#[derive(Debug, PartialEq)]
pub(super) enum CodexNotice {
    BackOff(BackOff),
    /// The turn continues.
    Active,
    /// The turn has failed: the error follows as a message, then a normal end.
    Failed,
}

pub(super) fn codex_notice(update: &Value) -> Option<CodexNotice> {
    let codex = &update["_meta"]["codex"];
    match text(&codex["threadStatus"], "type") {
        "active" => return Some(CodexNotice::Active),
        "systemError" => return Some(CodexNotice::Failed),
        _ => {}
    }
    let error = &codex["error"];
    if error["willRetry"] != true {
        return None;
    }
    let message = text(error, "message");
    let unknown = || BackOff { attempt: None, delay_ms: None, reason: message.to_owned() };
    let mut back_off = codex::back_off(message).unwrap_or_else(unknown);
    let details = text(error, "additionalDetails");
    if !details.is_empty() {
        back_off.reason = details.to_owned();
    }
    Some(CodexNotice::BackOff(back_off))
}

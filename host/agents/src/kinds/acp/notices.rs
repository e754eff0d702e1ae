//! What adapters tell beside the protocol: that they try again, that they have failed, warnings, a banner.

use serde_json::Value;

use crate::{
    json::values::{member, text},
    kinds::codex,
};
use host_model::BackOff;

/// What a message means that is not the model's.
#[derive(Debug, PartialEq)]
pub(super) enum Notice {
    BackOff(BackOff),
    /// Nothing that matters.
    Noise,
}

/// What a message of an adapter means that is not the model's: it comes whole, and without a name.
pub(super) fn notice(words: &str) -> Option<Notice> {
    // pi-acp 0.0.34.
    if let Some(rest) = words.strip_prefix("Retrying (attempt ") {
        let number =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse::<u32>().ok());
        let delay = rest.split_once("waiting ").and_then(|(_, delay)| number(delay));
        let delay_ms = delay.map(|seconds| u64::from(seconds) * 1000);
        return Some(Notice::BackOff(BackOff { attempt: number(rest), delay_ms, reason: words.to_owned() }));
    }
    // Of the same, and codex-acp 2.6.
    let banner = words.starts_with("pi v") && words.ends_with("---\n");
    (banner || words.starts_with("Retry finished") || words.starts_with("Warning: ")).then_some(Notice::Noise)
}

/// What codex-acp 2.6 tells of Codex in a `session_info_update`.
#[derive(Debug, PartialEq)]
pub(super) enum CodexNotice {
    BackOff(BackOff),
    /// Its turn goes on.
    Active,
    /// Its turn has failed: what follows is the error in words, as a message, and an end as if all were well.
    Failed,
}

pub(super) fn codex_notice(update: &Value) -> Option<CodexNotice> {
    let codex = member(member(update, "_meta"), "codex");
    match text(member(codex, "threadStatus"), "type") {
        "active" => return Some(CodexNotice::Active),
        "systemError" => return Some(CodexNotice::Failed),
        _ => {}
    }
    let error = member(codex, "error");
    if member(error, "willRetry") != &Value::Bool(true) {
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

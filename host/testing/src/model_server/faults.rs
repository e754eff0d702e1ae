//! How a provider fails: the modes of a URL, and what each interface says then.

use std::{fmt, str::FromStr, time::Duration};

use serde_json::{Value, json};

use super::{log::Api, script::Obstacle};

/// How the provider behaves: `ok`, or `[afterN-][failM-]FAULT`. With `after` the first N answers of a conversation are
/// fine; with `fail` only M requests fail. Faults are the status codes `400 401 403 404 429 500 503 529`,
/// `429-retry-after`, `quota`, `silent`, `silent-mid-stream`, `dropped`, `dropped-mid-stream`, `overloaded-event` and
/// `bad-json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    pub(super) after: usize,
    pub(super) failures: Option<u32>,
    pub(super) fault: Option<Fault>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Status(u16),
    /// 429 with a header that names a second.
    RetryAfter,
    /// 429, and asking again is of no use.
    Quota,
    Silent,
    SilentMidStream,
    Dropped,
    DroppedMidStream,
    OverloadedEvent,
    BadJson,
}

const FAULTS: &[(&str, Fault)] = &[
    ("400", Fault::Status(400)),
    ("401", Fault::Status(401)),
    ("403", Fault::Status(403)),
    ("404", Fault::Status(404)),
    ("429", Fault::Status(429)),
    ("500", Fault::Status(500)),
    ("503", Fault::Status(503)),
    ("529", Fault::Status(529)),
    ("429-retry-after", Fault::RetryAfter),
    ("quota", Fault::Quota),
    ("silent", Fault::Silent),
    ("silent-mid-stream", Fault::SilentMidStream),
    ("dropped", Fault::Dropped),
    ("dropped-mid-stream", Fault::DroppedMidStream),
    ("overloaded-event", Fault::OverloadedEvent),
    ("bad-json", Fault::BadJson),
];

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            let faults = FAULTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            format!("unknown mode `{text}`: `ok`, or `[afterN-][failM-]FAULT` with a fault of {faults}")
        };
        if text == "ok" {
            return Ok(Self::default());
        }
        let mut rest = text;
        let mut number = |word: &str| -> Result<Option<u32>, String> {
            let Some(tail) = rest.strip_prefix(word) else { return Ok(None) };
            let (digits, tail) = tail.split_once('-').ok_or_else(unknown)?;
            rest = tail;
            digits.parse().map(Some).map_err(|_| unknown())
        };
        let after = number("after")?.unwrap_or(0) as usize;
        let failures = number("fail")?;
        let fault = FAULTS.iter().find(|(name, _)| *name == rest).ok_or_else(unknown)?.1;
        Ok(Self { after, failures, fault: Some(fault) })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAULTS.iter().find(|(_, fault)| fault == self).map_or("?", |(name, _)| name);
        f.write_str(name)
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
    quota: bool,
}

impl Failure {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, quota: false }
    }

    /// The answer of a fault, when it is one.
    pub(super) fn of(fault: Fault) -> Option<Self> {
        let words = |status: u16| match status {
            400 => "the request is not valid",
            401 => "the key is not valid",
            403 => "the key may not do this",
            404 => "there is no such model",
            429 => "too many requests",
            529 => "Overloaded",
            _ => "the provider failed",
        };
        Some(match fault {
            Fault::Status(status) => Self::new(status, words(status)),
            Fault::RetryAfter => {
                Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(429, "too many requests") }
            }
            Fault::Quota => Self { quota: true, ..Self::new(429, "the quota is used up") },
            _ => return None,
        })
    }

    /// The answer of a script's obstacle; `None` is silence.
    pub(super) fn of_obstacle(obstacle: &Obstacle) -> Option<Self> {
        match obstacle {
            Obstacle::BackOff { reason, delay } => {
                let status = reason.get(..3).and_then(|digits| digits.parse().ok());
                let status = status.filter(|status| (400..600).contains(status)).unwrap_or(529);
                Some(Self { retry_after: Some(*delay), ..Self::new(status, reason.clone()) })
            }
            Obstacle::Unauthorized => Self::of(Fault::Status(401)),
            Obstacle::Overloaded => Self::of(Fault::Status(529)),
            Obstacle::Silent => None,
        }
    }

    pub(super) fn body(&self, api: Api) -> Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            status if status >= 500 => "api_error",
            _ => "invalid_request_error",
        };
        if api == Api::Messages {
            return json!({ "type": "error", "error": { "type": kind, "message": self.message } });
        }
        let (kind, code) = match self.status {
            429 if self.quota => ("insufficient_quota", Some("insufficient_quota")),
            401 => (kind, Some("invalid_api_key")),
            429 => (kind, Some("rate_limit_exceeded")),
            _ => (kind, None),
        };
        json!({ "error": { "message": self.message, "type": kind, "code": code, "param": null } })
    }
}

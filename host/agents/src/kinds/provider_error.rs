//! Classifies the errors of agents whose provider failed.
//!
//! Agents report such an error as text, some with an HTTP status. The status decides the class; without one, well-known
//! phrases do:
//!
//! | reported error | class | reason |
//! |---|---|---|
//! | 401, 402, 403, 404; no key, not logged in; unknown model; a used-up quota or credit | `launch` | the lane was refused and would be again |
//! | 400 and other 4xx before the model's first answer | `launch` | the lane's model or configuration is refused |
//! | the same later | `crash` | this conversation is refused (it may be too long), not the lane |
//! | 408, 429, 5xx; overloaded, at capacity, rate limit | `overload` | the agent has retried and given up |
//! | connection refused, dropped, timed out, broken stream, repeatedly | `overload` | the same: the provider failed, not the agent, and the whole lane is affected |
//! | anything else | `crash` | unknown |
//!
//! An agent that dies silently is a `crash`, too. For one that exits at once see [`launch_failure`].

use host_model::{Fault, FaultClass};

use crate::{
    dialect::{ParsedLine, error_hint},
    exit::AgentExit,
};

/// How many bytes of the error a fault shows.
const MAX_SHOWN_BYTES: usize = 2 << 10;

#[derive(Debug, Default)]
pub(crate) struct ProviderError<'a> {
    /// The HTTP status, if the agent reports it separately; otherwise it is searched for in the message.
    pub(crate) status: Option<u64>,
    /// Machine-readable codes such as `rate_limit_error`.
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    /// Whether the model has answered in this session.
    pub(crate) answered: bool,
}

const REFUSAL_WORDS: [&str; 16] = [
    "authentication_failed",
    "authentication_error",
    "permission_error",
    "invalid_api_key",
    "model_not_found",
    "not_found_error",
    "billing",
    "insufficient_quota",
    "quota exceeded",
    "usage limit",
    "credit balance",
    "not logged in",
    "no api key",
    "missing environment variable",
    "unauthorized",
    "forbidden",
];

const OVERLOAD_WORDS: [&str; 21] = [
    "overloaded",
    "rate_limit",
    "rate limit",
    "too many requests",
    "high demand",
    "at capacity",
    "api_error",
    "server_error",
    "service unavailable",
    "connection_failed",
    "connection error",
    "connection refused",
    "connection dropped",
    "econnre",
    "disconnected",
    "error sending request",
    "timed out",
    "timeout",
    "stream ended",
    "malformed response",
    "fetch failed",
];

const BAD_REQUEST_WORDS: [&str; 2] = ["invalid_request", "invalid request"];

impl ProviderError<'_> {
    pub(crate) fn fault(&self) -> Fault {
        let class = self.class();
        let message = cut(self.message.trim(), MAX_SHOWN_BYTES);
        let message = if message.is_empty() { cut(self.code, MAX_SHOWN_BYTES) } else { message };
        Fault::new(
            class,
            match class {
                FaultClass::Launch => {
                    format!(
                        "the provider refused the agent: {message}; check the lane's credentials, model and provider"
                    )
                }
                FaultClass::Overload => format!("the agent gave up on its provider: {message}"),
                _ if message.is_empty() => "the agent stopped without an error message".to_owned(),
                _ => format!("the agent stopped: {message}"),
            },
        )
    }

    fn class(&self) -> FaultClass {
        let request = if self.answered { FaultClass::Crash } else { FaultClass::Launch };
        match self.status.or_else(|| http_status_in(self.message)) {
            Some(401..=404) => return FaultClass::Launch,
            Some(408 | 429 | 500..=599) => return FaultClass::Overload,
            Some(400..=499) => return request,
            _ => {}
        }
        let parsed = format!("{}\n{}", self.code, self.message).to_lowercase();
        let any = |message: &[&str]| message.iter().any(|word| parsed.contains(word));
        if any(&REFUSAL_WORDS) {
            FaultClass::Launch
        } else if any(&BAD_REQUEST_WORDS) {
            request
        } else if any(&OVERLOAD_WORDS) {
            FaultClass::Overload
        } else {
            FaultClass::Crash
        }
    }
}

/// Finds an HTTP status in an error message: `API Error: 529 …`, `unexpected status 401 Unauthorized`, `last status:
/// 429`, `Request rejected (429)`, or at the beginning.
fn http_status_in(message: &str) -> Option<u64> {
    let lower = message.to_ascii_lowercase();
    let after = ["status: ", "status ", "api error: ", "api error (", "rejected (", "http "];
    let places = after.iter().filter_map(|mark| lower.find(mark).map(|at| &lower[at + mark.len()..]));
    std::iter::once(lower.as_str()).chain(places).find_map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 3 { rest[..3].parse().ok().filter(|status| (400..600).contains(status)) } else { None }
    })
}

fn cut(message: &str, bound: usize) -> String {
    if message.len() <= bound {
        return message.to_owned();
    }
    format!("{} …", &message[..message.floor_char_boundary(bound)])
}

/// The fault of an agent that exited before it finished its turn, unless that is a crash: a program that exits on its
/// own before its model has answered did not accept its arguments, its configuration or its login.
pub(crate) fn launch_failure(exit: &AgentExit, stderr: &str, answered: bool) -> Vec<ParsedLine> {
    match exit {
        // Shells and programs that catch signals exit with 128 plus the signal.
        AgentExit::Code(1..128) if !answered => {
            let message = if stderr.is_empty() { "it wrote nothing to stderr".to_owned() } else { stderr.to_owned() };
            let message = format!("the agent exited before its first answer: {exit}; {message}{}", error_hint(stderr));
            vec![ParsedLine::failed(FaultClass::Launch, message)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(message: &str, answered: bool) -> FaultClass {
        ProviderError { message, answered, ..ProviderError::default() }.fault().class
    }

    #[test]
    fn provider_errors_are_classified() {
        use FaultClass::{Crash, Launch, Overload};
        for (message, expected) in [
            ("unexpected status 401 Unauthorized: mock 401, url: http://127.0.0.1:1/m/401/v1/responses", Launch),
            ("unexpected status 529 <unknown status code>: mock 529, url: http://x", Overload),
            ("exceeded retry limit, last status: 429 Too Many Requests", Overload),
            ("We’re currently experiencing high demand, which may cause temporary errors.", Overload),
            ("Selected model is at capacity. Please try a different model.", Overload),
            ("Quota exceeded. Check your plan and billing details.", Launch),
            ("Missing environment variable: `MOCK_KEY`.", Launch),
            ("stream disconnected before completion: error sending request", Overload),
            ("{\"error\": {\"message\": \"mock 400\", \"type\": \"invalid_request_error\"}}", Launch),
            ("403 {\"type\":\"error\",\"error\":{\"type\":\"permission_error\"}}", Launch),
            ("500 {\"type\":\"error\"}", Overload),
            ("{\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}", Overload),
            ("Connection error.", Overload),
            ("Anthropic stream ended before message_stop", Overload),
            ("API Error: Request rejected (429) · mock 429", Overload),
            ("API Error: 529 Overloaded", Overload),
            ("API Error: Connection dropped (ECONNRESET).", Overload),
            ("Not logged in · Please run /login", Launch),
            ("something else", Crash),
            ("it took 500 steps", Crash),
            ("", Crash),
        ] {
            assert_eq!(class(message, false), expected, "{message}");
        }
    }

    #[test]
    fn a_bad_request_after_an_answer_is_a_crash() {
        assert_eq!(class("400 prompt is too long", false), FaultClass::Launch);
        assert_eq!(class("400 prompt is too long", true), FaultClass::Crash);
        assert_eq!(class("401 token expired", true), FaultClass::Launch);
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        let fault = ProviderError { message: &"é".repeat(5_000), ..ProviderError::default() }.fault();
        assert!(fault.message.len() < 2_200 && fault.message.ends_with('…'), "{}", fault.message.len());
    }

    #[test]
    fn an_early_exit_is_a_launch_fault() {
        let class = |exit: AgentExit, answered: bool| {
            launch_failure(&exit, "unknown option", answered).into_iter().map(|parsed| match parsed {
                ParsedLine::Failed(fault) => fault.class,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(class(AgentExit::Code(1), false).collect::<Vec<_>>(), [FaultClass::Launch]);
        for (exit, answered) in [
            (AgentExit::Code(1), true),
            (AgentExit::Code(0), false),
            (AgentExit::Code(143), false),
            (AgentExit::Signal(9), false),
        ] {
            assert_eq!(class(exit, answered).count(), 0, "a crash");
        }
    }
}

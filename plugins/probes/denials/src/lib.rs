//! Tries what a component is not granted. Each scenario passes when it was refused.

mod ambient;
mod before;
mod network;
mod paths;

use std::fmt::Debug;

use scenario_sdk::{Findings, Outcome, Scenario, Verdict, require};

scenario_sdk::plugin![
    Scenario::new("control", "What is granted works, so that a refusal elsewhere means something.", ambient::control),
    Scenario::new("environment", "The environment and the arguments are empty.", ambient::environment),
    Scenario::new("stdin", "Standard input holds nothing.", ambient::stdin),
    Scenario::new("preopens", "The directories given are the three that the contract names.", ambient::preopens),
    Scenario::new("absolute-path", "An absolute path does not reach the machine.", paths::absolute),
    Scenario::new("dot-dot", "`..` does not climb out, however it is spelled.", paths::dot_dot),
    Scenario::new("own-absolute-link", "A link to /etc that the component makes leads nowhere.", paths::own_absolute),
    Scenario::new("own-relative-link", "A link out that the component makes leads nowhere.", paths::own_relative),
    Scenario::new("moved-link", "A link that leads out only after it was moved leads nowhere.", paths::moved_link),
    Scenario::new("fixture-link", "Links out that lie in the fixture lead nowhere.", paths::fixture_link),
    Scenario::new("other-root", "The roots of other attempts cannot be reached.", paths::other_root),
    Scenario::new("hard-link-out", "A file outside cannot be linked in.", paths::hard_link_out),
    Scenario::new("rename-out", "A file cannot be moved outside.", paths::rename_out),
    Scenario::new("before-open", "A file of the fixture cannot be opened for writing.", before::open),
    Scenario::new("before-create", "The fixture does not take new files, folders or links.", before::create),
    Scenario::new("before-remove", "Nothing of the fixture can be removed.", before::remove),
    Scenario::new("before-rename", "Nothing can be moved out of the fixture, into it or within it.", before::rename),
    Scenario::new(
        "before-hard-link",
        "The fixture's files cannot be linked to where they could be written.",
        before::hard_link
    ),
    Scenario::new("before-times", "The fixture's times cannot be changed.", before::times),
    Scenario::new("before-size", "The fixture's files cannot be cut.", before::size),
    Scenario::new("tcp-connect", "No TCP connection goes out.", network::tcp_connect),
    Scenario::new("tcp-bind", "No TCP address can be bound.", network::tcp_bind),
    Scenario::new("tcp-listen", "Nothing listens for TCP connections.", network::tcp_listen),
    Scenario::new("udp-bind", "No UDP address can be bound.", network::udp_bind),
    Scenario::new("udp-send", "No datagram goes out.", network::udp_send),
    Scenario::new("name-lookup", "No name is looked up.", network::name_lookup),
];

/// Collects what was not refused.
#[derive(Default)]
struct Attempts(Findings);

impl Attempts {
    /// `tried` must have failed; `what` says what it would have done.
    fn refused<T, E: Debug>(&mut self, what: &str, tried: Result<T, E>) {
        self.0.check("not-denied", require(tried.is_err(), || format!("the host let it {what}")));
    }

    /// `tried` must have failed with one of `errors`: another one may only mean that there was nothing to find.
    fn refused_as<T, E: Debug + PartialEq>(&mut self, what: &str, tried: Result<T, E>, errors: &[E]) {
        let told = match &tried {
            Ok(_) => "let it".to_owned(),
            Err(error) => format!("answered {error:?} to"),
        };
        let refused = tried.is_err_and(|error| errors.contains(&error));
        self.0.check("not-denied", require(refused, || format!("the host {told} {what}")));
    }

    /// `condition` must hold.
    fn holds(&mut self, condition: bool, message: impl FnOnce() -> String) {
        self.0.check("not-denied", require(condition, message));
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a scenario's function returns")]
    fn outcome(self) -> Outcome {
        let verdict: Verdict = self.0.verdict();
        Ok(verdict)
    }
}

//! Calls plugins: links them with the host's functions, lists their scenarios, and calls one in its sandbox.
//!
//! The agent's sessions and the component's reports belong to the caller, which implements [`GuestSessions`] and
//! [`GuestReports`].

mod call;
mod command;
mod core_dump;
mod failure;
mod link;
mod list;
mod state;

pub use call::CallRequest;
pub use failure::with_last_words;
pub use link::{LinkError, LinkedPlugin, Linkers, Returned};
pub use list::{ListError, Lister};
pub use state::{AttemptHost, GuestReports, GuestSessions};

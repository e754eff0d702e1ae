//! A model server on loopback that plays the scripts of the scripted lane for real agents.
//!
//! One server serves many sessions at once. The URL says what a session gets:
//! `http://127.0.0.1:PORT/s/SCENARIO/AGENT/m/MODE/l/LABEL`, where `SCENARIO/agents/AGENT.toml` is the script, MODE a
//! [`Mode`], and LABEL tells sessions apart that share all the rest. With `auto` for a scenario, the prompt tells it.
//!
//! The server keeps no conversations: an agent sends the whole of its own with every request, and the place in the
//! script follows from it. Only failures that end after a number of requests are counted.

mod answer;
mod body;
mod chat;
mod conversation;
mod faults;
mod gate;
mod log;
mod messages;
mod responses;
mod script;
mod server;
mod tools;

pub use faults::Mode;
pub use log::{Answered, Api, Request};
pub use script::{Scripts, without_a_place};
pub use server::{ModelServer, Session};

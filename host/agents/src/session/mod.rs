//! Sessions with agents: turns, processes, reading of the output and the record.

mod event_preview;
pub(crate) mod id;
mod input;
mod journal;
mod line_reader;
mod message;
pub(crate) mod observer;
mod output_reader;
pub(crate) mod process;
mod process_state;
mod record;
mod stderr;
mod supervisor_client;
mod timer;
mod trailing_output;
mod turn;
pub(crate) mod turn_session;

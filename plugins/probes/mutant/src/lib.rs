//! The scenario `gate` with the clause `gate-not-held` removed from its grader: `host prove` must notice.
//!
//! `build.rs` makes it of the source of `gate`, so that the two differ in nothing else.

include!(concat!(env!("OUT_DIR"), "/gate.rs"));

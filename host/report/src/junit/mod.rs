//! The report that CI servers read: JUnit XML in the dialect of Jenkins, one suite for each lane, one case for each
//! trial.

mod case;
pub(crate) mod detail;
mod document;
mod run_state;
#[cfg(test)]
mod schema;
mod tail;
mod target;
#[cfg(test)]
mod tests;
mod xml;

use std::{io, path::Path};

use self::{run_state::RunState, target::Target};
use super::Sink;
use host_model::Event;

/// Writes a run as one JUnit document, when the stream is over.
///
/// A failed trial is a `failure` with the codes of its findings, a fault is an `error` with its class as type, and
/// whatever did not run to its end, or failed as expected, is `skipped` with the reason. Attempts before the last one are `flakyFailure` and
/// `flakyError` where the trial passed in the end, `rerunFailure` and `rerunError` where it did not. A stream that
/// breaks off gives a document too, in which each trial without a verdict is an `error`.
pub struct Junit {
    target: Target,
    run: RunState,
}

impl Junit {
    /// Will write to `path`, and checks immediately that it can be written. A report of an earlier run is emptied, so
    /// that it cannot pass for this one's if the host is killed; the new document appears in one piece.
    ///
    /// # Errors
    /// `path` or its folder cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { target: Target::open(path)?, run: RunState::default() })
    }
}

impl Sink for Junit {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.run.update(event);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let document = document::of(std::mem::take(&mut self.run))?;
        self.target.write(document.as_bytes())
    }
}

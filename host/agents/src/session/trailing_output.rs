//! The silence after the end of a turn.

use std::time::Duration;

use host_clock::Instant;

/// Waits for output that follows the end of a turn and belongs to it.
pub(crate) struct TrailingOutput {
    silence: Duration,
    /// When the turn is over if nothing follows.
    pub(super) until: Instant,
    /// The end, regardless of further output.
    at_most: Instant,
}

impl TrailingOutput {
    pub(crate) fn new(silence: Duration, at_most: Duration) -> Self {
        let now = Instant::now();
        Self { silence, until: now + silence, at_most: now + at_most.max(silence) }
    }

    pub(crate) fn line_received(&mut self) {
        self.until = (Instant::now() + self.silence).min(self.at_most);
    }
}

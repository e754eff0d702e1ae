//! What plain output says now and then where nothing else happens, so that a person, or a CI system that ends silent
//! jobs, sees that the run goes on.

use std::time::{Duration, Instant};

use super::{live_view::LiveView, theme::Theme};
use host_model::Event;

/// The longest silence while something runs.
const INTERVAL: Duration = Duration::from_secs(60);
/// Height and width of the printed status.
const STATUS_SIZE: (usize, usize) = (17, 160);

pub(super) struct Heartbeat {
    live_view: LiveView,
    /// When something was printed last.
    printed: Instant,
}

impl Heartbeat {
    pub(super) fn new(theme: Theme, now: Instant) -> Self {
        Self { live_view: LiveView::new(theme, now), printed: now }
    }

    pub(super) fn follow(&mut self, event: &Event, now: Instant) {
        self.live_view.follow(event, now);
    }

    /// Adds what runs to `out`, if nothing was printed for too long. Called at least every second.
    pub(super) fn beat(&mut self, out: &mut String, now: Instant) {
        if out.is_empty() && now.saturating_duration_since(self.printed) >= INTERVAL && self.live_view.is_busy() {
            let (height, width) = STATUS_SIZE;
            out.push_str(&self.live_view.draw(now, height, width));
            out.push('\n');
        }
        if !out.is_empty() {
            self.printed = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Stream, trial};

    #[test]
    fn running_trials_are_printed_after_a_silent_minute() {
        let mut stream = Stream::new(&["claude", "pi"], &["gate"]);
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(Theme { colored: false }, now);
        let output = |heartbeat: &mut Heartbeat, seconds, printed: &str| {
            let mut out = printed.to_owned();
            heartbeat.beat(&mut out, now + Duration::from_secs(seconds));
            out
        };
        assert_eq!(output(&mut heartbeat, 600, ""), "", "nothing runs");
        stream.starts(0, &trial("claude", "gate"), 1);
        for event in &stream.events {
            heartbeat.follow(event, now);
        }
        assert_eq!(output(&mut heartbeat, 610, "Start\n"), "Start\n");
        assert_eq!(output(&mut heartbeat, 669, ""), "");
        insta::assert_snapshot!(output(&mut heartbeat, 670, ""), @r"
        Running [ 11m 10s] 0 of 2 done, 1 running, 1 waiting
                [ 11m 10s] claude/gate  starts
        ");
        assert_eq!(output(&mut heartbeat, 729, ""), "");
        assert_ne!(output(&mut heartbeat, 730, ""), "");
    }
}

//! The live lines: what runs now, for how long, and what it did last.

use std::time::{Duration, Instant};

use super::{
    activity,
    theme::{Theme, Tone},
    trial::elapsed_column,
};
use crate::text::inline;
use host_model::{Event, EventKind, TrialId, Verdict};

/// Lines that stay free for results above the live lines.
const RESERVED_LINES: usize = 6;
/// The widest column of trial names.
const MAX_NAME_WIDTH: usize = 48;

struct Running {
    trial: TrialId,
    name: String,
    since_ms: u64,
    /// Its last activity.
    last: String,
}

/// The content of the live lines.
pub(super) struct LiveView {
    theme: Theme,
    planned: usize,
    finished: usize,
    failed: usize,
    /// In the order of their starts, so that the longest is on top.
    running: Vec<Running>,
    /// Those whose next attempt is to come.
    retrying: Vec<TrialId>,
    /// The run's clock at the last event, and when that event came.
    last: (u64, Instant),
}

impl LiveView {
    pub(super) fn new(theme: Theme, now: Instant) -> Self {
        Self { theme, planned: 0, finished: 0, failed: 0, running: Vec::new(), retrying: Vec::new(), last: (0, now) }
    }

    pub(super) fn follow(&mut self, event: &Event, now: Instant) {
        self.last = (event.at_ms, now);
        match &event.kind {
            EventKind::RunStarted { trials, .. } => self.planned = trials.len(),
            EventKind::AttemptStarted { trial, attempt } => {
                self.retrying.retain(|other| other != trial);
                let mut name = inline(&trial.to_string());
                if *attempt > 1 {
                    name.push_str(&format!(" (attempt {attempt})"));
                }
                let last = "starts".into();
                self.running.push(Running { trial: trial.clone(), name, since_ms: event.at_ms, last });
            }
            EventKind::Session { trial, detail, .. } => self.set_activity(trial, activity::in_session(&detail.kind)),
            EventKind::Reported { trial, report, .. } => self.set_activity(trial, activity::reported(report)),
            EventKind::AttemptFinished { trial, .. } => self.running.retain(|running| running.trial != *trial),
            EventKind::TrialFinished { trial, verdict, .. } => {
                self.running.retain(|running| running.trial != *trial);
                self.retrying.retain(|other| other != trial);
                self.finished += 1;
                if verdict.is_failure() || matches!(verdict, Verdict::Blocked { .. }) {
                    self.failed += 1;
                }
            }
            EventKind::RetryScheduled { trial, .. } => self.retrying.push(trial.clone()),
            _ => {}
        }
    }

    /// Whether anything runs, or waits for its next attempt.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.retrying.is_empty()
    }

    fn set_activity(&mut self, trial: &TrialId, what: Option<String>) {
        if let Some(what) = what
            && let Some(running) = self.running.iter_mut().find(|running| running.trial == *trial)
        {
            running.last = what;
        }
    }

    /// The lines, none wider than the terminal and not more than it can show below some results.
    pub(super) fn draw(&self, now: Instant, height: usize, width: usize) -> String {
        let (at_ms, received_at) = self.last;
        let since: Duration = now.saturating_duration_since(received_at);
        let now_ms = at_ms.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));

        let waiting = self.planned.saturating_sub(self.finished + self.running.len() + self.retrying.len());
        let mut head = format!(
            "{}{} of {} done, {} running, {waiting} waiting",
            elapsed_column(Some(now_ms)),
            self.finished,
            self.planned,
            self.running.len(),
        );
        if !self.retrying.is_empty() {
            head.push_str(&format!(", {} waiting to retry", self.retrying.len()));
        }
        if self.failed > 0 {
            head.push_str(&format!(", {} failed or blocked", self.failed));
        }
        let room = width.saturating_sub(super::theme::LABEL_WIDTH + 2);
        let mut drawn = self.theme.label(Tone::Info, "Running");
        drawn.push_str(&fit(&head, room));

        let lines = height.saturating_sub(RESERVED_LINES + 1).max(1);
        let shown = if self.running.len() <= lines { self.running.len() } else { lines.saturating_sub(1).max(1) };
        let names = self.running[..shown].iter().map(|running| running.name.chars().count()).max().unwrap_or(0);
        for running in &self.running[..shown] {
            let elapsed = elapsed_column(Some(now_ms.saturating_sub(running.since_ms)));
            let line = format!("{elapsed}{:names$}  {}", running.name, running.last, names = names.min(MAX_NAME_WIDTH));
            drawn.push_str(&format!("\n{}{}", self.theme.no_label(), fit(&line, room)));
        }
        let more = self.running.len() - shown;
        if more > 0 {
            let line = fit(&format!("… and {more} more"), room).into_owned();
            drawn.push_str(&format!("\n{}{}", self.theme.no_label(), self.theme.paint(Tone::Faint, line)));
        }
        drawn
    }
}

fn fit(line: &str, width: usize) -> std::borrow::Cow<'_, str> {
    console::truncate_str(line, width, "…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Stream, every_kind, trial};
    use host_model::{Outcome, SessionEventKind};

    fn live_view(events: &[Event], now: Instant) -> LiveView {
        let mut live_view = LiveView::new(Theme { colored: false }, now);
        for event in events {
            live_view.follow(event, now);
        }
        live_view
    }

    #[test]
    fn running_trials_show_their_last_activity() {
        let mut stream = Stream::new(&["claude", "pi"], &["gate", "merge-hook"]);
        stream.starts(0, &trial("claude", "gate"), 1);
        stream.starts(10, &trial("pi", "gate"), 2);
        let call = SessionEventKind::ToolCall { id: "1".into(), name: "Ba\u{1b}[2Jsh".into(), input: 0.into() };
        stream.says(1000, &trial("claude", "gate"), call);
        let now = Instant::now();
        let live_view = live_view(&stream.events, now);
        insta::assert_snapshot!(live_view.draw(now + Duration::from_millis(500), 24, 80), @r"
        Running [   1.50s] 0 of 4 done, 2 running, 2 waiting
                [   1.50s] claude/gate          calls Bash
                [   1.49s] pi/gate (attempt 2)  starts
        ");
    }

    #[test]
    fn trials_that_do_not_fit_are_counted() {
        let names: Vec<String> = (0..30).map(|n| format!("scenario-{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut stream = Stream::new(&["scripted"], &names);
        for name in &names {
            stream.starts(0, &trial("scripted", name), 1);
        }
        let now = Instant::now();
        let live_view = live_view(&stream.events, now);
        insta::assert_snapshot!(live_view.draw(now, 10, 40), @r"
        Running [   0.00s] 0 of 30 done, 30…
                [   0.00s] scripted/scenari…
                [   0.00s] scripted/scenari…
                … and 28 more
        ");
        for (height, width) in [(0, 0), (1, 1), (24, 80), (100, 300)] {
            let drawn = live_view.draw(now, height, width);
            assert!(drawn.lines().count() <= height.max(3), "{height} lines: {drawn}");
        }
    }

    #[test]
    fn retrying_trials_are_counted_separately() {
        let (mut stream, one) = (Stream::new(&["pi"], &["one", "two"]), trial("pi", "one"));
        stream.starts(0, &one, 1);
        stream.tried_again(10, &one, 1, Outcome::Pass, (1000, "idle (silence)"));
        let now = Instant::now();
        assert_eq!(
            live_view(&stream.events, now).draw(now, 24, 80),
            "   Running [   0.01s] 0 of 2 done, 0 running, 1 waiting, 1 waiting to retry"
        );
        stream.starts(1010, &one, 2);
        insta::assert_snapshot!(live_view(&stream.events, now).draw(now, 24, 80), @r"
        Running [   1.01s] 0 of 2 done, 1 running, 1 waiting
                [   0.00s] pi/one (attempt 2)  starts
        ");
    }

    #[test]
    fn nothing_runs_after_the_end() {
        let now = Instant::now();
        let drawn = live_view(&every_kind(), now).draw(now, 24, 80);
        assert_eq!(drawn, "   Running [   1.05s] 4 of 4 done, 0 running, 0 waiting");
    }
}

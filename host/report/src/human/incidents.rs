//! Events of the run as a whole, and its status on request.

use std::fmt::Write;

use super::{
    Verbosity,
    renderer::Renderer,
    theme::Tone,
    trial::elapsed_column,
    units::{count, duration},
};
use crate::text::inline;
use host_model::{LaneName, RunningTrial, TrialId};

/// Trials that a status names.
const MAX_NAMED: usize = 50;

impl Renderer {
    /// The attempt that ended is no failure yet.
    pub(super) fn retry_scheduled(&mut self, trial: &TrialId, attempt: u32, after: (u64, &str), out: &mut String) {
        let (delay_ms, reason) = after;
        let reason = inline(reason);
        if self.verbosity > Verbosity::Quiet {
            let (name, delay) = (inline(&trial.to_string()), duration(delay_ms));
            self.headed(Tone::Warn, "Retry", &format!("{name} in {delay} after {reason}"), out);
        }
        self.progress_of(trial).earlier.push(format!("attempt {attempt}: {reason}"));
    }

    pub(super) fn lane_broken(&mut self, lane: &LaneName, reason: &str, out: &mut String) {
        let what = format!("lane {}: {}", inline(&lane.0), inline(reason));
        self.headed(Tone::Broken, "Broken", &format!("{what}; no more of its trials start"), out);
        self.incidents.push(format!("broken: {what}"));
    }

    pub(super) fn jobs_lowered(&mut self, jobs: usize, reason: &str, out: &mut String) {
        let what = format!("now up to {jobs} in parallel: {}", inline(reason));
        self.headed(Tone::Warn, "Short", &what, out);
        self.incidents.push(what);
    }

    pub(super) fn halted(&mut self, reason: &str, out: &mut String) {
        let reason = inline(reason);
        self.headed(Tone::Warn, "Halt", &format!("{reason}: no more trials start"), out);
        self.incidents.push(format!("halted: {reason}"));
    }

    /// Told when it begins and, with the number, at the end.
    pub(super) fn log_cut(&mut self, reason: &str, left_out: u64, out: &mut String) {
        let what = match left_out {
            0 => inline(reason),
            left_out => {
                let events = count(usize::try_from(left_out).unwrap_or(usize::MAX), "event");
                format!("{events} of sessions and reports were left out of the event log, which is full")
            }
        };
        self.headed(Tone::Warn, "Cut", &what, out);
        self.incidents.push(format!("cut: {what}"));
    }

    pub(super) fn interrupted(&mut self, signal: &str, out: &mut String) {
        let signal = inline(signal);
        out.push_str(&self.theme.label(Tone::Warn, "Interrupt"));
        let _ = writeln!(
            out,
            "{signal}: no more trials start, and agents are asked to stop; a second signal kills them immediately"
        );
        self.incidents.push(format!("interrupted by {signal}"));
    }

    /// Shown even in a quiet run, since it was requested.
    pub(super) fn status(&mut self, running: &[RunningTrial], waiting: usize, finished: usize, out: &mut String) {
        let retrying = running.iter().filter(|it| it.retry_in_ms.is_some()).count();
        let mut head = format!("{} running", running.len() - retrying);
        if retrying > 0 {
            let _ = write!(head, ", {retrying} waiting to retry");
        }
        out.push_str(&self.theme.label(Tone::Info, "Status"));
        let _ = writeln!(
            out,
            "{}{head}, {waiting} waiting, {finished} finished",
            elapsed_column(Some(self.statistics.at_ms))
        );
        for it in running.iter().take(MAX_NAMED) {
            let mut name = inline(&it.id.to_string());
            if it.attempt > 1 {
                let _ = write!(name, " (attempt {})", it.attempt);
            }
            let line = match it.retry_in_ms {
                Some(ms) => format!("{}{name} starts in {}", elapsed_column(None), duration(ms)),
                None => {
                    let last = self.progress.get(&it.id).map_or("", |progress| progress.last.as_str());
                    format!("{}{name}  {last}", elapsed_column(Some(it.elapsed_ms)))
                }
            };
            let _ = writeln!(out, "{}{}", self.theme.no_label(), line.trim_end());
        }
        let more = running.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            let _ = writeln!(out, "{}… and {}", self.theme.no_label(), count(more, "more trial"));
        }
    }
}

//! The annotations that GitHub shows on the run's page and next to the files.

use super::{command::command, count};
use host_model::Verdict;

/// How many GitHub takes of one step; it drops what comes later without a word.
const MAX_ANNOTATIONS: usize = 10;
/// The longest title, in characters; GitHub allows 255.
const MAX_TITLE_CHARS: usize = 200;

/// Which come first where not all fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Run,
    Canary,
    Fault,
    Failure,
    /// Trials that passed but need attention.
    Alert,
}

/// The ones that will be shown, and how many more there were: errors, and warnings of what did not fail.
#[derive(Default)]
pub(super) struct Annotations {
    /// By rank, then as they came.
    shown: Vec<(Rank, String)>,
    failures_left_out: usize,
    alerts_left_out: usize,
}

impl Annotations {
    /// Of the run as a whole.
    pub(super) fn run(&mut self, message: &str) {
        self.add(Rank::Run, command("error", &[("title", "host")], message));
    }

    /// Of a trial; the texts are harmless already.
    pub(super) fn verdict(&mut self, canary: bool, verdict: &Verdict, file: Option<&str>, title: &str, message: &str) {
        let rank = match verdict {
            _ if !verdict.is_failure() => Rank::Alert,
            _ if canary => Rank::Canary,
            Verdict::Fault(_) => Rank::Fault,
            _ => Rank::Failure,
        };
        let title: String = title.chars().take(MAX_TITLE_CHARS).collect();
        let file = file.map(|file| [("file", file), ("line", "1")]);
        let properties: Vec<_> = file.into_iter().flatten().chain([("title", title.as_str())]).collect();
        let level = if rank == Rank::Alert { "warning" } else { "error" };
        self.add(rank, command(level, &properties, message));
    }

    /// All of them, and last how many were left out.
    pub(super) fn commands(&self) -> String {
        let mut commands: String = self.shown.iter().map(|(_, command)| command.as_str()).collect();
        let left_out = [(self.failures_left_out, "more failure"), (self.alerts_left_out, "more warning")];
        let left_out: Vec<_> = left_out.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what)).collect();
        if !left_out.is_empty() {
            let message = format!("{} without an annotation: see the step's summary", left_out.join(" and "));
            commands.push_str(&command("notice", &[("title", "host")], &message));
        }
        commands
    }

    fn add(&mut self, rank: Rank, command: String) {
        let at = self.shown.partition_point(|(other, _)| *other <= rank);
        self.shown.insert(at, (rank, command));
        if self.shown.len() > MAX_ANNOTATIONS {
            match self.shown.pop() {
                Some((Rank::Alert, _)) => self.alerts_left_out += 1,
                _ => self.failures_left_out += 1,
            }
        }
    }
}

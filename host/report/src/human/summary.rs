//! The end of the report: the failures again, then the figures.

use super::{
    Verbosity,
    renderer::Renderer,
    theme::Tone,
    units::{count, dollars, duration, grouped, ratio},
};
use crate::{text::inline, verdict_words};
use host_model::{RunSummary, Usage, VerdictCounts};

/// The shortest longest trial that is compared with a fan-out: below it the ratio depends on the host alone.
const MIN_COMPARED_MS: u64 = 100;

/// Lanes whose fan-out is shown.
const MAX_LANES: usize = 8;

impl Renderer {
    /// Without a `summary` the stream broke off, and the figures are those of what is there.
    pub(super) fn conclude(&self, summary: Option<&RunSummary>, out: &mut String) {
        self.recap(out);
        out.push_str(&format!("{}\n", self.theme.rule()));
        let verdicts = summary.map_or(&self.statistics.verdicts, |summary| &summary.verdicts);
        let wall_ms = summary.map_or(self.statistics.at_ms, |summary| summary.wall_ms);
        let serial_ms = summary.map_or(self.statistics.serial_ms, |summary| summary.serial_ms);
        let usage = summary.map_or(&self.statistics.usage, |summary| &summary.usage);

        out.push_str(&self.theme.label(self.overall(verdicts, summary.is_some()), "Summary"));
        out.push_str(&format!("{} in {}\n", self.counts(verdicts), duration(wall_ms)));
        if summary.is_none() {
            let missing = self.statistics.planned().saturating_sub(self.statistics.finished_trials());
            self.figure(&format!("the run was cut short: {} without a verdict", count(missing, "trial")), out);
        }
        for incident in &self.incidents {
            self.figure(incident, out);
        }
        if let Some(summary) = summary {
            self.rates(&summary.rates, out);
        }
        self.times(wall_ms, serial_ms, out);
        if !usage.is_unknown() {
            self.figure(&used(usage), out);
        }
        if let Some(directory) = &self.directory {
            self.figure(&format!("run directory {}", inline(&directory.to_string_lossy())), out);
        }
        self.warn_of_skipped_canary(out);
    }

    /// Repeats failures and alerts in one place. A quiet run has just shown them.
    fn recap(&self, out: &mut String) {
        if self.verbosity == Verbosity::Quiet || (self.failures.is_empty() && self.alerts.is_empty()) {
            return;
        }
        out.push_str(&format!("{}\n", self.theme.rule()));
        let writer = self.writer();
        for alert in &self.alerts {
            writer.line(alert, out);
        }
        self.more(self.alerts_left_out, out);
        for failure in &self.failures {
            writer.line(failure, out);
            writer.details(failure, out);
        }
        self.more(self.failures_left_out, out);
    }

    fn more(&self, number: usize, out: &mut String) {
        if number > 0 {
            self.figure(&format!("and {} more: see {}", grouped(number as u64), self.writer().log()), out);
        }
    }

    fn counts(&self, verdicts: &VerdictCounts) -> String {
        verdict_words::counts(verdicts, |word, n, text| {
            let tone = match word {
                // Plain when nothing passed: a green zero looks like good news.
                _ if n == 0 => Tone::Strong,
                "pass" => Tone::Good,
                "fail" => Tone::Bad,
                "fault" => Tone::Broken,
                _ => Tone::Warn,
            };
            self.theme.paint(tone, text).to_string()
        })
    }

    fn overall(&self, verdicts: &VerdictCounts, complete: bool) -> Tone {
        let any = |words: &[&str]| words.iter().any(|word| verdicts.get(*word).is_some_and(|n| *n > 0));
        match () {
            () if any(&["fail", "fault", "blocked"]) || !self.failures.is_empty() => Tone::Bad,
            () if !complete || any(&["cancelled", "flaky", "xpass"]) || !any(&["pass", "xfail"]) => Tone::Warn,
            () => Tone::Good,
        }
    }

    /// The duration compared with running one trial after another, and with the longest trial.
    fn times(&self, wall_ms: u64, serial_ms: u64, out: &mut String) {
        if self.statistics.ran < 2
            || self.statistics.longest.as_ref().is_none_or(|(_, longest)| *longest < MIN_COMPARED_MS)
        {
            return;
        }
        let mut line = format!("one after another {}", duration(serial_ms));
        if let Some(faster) = ratio(serial_ms, wall_ms).filter(|faster| *faster >= 1.05) {
            line.push_str(&format!(" ({faster:.1}× faster in parallel)"));
        }
        if let Some((trial, ms)) = &self.statistics.longest {
            line.push_str(&format!("; longest {} {}", inline(&trial.to_string()), duration(*ms)));
        }
        self.figure(&line, out);
        for (lane, fan_out) in self.statistics.fan_outs().take(MAX_LANES) {
            if fan_out.longest_ms < MIN_COMPARED_MS {
                continue;
            }
            if let Some(times) = ratio(fan_out.took_ms, fan_out.longest_ms) {
                let (trials, took) = (count(fan_out.trials, "trial"), duration(fan_out.took_ms));
                let lane = inline(&lane.0);
                self.figure(&format!("fan-out of lane {lane}: {trials} in {took}, {times:.2}× its longest trial"), out);
            }
        }
        let more = self.statistics.fan_outs().count().saturating_sub(MAX_LANES);
        if more > 0 {
            self.figure(&format!("… and {}", count(more, "more lane")), out);
        }
    }

    pub(super) fn figure(&self, line: &str, out: &mut String) {
        out.push_str(&format!("{}{line}\n", self.theme.no_label()));
    }
}

/// Tokens and cost; unreported values are missing rather than zero.
fn used(usage: &Usage) -> String {
    let input = usage.input_tokens.map(|tokens| {
        let cached = usage.cached_input_tokens.map(|cached| format!(" ({} from a cache)", grouped(cached)));
        format!("{} in{}", grouped(tokens), cached.unwrap_or_default())
    });
    let output = usage.output_tokens.map(|tokens| format!("{} out", grouped(tokens)));
    let tokens: Vec<_> = input.into_iter().chain(output).collect();
    let tokens = (!tokens.is_empty()).then(|| format!("tokens {}", tokens.join(", ")));
    let cost = usage.cost_micro_usd.map(|cost| format!("cost {}", dollars(cost)));
    tokens.into_iter().chain(cost).collect::<Vec<_>>().join("; ")
}

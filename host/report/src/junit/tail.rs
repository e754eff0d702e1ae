//! What components and agents said, bounded however much they say.

use std::collections::VecDeque;

use super::detail::count;
use crate::text::excerpt;
use host_model::{BackOff, Report, SessionEventKind};

/// Bytes that are kept of one attempt: the last ones, since the end explains the verdict.
const KEPT: usize = 16 * 1024;
/// Lines of one text.
const LINES: usize = 40;

/// The last lines of what was said in one attempt.
#[derive(Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    left_out: usize,
}

impl Tail {
    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in what a component reported.
    pub(super) fn report(&mut self, report: &Report) {
        match report {
            Report::Step { name } => self.say("step", name),
            Report::Note { text } => self.say("note", text),
            Report::Metric { name, value, unit } => {
                let value = value.map_or_else(|| "no number".into(), |value| value.to_string());
                self.say("metric", &format!("{name} {value} {unit}"));
            }
            Report::Attachment { name, bytes, .. } => {
                let bytes = count(usize::try_from(*bytes).unwrap_or(usize::MAX), "byte");
                self.say("attached", &format!("{name} ({bytes})"));
            }
            Report::Cut { what } => self.say("cut", what),
            Report::Denied { what } => self.say("denied", what),
            Report::Left { what } => self.say("left", what),
            Report::Unconfined { what } => self.say("unconfined", what),
        }
    }

    /// Takes in what happened in a session.
    pub(super) fn session(&mut self, kind: &SessionEventKind) {
        match kind {
            SessionEventKind::Started { model: None, .. } => self.say("agent", "is up"),
            SessionEventKind::Started { model: Some(model), .. } => {
                self.say("agent", &format!("is up with model {model}"));
            }
            SessionEventKind::Message { text } => self.say("message", text),
            SessionEventKind::ToolCall { name, input, .. } => self.say("tool", &format!("{name} {input}")),
            SessionEventKind::BackOff(BackOff { delay_ms, reason, .. }) => {
                let delay = delay_ms.map_or_else(String::new, |ms| format!(" ({ms} ms)"));
                self.say("wait", &format!("{reason}{delay}"));
            }
            // The artifacts have them in full; they would drive out the rest.
            SessionEventKind::ToolResult { .. } | SessionEventKind::Usage(_) | SessionEventKind::Raw { .. } => {}
        }
    }

    /// The lines, and before them how many are not there.
    pub(super) fn into_lines(self, log: &str) -> impl Iterator<Item = String> {
        let cut = (self.left_out > 0).then(|| format!("… {} in {log}", count(self.left_out, "earlier line")));
        cut.into_iter().chain(self.lines)
    }

    fn say(&mut self, lead: &str, text: &str) {
        let excerpt = excerpt(text, LINES);
        let mut lines = excerpt.lines.into_iter();
        self.line(format!("{lead}: {}", lines.next().unwrap_or_default()));
        for line in lines {
            self.line(format!("    {line}"));
        }
        if excerpt.left_out > 0 {
            self.line(format!("    … {}", count(excerpt.left_out, "more line")));
        }
    }

    fn line(&mut self, mut line: String) {
        line.truncate(line.trim_end().len());
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT
            && let Some(first) = self.lines.pop_front()
        {
            self.bytes -= first.len() + 1;
            self.left_out += 1;
        }
    }
}

//! The messages of components and agents, bounded.

use std::collections::VecDeque;

use super::detail::count;
use crate::text::excerpt;
use host_model::{BackOff, Report, SessionEventKind};

/// Bytes that are kept of one attempt: the last ones, since the end explains the verdict.
const MAX_BYTES: usize = 16 * 1024;
/// Lines of one text.
const MAX_TEXT_LINES: usize = 40;

/// The last lines of one attempt's messages.
#[derive(Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    left_out: usize,
}

impl Tail {
    /// Bytes that are stored.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a component's report.
    pub(super) fn report(&mut self, report: &Report) {
        match report {
            Report::Step { name } => self.push("step", name),
            Report::Note { text } => self.push("note", text),
            Report::Metric { name, value, unit } => {
                let value = value.map_or_else(|| "not a number".into(), |value| value.to_string());
                self.push("metric", &format!("{name} {value} {unit}"));
            }
            Report::Attachment { name, bytes, .. } => {
                let bytes = count(usize::try_from(*bytes).unwrap_or(usize::MAX), "byte");
                self.push("attached", &format!("{name} ({bytes})"));
            }
            Report::Cut { what } => self.push("cut", what),
            Report::Denied { what } => self.push("denied", what),
            Report::Left { what } => self.push("left", what),
            Report::Unconfined { what } => self.push("unconfined", what),
        }
    }

    /// Adds an event of a session.
    pub(super) fn session(&mut self, kind: &SessionEventKind) {
        match kind {
            SessionEventKind::Started { model: None, .. } => self.push("agent", "started"),
            SessionEventKind::Started { model: Some(model), .. } => {
                self.push("agent", &format!("started with model {model}"));
            }
            SessionEventKind::Message { text } => self.push("message", text),
            SessionEventKind::ToolCall { name, input, .. } => self.push("tool", &format!("{name} {input}")),
            SessionEventKind::BackOff(BackOff { delay_ms, reason, .. }) => {
                let delay = delay_ms.map_or_else(String::new, |ms| format!(" ({ms} ms)"));
                self.push("wait", &format!("{reason}{delay}"));
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

    fn push(&mut self, lead: &str, text: &str) {
        let excerpt = excerpt(text, MAX_TEXT_LINES);
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
        while self.bytes > MAX_BYTES
            && let Some(first) = self.lines.pop_front()
        {
            self.bytes -= first.len() + 1;
            self.left_out += 1;
        }
    }
}

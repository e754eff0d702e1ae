//! The details of a verdict as a bounded number of escaped lines.

use std::path::Path;

use crate::{
    expected,
    text::{excerpt, inline},
};
use host_model::{Finding, Verdict};

/// Codes that a headline names.
const MAX_CODES: usize = 20;

/// How much is shown.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Findings of one trial.
    pub(crate) findings: usize,
    /// Lines of one message or one evidence.
    pub(crate) lines: usize,
    /// Bytes of all lines together.
    pub(crate) bytes: usize,
}

/// One line: the codes of the findings, what the fault was, or the reason.
pub(crate) fn headline(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => String::new(),
        Verdict::Flaky { reason, .. } => inline(reason),
        Verdict::Xpass { expected: known, .. } => {
            format!("passed, but was expected to fail: {}", expected::describe(known))
        }
        Verdict::Xfail { expected: known, .. } => format!("expected failure: {}", expected::describe(known)),
        Verdict::Fail { findings, .. } => codes(findings),
        Verdict::Fault(fault) => inline(&fault.message),
        Verdict::Skip { reason } | Verdict::Blocked { reason } | Verdict::Cancelled { reason } => inline(reason),
    }
}

/// One line for each of at most `max` findings, or one line for all else; without evidence.
pub(crate) fn brief(verdict: &Verdict, max: usize) -> Vec<String> {
    match verdict {
        Verdict::Pass => Vec::new(),
        Verdict::Fail { findings, note } => {
            let line = |finding: &Finding| format!("{}: {}", inline(&finding.code), inline(&finding.message));
            let more = findings.len().saturating_sub(max);
            let more = (more > 0).then(|| format!("… {}", count(more, "more finding")));
            let note = note.as_ref().map(|note| format!("note: {}", inline(note)));
            findings.iter().take(max).map(line).chain(more).chain(note).collect()
        }
        Verdict::Fault(fault) => vec![format!("{}: {}", fault.class, inline(&fault.message))],
        _ => vec![headline(verdict)],
    }
}

/// Everything that there is to say beyond the verdict's word, within `bounds`; `log` is where the rest is.
pub(crate) fn lines(verdict: &Verdict, bounds: Bounds, log: &str) -> Vec<String> {
    let mut writer = LineWriter { lines: Vec::new(), bytes: 0, left_out: 0, bounds };
    match verdict {
        Verdict::Pass => {}
        Verdict::Xpass { .. } => writer.line(headline(verdict)),
        Verdict::Xfail { findings, fault, .. } => {
            writer.line(headline(verdict));
            writer.findings(findings);
            if let Some(fault) = fault {
                writer.text(&format!("{}: ", fault.class), &fault.message);
            }
        }
        Verdict::Fail { findings, note } => {
            writer.findings(findings);
            if let Some(note) = note {
                writer.text("note: ", note);
            }
        }
        Verdict::Fault(fault) => writer.text(&format!("{}: ", fault.class), &fault.message),
        Verdict::Flaky { reason, .. }
        | Verdict::Skip { reason }
        | Verdict::Blocked { reason }
        | Verdict::Cancelled { reason } => writer.text("", reason),
    }
    let findings =
        if let Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. } = verdict { findings.len() } else { 0 };
    writer.finish(findings.saturating_sub(bounds.findings), log)
}

/// The log with all details.
pub(crate) fn log(directory: Option<&Path>) -> String {
    directory.map_or_else(|| "the event log".into(), |directory| path(&directory.join("events.jsonl")))
}

/// A path as part of a line.
pub(crate) fn path(path: &Path) -> String {
    inline(&path.to_string_lossy())
}

/// `1 line`, `2 lines`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    host_model::text::plural(number, thing)
}

/// Each code once, in the order of the findings.
fn codes(findings: &[Finding]) -> String {
    let mut codes: Vec<&str> = Vec::new();
    let mut left_out = 0;
    for finding in findings {
        match codes.len() {
            _ if codes.contains(&finding.code.as_str()) => {}
            MAX_CODES.. => left_out += 1,
            _ => codes.push(&finding.code),
        }
    }
    let mut shown = codes.into_iter().map(inline).collect::<Vec<_>>().join(", ");
    if left_out > 0 {
        shown.push_str(&format!(" … and {}", count(left_out, "more finding")));
    }
    shown
}

/// Lines in the making.
struct LineWriter {
    lines: Vec<String>,
    bytes: usize,
    left_out: usize,
    bounds: Bounds,
}

impl LineWriter {
    fn findings(&mut self, findings: &[Finding]) {
        for finding in findings.iter().take(self.bounds.findings) {
            self.text(&format!("{}: ", inline(&finding.code)), &finding.message);
            if let Some(evidence) = &finding.evidence {
                self.block(evidence);
            }
        }
    }

    /// The first line behind `lead`, the others indented below.
    fn text(&mut self, lead: &str, text: &str) {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.line(format!("{lead}{}", inline(first.trim_end_matches('\r'))));
        self.block(rest);
    }

    fn block(&mut self, text: &str) {
        let excerpt = excerpt(text, self.bounds.lines);
        for line in excerpt.lines {
            self.line(format!("    {line}"));
        }
        self.left_out += excerpt.left_out;
    }

    fn line(&mut self, line: String) {
        let line = line.trim_end();
        if self.bytes + line.len() > self.bounds.bytes {
            // Nothing smaller may follow: a gap could not be seen.
            self.bytes = self.bounds.bytes;
            self.left_out += 1;
        } else {
            self.bytes += line.len() + 1;
            self.lines.push(line.into());
        }
    }

    fn finish(mut self, findings: usize, log: &str) -> Vec<String> {
        if self.left_out > 0 {
            self.lines.push(format!("… {} in {log}", count(self.left_out, "more line")));
        }
        if findings > 0 {
            self.lines.push(format!("… {} in {log}", count(findings, "more finding")));
        }
        self.lines
    }
}

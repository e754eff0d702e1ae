//! The bound of a run's event log.
//!
//! Each attempt is bounded, and there can be very many of them. Beyond the bound, events of sessions and reports are left
//! out and findings are cut, which an event says. Every attempt and every verdict stays.

use std::io;

use crate::runner::text::shortened;
use host_model::{EventKind, Finding, Outcome, Report, Verdict};

/// Bytes of a run's log before it is cut.
const BOUND: u64 = 1 << 30;
/// About what an event takes that has no text of components or agents.
const SMALL: u64 = 200;
/// Findings of a record or a verdict that stay when the log is cut, and bytes of a text.
const MAX_FINDINGS: usize = 20;
const TEXT: usize = 200;

/// How much the log has taken so far.
pub(super) struct Log {
    bytes: u64,
    bound: u64,
    told: bool,
    left_out: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self::of(BOUND)
    }
}

impl Log {
    pub(super) fn of(bound: u64) -> Self {
        Self { bytes: 0, bound, told: false, left_out: 0 }
    }

    /// The events to tell for `kind`: usually itself.
    pub(super) fn take(&mut self, kind: EventKind) -> impl Iterator<Item = EventKind> {
        let kind = match self.bytes > self.bound {
            true => self.thinned(kind),
            false => Some(kind),
        };
        self.bytes = self.bytes.saturating_add(kind.as_ref().map_or(0, weight));
        let over = self.bytes > self.bound && !std::mem::replace(&mut self.told, self.bytes > self.bound);
        let cut = over.then(|| self.cut());
        kind.into_iter().chain(cut)
    }

    /// What was left out, for the end of the run.
    pub(super) fn end(&self) -> Option<EventKind> {
        (self.left_out > 0).then(|| self.cut())
    }

    fn cut(&self) -> EventKind {
        let reason = format!(
            "the log exceeds {} bytes; from here on, it omits events of sessions and reports and shortens findings; \
             the artifacts of each attempt have them in full",
            self.bound
        );
        EventKind::LogCut { reason, left_out: self.left_out }
    }

    fn thinned(&mut self, mut kind: EventKind) -> Option<EventKind> {
        match &mut kind {
            // Something is left on the machine, and somebody has to see to it.
            EventKind::Reported { report: Report::Left { what }, .. } => thin(what),
            EventKind::Session { .. } | EventKind::Reported { .. } => {
                self.left_out += 1;
                return None;
            }
            EventKind::AttemptFinished { record, .. } => match &mut record.outcome {
                Outcome::Fail { findings } => thin_all(findings),
                Outcome::Fault(fault) => thin(&mut fault.message),
                Outcome::Skip { reason } | Outcome::Cancelled { reason } => thin(reason),
                Outcome::Pass => {}
            },
            EventKind::TrialFinished { verdict, .. } => thin_verdict(verdict),
            _ => {}
        }
        Some(kind)
    }
}

fn thin_verdict(verdict: &mut Verdict) {
    match verdict {
        Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. } => thin_all(findings),
        Verdict::Fault(fault) => thin(&mut fault.message),
        Verdict::Flaky { reason, .. }
        | Verdict::Skip { reason }
        | Verdict::Blocked { reason }
        | Verdict::Cancelled { reason } => thin(reason),
        Verdict::Pass | Verdict::Xpass { .. } => {}
    }
}

fn thin_all(findings: &mut Vec<Finding>) {
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    for finding in &mut *findings {
        thin(&mut finding.message);
        finding.evidence = None;
    }
    if let Some(last) = findings.last_mut().filter(|_| more > 0) {
        last.message.push_str(&format!(" … ({more} more findings cut)"));
    }
}

fn thin(text: &mut String) {
    *text = shortened(std::mem::take(text), TEXT);
}

/// How many bytes an event takes in the log.
fn weight(kind: &EventKind) -> u64 {
    match kind {
        EventKind::Session { .. }
        | EventKind::Reported { .. }
        | EventKind::AttemptFinished { .. }
        | EventKind::TrialFinished { .. } => {
            let mut count = Count(0);
            // Nothing fails: the writer takes everything, and every event is written as JSON.
            let _ = serde_json::to_writer(&mut count, kind);
            count.0
        }
        _ => SMALL,
    }
}

/// Counts what is written.
struct Count(u64);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{AttemptRecord, Fault, FaultClass, LaneName, ScenarioId, TrialId, Usage};

    fn trial() -> TrialId {
        TrialId { lane: LaneName("l".into()), scenario: ScenarioId("s".into()) }
    }

    fn note(text: &str) -> EventKind {
        EventKind::Reported { trial: trial(), attempt: 1, report: Report::Note { text: text.into() } }
    }

    fn findings() -> Vec<Finding> {
        let long = "x".repeat(60_000);
        let finding = |at| Finding { code: format!("c{at}"), message: long.clone(), evidence: Some(long.clone()) };
        (0..200).map(finding).collect()
    }

    #[test]
    fn a_log_over_its_limit_keeps_every_verdict() {
        let mut log = Log::of(10_000);
        assert_eq!(log.take(note("first")).collect::<Vec<_>>(), [note("first")]);
        let told: Vec<_> = log.take(note(&"x".repeat(10_000))).collect();
        assert!(matches!(&told[..], [EventKind::Reported { .. }, EventKind::LogCut { left_out: 0, .. }]), "{told:?}");
        for _ in 0..1_000 {
            assert_eq!(log.take(note("more")).count(), 0);
        }
        let left =
            EventKind::Reported { trial: trial(), attempt: 1, report: Report::Left { what: "a process".into() } };
        assert_eq!(log.take(left.clone()).collect::<Vec<_>>(), [left]);
        let before = log.bytes;
        for _ in 0..100 {
            let record = AttemptRecord {
                outcome: Outcome::Fail { findings: findings() },
                duration_ms: 1,
                usage: Usage::default(),
                artifacts: None,
                kept: None,
            };
            let finished = EventKind::AttemptFinished { trial: trial(), attempt: 1, record };
            let told: Vec<_> = log.take(finished).collect();
            let [EventKind::AttemptFinished { record, .. }] = &told[..] else { panic!("{told:?}") };
            let Outcome::Fail { findings: kept } = &record.outcome else { panic!("{record:?}") };
            assert_eq!((kept.len(), kept[0].code.as_str()), (MAX_FINDINGS, "c0"));
            assert!(kept[19].message.ends_with("(180 more findings cut)"), "{}", kept[19].message);
            let verdict = Verdict::Fault(Fault::new(FaultClass::Trap, "y".repeat(60_000)));
            let finished = EventKind::TrialFinished { trial: trial(), attempts: 1, duration_ms: 1, verdict };
            assert_eq!(log.take(finished).count(), 1);
        }
        assert!(log.bytes - before < 100 * 8_000, "{}", log.bytes - before);
        assert!(matches!(log.end(), Some(EventKind::LogCut { left_out: 1_000, .. })), "{:?}", log.end());
    }

    #[test]
    fn a_log_within_its_bound_is_left_alone() {
        let mut log = Log::default();
        assert_eq!(log.take(note("x")).count(), 1);
        assert_eq!(log.end(), None);
    }
}

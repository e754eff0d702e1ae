//! Cuts third-party text.

use host_model::{AttemptRecord, Finding, Outcome, Report};

/// Bytes of each text of an attempt's record and reports, including the note about a cut.
pub(super) const TEXT: usize = 64 << 10;
/// Bytes of the note about a cut.
const CUT_NOTE: usize = 48;
/// Bytes of all findings of one attempt: two events carry them, and there may be very many attempts.
const MAX_FINDINGS: usize = 512 << 10;
/// Bytes of each text of a finding beyond that.
const BRIEF: usize = 200;

/// The beginning of `text`, up to `most` bytes, with a note about what was cut.
pub(super) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" … ({cut} bytes cut)"));
    }
    text
}

/// `text` in no more than [`TEXT`] bytes, including a note about what was cut.
pub(super) fn fitted(text: String) -> String {
    if text.len() <= TEXT { text } else { shortened(text, TEXT - CUT_NOTE) }
}

/// A record with all its texts [`fitted`]. Two events carry each.
pub(super) fn fitted_record(mut record: AttemptRecord) -> AttemptRecord {
    match &mut record.outcome {
        Outcome::Fail { findings } => fit_findings(findings),
        Outcome::Skip { reason } | Outcome::Cancelled { reason } => fit(reason),
        Outcome::Fault(fault) => fit(&mut fault.message),
        Outcome::Pass => {}
    }
    record
}

pub(super) fn fitted_report(mut report: Report) -> Report {
    match &mut report {
        Report::Step { name: text }
        | Report::Note { text }
        | Report::Cut { what: text }
        | Report::Left { what: text }
        | Report::Unconfined { what: text }
        | Report::Denied { what: text } => fit(text),
        Report::Metric { name, unit: other, .. } | Report::Attachment { name, media_type: other, .. } => {
            fit(name);
            fit(other);
        }
    }
    report
}

/// The first findings stay whole; those beyond the limit are shortened.
fn fit_findings(findings: &mut [Finding]) {
    let mut room = MAX_FINDINGS;
    for finding in findings {
        for text in [&mut finding.message].into_iter().chain(&mut finding.evidence) {
            fit(text);
            if text.len() > room.max(BRIEF) {
                *text = shortened(std::mem::take(text), room.max(BRIEF));
            }
            room = room.saturating_sub(text.len());
        }
    }
}

fn fit(text: &mut String) {
    *text = fitted(std::mem::take(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{Fault, FaultClass, Usage};

    #[test]
    fn characters_stay_whole() {
        assert_eq!(shortened("aéb".into(), 2), "a … (3 bytes cut)");
        assert_eq!(shortened("aéb".into(), 4), "aéb");
    }

    #[test]
    fn short_texts_stay_and_cut_texts_stay_cut() {
        let whole = "é".repeat(TEXT / 2);
        assert_eq!(fitted(whole.clone()), whole);
        let cut = fitted("é".repeat(TEXT));
        assert!(cut.len() <= TEXT && cut.ends_with(" bytes cut)"), "{}", cut.len());
        assert_eq!(fitted(cut.clone()), cut);
    }

    #[test]
    fn every_text_of_a_record_is_bounded() {
        let long = || "x".repeat(10 * TEXT);
        let finding = Finding { code: "c".into(), message: long(), evidence: Some(long()) };
        let outcomes = [
            Outcome::Fail { findings: vec![finding] },
            Outcome::Skip { reason: long() },
            Outcome::Cancelled { reason: long() },
            Outcome::Fault(Fault::new(FaultClass::Denied, long())),
        ];
        for outcome in outcomes {
            let record =
                AttemptRecord { outcome, duration_ms: 0, usage: Usage::default(), artifacts: None, kept: None };
            let text = serde_json::to_string(&fitted_record(record)).unwrap();
            assert!(text.len() < 2 * TEXT + 200 && text.contains("bytes cut"), "{}", text.len());
        }
    }

    #[test]
    fn all_findings_of_an_attempt_are_bounded_together() {
        let long = "x".repeat(TEXT);
        let finding = |at| Finding { code: format!("c{at}"), message: long.clone(), evidence: Some(long.clone()) };
        let outcome = Outcome::Fail { findings: (0..200).map(finding).collect() };
        let record = AttemptRecord { outcome, duration_ms: 0, usage: Usage::default(), artifacts: None, kept: None };
        let Outcome::Fail { findings } = fitted_record(record).outcome else { panic!("it fails") };
        let all: usize = findings.iter().map(|it| it.message.len() + it.evidence.as_ref().unwrap().len()).sum();
        assert!(all < MAX_FINDINGS + 200 * 2 * (BRIEF + CUT_NOTE), "{all}");
        assert_eq!((findings.len(), findings[0].message.as_str()), (200, long.as_str()), "the first are whole");
        assert!(findings[199].message.ends_with(" bytes cut)"), "{}", findings[199].message);
    }

    #[test]
    fn every_text_of_a_report_is_bounded() {
        let long = || "x".repeat(10 * TEXT);
        let reports = [
            Report::Step { name: long() },
            Report::Note { text: long() },
            Report::Metric { name: long(), value: None, unit: long() },
            Report::Attachment { name: long(), media_type: long(), bytes: 0 },
            Report::Cut { what: long() },
            Report::Left { what: long() },
            Report::Unconfined { what: long() },
            Report::Denied { what: long() },
        ];
        for report in reports {
            let text = serde_json::to_string(&fitted_report(report)).unwrap();
            assert!(text.len() < 2 * TEXT + 200 && text.contains("bytes cut"), "{}", text.len());
        }
    }
}

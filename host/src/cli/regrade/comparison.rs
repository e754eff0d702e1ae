//! Sets recorded verdicts beside new ones.

use std::collections::BTreeSet;

use crate::cli::list::{few, one_line};
use host_model::{Finding, TrialId, Verdict};

/// What came of one trial of the earlier run.
pub(super) struct Comparison {
    pub(super) trial: TrialId,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// It was graded again.
    Graded { recorded: Verdict, now: Verdict },
    /// It was graded again, and asked for what no agent has answered.
    Diverged { recorded: Verdict, how: String },
    /// It could not be graded again.
    Stands { recorded: Verdict, why: String },
    /// There is nothing that could be graded.
    LeftOut { recorded: Option<Verdict>, why: String },
}

/// How a trial is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Same,
    /// The same verdict and codes, in other words.
    Reworded,
    Changed,
    Diverged,
    Stands,
    LeftOut,
}

impl Comparison {
    pub(super) fn change(&self) -> Change {
        match &self.kind {
            // What an unexpected pass counts as, and who expected otherwise, is today's policy and no word of a grader.
            Kind::Graded { recorded: Verdict::Xpass { .. }, now: Verdict::Xpass { .. } } => Change::Same,
            Kind::Graded { recorded, now } if recorded == now => Change::Same,
            Kind::Graded { recorded, now } if gist(recorded) == gist(now) => Change::Reworded,
            Kind::Graded { .. } => Change::Changed,
            Kind::Diverged { .. } => Change::Diverged,
            Kind::Stands { .. } => Change::Stands,
            Kind::LeftOut { .. } => Change::LeftOut,
        }
    }

    pub(super) fn text(&self) -> String {
        let line = |status: &str, what: String| format!("{status:>11} {}: {what}\n", one_line(&self.trial.to_string()));
        match &self.kind {
            Kind::Graded { recorded, now } => match self.change() {
                Change::Same => line("same", gist(now)),
                Change::Reworded => line("reworded", gist(now)) + &differences(recorded, now),
                _ => line("CHANGED", format!("{} → {}", gist(recorded), gist(now))) + &differences(recorded, now),
            },
            Kind::Diverged { recorded, how } => {
                line("NO VERDICT", format!("{}, and now: {}", gist(recorded), one_line(how)))
            }
            Kind::Stands { recorded, why } => {
                line("stands", format!("{}; it cannot be graded again: {}", gist(recorded), one_line(why)))
            }
            Kind::LeftOut { recorded, why } => {
                let recorded = recorded.as_ref().map_or_else(|| "no verdict".to_owned(), gist);
                line("left out", format!("{recorded}; {}", one_line(why)))
            }
        }
    }
}

/// What a recorded verdict says of the attempt that is graded again: the last one.
pub(super) fn of_last_attempt(recorded: Verdict) -> Verdict {
    if matches!(recorded, Verdict::Flaky { .. }) { Verdict::Pass } else { recorded }
}

/// The verdict's word with what decides retries and expectations: codes, or the class.
fn gist(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Xfail { fault: Some(fault), .. } => format!("xfail ({})", fault.class),
        Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. } => {
            let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            format!("{} ({})", verdict.word(), few(&codes.into_iter().map(one_line).collect::<Vec<_>>()))
        }
        Verdict::Fault(fault) => format!("fault ({})", fault.class),
        other => other.word().to_owned(),
    }
}

/// What one says and the other does not.
fn differences(recorded: &Verdict, now: &Verdict) -> String {
    let (recorded, now) = (told(recorded), told(now));
    let only = |sign: &str, these: &[String], those: &[String]| -> String {
        these.iter().filter(|it| !those.contains(it)).map(|it| format!("{sign:>15} {it}\n")).collect()
    };
    only("was", &recorded, &now) + &only("now", &now, &recorded)
}

fn told(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Fail { findings, note } => {
            findings.iter().map(told_finding).chain(note.as_deref().map(one_line)).collect()
        }
        Verdict::Xfail { findings, fault, .. } => {
            findings.iter().map(told_finding).chain(fault.iter().map(|fault| one_line(&fault.message))).collect()
        }
        Verdict::Fault(fault) => vec![one_line(&fault.message)],
        Verdict::Skip { reason } | Verdict::Blocked { reason } | Verdict::Cancelled { reason } => {
            vec![one_line(reason)]
        }
        Verdict::Pass | Verdict::Flaky { .. } | Verdict::Xpass { .. } => Vec::new(),
    }
}

fn told_finding(finding: &Finding) -> String {
    let evidence = finding.evidence.as_deref().map(|text| format!(" [{}]", shortened(&one_line(text))));
    format!("{}: {}{}", one_line(&finding.code), one_line(&finding.message), evidence.unwrap_or_default())
}

/// Evidence may be a long diff; the run directory has it all.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{CountsAs, LaneName, ScenarioId};

    fn fail(code: &str, message: &str) -> Verdict {
        let finding = Finding { code: code.into(), message: message.into(), evidence: None };
        Verdict::Fail { findings: vec![finding], note: None }
    }

    fn graded(recorded: Verdict, now: Verdict) -> Comparison {
        let trial = TrialId { lane: LaneName("l".into()), scenario: ScenarioId("s".into()) };
        Comparison { trial, kind: Kind::Graded { recorded, now } }
    }

    #[test]
    fn only_another_verdict_or_code_is_a_change() {
        assert_eq!(graded(Verdict::Pass, Verdict::Pass).change(), Change::Same);
        assert_eq!(graded(fail("a", "x"), fail("a", "x")).change(), Change::Same);
        assert_eq!(graded(fail("a", "x"), fail("a", "y")).change(), Change::Reworded);
        assert_eq!(graded(fail("a", "x"), fail("b", "x")).change(), Change::Changed);
        assert_eq!(graded(fail("a", "x"), Verdict::Pass).change(), Change::Changed);
        let xpass = |counts_as| Verdict::Xpass { expected: Vec::new(), counts_as };
        assert_eq!(graded(xpass(CountsAs::Fail), xpass(CountsAs::Pass)).change(), Change::Same);
        assert_eq!(graded(Verdict::Pass, xpass(CountsAs::Pass)).change(), Change::Changed);
    }

    #[test]
    fn both_sides_of_a_change_are_told_and_nothing_steers_the_terminal() {
        let text = graded(fail("a", "no \u{1b}[2Jtitle\nat all"), Verdict::Pass).text();
        assert!(text.starts_with("    CHANGED l/s: fail (a) → pass\n"), "{text}");
        assert!(text.contains("was a: no "), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text}");
    }
}

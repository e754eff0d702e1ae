//! `host regrade`.

use super::{
    args::RegradeArgs,
    notices::TerminalNotices,
    run_reports::{RunReports, report_end},
    terminal,
};
use host_core::app::{
    self, Change, Comparison, ComparisonKind, Error, Regraded, text::one_line, verdict_summary as summary,
};
use host_model::{ExitCode, Finding, ReporterKind, RunSummary, Verdict, shown};

pub(super) async fn regrade(args: &RegradeArgs) -> Result<ExitCode, Error> {
    let mut reports = RunReports::of_kinds(run_reporters(&args.reporters));
    let regraded = app::regrade(&args.settings(), &TerminalNotices::new(), &mut reports).await?;
    let comparisons = &regraded.comparisons;
    let Some(finished) = &regraded.finished else {
        let mut text: String = comparisons.iter().map(comparison_text).collect();
        text.push_str(&format!("error: run {} has nothing to grade again\n", regraded.run));
        terminal::print(&text);
        return Ok(ExitCode::NothingToRun);
    };
    report_end(finished, reports.kinds(), true);
    let mut text = heading(&regraded);
    for comparison in comparisons {
        if !args.quiet || !matches!(comparison.change(), Change::Same | Change::Reworded) {
            text.push_str(&comparison_text(comparison));
        }
    }
    text.push_str(&summed_up(comparisons, &finished.summary));
    text.push_str(&format!("run directory {}\n", shown(&finished.directory)));
    Ok(show(&text, &args.reporters, finished.code))
}

fn heading(regraded: &Regraded) -> String {
    let mut text = format!("Grading run {} again without agents\n", one_line(&regraded.run.0));
    if !regraded.is_complete {
        text.push_str("  its event log is incomplete: the run was killed\n");
    }
    for plugin in &regraded.changed_plugins {
        let (label, now) = (one_line(&plugin.label), short(&plugin.digest));
        text.push_str(&match &plugin.recorded {
            Some(recorded) => format!("  plugin {label} has changed: {now}, was {}\n", short(recorded)),
            None => format!("  plugin {label} was not part of the run: {now}\n"),
        });
    }
    text
}

/// Enough of a digest to tell it from others.
fn short(digest: &str) -> String {
    one_line(&digest.chars().take("sha256:".len() + 12).collect::<String>())
}

fn summed_up(comparisons: &[Comparison], summary: &RunSummary) -> String {
    let count = |change: Change| comparisons.iter().filter(|comparison| comparison.change() == change).count();
    let mut parts = vec![format!("{} changed", count(Change::Changed)), format!("{} same", count(Change::Same))];
    for (change, what) in [
        (Change::Reworded, "reworded"),
        (Change::Diverged, "without a verdict"),
        (Change::Stands, "not graded again"),
        (Change::LeftOut, "left out"),
    ] {
        if count(change) > 0 {
            parts.push(format!("{} {what}", count(change)));
        }
    }
    let verdicts: Vec<String> = summary.verdicts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let seconds = summary.wall_ms as f64 / 1000.0;
    format!("Compared in {seconds:.2}s: {}\nVerdicts now: {}\n", parts.join(", "), verdicts.join(", "))
}

/// The reports of the run; the comparison takes the place of the one for people.
fn run_reporters(asked: &[ReporterKind]) -> Vec<ReporterKind> {
    let others: Vec<ReporterKind> = asked.iter().copied().filter(|kind| *kind != ReporterKind::Human).collect();
    if others.is_empty() { vec![ReporterKind::Silent] } else { others }
}

/// Prints the comparison where no report for machines is in its way.
fn show(text: &str, asked: &[ReporterKind], code: ExitCode) -> ExitCode {
    if !asked.is_empty() && !asked.contains(&ReporterKind::Human) {
        return code;
    }
    let machines = [ReporterKind::Jsonl, ReporterKind::Github];
    if asked.iter().any(|kind| machines.contains(kind)) {
        terminal::print(text);
        return code;
    }
    terminal::result(text, code)
}

fn comparison_text(comparison: &Comparison) -> String {
    let line =
        |status: &str, what: String| format!("{status:>11} {}: {what}\n", one_line(&comparison.trial.to_string()));
    match &comparison.kind {
        ComparisonKind::Graded { recorded, now } => match comparison.change() {
            Change::Same => line("same", summary(now)),
            Change::Reworded => line("reworded", summary(now)) + &differences(recorded, now),
            _ => line("CHANGED", format!("{} → {}", summary(recorded), summary(now))) + &differences(recorded, now),
        },
        ComparisonKind::Diverged { recorded, how } => {
            line("NO VERDICT", format!("{}; now: {}", summary(recorded), one_line(how)))
        }
        ComparisonKind::Stands { recorded, why } => {
            line("stands", format!("{}; cannot be graded again: {}", summary(recorded), one_line(why)))
        }
        ComparisonKind::LeftOut { recorded, why } => {
            let recorded = recorded.as_ref().map_or_else(|| "no verdict".to_owned(), summary);
            line("left out", format!("{recorded}; {}", one_line(why)))
        }
    }
}

fn differences(recorded: &Verdict, now: &Verdict) -> String {
    let (recorded, now) = (words(recorded), words(now));
    let only = |sign: &str, these: &[String], those: &[String]| -> String {
        these.iter().filter(|it| !those.contains(it)).map(|it| format!("{sign:>15} {it}\n")).collect()
    };
    only("was", &recorded, &now) + &only("now", &now, &recorded)
}

fn words(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Fail { findings, note } => {
            findings.iter().map(finding_text).chain(note.as_deref().map(one_line)).collect()
        }
        Verdict::Xfail { findings, fault, .. } => {
            findings.iter().map(finding_text).chain(fault.iter().map(|fault| one_line(&fault.message))).collect()
        }
        Verdict::Fault(fault) => vec![one_line(&fault.message)],
        Verdict::Skip { reason } | Verdict::Blocked { reason } | Verdict::Cancelled { reason } => {
            vec![one_line(reason)]
        }
        Verdict::Pass | Verdict::Flaky { .. } | Verdict::Xpass { .. } => Vec::new(),
    }
}

fn finding_text(finding: &Finding) -> String {
    let evidence = finding.evidence.as_deref().map(|text| format!(" [{}]", shortened(&one_line(text))));
    format!("{}: {}{}", one_line(&finding.code), one_line(&finding.message), evidence.unwrap_or_default())
}

/// Evidence may be a long diff; the run directory has it all.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{LaneName, ScenarioId, TrialId};

    #[test]
    fn both_verdicts_of_a_change_are_shown_and_harmless() {
        let finding = Finding { code: "a".into(), message: "no \u{1b}[2Jtitle\nat all".into(), evidence: None };
        let recorded = Verdict::Fail { findings: vec![finding], note: None };
        let trial = TrialId { lane: LaneName("l".into()), scenario: ScenarioId("s".into()) };
        let kind = ComparisonKind::Graded { recorded, now: Verdict::Pass };
        let text = comparison_text(&Comparison { trial, kind });
        assert!(text.starts_with("    CHANGED l/s: fail (a) → pass\n"), "{text}");
        assert!(text.contains("was a: no "), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text}");
    }
}

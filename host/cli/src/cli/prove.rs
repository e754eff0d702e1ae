//! `host prove`.

use super::{
    args::ProveArgs,
    notices::TerminalNotices,
    run_reports::{RunReports, report_end},
    terminal,
};
use host_core::app::{
    self, Error, Proof,
    text::{few, one_line, plural},
};
use host_model::{ExitCode, ReporterKind};

pub(super) async fn prove(args: &ProveArgs) -> Result<ExitCode, Error> {
    // A wrong agent's failure is expected: the run's own report would call it a failure.
    let mut reports = RunReports::of_kinds(vec![ReporterKind::Silent]);
    let proved = app::prove(&args.settings(), &TerminalNotices::new(), &mut reports).await?;
    report_end(&proved.run, reports.kinds(), true);
    let Some(proofs) = proved.proofs else { return Ok(proved.run.code) };
    let mut text: String = proofs.iter().map(proof_text).collect();
    let problems: usize = proofs.iter().map(|proof| proof.problems.len()).sum();
    let agents: usize = proofs.iter().map(|proof| proof.agents.len()).sum();
    let clauses: usize = proofs.iter().map(|proof| proof.clauses.len()).sum();
    let (agents, clauses) = (plural(agents, "agent"), plural(clauses, "clause"));
    let seconds = proved.run.summary.wall_ms as f64 / 1000.0;
    text.push_str(&match problems {
        0 => format!("proved: {agents} graded as expected, {clauses} covered, in {seconds:.2}s\n"),
        _ => format!("not proved: {} with {agents} and {clauses}, in {seconds:.2}s\n", plural(problems, "problem")),
    });
    let code = if problems == 0 { ExitCode::Ok } else { ExitCode::ScenarioFailed };
    Ok(terminal::result(&text, code))
}

fn proof_text(proof: &Proof) -> String {
    let mut text = format!("{}\n", proof.scenario);
    for agent in &proof.agents {
        match agent.is_right {
            true => text.push_str(&format!("  ok    {}: {}\n", agent.name, agent.expected)),
            false => text.push_str(&format!("  WRONG {}: unexpected verdict, see below\n", agent.name)),
        }
    }
    let width = proof.clauses.iter().map(|clause| clause.code.len()).max().unwrap_or(0);
    for clause in &proof.clauses {
        let catches = if clause.catches.is_empty() { "nothing".to_owned() } else { few(&clause.catches) };
        text.push_str(&format!("  {:<width$}  alone catches {catches}\n", clause.code));
        if !clause.requires.is_empty() {
            text.push_str(&format!("  {:width$}  requires: {}\n", "", one_line(&clause.requires)));
        }
    }
    for problem in &proof.problems {
        let indented = problem.lines().collect::<Vec<_>>().join("\n            ");
        text.push_str(&format!("  problem: {indented}\n"));
    }
    text.push('\n');
    text
}

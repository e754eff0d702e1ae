//! `host prove`: is each grader right about its scripted agents, and is each of its clauses needed?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    args::{ProveArgs, ReporterKind},
    failure::Failure,
    list::{few, one_line},
    setup, terminal, wiring,
};
use host_model::{
    Canary, Event, EventKind, ExitCode, Grant, LaneName, RunRules, Scenario, ScenarioId, ScriptExpectation, TrialId,
    Verdict,
};
use host_report::visible;
use host_suite::config::{LaneKind, Overrides};
use host_suite::plan::{LanePlan, Plan, PlannedTrial, Selection, check_grants};

/// `host prove`.
pub(super) async fn prove(args: ProveArgs) -> Result<ExitCode, Failure> {
    let overrides = Overrides { jobs: args.suite.given.sourced("jobs", args.execution.jobs), ..args.suite.overrides() };
    let loaded = setup::load(&args.suite, &overrides).await?;
    let selection = Selection { filters: args.suite.filters.clone(), no_canary: true, today: setup::today() };
    let scenarios: Vec<Arc<Scenario>> =
        loaded.scenarios.iter().filter(|scenario| selection.selects(scenario)).cloned().map(Arc::new).collect();
    let plan = plan(&scenarios, loaded.settings.jobs);
    let unproved = scenarios.iter().any(|scenario| scenario.grants.has(Grant::Session));
    if plan.trials().next().is_none() && !unproved {
        let what = if scenarios.is_empty() && !args.suite.filters.is_empty() {
            format!("no scenario's name contains {}", args.suite.filters.join(" or "))
        } else {
            "no selected scenario has scripted agents (scenarios/NAME/agents/*.toml); `host check` says which folders \
             nothing uses"
                .to_owned()
        };
        terminal::error(format_args!("nothing to prove: {what}"));
        return Ok(ExitCode::NothingToRun);
    }
    check_grants(&plan).map_err(Failure::setup_all)?;
    let mut verdicts: BTreeMap<TrialId, Verdict> = BTreeMap::new();
    let mut watch = |event: &Event| {
        if let EventKind::TrialFinished { trial, verdict, .. } = &event.kind {
            verdicts.insert(trial.clone(), verdict.clone());
        }
    };
    // A wrong agent's failure is what is wanted: the run's own report would call it one.
    let quiet: &[ReporterKind] = &[ReporterKind::Silent];
    let (summary, code) = wiring::execute(&loaded, &plan, &args.execution, quiet, &mut watch).await?;
    if code == ExitCode::Interrupted || code == ExitCode::Setup {
        return Ok(code);
    }
    let proofs: Vec<Proof> = scenarios.iter().map(|scenario| Proof::of(scenario, &verdicts)).collect();
    let mut text: String = proofs.iter().map(Proof::text).collect();
    let problems: usize = proofs.iter().map(|proof| proof.problems.len()).sum();
    let agents: usize = proofs.iter().map(|proof| proof.agents.len()).sum();
    let clauses: usize = proofs.iter().map(|proof| proof.codes.len()).sum();
    let (agents, clauses) = (counted(agents, "agent"), counted(clauses, "clause"));
    let seconds = summary.wall_ms as f64 / 1000.0;
    text.push_str(&match problems {
        0 => format!("proved: {agents} judged rightly, {clauses} each needed, in {seconds:.2}s\n"),
        _ => format!("not proved: {} with {agents} and {clauses}, in {seconds:.2}s\n", counted(problems, "problem")),
    });
    let code = if problems == 0 { ExitCode::Ok } else { ExitCode::ScenarioFailed };
    Ok(terminal::result(&text, code))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Every scenario with every one of its scripted agents, all at once.
fn plan(scenarios: &[Arc<Scenario>], jobs: usize) -> Plan {
    let lane = LaneName("prove".into());
    let trials = scenarios.iter().flat_map(|scenario| {
        scenario.agents.keys().map(|agent| {
            let id = trial_id(&lane, scenario, agent);
            Arc::new(PlannedTrial::once(id, Arc::clone(scenario), Canary::No, Some(agent.clone())))
        })
    });
    let rest = trials.collect();
    let kind = LaneKind::Scripted { agent: String::new() };
    Plan {
        // Agents that break are what is wanted of some: they break no lane.
        lanes: vec![LanePlan::unguarded(lane.clone(), kind, rest)],
        jobs,
        policy: RunRules::default(),
        canary_skipped: false,
    }
}

fn trial_id(lane: &LaneName, scenario: &Scenario, agent: &str) -> TrialId {
    TrialId { lane: lane.clone(), scenario: ScenarioId(format!("{}@{agent}", scenario.id)) }
}

/// What the agents of one scenario show.
struct Proof {
    scenario: ScenarioId,
    /// Agents with what they must get, and whether they got it.
    agents: Vec<(String, String, bool)>,
    /// Codes with what they require and the wrong agents that each alone catches.
    codes: Vec<(String, String, Vec<String>)>,
    problems: Vec<String>,
}

impl Proof {
    fn of(scenario: &Scenario, verdicts: &BTreeMap<TrialId, Verdict>) -> Self {
        let lane = LaneName("prove".into());
        let mut problems = Vec::new();
        let mut agents = Vec::new();
        let mut alone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, agent) in &scenario.agents {
            let verdict = verdicts.get(&trial_id(&lane, scenario, name));
            let expect = &agent.script.expect;
            let problem = verdict.map_or_else(|| Some("it got no verdict".into()), |verdict| mismatch(expect, verdict));
            agents.push((name.clone(), expected(expect), problem.is_none()));
            match (problem, expect) {
                (Some(problem), _) => {
                    problems.push(format!("{name} ({}): {problem}", agent.path.display()));
                }
                (None, ScriptExpectation::Fail { findings }) if findings.len() == 1 => {
                    for code in findings {
                        alone.entry(code).or_default().push(name.clone());
                    }
                }
                (None, _) => {}
            }
        }
        let right = scenario.agents.values().any(|agent| agent.script.expect == ScriptExpectation::Pass);
        if scenario.agents.is_empty() && scenario.grants.has(Grant::Session) {
            problems.push("it uses sessions but has no scripted agents: nothing is proved".into());
        } else if !right && !scenario.agents.is_empty() {
            problems.push("it has no right agent: add one that must pass".into());
        }
        let mut codes = Vec::new();
        for clause in &scenario.clauses {
            let catches = alone.remove(clause.code.as_str()).unwrap_or_default();
            // While an agent is judged wrongly, which clauses are needed cannot be told.
            if catches.is_empty() && agents.iter().all(|(_, _, right)| *right) {
                problems.push(format!("no wrong agent is caught by `{}` alone: add one", clause.code));
            }
            codes.push((clause.code.clone(), clause.requires.clone(), catches));
        }
        codes.extend(alone.into_iter().map(|(code, catches)| (code.to_owned(), String::new(), catches)));
        Self { scenario: scenario.id.clone(), agents, codes, problems }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.scenario);
        for (name, expected, right) in &self.agents {
            match right {
                true => text.push_str(&format!("  ok    {name}: {expected}\n")),
                false => text.push_str(&format!("  WRONG {name}: not as expected, see below\n")),
            }
        }
        let width = self.codes.iter().map(|(code, ..)| code.len()).max().unwrap_or(0);
        for (code, requires, catches) in &self.codes {
            let catches = if catches.is_empty() { "nothing".to_owned() } else { few(catches) };
            text.push_str(&format!("  {code:<width$}  alone catches {catches}\n"));
            if !requires.is_empty() {
                text.push_str(&format!("  {:width$}  requires: {}\n", "", one_line(requires)));
            }
        }
        for problem in &self.problems {
            let indented = problem.lines().collect::<Vec<_>>().join("\n            ");
            text.push_str(&format!("  problem: {indented}\n"));
        }
        text.push('\n');
        text
    }
}

fn expected(expect: &ScriptExpectation) -> String {
    match expect {
        ScriptExpectation::Pass => "passes".into(),
        ScriptExpectation::Skip => "is skipped".into(),
        ScriptExpectation::Fail { findings } => format!("fails with {}", listed(findings.iter().map(String::as_str))),
        ScriptExpectation::Fault { class } => format!("is a fault of class {class}"),
    }
}

/// What is wrong with a verdict, if anything is.
fn mismatch(expect: &ScriptExpectation, verdict: &Verdict) -> Option<String> {
    let got = match verdict {
        Verdict::Fail { findings, .. } => {
            let found: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
            if let ScriptExpectation::Fail { findings: wanted } = expect {
                let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
                if found == wanted {
                    return None;
                }
            }
            let messages: Vec<String> =
                findings.iter().map(|finding| format!("{}: {}", finding.code, one_line(&finding.message))).collect();
            format!("fails with {}\n{}", listed(found.into_iter()), messages.join("\n"))
        }
        Verdict::Fault(fault) => {
            if matches!(expect, ScriptExpectation::Fault { class } if *class == fault.class) {
                return None;
            }
            format!("is a fault, {}: {}", fault.class, visible(&fault.message))
        }
        Verdict::Pass if *expect == ScriptExpectation::Pass => return None,
        Verdict::Skip { .. } if *expect == ScriptExpectation::Skip => return None,
        // `prove` retries nothing and expects no failure.
        Verdict::Pass | Verdict::Flaky { .. } | Verdict::Xpass { .. } => "passes".into(),
        Verdict::Xfail { .. } => "fails as expected".into(),
        Verdict::Skip { reason } => format!("is skipped: {}", one_line(reason)),
        Verdict::Blocked { reason } | Verdict::Cancelled { reason } => format!("did not run: {}", one_line(reason)),
    };
    Some(format!("{}, but {}", expected_must(expect), got))
}

fn expected_must(expect: &ScriptExpectation) -> String {
    match expect {
        ScriptExpectation::Pass => "must pass".into(),
        ScriptExpectation::Skip => "must be skipped".into(),
        ScriptExpectation::Fail { findings } => {
            format!("must fail with {} and nothing else", listed(findings.iter().map(String::as_str)))
        }
        ScriptExpectation::Fault { class } => format!("must be a fault of class {class}"),
    }
}

fn listed<'a>(codes: impl Iterator<Item = &'a str>) -> String {
    few(&codes.map(|code| format!("`{code}`")).collect::<Vec<_>>())
}

//! Is each grader right about its scripted agents, and is each of its clauses needed?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    error::{Error, Message},
    execute::{Execution, ExecutionSettings, FinishedRun},
    lanes::live_lanes,
    load::{LoadSettings, Suite, today},
    notices::Notices,
    reports::RunHooks,
    text::{few, one_line},
};
use crate::runner::Agents;
use host_model::{
    Canary, Event, EventKind, ExitCode, Grant, LaneName, RunRules, Scenario, ScenarioId, ScriptExpectation, TrialId,
    Verdict,
};
use host_report::visible;
use host_suite::config::LaneKind;
use host_suite::plan::{LanePlan, Plan, PlannedTrial, Selection, check_grants};

/// What to prove.
#[derive(Clone, Debug, Default)]
pub struct ProveSettings {
    /// Which suite and plugins to load.
    pub load: LoadSettings,
    /// Only scenarios whose name contains one of these texts; all if empty.
    pub filters: Vec<String>,
    /// How to run the scripted agents.
    pub execution: ExecutionSettings,
}

/// What the scripted agents show about the graders.
#[derive(Debug)]
pub struct Proved {
    /// The run of all scripted agents.
    pub run: FinishedRun,
    /// One for each scenario; `None` when the run was interrupted or its reports could not be written.
    pub proofs: Option<Vec<Proof>>,
}

/// What the scripted agents of one scenario show.
#[derive(Debug)]
pub struct Proof {
    /// The scenario.
    pub scenario: ScenarioId,
    /// Its scripted agents.
    pub agents: Vec<AgentProof>,
    /// Its clauses, and codes that wrong agents are caught by.
    pub clauses: Vec<ClauseProof>,
    /// What is wrong, for a person; nothing if the scenario is proved.
    pub problems: Vec<String>,
}

/// Whether a scripted agent was judged as its script expects.
#[derive(Debug)]
pub struct AgentProof {
    /// The agent's name.
    pub name: String,
    /// The verdict that it must get, in words.
    pub expected: String,
    /// Whether it got that.
    pub is_right: bool,
}

/// Which wrong agents a clause catches.
#[derive(Debug)]
pub struct ClauseProof {
    /// The code of its findings.
    pub code: String,
    /// What it requires; empty if no clause has the code.
    pub requires: String,
    /// The wrong agents that nothing else catches.
    pub catches: Vec<String>,
}

/// Runs each scenario against its scripted agents, right and wrong ones.
///
/// # Errors
/// The run could not begin, or broke off; there is nothing to prove ([`ExitCode::NothingToRun`]).
pub async fn prove(settings: &ProveSettings, notices: &dyn Notices, hooks: &mut dyn RunHooks) -> Result<Proved, Error> {
    let suite = Suite::load(&settings.load, notices).await?;
    let selection = Selection { filters: settings.filters.clone(), no_canary: true, today: today() };
    let scenarios: Vec<Arc<Scenario>> =
        suite.scenarios.iter().filter(|scenario| selection.selects(scenario)).cloned().map(Arc::new).collect();
    let plan = plan(&scenarios, suite.settings.jobs);
    let unproved = scenarios.iter().any(|scenario| scenario.grants.has(Grant::Session));
    if plan.trials().next().is_none() && !unproved {
        let what = if scenarios.is_empty() && !settings.filters.is_empty() {
            format!("no scenario's name contains {}", settings.filters.join(" or "))
        } else {
            "no selected scenario has scripted agents (scenarios/NAME/agents/*.toml); `host check` lists unused folders"
                .to_owned()
        };
        let message = Message::plain(format!("nothing to prove: {what}"));
        return Err(Error::new(ExitCode::NothingToRun, [message]));
    }
    check_grants(&plan).map_err(Error::setup_all)?;
    let mut verdicts: BTreeMap<TrialId, Verdict> = BTreeMap::new();
    let mut watch = |event: &Event| {
        if let EventKind::TrialFinished { trial, verdict, .. } = &event.kind {
            verdicts.insert(trial.clone(), verdict.clone());
        }
    };
    let agents = Agents::Live(live_lanes(&plan)?);
    let execution = Execution { suite: &suite, plan: &plan, settings: &settings.execution, regrades: None, notices };
    let run = execution.run(agents, hooks, &mut watch).await?;
    let is_incomplete = matches!(run.code, ExitCode::Interrupted | ExitCode::Setup);
    let proofs = (!is_incomplete).then(|| scenarios.iter().map(|scenario| Proof::of(scenario, &verdicts)).collect());
    Ok(Proved { run, proofs })
}

/// Every scenario with each of its scripted agents, all in parallel.
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

impl Proof {
    fn of(scenario: &Scenario, verdicts: &BTreeMap<TrialId, Verdict>) -> Self {
        let lane = LaneName("prove".into());
        let mut problems = Vec::new();
        let mut agents = Vec::new();
        let mut alone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, agent) in &scenario.agents {
            let verdict = verdicts.get(&trial_id(&lane, scenario, name));
            let expect = &agent.script.expect;
            let problem =
                verdict.map_or_else(|| Some("it did not get a verdict".into()), |verdict| mismatch(expect, verdict));
            let is_right = problem.is_none();
            agents.push(AgentProof { name: name.clone(), expected: expected(expect), is_right });
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
            problems.push("it uses sessions, but has no scripted agents".into());
        } else if !right && !scenario.agents.is_empty() {
            problems.push("it has no scripted agent that passes\nhelp: add a scripted agent that must pass".into());
        }
        let mut clauses = Vec::new();
        for clause in &scenario.clauses {
            let catches = alone.remove(clause.code.as_str()).unwrap_or_default();
            // While an agent gets an unexpected verdict, it is unknown which clauses are needed.
            if catches.is_empty() && agents.iter().all(|agent| agent.is_right) {
                problems.push(format!(
                    "no scripted agent fails with `{}` alone\nhelp: add a scripted agent that breaks only this clause",
                    clause.code
                ));
            }
            let (code, requires) = (clause.code.clone(), clause.requires.clone());
            clauses.push(ClauseProof { code, requires, catches });
        }
        clauses.extend(alone.into_iter().map(|(code, catches)| {
            let (code, requires) = (code.to_owned(), String::new());
            ClauseProof { code, requires, catches }
        }));
        Self { scenario: scenario.id.clone(), agents, clauses, problems }
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
            format!("must fail with exactly {}", listed(findings.iter().map(String::as_str)))
        }
        ScriptExpectation::Fault { class } => format!("must be a fault of class {class}"),
    }
}

fn listed<'a>(codes: impl Iterator<Item = &'a str>) -> String {
    few(&codes.map(|code| format!("`{code}`")).collect::<Vec<_>>())
}

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::plan::{SetupProblem, check_agents, check_grants};
use host_model::{Grant, GrantItem, Grants, Script, ScriptExpectation, ScriptedAgent, Ungranted};

fn scenario(name: &str, timeout: u64) -> Scenario {
    let limits = host_model::Limits { timeout: Duration::from_secs(timeout), ..Default::default() };
    Scenario { limits, ..Scenario::named(name) }
}

fn with_agents(name: &str, agents: &[&str]) -> Scenario {
    let script = Script { summary: String::new(), expect: ScriptExpectation::Pass, steps: Vec::new() };
    let agent = |name: &&str| ((*name).to_owned(), ScriptedAgent { path: PathBuf::new(), script: script.clone() });
    Scenario { agents: agents.iter().map(agent).collect(), ..scenario(name, 60) }
}

/// The plan of scenarios of one plugin each, whose names alone say which are canaries.
fn plan(scenarios: Vec<Scenario>, settings: &Settings, selection: &Selection) -> Plan {
    let appointed = scenarios.into_iter().map(|scenario| {
        let canary = settings.canary.iter().find(|name| **name == scenario.name).cloned();
        Scenario { canary, ..scenario }
    });
    super::plan(appointed.collect(), settings, selection)
}

fn settings(lanes: &[&str], canary: &[&str]) -> Settings {
    let lane = |name: &&str| LaneSettings {
        name: LaneName((*name).into()),
        kind: LaneKind::Scripted { agent: "right".into() },
        confinement: Confinement::default(),
        jobs: None,
        retry: Default::default(),
        breaker: 3,
    };
    Settings {
        base: PathBuf::new(),
        suite: None,
        caps: None,
        profile: None,
        plugins: Vec::new(),
        canary: canary.iter().map(|name| (*name).to_owned()).collect(),
        canary_places: BTreeMap::new(),
        lanes: lanes.iter().map(lane).collect(),
        defined_lanes: lanes.iter().map(lane).collect(),
        jobs: 4,
        compile: Default::default(),
        limits: Default::default(),
        retry: Default::default(),
        retry_override: Default::default(),
        policy: Default::default(),
        reporters: Vec::new(),
        sources: Default::default(),
        scenarios: BTreeMap::new(),
        agents: Vec::new(),
    }
}

fn filter(texts: &[&str]) -> Selection {
    Selection { filters: texts.iter().map(|text| (*text).to_owned()).collect(), ..Default::default() }
}

fn names(trials: &[Arc<PlannedTrial>]) -> Vec<&str> {
    trials.iter().map(|trial| trial.scenario.name.as_str()).collect()
}

#[test]
fn every_lane_runs_its_canary_first() {
    let scenarios = vec![scenario("a", 60), scenario("first", 60), scenario("b", 60)];
    let plan = plan(scenarios, &settings(&["x", "y"], &["first"]), &Selection::default());
    assert_eq!(plan.lanes.len(), 2);
    for lane in &plan.lanes {
        assert_eq!((names(&lane.canaries), names(&lane.rest)), (vec!["first"], vec!["a", "b"]));
        assert!(lane.canaries.iter().chain(&lane.rest).all(|trial| trial.id.lane == lane.name));
    }
    assert!(!plan.canary_skipped);
}

#[test]
fn canaries_run_without_being_selected() {
    let scenarios = || vec![scenario("first", 60), scenario("gate", 60), scenario("hook", 60)];
    let settings = settings(&["l"], &["first"]);
    let plan_of = |texts: &[&str]| plan(scenarios(), &settings, &filter(texts)).lanes.remove(0);
    let lane = plan_of(&["gat"]);
    assert_eq!((names(&lane.canaries), names(&lane.rest)), (vec!["first"], vec!["gate"]));
    let lane = plan_of(&["hook", "gate"]);
    assert_eq!(names(&lane.rest), ["gate", "hook"]);
    let lane = plan_of(&["first"]);
    assert_eq!((names(&lane.canaries), names(&lane.rest)), (vec!["first"], vec![]));
    let lane = plan_of(&["nothing"]);
    assert!(lane.canaries.is_empty() && lane.rest.is_empty(), "a canary guards nothing when nothing is selected");
}

#[test]
fn without_canaries_they_are_ordinary_trials() {
    let scenarios = || vec![scenario("first", 60), scenario("gate", 60)];
    let selection = Selection { filters: vec!["gate".into()], no_canary: true, ..Default::default() };
    let plan_of = |canary: &[&str], selection: &Selection| plan(scenarios(), &settings(&["l"], canary), selection);
    let filtered = plan_of(&["first"], &selection);
    assert_eq!((names(&filtered.lanes[0].canaries), names(&filtered.lanes[0].rest)), (vec![], vec!["gate"]));
    assert!(filtered.canary_skipped);
    let all = plan_of(&["first"], &Selection { no_canary: true, ..Default::default() });
    assert_eq!(names(&all.lanes[0].rest), ["first", "gate"]);
    assert!(all.trials().all(|trial| trial.canary == Canary::No));
    assert!(!plan_of(&[], &selection).canary_skipped, "there was none to skip");
}

#[test]
fn long_deadlines_start_first() {
    let scenarios = [("c", 60), ("a", 10), ("long", 600), ("b", 60), ("also-long", 600)];
    let scenarios = scenarios.map(|(name, timeout)| scenario(name, timeout)).into();
    let plan = plan(scenarios, &settings(&["l"], &[]), &Selection::default());
    assert_eq!(names(&plan.lanes[0].rest), ["long", "also-long", "c", "b", "a"]);
}

#[test]
fn requested_agents_run_where_they_exist() {
    let scenarios = vec![with_agents("a", &["right", "wrong"]), with_agents("b", &["right", "other"])];
    let asked = |agents: &[&str]| {
        let mut settings = settings(&["l"], &[]);
        settings.agents = agents.iter().map(|name| (*name).to_owned()).collect();
        let plan = plan(scenarios.clone(), &settings, &Selection::default());
        plan.trials().map(|trial| trial.agent.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&[]), ["right", "right"]);
    assert_eq!(asked(&["wrong"]), ["wrong", "right"]);
    assert_eq!(asked(&["other", "wrong"]), ["wrong", "other"]);
    assert_eq!(asked(&["right", "wrong"]), ["right", "right"], "the first that a scenario has");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selected_scenarios_are_planned_once_per_lane(
        shapes in proptest::collection::vec(("[ab]{1,3}", 1_u64..5), 0..12),
        lanes in 0_usize..4,
        canary in proptest::collection::vec("[ab]{1,3}", 0..3),
        filters in proptest::collection::vec("[ab]{1,2}", 0..3),
        no_canary in any::<bool>(),
    ) {
        let mut seen = HashSet::new();
        let scenarios: Vec<Scenario> = shapes
            .iter()
            .filter(|(name, _)| seen.insert(name.clone()))
            .map(|(name, timeout)| scenario(name, *timeout))
            .collect();
        let lane_names: Vec<String> = (0..lanes).map(|number| format!("l{number}")).collect();
        let lane_names: Vec<&str> = lane_names.iter().map(String::as_str).collect();
        let canary: Vec<&str> = canary.iter().map(String::as_str).collect();
        let selection = Selection { filters, no_canary, ..Default::default() };
        let plan = plan(scenarios.clone(), &settings(&lane_names, &canary), &selection);
        prop_assert_eq!(plan.lanes.iter().map(|lane| lane.name.0.as_str()).collect::<Vec<_>>(), lane_names);
        let any = scenarios.iter().any(|scenario| selection.selects(scenario));
        let mut expected: Vec<&str> = scenarios
            .iter()
            .filter(|it| selection.selects(it) || any && !no_canary && canary.contains(&it.name.as_str()))
            .map(|it| it.name.as_str())
            .collect();
        expected.sort_unstable();
        for lane in &plan.lanes {
            let mut planned: Vec<&str> = names(&lane.canaries).into_iter().chain(names(&lane.rest)).collect();
            planned.sort_unstable();
            prop_assert_eq!(&planned, &expected);
            prop_assert!(lane.rest.is_sorted_by(|a, b| a.scenario.limits.timeout >= b.scenario.limits.timeout));
            for trial in lane.canaries.iter().chain(&lane.rest) {
                let guards = !no_canary && canary.contains(&trial.scenario.name.as_str());
                prop_assert_eq!(trial.canary == Canary::Yes, guards);
            }
            prop_assert!(lane.canaries.iter().all(|trial| trial.canary == Canary::Yes));
        }
    }
}

#[test]
fn plans_are_refused_only_for_missing_grants() {
    let mut needy = scenario("needy", 1);
    needy.ungranted = vec![Ungranted { grant: Grant::Session, problem: "needs it".into() }];
    let settings = settings(&["one", "two"], &[]);
    let all = plan(vec![needy.clone(), scenario("modest", 1)], &settings, &Selection::default());
    let problems = check_grants(&all).unwrap_err();
    assert_eq!(problems, [SetupProblem::NotGranted("needs it".into())], "once, for both lanes");
    let some = plan(vec![needy, scenario("modest", 1)], &settings, &filter(&["modest"]));
    assert_eq!(check_grants(&some), Ok(()));
}

#[test]
fn missing_agents_are_reported_with_the_known_ones() {
    let grants: Grants = [GrantItem::Session].into_iter().collect();
    let mut acted = Scenario { grants, ..with_agents("acted", &["rihgt", "wrong"]) };
    let settings = settings(&["one"], &[]);
    let problems = check_agents(&plan(vec![acted.clone()], &settings, &Selection::default())).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "the lane `one` plays the agent `right`, but the scenario `acted` has only `rihgt`, `wrong`; \
         did you mean `rihgt`?"
    );
    acted.agents.clear();
    assert_eq!(check_agents(&plan(vec![acted.clone()], &settings, &Selection::default())), Ok(()));
    acted.needs_session = true;
    let problems = check_agents(&plan(vec![acted], &settings, &Selection::default())).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "the lane `one` plays the agent `right`, but the scenario `acted` has no agents; add the file \
         `agents/right.toml` to its folder"
    );
}

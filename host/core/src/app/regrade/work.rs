//! Which trials of an earlier run are graded again, and with what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    comparison::{Comparison, ComparisonKind, of_last_attempt},
    recorded_run::{RanTrial, RecordedRun, RunError},
};
use crate::{
    app::{
        error::Error,
        load::{Suite, today},
        text::one_line,
    },
    runner::{FixtureImage, RecordedTrial},
};
use host_agents::{Replay, Restore};
use host_model::{
    AgentSettings, Canary, LaneInfo, LaneKind, LaneName, Outcome, RunRules, Scenario, ScenarioId, TrialId, Verdict,
};
use host_suite::config::{self, Settings};
use host_suite::plan::{LanePlan, Plan, PlannedTrial};
use host_wasm::sandbox::{ImageLimits, Part, restore};

/// What to do with the trials of a run.
#[derive(Default)]
pub(super) struct Work {
    pub(super) planned: Vec<Arc<PlannedTrial>>,
    pub(super) trials: HashMap<TrialId, RecordedTrial>,
    pub(super) replays: HashMap<TrialId, Arc<Replay>>,
    /// The trials that cannot be graded again, and why.
    pub(super) standing: HashMap<TrialId, String>,
    pub(super) fixtures: HashMap<ScenarioId, FixtureImage>,
    pub(super) left_out: Vec<Comparison>,
}

impl Work {
    /// `are_named` is whether the user named the plugins.
    pub(super) fn of(run: &RecordedRun, suite: &Suite, filters: &[String], are_named: bool) -> Result<Self, Error> {
        let kinds = lane_kinds(&run.lanes)?;
        let mut work = Self::default();
        let selects = |trial: &RanTrial| {
            let id = &trial.info.id.scenario.0;
            filters.is_empty() || filters.iter().any(|filter| id.contains(filter.as_str()))
        };
        for trial in run.trials.iter().filter(|trial| selects(trial)) {
            let kind = kinds.get(&trial.info.id.lane).copied().unwrap_or_default();
            match work.add(run, trial, kind, suite) {
                // A user who names plugins wants only their scenarios.
                Err(NotGraded::Gone(_)) if are_named => {}
                Err(NotGraded::Gone(why) | NotGraded::NeverRan(why)) => {
                    let kind = ComparisonKind::LeftOut { recorded: trial.verdict.clone(), why };
                    work.left_out.push(Comparison { trial: trial.info.id.clone(), kind });
                }
                Err(NotGraded::Unreadable(error)) => return Err(Error::of(&error)),
                Ok(()) => {}
            }
        }
        Ok(work)
    }

    fn add(&mut self, run: &RecordedRun, trial: &RanTrial, kind: LaneKind, suite: &Suite) -> Result<(), NotGraded> {
        let id = &trial.info.id;
        let never = |why: &str| Err(NotGraded::NeverRan(why.to_owned()));
        let outcome = match &trial.verdict {
            None => return never("the run ended before this trial"),
            Some(Verdict::Blocked { .. }) => return never("it never started"),
            Some(Verdict::Cancelled { .. }) => return never("it was cancelled"),
            Some(Verdict::Pass | Verdict::Flaky { .. } | Verdict::Xpass { .. }) => Outcome::Pass,
            Some(Verdict::Xfail { fault: Some(fault), .. }) => Outcome::Fault(fault.clone()),
            Some(Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. }) => {
                Outcome::Fail { findings: findings.clone() }
            }
            Some(Verdict::Skip { reason }) => Outcome::Skip { reason: reason.clone() },
            Some(Verdict::Fault(fault)) => Outcome::Fault(fault.clone()),
        };
        let mut scenario = scenario_of(trial, suite)?.clone();
        // Its id in that run: two plugins may have had fixtures of their own for one name.
        scenario.id = ScenarioId(format!("{}::{}", trial.info.plugin, trial.info.name));
        let folder = run.attempt(trial).map_err(NotGraded::Unreadable)?;
        let fixture = run.fixture(trial);
        let why_not = match (&fixture, host_agents::replayable(&folder)) {
            _ if trial.attempt == 0 => Some("it never started".to_owned()),
            (Err(why), _) => Some(why.clone()),
            (Ok(_), replayable) => replayable.err(),
        };
        let recorded = match why_not {
            Some(reason) => {
                self.standing.insert(id.clone(), reason.clone());
                RecordedTrial::Stands { outcome, reason }
            }
            None => {
                if let Ok(Some(image)) = fixture {
                    self.fixtures.insert(scenario.id.clone(), image);
                }
                let replay = Arc::new(Replay::new(kind, folder, restorer()));
                self.replays.insert(id.clone(), Arc::clone(&replay));
                RecordedTrial::Again(replay)
            }
        };
        self.trials.insert(id.clone(), recorded);
        let planned = PlannedTrial::once(id.clone(), Arc::new(scenario), Canary::No, None).expecting(today());
        self.planned.push(Arc::new(PlannedTrial { repetition: trial.info.repetition, ..planned }));
        Ok(())
    }
}

/// Why a trial is neither graded nor plural.
enum NotGraded {
    /// No plugin contains its scenario.
    Gone(String),
    /// There is nothing to grade.
    NeverRan(String),
    /// The whole run cannot be trusted.
    Unreadable(RunError),
}

/// The current scenario of a trial. Its plugin may have another name.
fn scenario_of<'a>(trial: &RanTrial, suite: &'a Suite) -> Result<&'a Scenario, NotGraded> {
    let named: Vec<&Scenario> = suite.scenarios.iter().filter(|scenario| scenario.name == trial.info.name).collect();
    let label = |scenario: &Scenario| suite.plugins.get(scenario.plugin.0).map(|plugin| plugin.file.label.as_str());
    match named[..] {
        [] => Err(NotGraded::Gone(format!("no plugin contains the scenario `{}` any longer", trial.info.name))),
        [scenario] => Ok(scenario),
        _ => named.into_iter().find(|scenario| label(scenario) == Some(trial.info.plugin.as_str())).ok_or_else(|| {
            NotGraded::Gone(format!("several plugins contain the scenario `{}`; name one of them", trial.info.name))
        }),
    }
}

fn lane_kinds(lanes: &[LaneInfo]) -> Result<HashMap<LaneName, LaneKind>, Error> {
    let kinds = lanes.iter().map(|lane| match LaneKind::from_word(&lane.kind) {
        Some(kind) => Ok((lane.name.clone(), kind)),
        None => Err(Error::setup(format!(
            "the run's lane `{}` has the unknown kind `{}`",
            one_line(&lane.name.0),
            one_line(&lane.kind)
        ))),
    });
    kinds.collect()
}

/// Restores root and config dir of a session from a saved tree.
fn restorer() -> Restore {
    Arc::new(|image, bytes, spec| {
        let parts = [Part { name: "root", folder: &spec.root }, Part { name: "config", folder: &spec.config_dir }];
        // Trees may be large: other tasks of this thread go on meanwhile.
        tokio::task::block_in_place(|| restore(image, bytes, &parts, &spec.tmp, ImageLimits::default()))
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// Everything in parallel: canaries guard agents, and there are none.
pub(super) fn plan(run: &RecordedRun, planned: Vec<Arc<PlannedTrial>>, settings: &Settings) -> Plan {
    let mut by_lane: BTreeMap<LaneName, Vec<Arc<PlannedTrial>>> = BTreeMap::new();
    for trial in planned {
        by_lane.entry(trial.id.lane.clone()).or_default().push(trial);
    }
    let lanes = run.lanes.iter().filter_map(|lane| {
        let rest = by_lane.remove(&lane.name)?;
        let kind = match LaneKind::from_word(&lane.kind).unwrap_or_default() {
            LaneKind::Scripted => config::LaneKind::Scripted { agent: String::new() },
            // No agent of it is started.
            kind => config::LaneKind::Program(Box::new(AgentSettings::new(kind))),
        };
        Some(LanePlan::unguarded(lane.name.clone(), kind, rest))
    });
    Plan {
        lanes: lanes.collect(),
        jobs: settings.jobs,
        // All are graded, however many fail.
        policy: RunRules { max_fail: None, ..settings.policy.clone() },
        canary_skipped: run.trials.iter().any(|trial| trial.info.canary == Canary::Yes),
    }
}

/// The comparison of a trial that was planned.
pub(super) fn compare(
    trial: &RanTrial,
    verdicts: &HashMap<TrialId, Verdict>,
    replays: &HashMap<TrialId, Arc<Replay>>,
    standing: &HashMap<TrialId, String>,
) -> Option<Comparison> {
    let id = &trial.info.id;
    let (recorded, now) = (of_last_attempt(trial.verdict.clone()?), verdicts.get(id)?.clone());
    let kind = match (standing.get(id), replays.get(id).and_then(|replay| replay.diverged())) {
        (Some(why), _) => ComparisonKind::Stands { recorded, why: why.clone() },
        (None, _) if matches!(now, Verdict::Cancelled { .. }) => ComparisonKind::LeftOut {
            recorded: Some(recorded),
            why: "the run was interrupted before this trial was graded".into(),
        },
        // If something else came first, that is the verdict.
        (None, Some(how)) if matches!(&now, Verdict::Fault(fault) if fault.message.contains(&how)) => {
            ComparisonKind::Diverged { recorded, how }
        }
        (None, _) => ComparisonKind::Graded { recorded, now },
    };
    Some(Comparison { trial: id.clone(), kind })
}

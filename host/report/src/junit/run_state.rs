//! Collects the events by lane, each trial as soon as it has its verdict.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use quick_junit::TestCase;

use super::{
    case::{self, Attempt, DetailLevel},
    detail,
};
use host_model::{AttemptRecord, Canary, Event, EventKind, LaneName, TrialId, Verdict};

/// Bytes of details of all cases together; they are held until the end of the run.
const MAX_DETAIL_BYTES: usize = 64 << 20;

/// A run so far.
#[derive(Default)]
pub(super) struct RunState {
    details: DetailBudget,
    pub(super) run: Option<String>,
    /// RFC 3339.
    pub(super) started: Option<String>,
    /// Facts about the suite: a name, and a value.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) at_ms: u64,
    /// In the order of the plan.
    pub(super) lanes: Vec<Lane>,
    /// The indices of each trial: its lane, and its position there.
    positions: HashMap<TrialId, (usize, usize)>,
    directory: Option<PathBuf>,
}

/// Bytes of details that there is still room for.
struct DetailBudget(usize);

impl Default for DetailBudget {
    fn default() -> Self {
        Self(MAX_DETAIL_BYTES)
    }
}

/// One lane of it.
pub(super) struct Lane {
    pub(super) name: LaneName,
    /// The kind of its agent.
    pub(super) kind: Option<String>,
    pub(super) canaries: Vec<TrialId>,
    /// Why nothing more of it started.
    pub(super) broken: Option<String>,
    pub(super) trials: Vec<Trial>,
    pub(super) first_ms: Option<u64>,
    pub(super) last_ms: u64,
    /// Artifacts of attempts: a name, and a path.
    pub(super) left: Vec<(String, String)>,
}

/// A running trial.
pub(super) struct Trial {
    id: TrialId,
    attempts: Vec<(u32, Attempt)>,
    case: Option<TestCase>,
}

impl RunState {
    pub(super) fn update(&mut self, event: &Event) {
        self.at_ms = event.at_ms;
        match &event.kind {
            EventKind::RunStarted { run, time, suite, revision, lanes, trials, directory, .. } => {
                self.run = Some(run.to_string());
                self.started = Some(time.clone());
                self.directory.clone_from(directory);
                let suite = suite.as_ref().map(|suite| ("suite", format!("{} {}", suite.path.display(), suite.digest)));
                let revision = revision.as_ref().map(|revision| {
                    let modified = if revision.modified == Some(true) { " (modified)" } else { "" };
                    ("revision", format!("{}{modified}", revision.commit))
                });
                self.facts = suite.into_iter().chain(revision).collect();
                for lane in lanes {
                    let at = self.lane(&lane.name);
                    self.lanes[at].kind = Some(lane.kind.clone());
                }
                for trial in trials {
                    let (lane, _) = self.position(&trial.id);
                    if trial.canary == Canary::Yes {
                        self.lanes[lane].canaries.push(trial.id.clone());
                    }
                }
            }
            EventKind::AttemptStarted { trial, attempt } => {
                self.attempt(trial, *attempt);
                let (lane, _) = self.position(trial);
                self.lanes[lane].first_ms.get_or_insert(event.at_ms);
            }
            EventKind::Session { trial, attempt, detail, .. } => {
                self.attempt(trial, *attempt).output.session(&detail.kind);
            }
            EventKind::Reported { trial, attempt, report } => self.attempt(trial, *attempt).output.report(report),
            EventKind::AttemptFinished { trial, attempt, record } => self.attempt_finished(trial, *attempt, record),
            EventKind::TrialFinished { trial, duration_ms, verdict, .. } => {
                self.finished(event.at_ms, trial, *duration_ms, verdict);
            }
            EventKind::LaneBroken { lane, reason } => {
                let at = self.lane(lane);
                self.lanes[at].broken = Some(reason.clone());
            }
            EventKind::RunFinished { summary } => self.at_ms = summary.wall_ms,
            _ => {}
        }
    }

    /// The log with all details.
    pub(super) fn log(&self) -> String {
        detail::log(self.directory.as_deref())
    }

    fn attempt_finished(&mut self, trial: &TrialId, number: u32, record: &AttemptRecord) {
        let artifacts = record.artifacts.as_deref().map(|artifacts| self.artifacts(artifacts));
        let kept = record.kept.as_deref().map(detail::path);
        let (lane, _) = self.position(trial);
        let named = |what: &str| format!("{what}:{}:{number}", trial.scenario);
        let left = artifacts.iter().map(|path| (named("artifacts"), path.clone()));
        self.lanes[lane].left.extend(left.chain(kept.map(|path| (named("kept"), path))));
        let attempt = self.attempt(trial, number);
        attempt.artifacts = artifacts;
        attempt.outcome = Some(record.outcome.clone().into());
    }

    /// A folder of artifacts, which is meant from the run directory.
    fn artifacts(&self, folder: &Path) -> String {
        detail::path(&self.directory.as_ref().map_or_else(|| folder.into(), |directory| directory.join(folder)))
    }

    fn finished(&mut self, at_ms: u64, trial: &TrialId, duration_ms: u64, verdict: &Verdict) {
        let log = self.log();
        let (lane, at) = self.position(trial);
        self.lanes[lane].last_ms = at_ms;
        let trial = &mut self.lanes[lane].trials[at];
        let attempts = std::mem::take(&mut trial.attempts).into_iter().map(|(_, attempt)| attempt);
        let attempts: Vec<_> = attempts.collect();
        let size_of = case::size_of(verdict, &attempts);
        let left = self.details.0.checked_sub(size_of);
        self.details.0 = left.unwrap_or(self.details.0);
        let level = if left.is_some() { DetailLevel::Full } else { DetailLevel::Brief };
        trial.case = Some(case::finished(&trial.id, verdict, duration_ms, attempts, (&log, level)));
    }

    fn attempt(&mut self, trial: &TrialId, number: u32) -> &mut Attempt {
        let (lane, at) = self.position(trial);
        let attempts = &mut self.lanes[lane].trials[at].attempts;
        let at = attempts.iter().position(|(known, _)| *known == number).unwrap_or_else(|| {
            attempts.push((number, Attempt::default()));
            attempts.len() - 1
        });
        &mut attempts[at].1
    }

    /// The indices of a trial, planned or not.
    fn position(&mut self, trial: &TrialId) -> (usize, usize) {
        if let Some(position) = self.positions.get(trial) {
            return *position;
        }
        let lane = self.lane(&trial.lane);
        let trials = &mut self.lanes[lane].trials;
        let position = (lane, trials.len());
        trials.push(Trial { id: trial.clone(), attempts: Vec::new(), case: None });
        self.positions.insert(trial.clone(), position);
        position
    }

    fn lane(&mut self, name: &LaneName) -> usize {
        self.lanes.iter().position(|lane| lane.name == *name).unwrap_or_else(|| {
            self.lanes.push(Lane {
                name: name.clone(),
                kind: None,
                canaries: Vec::new(),
                broken: None,
                trials: Vec::new(),
                first_ms: None,
                last_ms: 0,
                left: Vec::new(),
            });
            self.lanes.len() - 1
        })
    }
}

impl Trial {
    /// Its case; without a verdict it is an error.
    pub(super) fn into_case(self, log: &str) -> TestCase {
        let attempts = self.attempts;
        self.case.unwrap_or_else(|| {
            case::unfinished(&self.id, attempts.into_iter().map(|(_, attempt)| attempt).collect(), log)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Stream, trial};
    use host_model::{Finding, Outcome};

    #[test]
    fn details_of_all_trials_together_are_bounded() {
        let names: Vec<String> = (0..100).map(|at| format!("t{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut stream = Stream::with_canary(&["scripted"], &names, true);
        let finding = Finding { code: "c".into(), message: "m".into(), evidence: Some("line\n".repeat(1_000)) };
        for name in &names {
            stream.starts(0, &trial("scripted", name), 1);
            stream.ends(0, 10, &trial("scripted", name), Outcome::Fail { findings: vec![finding.clone(); 20] });
        }
        const BOUND: usize = 1 << 20;
        let mut collected = RunState { details: DetailBudget(BOUND), ..RunState::default() };
        for event in stream.finished() {
            collected.update(&event);
        }
        let cases: Vec<_> = std::mem::take(&mut collected.lanes[0].trials);
        let shown: Vec<usize> =
            cases.into_iter().map(|trial| format!("{:?}", trial.into_case("the log").status).len()).collect();
        let (first, last) = (shown[0], shown[shown.len() - 1]);
        assert!(first > 10_000 && last < 2_000, "{first}, {last}");
        assert!(shown.iter().sum::<usize>() < 2 * BOUND + 100 * 2_000, "{shown:?}");
    }
}

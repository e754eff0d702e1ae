//! `host regrade`: calls the components again over what an earlier run has recorded, without any agent.

mod comparison;
mod recorded_run;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    comparison::{Change, Comparison, Kind},
    recorded_run::{RanTrial, RecordedRun, RunError},
};
use super::{
    args::{Color, ExecutionArgs, RegradeArgs, ReporterKind, SuiteArgs},
    failure::Failure,
    list::{few, one_line},
    setup::{self, Loaded},
    terminal, wiring,
};
use host_agents::{Replay, Replayable, Restore};
use host_core::runner::{Agents, FixtureImage, RecordedTrial};
use host_model::{
    AgentSettings, Canary, Event, EventKind, ExitCode, LaneInfo, LaneKind, LaneName, Outcome, RunRules, RunSummary,
    Scenario, ScenarioId, TrialId, Verdict, shown,
};
use host_suite::config::{self, Overrides, Settings, nearest};
use host_suite::plan::{LanePlan, Plan, PlannedTrial, check_grants};
use host_wasm::sandbox::{ImageLimits, Part, restore};

/// `host regrade`.
pub(super) async fn regrade(args: RegradeArgs) -> Result<ExitCode, Failure> {
    let cwd = setup::current_dir()?;
    let overrides = Overrides {
        suite: args.given.sourced("suite", args.suite.clone()),
        caps: args.caps.sourced(&args.given),
        jobs: args.given.sourced("jobs", args.jobs),
        ..Overrides::default()
    };
    let overrides = args.compile.over(&args.given, overrides);
    let base = Settings::resolve(&cwd, &overrides).map_err(Failure::setup_all)?.base;
    let output = args.output.clone().unwrap_or_else(|| base.join(".host"));
    let run = RecordedRun::read(&find_run(args.run.as_deref(), &output)?)?;
    let plugins = if args.plugins.is_empty() { recorded_plugins(&run, &cwd, &base)? } else { args.plugins.clone() };
    let suite = SuiteArgs {
        plugins,
        suite: args.suite.clone(),
        caps: args.caps.clone(),
        profile: None,
        lanes: Vec::new(),
        no_cache: args.no_cache,
        compile: args.compile.clone(),
        filters: args.filters.clone(),
        given: args.given.clone(),
    };
    let loaded = setup::load(&suite, &overrides).await?;
    let mut work = Work::of(&run, &loaded, &args)?;
    let plan = plan(&run, std::mem::take(&mut work.planned), &loaded.settings);
    if work.trials.is_empty() {
        let mut text: String = work.left_out.iter().map(Comparison::text).collect();
        text.push_str(&format!("error: nothing to grade again in run {}\n", run.id));
        terminal::print(&text);
        return Ok(ExitCode::NothingToRun);
    }
    check_grants(&plan).map_err(Failure::setup_all)?;
    let mut verdicts: HashMap<TrialId, Verdict> = HashMap::new();
    let mut directory = None;
    let mut watch = |event: &Event| match &event.kind {
        EventKind::RunStarted { directory: made, .. } => directory.clone_from(made),
        EventKind::TrialFinished { trial, verdict, .. } => drop(verdicts.insert(trial.clone(), verdict.clone())),
        _ => {}
    };
    let execution = ExecutionArgs {
        audit: false,
        jobs: args.jobs,
        output: Some(output),
        keep: false,
        color: Color::Auto,
        quiet: true,
        verbose: false,
    };
    let reporters = reporters(&args.reporters);
    let agents = Agents::Recorded { trials: work.trials, fixtures: work.fixtures };
    let (summary, code) =
        wiring::execute_with(&loaded, &plan, &execution, &reporters, &mut watch, agents, Some(run.id.clone())).await?;
    let mut comparisons: Vec<Comparison> =
        run.trials.iter().filter_map(|trial| compare(trial, &verdicts, &work.replays, &work.standing)).collect();
    comparisons.append(&mut work.left_out);
    let mut text = heading(&run, &loaded);
    for comparison in &comparisons {
        if !args.quiet || !matches!(comparison.change(), Change::Same | Change::Reworded) {
            text.push_str(&comparison.text());
        }
    }
    text.push_str(&summed_up(&comparisons, &summary));
    if let Some(directory) = directory {
        text.push_str(&format!("run directory {}\n", shown(&directory)));
    }
    Ok(show(&text, &args.reporters, code))
}

/// The run directory that `named` means: one itself, the name of a run below `output`, or its latest.
fn find_run(named: Option<&OsStr>, output: &Path) -> Result<PathBuf, Failure> {
    let named = named.unwrap_or(OsStr::new("latest"));
    let name = shown(Path::new(named));
    if named == "latest" {
        return output.join("latest").canonicalize().map_err(|_| {
            let runs = std::fs::read_dir(output.join("runs")).into_iter().flatten().flatten();
            let newest = runs.map(|entry| entry.file_name().to_string_lossy().into_owned()).max();
            let output = shown(output);
            Failure::setup(match newest {
                Some(newest) => format!(
                    "there is no latest run in {output}: the last `host run` did not begin; name an earlier one \
                     (`host regrade {}`)",
                    one_line(&newest)
                ),
                None => format!(
                    "there is no run in {output}: run `host run` first, or name a run directory (`host regrade DIR`)"
                ),
            })
        });
    }
    let path = Path::new(named);
    if path.extension().is_some_and(|extension| extension == "wasm") || path.is_file() {
        return Err(Failure::setup(format!(
            "`{name}` is no run directory: name the run before the plugins (`host regrade latest {name}`)"
        )));
    }
    let runs = output.join("runs");
    let plain = path.components().count() == 1 && path.file_name().is_some_and(|name| name == named);
    let found =
        plain.then(|| runs.join(path)).filter(|run| run.is_dir()).or_else(|| path.is_dir().then(|| path.into()));
    found.ok_or_else(|| {
        let known: Vec<String> = std::fs::read_dir(&runs).map_or_else(
            |_| Vec::new(),
            |entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        );
        let near = nearest(&named.to_string_lossy(), known.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Failure::setup(format!("there is no run `{name}` in {}, and no such folder{near}", shown(&runs)))
    })
}

/// The files that the run's plugins were, as far as they are there; they may have been built anew.
fn recorded_plugins(run: &RecordedRun, cwd: &Path, base: &Path) -> Result<Vec<OsString>, Failure> {
    let mut names = Vec::new();
    let mut gone = Vec::new();
    for plugin in &run.plugins {
        if cwd.join(&plugin.path).is_file() {
            names.push(plugin.path.clone().into_os_string());
        } else if base.join(&plugin.path).is_file() {
            names.push(base.join(&plugin.path).into_os_string());
        } else {
            gone.push(format!("`{}`", shown(&plugin.path)));
        }
    }
    if gone.is_empty() {
        return Ok(names);
    }
    Err(Failure::setup(format!(
        "of the run's plugins {} cannot be found from here; name the plugins to grade with (`host regrade {} PLUGIN...`)",
        few(&gone),
        run.id
    )))
}

/// What is done with the trials of a run.
#[derive(Default)]
struct Work {
    planned: Vec<Arc<PlannedTrial>>,
    trials: HashMap<TrialId, RecordedTrial>,
    replays: HashMap<TrialId, Arc<Replay>>,
    /// The trials that cannot be graded again, and why.
    standing: HashMap<TrialId, String>,
    fixtures: HashMap<ScenarioId, FixtureImage>,
    left_out: Vec<Comparison>,
}

impl Work {
    fn of(run: &RecordedRun, loaded: &Loaded, args: &RegradeArgs) -> Result<Self, Failure> {
        let kinds = lane_kinds(&run.lanes)?;
        let mut work = Self::default();
        let selects = |trial: &RanTrial| {
            let id = &trial.info.id.scenario.0;
            args.filters.is_empty() || args.filters.iter().any(|filter| id.contains(filter.as_str()))
        };
        for trial in run.trials.iter().filter(|trial| selects(trial)) {
            let kind = kinds.get(&trial.info.id.lane).copied().unwrap_or_default();
            match work.add(run, trial, kind, loaded) {
                // Whoever names plugins wants the scenarios of these.
                Err(NotGraded::Gone(_)) if !args.plugins.is_empty() => {}
                Err(NotGraded::Gone(why) | NotGraded::NeverRan(why)) => {
                    let kind = Kind::LeftOut { recorded: trial.verdict.clone(), why };
                    work.left_out.push(Comparison { trial: trial.info.id.clone(), kind });
                }
                Err(NotGraded::Unreadable(error)) => return Err(error.into()),
                Ok(()) => {}
            }
        }
        Ok(work)
    }

    fn add(&mut self, run: &RecordedRun, trial: &RanTrial, kind: LaneKind, loaded: &Loaded) -> Result<(), NotGraded> {
        let id = &trial.info.id;
        let never = |why: &str| Err(NotGraded::NeverRan(why.to_owned()));
        let outcome = match &trial.verdict {
            None => return never("the run ended before it did"),
            Some(Verdict::Blocked { .. }) => return never("it never started"),
            Some(Verdict::Cancelled { .. }) => return never("it was not played to its end"),
            Some(Verdict::Pass | Verdict::Flaky { .. } | Verdict::Xpass { .. }) => Outcome::Pass,
            Some(Verdict::Xfail { fault: Some(fault), .. }) => Outcome::Fault(fault.clone()),
            Some(Verdict::Fail { findings, .. } | Verdict::Xfail { findings, .. }) => {
                Outcome::Fail { findings: findings.clone() }
            }
            Some(Verdict::Skip { reason }) => Outcome::Skip { reason: reason.clone() },
            Some(Verdict::Fault(fault)) => Outcome::Fault(fault.clone()),
        };
        let mut scenario = scenario_of(trial, loaded)?.clone();
        // As it was named in that run: two plugins may have had fixtures of their own for one name.
        scenario.id = ScenarioId(format!("{}::{}", trial.info.plugin, trial.info.name));
        let folder = run.attempt(trial).map_err(NotGraded::Unreadable)?;
        let fixture = run.fixture(trial);
        let why_not = match (&fixture, host_agents::replayable(&folder)) {
            _ if trial.attempt == 0 => Some("it never started".to_owned()),
            (Err(why), _) => Some(why.clone()),
            (Ok(_), Replayable::No(why)) => Some(why),
            (Ok(_), Replayable::Yes) => None,
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
        let planned = PlannedTrial::once(id.clone(), Arc::new(scenario), Canary::No, None).expecting(setup::today());
        self.planned.push(Arc::new(PlannedTrial { repetition: trial.info.repetition, ..planned }));
        Ok(())
    }
}

/// Why a trial is not graded, nor counted.
enum NotGraded {
    /// No plugin contains its scenario.
    Gone(String),
    /// There is nothing to grade.
    NeverRan(String),
    /// The whole run cannot be trusted.
    Unreadable(RunError),
}

/// The scenario of a trial as it is now. Its plugin may have another name.
fn scenario_of<'a>(trial: &RanTrial, loaded: &'a Loaded) -> Result<&'a Scenario, NotGraded> {
    let named: Vec<&Scenario> = loaded.scenarios.iter().filter(|scenario| scenario.name == trial.info.name).collect();
    let label = |scenario: &Scenario| loaded.plugins.get(scenario.plugin.0).map(|plugin| plugin.file.label.as_str());
    match named[..] {
        [] => Err(NotGraded::Gone(format!("no plugin contains a scenario `{}` any more", trial.info.name))),
        [scenario] => Ok(scenario),
        _ => named.into_iter().find(|scenario| label(scenario) == Some(trial.info.plugin.as_str())).ok_or_else(|| {
            NotGraded::Gone(format!("several plugins contain a scenario `{}`; name one of them", trial.info.name))
        }),
    }
}

fn lane_kinds(lanes: &[LaneInfo]) -> Result<HashMap<LaneName, LaneKind>, Failure> {
    let kinds = lanes.iter().map(|lane| match lane.kind.parse() {
        Ok(kind) => Ok((lane.name.clone(), kind)),
        Err(error) => Err(Failure::setup(format!("the run's lane `{}`: {error}", one_line(&lane.name.0)))),
    });
    kinds.collect()
}

/// Makes root and config dir of a session what a kept tree has.
fn restorer() -> Restore {
    Arc::new(|image, bytes, spec| {
        let parts = [Part { name: "root", folder: &spec.root }, Part { name: "config", folder: &spec.config_dir }];
        // Trees may be large: the others go on meanwhile.
        tokio::task::block_in_place(|| restore(image, bytes, &parts, &spec.tmp, ImageLimits::default()))
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// Everything at once: canaries guard agents, and there are none.
fn plan(run: &RecordedRun, planned: Vec<Arc<PlannedTrial>>, settings: &Settings) -> Plan {
    let mut by_lane: BTreeMap<LaneName, Vec<Arc<PlannedTrial>>> = BTreeMap::new();
    for trial in planned {
        by_lane.entry(trial.id.lane.clone()).or_default().push(trial);
    }
    let lanes = run.lanes.iter().filter_map(|lane| {
        let rest = by_lane.remove(&lane.name)?;
        let kind = match lane.kind.parse().unwrap_or_default() {
            LaneKind::Scripted => config::LaneKind::Scripted { agent: String::new() },
            // Nothing of it is started.
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

/// What came of a trial that was planned.
fn compare(
    trial: &RanTrial,
    verdicts: &HashMap<TrialId, Verdict>,
    replays: &HashMap<TrialId, Arc<Replay>>,
    standing: &HashMap<TrialId, String>,
) -> Option<Comparison> {
    let id = &trial.info.id;
    let (recorded, now) = (comparison::of_last_attempt(trial.verdict.clone()?), verdicts.get(id)?.clone());
    let kind = match (standing.get(id), replays.get(id).and_then(|replay| replay.diverged())) {
        (Some(why), _) => Kind::Stands { recorded, why: why.clone() },
        (None, _) if matches!(now, Verdict::Cancelled { .. }) => {
            Kind::LeftOut { recorded: Some(recorded), why: "this was interrupted before it was graded".into() }
        }
        // Where something else came first, that is the verdict.
        (None, Some(how)) if matches!(&now, Verdict::Fault(fault) if fault.message.contains(&how)) => {
            Kind::Diverged { recorded, how }
        }
        (None, _) => Kind::Graded { recorded, now },
    };
    Some(Comparison { trial: id.clone(), kind })
}

fn heading(run: &RecordedRun, loaded: &Loaded) -> String {
    let mut text = format!("Grading run {} again, without any agent\n", one_line(&run.id.0));
    if !run.finished {
        text.push_str("  its event log has no end: the run was killed\n");
    }
    for now in loaded.plugin_infos() {
        let label = one_line(&now.label);
        if run.plugins.iter().any(|then| then.digest == now.digest) {
            continue;
        }
        text.push_str(&match run.plugins.iter().find(|then| then.label == now.label) {
            Some(then) => {
                format!("  plugin {label} has changed: {}, was {}\n", short(&now.digest), short(&then.digest))
            }
            None => format!("  plugin {label} was not part of the run: {}\n", short(&now.digest)),
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
    let mut parts = vec![format!("{} changed", count(Change::Changed)), format!("{} the same", count(Change::Same))];
    for (change, what) in [
        (Change::Reworded, "the same in other words"),
        (Change::Diverged, "without a verdict"),
        (Change::Stands, "standing"),
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

/// What reports on the run beside the comparison, which is for people.
fn reporters(asked: &[ReporterKind]) -> Vec<ReporterKind> {
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

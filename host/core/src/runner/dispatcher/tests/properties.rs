//! What holds for every plan, whatever its trials do and whenever it is interrupted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::*,
    fake::{Act, End, Fake, Log, lane, plan, run, trial_of},
    policy::retried,
};
use host_model::{ExitCode, Fault, FaultClass, Outcome};
use host_suite::plan::LanePlan;

#[derive(Clone, Debug)]
struct Case {
    jobs: usize,
    lanes: Vec<CaseLane>,
    signals: Vec<u64>,
    max_fail: Option<u32>,
}

#[derive(Clone, Debug)]
struct CaseLane {
    jobs: Option<usize>,
    retries: u32,
    breaker: u32,
    canaries: Vec<Act>,
    rest: Vec<Act>,
}

fn act() -> impl Strategy<Value = Act> {
    let time = (0_u64..2_000).prop_map(Duration::from_millis);
    let kind = prop_oneof![6 => Just(0_u8), 1 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4), 1 => Just(5)];
    (time, kind, 0_usize..3, proptest::bool::weighted(0.2)).prop_map(|(time, kind, notes, stubborn)| {
        let act = match kind {
            0 => Act::pass(time),
            1 => Act::fail(time),
            2 => Act::fault(time),
            3 => Act::skip(time),
            4 => Act::new(time, End::Outcome(Outcome::Fault(Fault::new(FaultClass::Launch, "not logged in")))),
            _ => Act::panic(time),
        };
        let act = act.says(notes);
        if stubborn { act.stubborn() } else { act }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let canaries = proptest::collection::vec(act(), 0..3);
    let rest = proptest::collection::vec(act(), 0..8);
    let lane = (proptest::option::of(1_usize..4), 0_u32..3, 0_u32..3, canaries, rest)
        .prop_map(|(jobs, retries, breaker, canaries, rest)| CaseLane { jobs, retries, breaker, canaries, rest });
    let signals = prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(0_u64..6_000, 1..3)];
    let max_fail = proptest::option::weighted(0.3, 1_u32..4);
    (1_usize..6, proptest::collection::vec(lane, 0..4), signals, max_fail).prop_map(
        |(jobs, lanes, mut signals, max_fail)| {
            signals.sort_unstable();
            Case { jobs, lanes, signals, max_fail }
        },
    )
}

/// The plan of a case, and an executor that acts it out.
fn stage(case: &Case) -> (Plan, Fake) {
    let mut fake = Fake::new();
    let mut lanes = Vec::new();
    for (index, shape) in case.lanes.iter().enumerate() {
        let lane_name = format!("l{index}");
        let names = |prefix: &str, acts: &[Act]| (0..acts.len()).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        let (canaries, rest) = (names("c", &shape.canaries), names("t", &shape.rest));
        for (name, act) in canaries.iter().zip(&shape.canaries).chain(rest.iter().zip(&shape.rest)) {
            fake = fake.act(&format!("{lane_name}/{name}"), act.clone());
        }
        let canaries: Vec<&str> = canaries.iter().map(String::as_str).collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let lane = retried(lane(&lane_name, shape.jobs, &canaries, &rest), shape.retries);
        lanes.push(LanePlan { breaker: shape.breaker, ..lane });
    }
    for at in &case.signals {
        fake = fake.signal(Duration::from_millis(*at), "SIGINT");
    }
    let mut plan = plan(case.jobs, lanes);
    plan.policy.max_fail = case.max_fail;
    (plan, fake)
}

fn play(plan: &Plan, fake: Fake) -> Log {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(plan, fake))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_keeps_its_word(case in case()) {
        let (plan, fake) = stage(&case);
        let log = play(&plan, fake);
        the_stream_is_whole(&log);
        every_trial_is_told_in_order_and_ends_once(&plan, &log);
        canaries_guard_their_lanes(&plan, &log);
        caps_hold(&plan, &log);
        what_stops_a_run_lets_nothing_start(&plan, &log);
        the_figures_add_up(&plan, &log);
    }
}

fn the_stream_is_whole(log: &Log) {
    for (place, event) in log.events.iter().enumerate() {
        assert_eq!(event.seq, place as u64, "gapless from 0");
        let (first, last) = (place == 0, place + 1 == log.events.len());
        assert_eq!(first, matches!(event.kind, EventKind::RunStarted { .. }), "{event:?}");
        assert_eq!(last, matches!(event.kind, EventKind::RunFinished { .. }), "{event:?}");
    }
    assert!(log.events.is_sorted_by_key(|event| event.at_ms), "time does not run backwards");
    let Some(EventKind::RunFinished { summary }) = log.events.last().map(|event| &event.kind) else { unreachable!() };
    assert_eq!(*summary, log.summary);
}

fn every_trial_is_told_in_order_and_ends_once(plan: &Plan, log: &Log) {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Stage {
        Waits,
        Runs(u32),
        Ran(u32),
        WaitsAgain(u32),
        Over,
    }
    let mut stages: HashMap<String, Stage> = plan.trials().map(|trial| (trial.id.to_string(), Stage::Waits)).collect();
    for event in &log.events {
        let Some(stage) = trial_of(&event.kind).map(|trial| stages.get_mut(&trial).unwrap()) else { continue };
        *stage = match (*stage, &event.kind) {
            (Stage::Waits, EventKind::AttemptStarted { attempt: 1, .. }) => Stage::Runs(1),
            (Stage::Waits, EventKind::TrialFinished { attempts: 0, .. }) => Stage::Over,
            (Stage::Runs(now), EventKind::Session { attempt, .. } | EventKind::Reported { attempt, .. })
                if *attempt == now =>
            {
                Stage::Runs(now)
            }
            (Stage::Runs(now), EventKind::AttemptFinished { attempt, .. }) if *attempt == now => Stage::Ran(now),
            (Stage::Ran(last), EventKind::RetryScheduled { attempt, .. }) if *attempt == last => {
                Stage::WaitsAgain(last)
            }
            (Stage::WaitsAgain(last), EventKind::AttemptStarted { attempt, .. }) if *attempt == last + 1 => {
                Stage::Runs(*attempt)
            }
            (Stage::Ran(last) | Stage::WaitsAgain(last), EventKind::TrialFinished { attempts, .. })
                if *attempts == last =>
            {
                Stage::Over
            }
            (stage, kind) => panic!("{stage:?}, then {kind:?}"),
        };
    }
    assert!(stages.values().all(|stage| *stage == Stage::Over), "{stages:?}");
    let starts = log.events.iter().filter(|event| matches!(event.kind, EventKind::AttemptStarted { .. })).count();
    assert_eq!(log.executed.len(), starts, "nothing is executed that is not told");
    let finished = log.events.iter().filter(|event| matches!(event.kind, EventKind::TrialFinished { .. }));
    let finished: Vec<String> = finished.filter_map(|event| trial_of(&event.kind)).collect();
    assert_eq!(log.over, finished, "each trial is over once, when it has its verdict");
}

fn canaries_guard_their_lanes(plan: &Plan, log: &Log) {
    for lane in &plan.lanes {
        let mut left: HashSet<String> = lane.canaries.iter().map(|trial| trial.id.to_string()).collect();
        let rest: HashSet<String> = lane.rest.iter().map(|trial| trial.id.to_string()).collect();
        let mut broken = false;
        for event in &log.events {
            match &event.kind {
                EventKind::TrialFinished { trial, verdict, .. } if left.contains(&trial.to_string()) => {
                    if verdict.has_passed() {
                        left.remove(&trial.to_string());
                    } else {
                        broken = true;
                    }
                }
                EventKind::TrialFinished { trial, verdict: Verdict::Blocked { .. }, .. } if trial.lane == lane.name => {
                    assert!(broken, "{trial} is blocked, but neither its lane nor a canary broke");
                }
                EventKind::AttemptStarted { trial, .. } if rest.contains(&trial.to_string()) => {
                    assert!(left.is_empty(), "{trial} started before {left:?} had passed");
                }
                EventKind::LaneBroken { lane: name, .. } if *name == lane.name => {
                    assert!(!broken, "a lane breaks once, and not after its canary");
                    broken = true;
                }
                EventKind::LaneOpened { lane: name } if *name == lane.name => assert!(left.is_empty()),
                _ => {}
            }
        }
    }
}

fn caps_hold(plan: &Plan, log: &Log) {
    assert!(log.most_at_once <= plan.jobs);
    for lane in &plan.lanes {
        let most = log.most_in_lane.get(&lane.name.0).copied().unwrap_or(0);
        assert!(most <= lane.jobs.unwrap_or(usize::MAX), "{}: {most}", lane.name);
    }
    let mut running = 0_usize;
    for event in &log.events {
        match event.kind {
            EventKind::AttemptStarted { .. } => running += 1,
            EventKind::AttemptFinished { .. } => running -= 1,
            _ => {}
        }
        assert!(running <= plan.jobs, "what the stream tells keeps the cap too");
    }
    assert_eq!(running, 0);
}

fn what_stops_a_run_lets_nothing_start(plan: &Plan, log: &Log) {
    let place = |wanted: fn(&EventKind) -> bool| log.events.iter().position(|event| wanted(&event.kind));
    let interrupted = place(|kind| matches!(kind, EventKind::Interrupted { .. }));
    let halted = place(|kind| matches!(kind, EventKind::Halted { .. }));
    for place in interrupted.iter().chain(&halted) {
        assert!(!log.events[*place..].iter().any(|event| {
            matches!(event.kind, EventKind::AttemptStarted { .. } | EventKind::RetryScheduled { .. })
        }));
    }
    let cancelled = log.summary.verdicts.contains_key("cancelled");
    assert!(interrupted.is_some() || halted.is_some() || !cancelled, "nothing else cancels");
    let failures = |events: &[Event]| {
        let verdicts = events.iter().filter_map(|event| match &event.kind {
            EventKind::TrialFinished { verdict, .. } => Some(verdict),
            _ => None,
        });
        verdicts.filter(|verdict| verdict.is_failure()).count()
    };
    match (plan.policy.max_fail, halted) {
        // A lane that is given up at the same moment may add some.
        (Some(bound), Some(place)) => assert!(failures(&log.events[..place]) >= bound as usize),
        (Some(bound), None) => assert!(interrupted.is_some() || failures(&log.events) < bound as usize),
        (None, halted) => assert_eq!(halted, None),
    }
    for event in &log.events {
        let EventKind::LaneBroken { lane, .. } = &event.kind else { continue };
        assert!(!log.events[event.seq as usize..].iter().any(|event| {
            matches!(&event.kind, EventKind::AttemptStarted { trial, .. } | EventKind::RetryScheduled { trial, .. } if trial.lane == *lane)
        }));
    }
    assert_eq!(interrupted.is_some(), log.summary.exit_code == ExitCode::Interrupted as u8);
}

fn the_figures_add_up(plan: &Plan, log: &Log) {
    let finished: Vec<(String, u64, &Verdict)> = log
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::TrialFinished { trial, duration_ms, verdict, .. } => {
                Some((trial.to_string(), *duration_ms, verdict))
            }
            _ => None,
        })
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, _, verdict) in &finished {
        *counts.entry(verdict.word().to_owned()).or_default() += 1;
    }
    assert_eq!(log.summary.verdicts, counts);
    assert_eq!(counts.values().sum::<usize>(), plan.trials().count());
    assert_eq!(log.summary.serial_ms, finished.iter().map(|(_, time, _)| time).sum::<u64>());
    assert_eq!(log.summary.longest.as_ref().map(|(_, time)| *time), finished.iter().map(|(_, time, _)| *time).max());
    assert!(log.summary.longest.as_ref().is_none_or(|(_, time)| *time <= log.summary.wall_ms));
    let guards: HashSet<String> =
        plan.lanes.iter().flat_map(|lane| &lane.canaries).map(|trial| trial.id.to_string()).collect();
    let failed = finished.iter().any(|(_, _, verdict)| verdict.word() == "fail");
    let fault = finished.iter().any(|(_, _, verdict)| verdict.word() == "fault");
    let bad = |verdict: &Verdict| !verdict.has_passed() && verdict.word() != "cancelled";
    let guard = finished.iter().any(|(trial, _, verdict)| guards.contains(trial) && bad(verdict));
    let expected = match (failed, guard, fault) {
        (false, _, true) => ExitCode::Fault,
        (_, true, _) => ExitCode::CanaryFailed,
        (true, false, _) => ExitCode::ScenarioFailed,
        (false, false, false) => ExitCode::Ok,
    };
    if log.summary.exit_code != ExitCode::Interrupted as u8 {
        assert_eq!(log.summary.exit_code, expected as u8);
    }
}

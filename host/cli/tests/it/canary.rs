//! The canary comes first, and the others only when it passed.

use std::fs;

use host_model::{EventKind, Report, SessionEventKind, TrialId, Verdict};

use host_testing::{Finished, Suite, plugin, repository};

const CANARY: &str = "ensign-cycle";
const OTHERS: &[&str] = &["gate", "merge-hook", "rejection-flow", "three-cycle-escalation"];

fn plugins() -> Vec<String> {
    let names = OTHERS.iter().chain([&CANARY]);
    names.map(|name| plugin(name).to_string_lossy().into_owned()).collect()
}

/// `host run` of the repository's own scenarios.
fn run(suite: &Suite, flags: &[&str]) -> Finished {
    let plugins = plugins();
    let args = ["run"].into_iter().chain(plugins.iter().map(String::as_str)).chain(flags.iter().copied());
    suite.host_in(&repository(), args)
}

/// The trial that an event is about.
fn trial_of(kind: &EventKind) -> Option<&TrialId> {
    match kind {
        EventKind::AttemptStarted { trial, .. }
        | EventKind::Session { trial, .. }
        | EventKind::Reported { trial, .. }
        | EventKind::AttemptFinished { trial, .. }
        | EventKind::TrialFinished { trial, .. } => Some(trial),
        _ => None,
    }
}

#[test]
fn no_trial_has_an_event_before_the_canarys_verdict_and_then_all_run_at_once() {
    let suite = Suite::new();
    let finished = run(&suite, &[]);
    finished.exits(0).passes(CANARY);
    for name in OTHERS {
        finished.passes(name);
    }
    let place = |wanted: &dyn Fn(&EventKind) -> bool| finished.events.iter().position(|event| wanted(&event.kind));
    let judged =
        place(&|kind| matches!(kind, EventKind::TrialFinished { trial, .. } if trial.scenario.0 == CANARY)).unwrap();
    let first = place(&|kind| trial_of(kind).is_some_and(|trial| trial.scenario.0 != CANARY)).unwrap();
    assert!(judged < first, "{judged} {first}");
    // All four had started before the first of them ended.
    let after = &finished.events[judged..];
    let ended = after.iter().position(|event| matches!(event.kind, EventKind::AttemptFinished { .. })).unwrap();
    let started = after[..ended].iter().filter(|event| matches!(event.kind, EventKind::AttemptStarted { .. })).count();
    assert_eq!(started, OTHERS.len());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_wrong_canary_blocks_the_others_and_their_agents_never_start() {
    let suite = Suite::new();
    let finished = run(&suite, &["--agent", "wrong-no-report"]);
    finished.exits(105);
    assert!(matches!(finished.verdict(CANARY), Verdict::Fail { .. }), "{}", finished.told());
    for name in OTHERS {
        assert!(matches!(finished.verdict(name), Verdict::Blocked { reason } if reason.contains(CANARY)), "{name}");
    }
    let started: Vec<&str> = finished
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::AttemptStarted { trial, .. } | EventKind::Session { trial, .. } => {
                Some(trial.scenario.0.as_str())
            }
            _ => None,
        })
        .filter(|name| *name != CANARY)
        .collect();
    assert_eq!(started, [""; 0]);
    let lane = suite.last_run().unwrap().join("scripted");
    let folders: Vec<_> = fs::read_dir(lane).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(folders, [CANARY]);
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn without_a_canary_all_trials_start_with_a_warning() {
    let finished = run(&Suite::new(), &["--no-canary"]);
    finished.exits(0);
    assert!(finished.told().contains("canary"), "{}", finished.told());
    let ended = |event: &&host_model::Event| matches!(event.kind, EventKind::AttemptFinished { .. });
    let begun = |event: &&host_model::Event| matches!(event.kind, EventKind::AttemptStarted { .. });
    let before_first_end = finished.events.iter().take_while(|event| !ended(event));
    assert_eq!(before_first_end.filter(begun).count(), OTHERS.len() + 1);
}

#[test]
fn the_log_has_what_the_agents_did() {
    let finished = run(&Suite::new(), &["--", CANARY]);
    finished.exits(0);
    let of_session = finished.events.iter().filter_map(|event| match &event.kind {
        EventKind::Session { detail, .. } => Some(&detail.kind),
        _ => None,
    });
    let of_session: Vec<_> = of_session.collect();
    assert!(matches!(of_session.first(), Some(SessionEventKind::Started { .. })), "{of_session:?}");
    assert!(of_session.iter().any(|kind| matches!(kind, SessionEventKind::ToolCall { .. })));
    assert!(finished.reports(CANARY).iter().any(|report| matches!(report, Report::Step { .. })));
}

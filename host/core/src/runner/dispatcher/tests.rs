//! The dispatcher with an executor that only pretends, under paused time.

mod fake;
mod policy;
mod properties;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use self::fake::{Act, End, Events, Fake, events_of, lane, plan, ran, run, run_full, started, verdict};
use super::*;
use crate::runner::{executor::MessageKind, exit_code};
use host_model::{FaultClass, Finding, Outcome};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn nothing_else_of_a_lane_starts_before_its_canary_has_passed() {
    let plan = plan(9, vec![lane("l", None, &["canary"], &["a", "b"])]);
    let log = run(&plan, Fake::new().act("l/canary", Act::pass(seconds(3)))).await;
    assert_eq!(started(&log), ["l/canary", "l/a", "l/b"]);
    for trial in ["l/a", "l/b"] {
        assert_eq!(log.started_at(trial), seconds(3), "{trial}");
    }
    let opened = log.position(|event| matches!(event, EventKind::LaneOpened { .. }));
    assert!(log.finished_position("l/canary") < opened && opened < log.started_position("l/a"));
    assert_eq!(log.summary.exit_code, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_with_several_canaries_waits_for_the_slowest_and_they_run_at_once() {
    let plan = plan(9, vec![lane("l", None, &["quick", "slow"], &["rest"])]);
    let fake = Fake::new().act("l/quick", Act::pass(SECOND)).act("l/slow", Act::pass(seconds(5)));
    let log = run(&plan, fake).await;
    assert_eq!((log.started_at("l/quick"), log.started_at("l/slow")), (Duration::ZERO, Duration::ZERO));
    assert_eq!(log.started_at("l/rest"), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_not_pass_blocks_its_lane() {
    let ways = [
        (Act::fail(SECOND), 105, "canary canary failed"),
        (Act::fault(SECOND), 110, "canary canary ended as fault"),
        (Act::skip(SECOND), 105, "canary canary ended as skip"),
        (Act::panic(SECOND), 110, "canary canary ended as fault"),
    ];
    for (act, code, reason) in ways {
        let plan = plan(9, vec![lane("l", None, &["canary"], &["a", "b"])]);
        let log = run(&plan, Fake::new().act("l/canary", act)).await;
        assert_eq!(log.executed, ["l/canary"], "{reason}");
        for trial in ["l/a", "l/b"] {
            assert_eq!(verdict(&log, trial), Verdict::Blocked { reason: reason.into() });
        }
        assert!(!log.events.iter().any(|event| matches!(event.kind, EventKind::LaneOpened { .. })));
        assert_eq!(log.summary.exit_code, code, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_canary_blocks_the_canaries_that_wait_and_leaves_those_that_run() {
    let plan = plan(2, vec![lane("l", None, &["bad", "long", "waits"], &["rest"])]);
    let log = run(&plan, Fake::new().act("l/bad", Act::fail(SECOND)).act("l/long", Act::pass(seconds(4)))).await;
    assert_eq!(verdict(&log, "l/long"), Verdict::Pass);
    for trial in ["l/waits", "l/rest"] {
        assert_eq!(verdict(&log, trial).word(), "blocked", "{trial}");
    }
    assert_eq!(log.summary.exit_code, 105);
}

#[tokio::test(start_paused = true)]
async fn no_event_of_an_attempt_has_more_text_than_its_bound() {
    let long = || "x".repeat(1 << 20);
    let finding = Finding { code: "c".into(), message: long(), evidence: Some(long()) };
    let act = Act::new(SECOND, End::Outcome(Outcome::Fail { findings: vec![finding] }));
    let log = run(&plan(9, vec![lane("l", None, &[], &["a"])]), Fake::new().act("l/a", act)).await;
    let sizes: Vec<usize> = log.events.iter().map(|event| serde_json::to_string(event).unwrap().len()).collect();
    // A message and its evidence, in the event of the attempt and in that of the trial.
    assert_eq!(sizes.iter().filter(|size| **size > 120 << 10).count(), 2, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 132 << 10), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_wait_for_each_other() {
    let lanes = vec![lane("slow", None, &["canary"], &["a"]), lane("quick", None, &["canary"], &["a"])];
    let fake = Fake::new().act("slow/canary", Act::fail(seconds(60))).act("quick/canary", Act::pass(SECOND));
    let log = run(&plan(9, lanes), fake).await;
    assert_eq!(log.started_at("quick/a"), SECOND);
    assert_eq!(verdict(&log, "quick/a"), Verdict::Pass);
    assert_eq!(verdict(&log, "slow/a").word(), "blocked");
}

#[tokio::test(start_paused = true)]
async fn everything_after_the_gate_takes_as_long_as_the_longest_trial() {
    let names: Vec<String> = (1..=20).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(99, vec![lane("l", None, &["canary"], &names)]);
    let fake = names.iter().zip(1..).fold(Fake::new().act("l/canary", Act::pass(SECOND)), |fake, (name, time)| {
        fake.act(&format!("l/{name}"), Act::pass(seconds(time)))
    });
    let log = run(&plan, fake).await;
    assert_eq!(log.summary.wall_ms, 21_000, "the canary's second and the longest trial's twenty");
    assert_eq!(log.summary.serial_ms, 211_000);
    assert_eq!(log.summary.longest.as_ref().unwrap().1, 20_000);
    assert_eq!(log.most_at_once, 20);
}

#[tokio::test(start_paused = true)]
async fn caps_of_the_run_and_of_each_lane_hold_and_are_used_up() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let lanes = vec![lane("narrow", Some(2), &[], &names), lane("wide", None, &[], &names)];
    let log = run(&plan(5, lanes), Fake::new()).await;
    assert_eq!(log.most_at_once, 5);
    assert_eq!(log.most_in_lane["narrow"], 2);
    assert_eq!(log.summary.verdicts["pass"], 12);
}

#[tokio::test(start_paused = true)]
async fn a_lane_gets_slots_although_the_one_before_it_has_work_left() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let lanes = vec![lane("first", None, &[], &names), lane("second", None, &[], &names)];
    let log = run(&plan(2, lanes), Fake::new()).await;
    assert_eq!(log.started_at("second/h"), log.started_at("first/h"), "{:?}", started(&log));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_internal_fault_and_the_others_finish() {
    let plan = plan(9, vec![lane("l", None, &[], &["bad", "a", "b"])]);
    let log = run(&plan, Fake::new().act("l/bad", Act::panic(seconds(2))).act("l/a", Act::pass(seconds(9)))).await;
    let Verdict::Fault(fault) = verdict(&log, "l/bad") else { panic!("{:?}", verdict(&log, "l/bad")) };
    assert_eq!(fault.class, FaultClass::Internal);
    assert!(fault.message.contains("without a record: it panicked;"), "{fault}");
    assert!(!fault.message.contains("fell over"), "its words may quote a secret: {fault}");
    assert_eq!(log.record("l/bad").duration_ms, 2_000, "the time until it panicked counts");
    assert_eq!(log.summary.verdicts["pass"], 2);
    assert_eq!(log.summary.exit_code, 110);
}

#[tokio::test(start_paused = true)]
async fn a_failed_assertion_beside_a_fault_decides_the_exit_code() {
    let plan = plan(9, vec![lane("l", None, &[], &["broken", "wrong", "right", "absent"])]);
    let fake = Fake::new()
        .act("l/broken", Act::fault(SECOND))
        .act("l/wrong", Act::fail(SECOND))
        .act("l/absent", Act::skip(SECOND));
    let log = run(&plan, fake).await;
    assert_eq!(log.summary.exit_code, 100);
    assert_eq!(exit_code(&log.summary) as u8, 100);
    for word in ["pass", "fail", "fault", "skip"] {
        assert_eq!(log.summary.verdicts[word], 1, "{word}");
    }
}

/// Drives a dispatcher by hand until `ready`, then takes all its tasks away.
async fn vanish(ready: impl Fn(&Dispatcher<'_>) -> bool, heard: bool) -> Vec<Event> {
    let plan = plan(9, vec![lane("l", None, &["canary"], &["a"])]);
    let (fake, mut sink) = (Fake::new(), Events::default());
    let (messages, mut inbox) = mpsc::channel(MAX_MESSAGES);
    let (stop, _) = watch::channel(StopRequest::None);
    let mut dispatcher = Dispatcher::new(&plan, Arc::new(fake), &mut sink, messages, stop);
    dispatcher.start_ready();
    while heard && !ready(&dispatcher) {
        dispatcher.receive(inbox.recv().await.unwrap());
    }
    dispatcher.tasks.abort_all();
    let ended = dispatcher.tasks.join_next_with_id().await.unwrap();
    dispatcher.receive_pending(&mut inbox);
    dispatcher.task_ended(ended);
    assert_eq!(dispatcher.unfinished, 0);
    assert_eq!(dispatcher.end().exit_code, 110);
    sink.0
}

#[tokio::test(start_paused = true)]
async fn a_task_that_vanishes_is_an_internal_fault_and_never_a_pass() {
    let events = vanish(|dispatcher| matches!(dispatcher.trials[0].phase, Phase::Running { .. }), true).await;
    let Verdict::Fault(fault) = fake::verdict_in(&events, "l/canary").unwrap() else { panic!("{events:#?}") };
    assert_eq!(fault.class, FaultClass::Internal);
    assert!(fault.message.contains("without a record: its task ended"), "{fault}");
    assert_eq!(fake::verdict_in(&events, "l/a").unwrap().word(), "blocked");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_vanishes_before_it_asked_for_leave_did_not_start() {
    let events = vanish(|_| true, false).await;
    let Verdict::Fault(fault) = fake::verdict_in(&events, "l/canary").unwrap() else { panic!("{events:#?}") };
    assert!(fault.message.contains("did not start: its task ended"), "{fault}");
    assert!(!events.iter().any(|event| matches!(event.kind, EventKind::AttemptStarted { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_in_a_running_run_is_a_fault() {
    let plan = plan(9, vec![lane("l", None, &[], &["a"])]);
    let log = run(&plan, Fake::new().act("l/a", Act::cancelled(SECOND))).await;
    assert_eq!(verdict(&log, "l/a").fault_class(), Some(FaultClass::Internal));
    assert_eq!(log.summary.exit_code, 110);
}

#[tokio::test(start_paused = true)]
async fn events_after_an_attempts_record_are_dropped() {
    let plan = plan(9, vec![lane("l", None, &[], &["a", "long"])]);
    let fake = Fake::new().act("l/a", Act::pass(SECOND).talks_on()).act("l/long", Act::pass(seconds(10)));
    let log = run(&plan, fake).await;
    let last = events_of(&log, "l/a").last().unwrap().clone();
    assert!(matches!(last, EventKind::TrialFinished { .. }), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_cancels_waiting_and_stops_running_trials() {
    let plan = plan(2, vec![lane("l", None, &[], &["a", "b", "waits"])]);
    let log = run(&plan, Fake::new().every(Act::pass(seconds(60))).signal(seconds(5), "SIGINT")).await;
    assert_eq!(log.executed, ["l/a", "l/b"]);
    assert_eq!(log.stops, [("l/a".to_owned(), StopRequest::Graceful), ("l/b".to_owned(), StopRequest::Graceful)]);
    for trial in ["l/a", "l/b", "l/waits"] {
        assert_eq!(verdict(&log, trial).word(), "cancelled", "{trial}");
    }
    assert_eq!(verdict(&log, "l/waits"), Verdict::Cancelled { reason: "the run was interrupted by SIGINT".into() });
    assert_eq!(log.summary.exit_code, 130);
    assert_eq!(log.summary.wall_ms, 5_000);
}

#[tokio::test(start_paused = true)]
async fn the_second_signal_ends_everything_immediately() {
    let plan = plan(2, vec![lane("l", None, &[], &["a"])]);
    let fake = Fake::new()
        .every(Act::pass(seconds(600)).stubborn())
        .signal(seconds(5), "SIGINT")
        .signal(seconds(8), "SIGTERM")
        .signal(seconds(8), "SIGTERM");
    let log = run(&plan, fake).await;
    assert_eq!(log.stops, [("l/a".to_owned(), StopRequest::Graceful), ("l/a".to_owned(), StopRequest::Kill)]);
    assert_eq!(log.summary.wall_ms, 8_000);
    assert_eq!(log.summary.exit_code, 130);
    let interruptions = log.events.iter().filter(|event| matches!(event.kind, EventKind::Interrupted { .. })).count();
    assert_eq!(interruptions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_ends_by_itself_while_the_run_stops_keeps_its_verdict() {
    let plan = plan(2, vec![lane("l", None, &["canary"], &["rest"])]);
    let fake = Fake::new().act("l/canary", Act::pass(seconds(6)).stubborn()).signal(seconds(5), "SIGTERM");
    let log = run(&plan, fake).await;
    assert_eq!(verdict(&log, "l/canary"), Verdict::Pass);
    assert_eq!(verdict(&log, "l/rest").word(), "cancelled");
    assert_eq!(log.summary.exit_code, 130);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_before_anything_could_start_starts_nothing() {
    let plan = plan(9, vec![lane("l", None, &["canary"], &["a"])]);
    let log = run(&plan, Fake::new().signal(Duration::ZERO, "SIGHUP")).await;
    assert_eq!(log.executed, Vec::<String>::new());
    assert_eq!(log.summary.verdicts["cancelled"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_trials_begins_and_ends() {
    let log = run(&plan(1, Vec::new()), Fake::new()).await;
    assert_eq!(log.events.len(), 2);
    assert_eq!(log.summary.exit_code, 0);
}

/// An agent that never stops talking must not keep the run from hearing a signal.
#[tokio::test(start_paused = true)]
async fn a_flood_of_messages_is_heard_in_portions() {
    let plan = plan(1, vec![lane("l", None, &[], &["a"])]);
    let (fake, mut sink) = (Fake::new(), Events::default());
    let (messages, mut inbox) = mpsc::channel(4 * MAX_MESSAGES);
    let (stop, _) = watch::channel(StopRequest::None);
    let mut dispatcher = Dispatcher::new(&plan, Arc::new(fake), &mut sink, messages.clone(), stop);
    for _ in 0..3 * MAX_MESSAGES {
        let kind = MessageKind::Reported(host_model::Report::Note { text: "x".into() });
        messages.try_send(Message { trial: 0, attempt: 1, kind }).unwrap();
    }
    dispatcher.receive_pending(&mut inbox);
    assert_eq!(inbox.len(), 2 * MAX_MESSAGES);
}

#[tokio::test(start_paused = true)]
async fn events_of_an_attempt_stay_in_order() {
    let plan = plan(9, vec![lane("l", None, &[], &["a", "b"])]);
    let log = run(&plan, Fake::new().every(Act::pass(SECOND).says(3_000))).await;
    for trial in ["l/a", "l/b"] {
        let said = ran(&log, trial);
        assert_eq!(said, (0..3_000).map(|number| number.to_string()).collect::<Vec<_>>(), "{trial}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_holds_up_attempts_and_no_signal() {
    let plan = plan(9, vec![lane("l", None, &[], &["a", "b"])]);
    let log = run_full(&plan, Fake::new(), seconds(30)).await;
    assert!(log.started_at("l/a") >= seconds(30) && verdict(&log, "l/a") == Verdict::Pass);
    let log = run_full(&plan, Fake::new().signal(seconds(5), "SIGINT"), seconds(30)).await;
    let heard = log.position(|event| matches!(event, EventKind::Interrupted { .. }));
    assert_eq!(log.events[heard].at_ms, 5000);
    assert_eq!(log.summary.exit_code, 130);
}

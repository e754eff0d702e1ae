//! Retries, expectations, broken lanes, bounds on failures, repetitions and questions from outside.

use std::{sync::Arc, time::Duration};

use jiff::civil::Date;

use super::{
    super::*,
    SECOND,
    fake::{Act, End, Fake, Log, lane, plan, run, started, verdict},
    seconds,
};
use host_model::{
    CountsAs, ExpectedFailure, Fault, FaultClass, Grants, Outcome, RetryCause, RetryRules, Scenario, ScenarioId,
    TrialId,
};
use host_suite::plan::{LanePlan, PlannedTrial};

fn fault(class: FaultClass, after: Duration) -> Act {
    Act::new(after, End::Outcome(Outcome::Fault(Fault::new(class, "not logged in"))))
}

/// Changes every trial of a lane.
fn each(lane: LanePlan, change: impl Fn(&mut PlannedTrial)) -> LanePlan {
    let changed = |trials: Vec<Arc<PlannedTrial>>| {
        trials.into_iter().map(|trial| {
            let mut trial = PlannedTrial::clone(&trial);
            change(&mut trial);
            Arc::new(trial)
        })
    };
    LanePlan { canaries: changed(lane.canaries).collect(), rest: changed(lane.rest).collect(), ..lane }
}

pub(super) fn retried(lane: LanePlan, retries: u32) -> LanePlan {
    each(lane, |trial| {
        trial.retry = RetryRules { retries, delay: seconds(8), ..RetryRules::default() };
    })
}

/// The waits that were reported.
fn delays(log: &Log) -> Vec<u64> {
    let told = log.events.iter().filter_map(|event| match event.kind {
        EventKind::RetryScheduled { delay_ms, .. } => Some(delay_ms),
        _ => None,
    });
    told.collect()
}

fn attempts(log: &Log, name: &str) -> u32 {
    let told = log.events.iter().find_map(|event| match &event.kind {
        EventKind::TrialFinished { trial, attempts, .. } if trial.to_string() == name => Some(*attempts),
        _ => None,
    });
    told.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_passes_after_a_retry_is_flaky() {
    let plan = plan(9, vec![retried(lane("l", None, &[], &["a"]), 2)]);
    let fake = Fake::new()
        .act("l/a:1", fault(FaultClass::Idle, SECOND))
        .act("l/a:2", fault(FaultClass::Crash, SECOND))
        .act("l/a:3", Act::pass(SECOND));
    let log = run(&plan, fake).await;
    let reason = "attempt 1: idle (not logged in); attempt 2: crash (not logged in)".into();
    assert_eq!(verdict(&log, "l/a"), Verdict::Flaky { reason, counts_as: CountsAs::Pass });
    assert_eq!((attempts(&log, "l/a"), log.summary.serial_ms, log.summary.exit_code), (3, 3_000, 0));
    let [first, second] = delays(&log)[..] else { panic!("{:?}", delays(&log)) };
    assert!((4_000..=8_000).contains(&first) && (8_000..=16_000).contains(&second), "{first} {second}");
    let slack = log.summary.wall_ms - (3_000 + first + second);
    assert!(slack <= 4, "the clock's grain: {slack}");
}

#[tokio::test(start_paused = true)]
async fn only_allowed_outcomes_are_retried() {
    let plan = plan(9, vec![retried(lane("l", None, &[], &["fails", "traps", "stalls"]), 1)]);
    let fake = Fake::new()
        .act("l/fails", Act::fail(SECOND))
        .act("l/traps", fault(FaultClass::Trap, SECOND))
        .act("l/stalls", fault(FaultClass::Idle, SECOND));
    let log = run(&plan, fake).await;
    assert_eq!([attempts(&log, "l/fails"), attempts(&log, "l/traps"), attempts(&log, "l/stalls")], [1, 1, 2]);
    assert_eq!(verdict(&log, "l/stalls").fault_class(), Some(FaultClass::Idle));
    assert_eq!(delays(&log).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_assertion_is_retried_on_request() {
    let mut all = retried(lane("l", None, &[], &["a"]), 1);
    all = each(all, |trial| trial.retry.on = [RetryCause::Fail].into());
    let mut plan = plan(9, vec![all]);
    plan.policy.flaky_result = CountsAs::Fail;
    let log = run(&plan, Fake::new().act("l/a:1", Act::fail(SECOND)).act("l/a:2", Act::pass(SECOND))).await;
    let reason = "attempt 1: fail (wrong)".into();
    assert_eq!(verdict(&log, "l/a"), Verdict::Flaky { reason, counts_as: CountsAs::Fail });
    assert_eq!(log.summary.exit_code, 100);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_without_a_slot_and_comes_before_what_has_not_started() {
    let plan = plan(1, vec![retried(lane("l", None, &[], &["a", "b", "c", "d"]), 1)]);
    let fake = Fake::new().every(Act::pass(seconds(10))).act("l/a:1", fault(FaultClass::Crash, SECOND));
    let log = run(&plan, fake).await;
    assert_eq!(started(&log), ["l/a", "l/b", "l/a", "l/c", "l/d"]);
    assert_eq!(log.started_at("l/b"), SECOND, "the slot is free at once");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_passes_after_a_retry_opens_its_lane() {
    let plan = plan(9, vec![retried(lane("l", None, &["canary"], &["a"]), 1)]);
    let log = run(&plan, Fake::new().act("l/canary:1", fault(FaultClass::Launch, SECOND))).await;
    assert_eq!((verdict(&log, "l/canary").word(), verdict(&log, "l/a").word()), ("flaky", "pass"));
    assert_eq!(log.summary.exit_code, 0);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_wait_for_a_retry_with_what_there_is() {
    let plan = plan(9, vec![retried(lane("l", None, &[], &["a"]), 1)]);
    let fake = Fake::new().every(fault(FaultClass::Crash, SECOND)).signal(seconds(2), "SIGINT");
    let log = run(&plan, fake).await;
    assert_eq!(verdict(&log, "l/a").fault_class(), Some(FaultClass::Crash));
    assert_eq!((attempts(&log, "l/a"), log.summary.wall_ms, log.summary.exit_code), (1, 2_000, 130));
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_whole_lane_break_it_and_leave_the_others_alone() {
    let names = ["a", "b", "c", "d", "e"];
    let broken = LanePlan { breaker: 2, ..retried(lane("broken", Some(2), &[], &names), 3) };
    let plan = plan(9, vec![broken, lane("sound", Some(1), &[], &names)]);
    let fake = names
        .iter()
        .fold(Fake::new(), |fake, name| fake.act(&format!("broken/{name}"), fault(FaultClass::Launch, SECOND)));
    let log = run(&plan, fake).await;
    let broke = log.position(|kind| matches!(kind, EventKind::LaneBroken { .. }));
    let EventKind::LaneBroken { lane, reason } = &log.events[broke].kind else { unreachable!() };
    let why = "the agent failed in 2 consecutive trials, the last as launch: not logged in";
    assert_eq!((lane.0.as_str(), reason.as_str()), ("broken", why));
    for name in ["a", "b"] {
        let name = format!("broken/{name}");
        assert_eq!((verdict(&log, &name).word(), attempts(&log, &name)), ("fault", 1), "no retry in a broken lane");
    }
    for name in ["c", "d", "e"] {
        assert_eq!(verdict(&log, &format!("broken/{name}")), Verdict::Blocked { reason: why.into() });
    }
    assert_eq!((log.summary.verdicts["pass"], log.summary.exit_code), (5, 110));
}

#[tokio::test(start_paused = true)]
async fn trials_without_an_agent_do_not_repair_a_lane() {
    let names = ["a", "plain", "b", "c"];
    let all = LanePlan { breaker: 2, ..lane("l", Some(1), &[], &names) };
    let all = each(all, |trial| {
        if trial.id.scenario.0 == "plain" {
            Arc::make_mut(&mut trial.scenario).grants = Grants::default();
        }
    });
    let fake = ["a", "b", "c"]
        .iter()
        .fold(Fake::new(), |fake, name| fake.act(&format!("l/{name}"), fault(FaultClass::Launch, SECOND)));
    let log = run(&plan(1, vec![all]), fake).await;
    assert_eq!(names.map(|name| verdict(&log, &format!("l/{name}")).word()), ["fault", "pass", "fault", "blocked"]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_was_cancelled_has_not_failed() {
    let guarded = lane("m", Some(1), &["long", "waits"], &["n"]);
    let mut plan = plan(9, vec![lane("l", None, &[], &["bad"]), guarded]);
    plan.policy.max_fail = Some(1);
    let fake = Fake::new().every(Act::pass(seconds(9))).act("l/bad", Act::fail(SECOND));
    let log = run(&plan, fake).await;
    assert_eq!((verdict(&log, "m/long").word(), verdict(&log, "m/waits").word()), ("pass", "cancelled"));
    assert_eq!(log.summary.exit_code, 100);
}

#[tokio::test(start_paused = true)]
async fn max_fail_cancels_waiting_trials_only() {
    let mut plan = plan(3, vec![lane("l", None, &[], &["bad", "long", "waits"]), lane("m", None, &["canary"], &["n"])]);
    plan.policy.max_fail = Some(1);
    let fake = Fake::new().every(Act::pass(seconds(9))).act("l/bad", Act::fail(seconds(2)));
    let log = run(&plan, fake).await;
    assert!(log.events.iter().any(|event| matches!(event.kind, EventKind::Halted { .. })));
    assert_eq!(started(&log), ["l/bad", "m/canary", "l/long"].map(String::from));
    assert_eq!((verdict(&log, "l/long").word(), verdict(&log, "m/canary").word()), ("pass", "pass"));
    for name in ["l/waits", "m/n"] {
        assert_eq!(
            verdict(&log, name),
            Verdict::Cancelled { reason: "1 trial has failed, and `max-fail` is 1".into() }
        );
    }
    assert_eq!(log.summary.exit_code, 100);
}

#[tokio::test(start_paused = true)]
async fn expected_failures_pass_and_unexpected_passes_are_reported() {
    let expected = ExpectedFailure {
        lanes: Vec::new(),
        findings: ["wrong".into()].into(),
        classes: Default::default(),
        owner: "ada".into(),
        reason: "known".into(),
        until: Date::constant(2099, 1, 1),
    };
    let known = each(lane("l", None, &[], &["fails", "passes"]), |trial| trial.expected = vec![expected.clone()]);
    let mut plan = plan(9, vec![known]);
    plan.policy.max_fail = Some(1);
    let acts = || Fake::new().act("l/fails", Act::fail(SECOND));
    let log = run(&plan, acts()).await;
    assert_eq!((verdict(&log, "l/fails").word(), verdict(&log, "l/passes").word()), ("xfail", "xpass"));
    assert_eq!(log.summary.exit_code, 0);
    plan.policy.xpass = CountsAs::Fail;
    assert_eq!(run(&plan, acts()).await.summary.exit_code, 100);
}

#[tokio::test(start_paused = true)]
async fn repetitions_have_a_rate() {
    let mut number = 0;
    let trials = std::iter::repeat_with(|| {
        number += 1;
        let one = PlannedTrial::clone(&lane("l", None, &[], &["a"]).rest[0]);
        let id = TrialId { scenario: ScenarioId(format!("a#{number}")), ..one.id.clone() };
        Arc::new(PlannedTrial { id, repetition: Some(number), ..one })
    });
    let rest: Vec<_> = trials.take(10).collect();
    let plan = plan(9, vec![LanePlan { rest, ..lane("l", None, &[], &[]) }]);
    let fake =
        Fake::new().act("l/a#1", Act::fail(SECOND)).act("l/a#2", Act::skip(SECOND)).act("l/a#3", Act::fault(SECOND));
    let log = run(&plan, fake).await;
    let [rate] = &log.summary.rates[..] else { panic!("{:?}", log.summary.rates) };
    assert_eq!((rate.id.to_string(), rate.passed, rate.judged, rate.repetitions), ("l/a".to_owned(), 7, 8, 10));
    let (low, high) = rate.interval.unwrap();
    assert!(low > 0.5 && low < 0.875 && high > 0.875 && high < 1.0, "{low} {high}");
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_and_changes_nothing() {
    let plan = plan(2, vec![retried(lane("l", None, &[], &["done", "runs", "again", "waits", "later"]), 1)]);
    let fake = Fake::new()
        .every(Act::pass(seconds(60)))
        .act("l/done", Act::pass(SECOND))
        .act("l/again:1", fault(FaultClass::Crash, SECOND))
        .signal(seconds(3), "SIGUSR1");
    let log = run(&plan, fake).await;
    let at = log.position(|kind| matches!(kind, EventKind::Status { .. }));
    let EventKind::Status { running, waiting, finished } = &log.events[at].kind else { unreachable!() };
    let told: Vec<_> = running.iter().map(|it| (it.id.to_string(), it.attempt, it.elapsed_ms)).collect();
    let named = |name: &str, attempt, elapsed| (name.to_owned(), attempt, elapsed);
    assert_eq!(told, [named("l/runs", 1, 3_000), named("l/again", 2, 0), named("l/waits", 1, 1_000)]);
    assert!(running[1].retry_in_ms.is_some_and(|left| left > 2_000 && left < 8_000), "{running:?}");
    assert_eq!((*waiting, *finished), (1, 1));
    assert_eq!((log.summary.verdicts["pass"], log.summary.verdicts["flaky"]), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_skipped_does_nothing_and_fails_nothing() {
    let mut skipped = lane("skipped", None, &["canary"], &["a", "b"]);
    skipped.skip("no key".into());
    let plan = plan(2, vec![skipped, lane("other", None, &["canary"], &["a"])]);
    let log = run(&plan, Fake::new().every(Act::pass(SECOND))).await;
    assert_eq!((log.summary.verdicts["skip"], log.summary.verdicts["pass"]), (3, 2));
    assert_eq!(log.summary.exit_code, 0);
    let opened = log.events.iter().filter_map(|event| match &event.kind {
        EventKind::LaneOpened { lane } => Some(lane.0.as_str()),
        _ => None,
    });
    assert_eq!(opened.collect::<Vec<_>>(), ["other"]);
}

/// Two plugins contain the canary that the suite names: one that fails must not block the lane.
#[tokio::test(start_paused = true)]
async fn one_of_the_canaries_of_a_name_is_enough() {
    let named = || {
        each(lane("l", None, &["ours", "theirs"], &["rest"]), |trial| {
            let canary = (trial.canary == Canary::Yes).then(|| "smoke".to_owned());
            trial.scenario = Arc::new(Scenario { canary, ..(*trial.scenario).clone() });
        })
    };
    let acts = |ours: Act, theirs: Act| Fake::new().act("l/ours", ours).act("l/theirs", theirs);
    for (ours, theirs) in [(SECOND, 3 * SECOND), (3 * SECOND, SECOND)] {
        let log = run(&plan(9, vec![named()]), acts(Act::pass(ours), Act::fail(theirs))).await;
        assert_eq!(verdict(&log, "l/rest"), Verdict::Pass);
        assert_eq!(log.summary.exit_code, 100, "a scenario failed, and no canary");
    }
    let log = run(&plan(9, vec![named()]), acts(Act::fail(SECOND), Act::fail(SECOND))).await;
    assert!(matches!(verdict(&log, "l/rest"), Verdict::Blocked { .. }));
    assert_eq!(log.summary.exit_code, 105);
    // Of two names both must pass.
    let two = lane("l", None, &["ours", "theirs"], &["rest"]);
    let log = run(&plan(9, vec![two]), acts(Act::pass(SECOND), Act::fail(SECOND))).await;
    assert!(matches!(verdict(&log, "l/rest"), Verdict::Blocked { .. }));
    assert_eq!(log.summary.exit_code, 105);
}

/// Faults of the agent in trials whose scenario brought what it starts with.
#[tokio::test(start_paused = true)]
async fn scenarios_that_spoil_their_agent_break_no_lane() {
    let with = |spoiled: bool| {
        let names = ["a", "b", "c", "good"];
        let mut all = each(lane("l", None, &[], &names), |trial| {
            let mut scenario =
                Scenario { grants: Grants { session: true, ..Grants::default() }, ..(*trial.scenario).clone() };
            if spoiled && trial.id.scenario.0 != "good" {
                scenario.fixture.config = Some("config".into());
            }
            trial.scenario = Arc::new(scenario);
        });
        all.breaker = 3;
        plan(1, vec![all])
    };
    let acts = || {
        let launch = || fault(FaultClass::Launch, SECOND);
        Fake::new().act("l/a", launch()).act("l/b", launch()).act("l/c", launch())
    };
    assert_eq!(verdict(&run(&with(true), acts()).await, "l/good"), Verdict::Pass);
    assert!(matches!(verdict(&run(&with(false), acts()).await, "l/good"), Verdict::Blocked { .. }));
}

fn short(after: Duration) -> Act {
    fault(FaultClass::Resources, after)
}

fn lowered(log: &Log) -> Vec<usize> {
    let told = log.events.iter().filter_map(|event| match event.kind {
        EventKind::JobsLowered { jobs, .. } => Some(jobs),
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn a_shortage_is_waited_out_without_using_up_retries() {
    let plan = plan(9, vec![LanePlan { breaker: 1, ..lane("l", None, &[], &["a"]) }]);
    let fake = Fake::new().act("l/a:1", short(SECOND)).act("l/a:2", short(SECOND)).act("l/a:3", Act::pass(SECOND));
    let log = run(&plan, fake).await;
    assert_eq!((verdict(&log, "l/a"), attempts(&log, "l/a")), (Verdict::Pass, 3));
    assert_eq!((delays(&log), log.summary.exit_code), (vec![250, 500], 0));
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_without_the_attempts_that_were_too_short() {
    let plan = plan(9, vec![retried(lane("l", None, &[], &["a"]), 1)]);
    let fake = Fake::new()
        .act("l/a:1", short(SECOND))
        .act("l/a:2", fault(FaultClass::Crash, SECOND))
        .act("l/a:3", short(SECOND))
        .act("l/a:4", Act::pass(SECOND));
    let log = run(&plan, fake).await;
    let reason = "attempt 1: crash (not logged in)".into();
    assert_eq!(verdict(&log, "l/a"), Verdict::Flaky { reason, counts_as: CountsAs::Pass });
}

#[tokio::test(start_paused = true)]
async fn a_shortage_lowers_how_many_run_and_the_run_goes_on() {
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(16, vec![lane("l", None, &[], &names)]);
    // The first sixteen are too many for the machine.
    let fake = names[..16].iter().fold(Fake::new(), |fake, name| fake.act(&format!("l/{name}:1"), short(SECOND)));
    let log = run(&plan, fake).await;
    assert_eq!(lowered(&log), [8], "they had started together");
    assert_eq!((log.summary.verdicts["pass"], log.most_at_once, log.summary.exit_code), (40, 16, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lasting_shortage_is_a_fault_of_each_trial_and_loses_none_that_was_judged() {
    let names: Vec<String> = (0..30).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(2, vec![LanePlan { breaker: 1, ..lane("l", None, &[], &names) }]);
    let log = run(&plan, Fake::new().every(short(SECOND)).act("l/t0", Act::pass(SECOND))).await;
    assert_eq!(verdict(&log, "l/t0"), Verdict::Pass);
    for name in &names[1..] {
        assert_eq!(verdict(&log, &format!("l/{name}")).fault_class(), Some(FaultClass::Resources));
    }
    let tries: Vec<u32> = names.iter().map(|name| attempts(&log, &format!("l/{name}"))).collect();
    assert_eq!((&tries[..3], tries[29]), (&[1, 7, 7][..], 2), "what is of no use is not repeated");
    assert_eq!((lowered(&log), log.summary.exit_code), (vec![1], 110));
}

#[tokio::test(start_paused = true)]
async fn a_failed_assertion_stays_one_whatever_the_machine_is_short_of_later() {
    let mut lane = lane("l", None, &[], &["a"]);
    lane = each(lane, |trial| {
        trial.retry = RetryRules { retries: 1, on: RetryCause::all().collect(), ..RetryRules::default() };
    });
    let log = run(&plan(1, vec![lane]), Fake::new().every(short(SECOND)).act("l/a:1", Act::fail(SECOND))).await;
    assert_eq!(verdict(&log, "l/a").word(), "fail");
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_wait_for_room() {
    let plan = plan(9, vec![lane("l", None, &[], &["a"])]);
    let log = run(&plan, Fake::new().every(short(SECOND)).signal(seconds(4), "SIGINT")).await;
    assert_eq!(log.summary.exit_code, 130);
    assert!(matches!(verdict(&log, "l/a").word(), "fault" | "cancelled"));
}

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::sample::{self, Buffer, Stream, fail, finding, trial};
use host_model::{
    AttemptRecord, CountsAs, EventKind, Fault, FaultClass, LaneName, Outcome, Report, RunningTrial, Usage, Verdict,
};

fn told_with(events: &[Event], options: HumanOptions) -> String {
    let buffer = Buffer::default();
    let mut human = Human::plain(Box::new(buffer.clone()), options);
    for event in events {
        human.event(event).unwrap();
    }
    human.finish().unwrap();
    buffer.text()
}

fn rendered(events: &[Event]) -> String {
    told_with(events, HumanOptions::default())
}

fn at(verbosity: Verbosity) -> HumanOptions {
    HumanOptions { verbosity, ..HumanOptions::default() }
}

#[test]
fn all_pass() {
    insta::assert_snapshot!(rendered(&sample::all_pass()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 in parallel (run 20261122-231500-abcd)
        Canary scripted/ensign-cycle
          PASS [   1.21s] scripted/ensign-cycle (canary)
          Open lane scripted: 4 trials start
         Start scripted/gate
         Start scripted/rejection-flow
         Start scripted/three-cycle-escalation
         Start scripted/merge-hook
          PASS [   1.79s] scripted/gate
          PASS [   1.89s] scripted/rejection-flow
          PASS [   2.29s] scripted/three-cycle-escalation
          PASS [   2.40s] scripted/merge-hook
    ────────────────────────────────────────────────
       Summary 5 passed in 3.61s
               one after another 9.57s (2.7× faster in parallel); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn one_failure() {
    insta::assert_snapshot!(rendered(&sample::one_failure()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 in parallel (run 20261122-231500-abcd)
        Canary scripted/ensign-cycle
          PASS [   1.21s] scripted/ensign-cycle (canary)
          Open lane scripted: 4 trials start
         Start scripted/gate
         Start scripted/rejection-flow
         Start scripted/three-cycle-escalation
         Start scripted/merge-hook
          PASS [   1.79s] scripted/gate
          PASS [   1.89s] scripted/rejection-flow
          PASS [   2.29s] scripted/three-cycle-escalation
          FAIL [   2.40s] scripted/merge-hook
               │ entity-changed: the entity must be byte-identical
               │     - status: implementation
               │     + status: done
               │ guard-unseen: the final message must name the merge hook
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1
    ────────────────────────────────────────────────
          FAIL [   2.40s] scripted/merge-hook
               │ entity-changed: the entity must be byte-identical
               │     - status: implementation
               │     + status: done
               │ guard-unseen: the final message must name the merge hook
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1
    ────────────────────────────────────────────────
       Summary 4 passed, 1 failed in 3.61s
               one after another 9.57s (2.7× faster in parallel); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn a_failed_canary() {
    insta::assert_snapshot!(rendered(&sample::canary_fails()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 in parallel (run 20261122-231500-abcd)
        Canary scripted/ensign-cycle
          FAIL [   1.21s] scripted/ensign-cycle (canary)
               │ summary-missing: the report must have a summary
               artifacts: .host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1
       BLOCKED            scripted/gate: canary ensign-cycle failed
       BLOCKED            scripted/rejection-flow: canary ensign-cycle failed
       BLOCKED            scripted/three-cycle-escalation: canary ensign-cycle failed
       BLOCKED            scripted/merge-hook: canary ensign-cycle failed
    ────────────────────────────────────────────────
          FAIL [   1.21s] scripted/ensign-cycle (canary)
               │ summary-missing: the report must have a summary
               artifacts: .host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1
    ────────────────────────────────────────────────
       Summary 0 passed, 1 failed, 4 blocked in 1.21s
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn missing_confinement_is_reported_once() {
    let mut stream = Stream::new(&["pi"], &["gate", "hook"]);
    for name in ["gate", "hook"] {
        let trial = trial("pi", name);
        stream.starts(0, &trial, 1);
        stream.reports(1, &trial, Report::Unconfined { what: "this kernel has no Landlock".into() });
        stream.ends(0, 2, &trial, Outcome::Pass);
    }
    let rendered = rendered(&stream.finished());
    assert_eq!(rendered.matches("agents are not fully confined: this kernel has no Landlock").count(), 1, "{rendered}");
}

#[test]
fn faults_with_denials_cuts_and_kept_directories() {
    let mut stream = Stream::with_canary(&["claude", "pi"], &["gate", "merge-hook"], false);
    stream.opens(0, "claude");
    let (gate, hook) = (trial("claude", "gate"), trial("pi", "merge-hook"));
    stream.starts(0, &gate, 1);
    stream.starts(0, &hook, 1);
    stream.reports(10, &gate, Report::Denied { what: "open /etc/passwd".into() });
    stream.reports(11, &gate, Report::Cut { what: "standard error after 1 MiB".into() });
    let outcome = Outcome::Fault(Fault::new(FaultClass::Timeout, "no end after 5s\nin host call `next`"));
    let record = AttemptRecord {
        outcome: outcome.clone(),
        duration_ms: 5000,
        usage: Usage { output_tokens: Some(1200), ..Usage::default() },
        artifacts: Some("claude/gate/attempt-1".into()),
        kept: Some("/tmp/host-gate".into()),
    };
    stream.record(5000, &gate, 1, record);
    stream.judged(5000, &gate, 1, 5000, outcome.into());
    stream.ends(0, 5100, &hook, Outcome::Fault(Fault::new(FaultClass::Launch, "`pi` is not logged in")));
    insta::assert_snapshot!(rendered(&stream.finished()), @r"
       Running 4 trials from 2 plugins in lanes claude, pi, up to 16 in parallel (run 20261122-231500-abcd)
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
          Open lane claude without its canary: 2 trials start
        Canary claude/gate
         Start pi/merge-hook
         FAULT [   5.00s] claude/gate (canary)
               │ timeout: no end after 5s
               │     in host call `next`
               │ denied: open /etc/passwd
               │ cut: standard error after 1 MiB
               artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-1
               kept: /tmp/host-gate
         FAULT [   5.10s] pi/merge-hook
               │ launch: `pi` is not logged in
               artifacts: .host/runs/20261122-231500-abcd/pi/merge-hook/attempt-1
    ────────────────────────────────────────────────
         FAULT [   5.00s] claude/gate (canary)
               │ timeout: no end after 5s
               │     in host call `next`
               │ denied: open /etc/passwd
               │ cut: standard error after 1 MiB
               artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-1
               kept: /tmp/host-gate
         FAULT [   5.10s] pi/merge-hook
               │ launch: `pi` is not logged in
               artifacts: .host/runs/20261122-231500-abcd/pi/merge-hook/attempt-1
    ────────────────────────────────────────────────
       Summary 0 passed, 2 faults in 5.10s
               one after another 10.10s (2.0× faster in parallel); longest pi/merge-hook 5.10s
               tokens 1,200 out
               run directory .host/runs/20261122-231500-abcd
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
    ");
}

#[test]
fn retries_interruption_and_usage() {
    insta::assert_snapshot!(rendered(&sample::every_kind()), @r"
       Running 4 trials from 2 plugins in lanes a, b, up to 16 in parallel (run 20261122-231500-abcd)
        Canary a/one
         Retry a/one in 0.00s after idle (no event for 60s)
        Canary a/one (attempt 2)
         FLAKY [   1.02s] a/one (canary) (after 2 attempts)
               │ attempt 1: idle (no event for 60s)
               │ cut: standard output after 1 MiB
               │ denied: open /etc/passwd
               kept: /tmp/host-x
               kept: /tmp/host-x
          Open lane a: 1 trial starts
         Start a/two
     Interrupt SIGINT: no more trials start, and agents are asked to stop; a second signal kills them immediately
     CANCELLED [   0.02s] a/two: interrupted by SIGINT
               artifacts: .host/runs/20261122-231500-abcd/a/two/attempt-1
          SKIP            b/one (canary): needs a network
     CANCELLED            b/two: interrupted
    ────────────────────────────────────────────────
         FLAKY [   1.02s] a/one (canary) (after 2 attempts)
    ────────────────────────────────────────────────
       Summary 0 passed, 1 flaky, 1 skipped, 2 cancelled in 1.05s
               interrupted by SIGINT
               one after another 1.04s; longest a/one 1.02s
               tokens 2,469,134 in (2,000,000 from a cache), 8,642 out; cost $2.46
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn verbose_shows_messages_of_agents_and_components() {
    let events = sample::every_kind();
    let text = told_with(&events[..18], at(Verbosity::Verbose));
    insta::assert_snapshot!(text, @r#"
       Running 4 trials from 2 plugins in lanes a, b, up to 16 in parallel (run 20261122-231500-abcd)
        Canary a/one
         Agent a/one │ started with model m-1
       Message a/one
               │ Looking.
               │ Still looking.
          Tool a/one │ Bash {"c":1}
          Wait a/one │ overloaded (next try in 1.50s)
          Step a/one │ grade
          Note a/one │ two rounds
        Metric a/one │ rounds 2 rounds
      Attached a/one │ log.txt (12 bytes)
         Retry a/one in 0.00s after idle (no event for 60s)
        Canary a/one (attempt 2)
    ────────────────────────────────────────────────
       Summary 0 passed in 0.02s
               the run was cut short: 4 trials without a verdict
               tokens 1,234,567 in (1,000,000 from a cache), 4,321 out; cost $1.23
               run directory .host/runs/20261122-231500-abcd
    "#);
}

#[test]
fn quiet_shows_failures_and_the_summary() {
    insta::assert_snapshot!(told_with(&sample::one_failure(), at(Verbosity::Quiet)), @r"
          FAIL [   2.40s] scripted/merge-hook
               │ entity-changed: the entity must be byte-identical
               │     - status: implementation
               │     + status: done
               │ guard-unseen: the final message must name the merge hook
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1
    ────────────────────────────────────────────────
       Summary 4 passed, 1 failed in 3.61s
               one after another 9.57s (2.7× faster in parallel); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
    let passed = told_with(&sample::all_pass(), at(Verbosity::Quiet));
    assert_eq!(passed.lines().nth(1).unwrap(), "   Summary 5 passed in 3.61s");
}

#[test]
fn hostile_text_cannot_forge_lines() {
    let forged =
        "x\n   Summary 5 passed in 1s\r\n\u{1b}[2J\u{1b}[1A      PASS [   1.00s] a\u{8}\u{8}\u{202e}\n::error::no";
    let mut stream = Stream::new(&["scripted"], &["gate\n      PASS y"]);
    let gate = trial("scripted", "gate\n      PASS y");
    stream.starts(0, &gate, 1);
    stream.reports(1, &gate, Report::Note { text: forged.into() });
    stream.reports(2, &gate, Report::Step { name: forged.into() });
    stream.reports(3, &gate, Report::Denied { what: forged.into() });
    stream.ends(0, 9, &gate, fail(vec![finding(forged, forged, Some(forged))]));
    let hook = trial("scripted", "hook");
    stream.tried_again(10, &hook, 1, Outcome::Pass, (1, forged));
    stream.judged(11, &hook, 2, 2, Verdict::Flaky { reason: forged.into(), counts_as: CountsAs::Pass });
    let known = || vec![sample::expected(forged, forged, forged)];
    let findings = vec![finding(forged, forged, Some(forged))];
    stream.judged(12, &hook, 1, 2, Verdict::Xfail { findings: findings.clone(), fault: None, expected: known() });
    stream.judged(13, &hook, 1, 2, Verdict::Xpass { expected: known(), counts_as: CountsAs::Pass });
    stream.judged(14, &hook, 1, 2, Verdict::Fail { findings, note: Some(forged.into()) });
    let running = vec![RunningTrial { id: gate, attempt: 1, elapsed_ms: 1, retry_in_ms: None }];
    stream.at(15, EventKind::Status { running, waiting: 0, finished: 1 });
    stream.at(16, EventKind::LaneBroken { lane: LaneName(forged.into()), reason: forged.into() });
    stream.at(17, EventKind::Halted { reason: forged.into() });
    let text = told_with(&stream.finished(), at(Verbosity::Verbose));
    insta::assert_snapshot!(text, @r"
       Running 1 trial from 1 plugin in lane scripted, up to 16 in parallel (run 20261122-231500-abcd)
        Canary scripted/gate …
          Note scripted/gate …
               │ x
               │    Summary 5 passed in 1s
               │       PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │ ::error::no
          Step scripted/gate …
               │ x
               │    Summary 5 passed in 1s
               │       PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │ ::error::no
          FAIL [   0.01s] scripted/gate … (canary)
               │ x …: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │     x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │ denied: x …
               artifacts: .host/runs/20261122-231500-abcd/scripted/gate …
         Retry scripted/hook in 0.00s after x …
         FLAKY [   0.00s] scripted/hook (after 2 attempts)
               │ attempt 1: x …
               artifacts: .host/runs/20261122-231500-abcd/scripted/hook/attempt-1
         XFAIL [   0.00s] scripted/hook: expected: x …
         XPASS [   0.00s] scripted/hook: passed, but was expected to fail: x …
          FAIL [   0.00s] scripted/hook
               │ x …: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │     x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │ note: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
        Status [   0.02s] 1 running, 0 waiting, 1 finished
               [   0.00s] scripted/gate …
        Broken lane x …: x …; no more of its trials start
          Halt x …: no more trials start
    ────────────────────────────────────────────────
         FLAKY [   0.00s] scripted/hook (after 2 attempts)
         XPASS [   0.00s] scripted/hook: passed, but was expected to fail: x …
          FAIL [   0.01s] scripted/gate … (canary)
               │ x …: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │     x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │ denied: x …
               artifacts: .host/runs/20261122-231500-abcd/scripted/gate …
          FAIL [   0.00s] scripted/hook
               │ x …: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │     x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
               │ note: x
               │        Summary 5 passed in 1s
               │           PASS [   1.00s] a\u{8}\u{8}\u{202e}
               │     ::error::no
    ────────────────────────────────────────────────
       Summary 0 passed, 1 flaky, 2 failed, 1 failed as expected, 1 passed unexpectedly in 0.02s
               broken: lane x …: x …
               halted: x …
               run directory .host/runs/20261122-231500-abcd
    ");
    for line in text.lines() {
        assert!(!line.contains('\u{1b}') && !line.contains('\u{8}') && !line.contains('\r'), "{line:?}");
        if line.contains("5 passed") || line.contains("::error") {
            assert!(line.starts_with("           │ "), "{line:?}");
        }
    }
}

#[test]
fn retries_and_expectations() {
    insta::assert_snapshot!(rendered(&sample::attempts_and_expectations()), @r"
       Running 5 trials from 5 plugins in lane claude, up to 16 in parallel (run 20261122-231500-abcd)
        Canary claude/ensign-cycle
         Retry claude/ensign-cycle in 1.20s after idle (no event for 60s)
        Canary claude/ensign-cycle (attempt 2)
         FLAKY [   0.20s] claude/ensign-cycle (canary) (after 2 attempts)
               │ attempt 1: idle (no event for 60s)
          Open lane claude: 4 trials start
         Start claude/gate
         Start claude/rejection-flow
         Start claude/three-cycle-escalation
         Start claude/merge-hook
         Retry claude/gate in 1m 30s after fail (gate-not-held)
         XFAIL [   0.30s] claude/merge-hook: expected: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
         XPASS [   0.40s] claude/rejection-flow: passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
          PASS [   0.50s] claude/three-cycle-escalation
         Start claude/gate (attempt 2)
          FAIL [   0.20s] claude/gate (after 2 attempts)
               │ gate-not-held: the item must wait for the person
               │     + status: done
               │ note: not expected: `gate-not-held`; expected: `hook-unseen`
               │ attempt 1: fail (gate-not-held)
               artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-2
    ────────────────────────────────────────────────
         FLAKY [   0.20s] claude/ensign-cycle (canary) (after 2 attempts)
         XPASS [   0.40s] claude/rejection-flow: passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
          FAIL [   0.20s] claude/gate (after 2 attempts)
               │ gate-not-held: the item must wait for the person
               │     + status: done
               │ note: not expected: `gate-not-held`; expected: `hook-unseen`
               │ attempt 1: fail (gate-not-held)
               artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-2
    ────────────────────────────────────────────────
       Summary 1 passed, 1 flaky, 1 failed, 1 failed as expected, 1 passed unexpectedly in 1m 32s
               one after another 1.60s; longest claude/three-cycle-escalation 0.50s
               fan-out of lane claude: 4 trials in 1m 30s, 180.40× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn the_last_attempt_is_shown_once() {
    let mut stream = Stream::with_canary(&["a"], &["one"], false);
    let one = trial("a", "one");
    stream.starts(0, &one, 1);
    let reason = String::from("idle (no event for 60s)");
    stream.at(20, EventKind::RetryScheduled { trial: one.clone(), attempt: 1, delay_ms: 9000, reason });
    stream.at(30, EventKind::Interrupted { signal: "SIGINT".into() });
    let fault = Fault::new(FaultClass::Idle, "no event for 60s");
    stream.judged(30, &one, 1, 20, Verdict::Fault(fault));
    let rendered = rendered(&stream.events);
    assert!(
        rendered.contains("Retry a/one") && rendered.contains("FAULT") && !rendered.contains("attempt 1:"),
        "{rendered}"
    );
}

#[test]
fn a_shortage_shows_the_lowered_job_count() {
    let rendered = rendered(&sample::short_machine());
    let line = "Short now up to 2 in parallel: cannot start /bin/claude: Too many open files (os error 24)";
    assert!(
        rendered.contains(line) && rendered.contains("Retry scripted/gate") && !rendered.contains("FLAKY"),
        "{rendered}"
    );
}

#[test]
fn a_broken_lane_a_status_and_a_halt() {
    insta::assert_snapshot!(rendered(&sample::broken_lane_and_halt()), @r"
       Running 6 trials from 3 plugins in lanes claude, pi, up to 16 in parallel (run 20261122-231500-abcd)
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
          Open lane claude without its canary: 3 trials start
          Open lane pi without its canary: 3 trials start
        Canary claude/one
         Start claude/two
        Canary pi/one
         FAULT [   0.05s] claude/one (canary)
               │ launch: not logged in
               artifacts: .host/runs/20261122-231500-abcd/claude/one/attempt-1
         Retry claude/two in 5.00s after crash (gone)
        Status [   0.16s] 1 running, 1 waiting to retry, 3 waiting, 1 finished
                          claude/two (attempt 2) starts in 4.90s
               [   0.16s] pi/one  calls Bash
         Start claude/two (attempt 2)
        Broken lane claude: 2 trials in a row could not work with the agent, the last as launch: not logged in; no more of its trials start
       BLOCKED            claude/three: 2 trials in a row could not work with the agent, the last as launch: not logged in
         FAULT [   0.14s] claude/two (after 2 attempts)
               │ launch: not logged in
               │ attempt 1: crash (gone)
          Halt 2 trials have failed, and `max-fail` is 2: no more trials start
     CANCELLED            pi/two: 2 trials have failed, and `max-fail` is 2
     CANCELLED            pi/three: 2 trials have failed, and `max-fail` is 2
          PASS [   6.00s] pi/one (canary)
    ────────────────────────────────────────────────
         FAULT [   0.05s] claude/one (canary)
               │ launch: not logged in
               artifacts: .host/runs/20261122-231500-abcd/claude/one/attempt-1
         FAULT [   0.14s] claude/two (after 2 attempts)
               │ launch: not logged in
               │ attempt 1: crash (gone)
    ────────────────────────────────────────────────
       Summary 1 passed, 1 blocked, 2 faults, 2 cancelled in 6.00s
               broken: lane claude: 2 trials in a row could not work with the agent, the last as launch: not logged in
               halted: 2 trials have failed, and `max-fail` is 2
               one after another 6.19s; longest pi/one 6.00s
               fan-out of lane claude: 2 trials in 5.10s, 36.43× its longest trial
               run directory .host/runs/20261122-231500-abcd
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
    ");
}

#[test]
fn repetitions_and_their_pass_rates() {
    insta::assert_snapshot!(rendered(&sample::repetitions()), @r"
       Running 10 trials from 10 plugins in lane scripted, up to 16 in parallel (run 20261122-231500-abcd)
         Start scripted/gate#1
          PASS [   0.01s] scripted/gate#1
         Start scripted/gate#2
          FAIL [   0.01s] scripted/gate#2
               │ gate-not-held: the item must wait for the person
               artifacts: .host/runs/20261122-231500-abcd/scripted/gate#2/attempt-1
         Start scripted/gate#3
          PASS [   0.01s] scripted/gate#3
         Start scripted/gate#4
          PASS [   0.01s] scripted/gate#4
         Start scripted/gate#5
          PASS [   0.01s] scripted/gate#5
         Start scripted/merge-hook#1
          PASS [   0.01s] scripted/merge-hook#1
         Start scripted/merge-hook#2
          PASS [   0.01s] scripted/merge-hook#2
         Start scripted/merge-hook#3
         FAULT [   0.01s] scripted/merge-hook#3
               │ crash: gone
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook#3/attempt-1
         Start scripted/merge-hook#4
          PASS [   0.01s] scripted/merge-hook#4
         Start scripted/merge-hook#5
          PASS [   0.01s] scripted/merge-hook#5
    ────────────────────────────────────────────────
          FAIL [   0.01s] scripted/gate#2
               │ gate-not-held: the item must wait for the person
               artifacts: .host/runs/20261122-231500-abcd/scripted/gate#2/attempt-1
         FAULT [   0.01s] scripted/merge-hook#3
               │ crash: gone
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook#3/attempt-1
    ────────────────────────────────────────────────
       Summary 8 passed, 1 failed, 1 fault in 0.01s
               pass rates (95 % confidence interval):
                 scripted/gate        4/5 passed, 80 % (38–96 %)
                 scripted/merge-hook  4/4 passed, 100 % (51–100 %); 1 of 5 not judged
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn quiet_shows_alerts_and_early_ends_once() {
    insta::assert_snapshot!(told_with(&sample::attempts_and_expectations(), at(Verbosity::Quiet)), @r"
         FLAKY [   0.20s] claude/ensign-cycle (canary) (after 2 attempts)
               │ attempt 1: idle (no event for 60s)
         XPASS [   0.40s] claude/rejection-flow: passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
          FAIL [   0.20s] claude/gate (after 2 attempts)
               │ gate-not-held: the item must wait for the person
               │     + status: done
               │ note: not expected: `gate-not-held`; expected: `hook-unseen`
               │ attempt 1: fail (gate-not-held)
               artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-2
    ────────────────────────────────────────────────
       Summary 1 passed, 1 flaky, 1 failed, 1 failed as expected, 1 passed unexpectedly in 1m 32s
               one after another 1.60s; longest claude/three-cycle-escalation 0.50s
               fan-out of lane claude: 4 trials in 1m 30s, 180.40× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
    insta::assert_snapshot!(told_with(&sample::broken_lane_and_halt(), at(Verbosity::Quiet)), @r"
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
         FAULT [   0.05s] claude/one (canary)
               │ launch: not logged in
               artifacts: .host/runs/20261122-231500-abcd/claude/one/attempt-1
        Status [   0.16s] 1 running, 1 waiting to retry, 3 waiting, 1 finished
                          claude/two (attempt 2) starts in 4.90s
               [   0.16s] pi/one  calls Bash
        Broken lane claude: 2 trials in a row could not work with the agent, the last as launch: not logged in; no more of its trials start
         FAULT [   0.14s] claude/two (after 2 attempts)
               │ launch: not logged in
               │ attempt 1: crash (gone)
          Halt 2 trials have failed, and `max-fail` is 2: no more trials start
    ────────────────────────────────────────────────
       Summary 1 passed, 1 blocked, 2 faults, 2 cancelled in 6.00s
               broken: lane claude: 2 trials in a row could not work with the agent, the last as launch: not logged in
               halted: 2 trials have failed, and `max-fail` is 2
               one after another 6.19s; longest pi/one 6.00s
               fan-out of lane claude: 2 trials in 5.10s, 36.43× its longest trial
               run directory .host/runs/20261122-231500-abcd
       WARNING --no-canary: no canary checks a lane first; in a broken lane, every trial still runs and costs money
    ");
}

#[test]
fn passes_that_count_as_failures_are_shown_as_failures() {
    let mut stream = Stream::new(&["l"], &["flaky", "xpass"]);
    let (flaky, xpass) = (trial("l", "flaky"), trial("l", "xpass"));
    stream.starts(0, &flaky, 1);
    stream.tried_again(10, &flaky, 1, sample::fault(FaultClass::Crash, "gone"), (5, "crash (gone)"));
    stream.starts(15, &flaky, 2);
    let counts_as = CountsAs::Fail;
    let reason = String::from("attempt 1: crash (gone)");
    stream.judged(20, &flaky, 2, 15, Verdict::Flaky { reason, counts_as });
    let expected = vec![sample::expected("c", "ada", "r")];
    stream.judged(20, &xpass, 1, 5, Verdict::Xpass { expected, counts_as });
    let text = rendered(&stream.finished());
    insta::assert_snapshot!(text, @r"
       Running 2 trials from 2 plugins in lane l, up to 16 in parallel (run 20261122-231500-abcd)
        Canary l/flaky
         Retry l/flaky in 0.01s after crash (gone)
        Canary l/flaky (attempt 2)
         FLAKY [   0.02s] l/flaky (canary) (after 2 attempts) (counts as a failure)
               │ attempt 1: crash (gone)
         XPASS [   0.01s] l/xpass (counts as a failure): passed, but was expected to fail: c until 2026-12-31 (ada: r)
    ────────────────────────────────────────────────
         FLAKY [   0.02s] l/flaky (canary) (after 2 attempts) (counts as a failure)
               │ attempt 1: crash (gone)
         XPASS [   0.01s] l/xpass (counts as a failure): passed, but was expected to fail: c until 2026-12-31 (ada: r)
    ────────────────────────────────────────────────
       Summary 0 passed, 1 flaky, 1 passed unexpectedly in 0.02s
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn a_status_of_many_trials_is_bounded() {
    let names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::new(&["a"], &names);
    let running =
        names.iter().map(|name| RunningTrial { id: trial("a", name), attempt: 1, elapsed_ms: 5, retry_in_ms: None });
    let running = running.collect();
    stream.at(9, EventKind::Status { running, waiting: 0, finished: 0 });
    let text = told_with(&stream.events, at(Verbosity::Quiet));
    assert!(text.contains("    Status [   0.01s] 60 running, 0 waiting, 0 finished\n"), "{text}");
    assert_eq!(text.matches("] a/s").count(), 50);
    assert!(text.contains("           … and 10 more trials\n"), "{text}");
}

#[test]
fn evidence_findings_and_failures_are_bounded() {
    let names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::new(&["a"], &names);
    let long = "line\n".repeat(1000);
    for name in &names {
        let findings = vec![finding("c", "m", Some(&long)); 30];
        stream.ends(0, 1, &trial("a", name), fail(findings));
    }
    let text = rendered(&stream.finished());
    let log = ".host/runs/20261122-231500-abcd/events.jsonl";
    assert!(text.contains(&format!("           … 980 more lines in {log}\n")));
    assert!(text.contains(&format!("           … 10 more findings in {log}\n")));
    assert!(text.contains(&format!("           and 10 more: see {log}\n")));
    assert_eq!(text.matches("      FAIL").count(), 60 + renderer::MAX_RECAP);
}

#[test]
fn verdict_counts_keep_their_order() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut stream = Stream::new(&["l"], &names);
    let fault = Verdict::Fault(Fault::new(FaultClass::Crash, "gone"));
    let reason = String::from("r");
    let verdicts = [
        Verdict::Cancelled { reason: reason.clone() },
        Verdict::Skip { reason: reason.clone() },
        fault.clone(),
        fault,
        Verdict::Blocked { reason },
        Verdict::Fail { findings: vec![finding("c", "m", None)], note: None },
        Verdict::Pass,
    ];
    for (name, verdict) in names.iter().zip(verdicts) {
        stream.judged(1, &trial("l", name), 0, 0, verdict);
    }
    let text = rendered(&stream.finished());
    assert!(text.contains("Summary 1 passed, 1 failed, 1 blocked, 2 faults, 1 skipped, 1 cancelled in"), "{text}");
}

#[test]
fn an_incomplete_stream_still_gets_a_summary() {
    let events = sample::all_pass();
    let text = rendered(&events[..11]);
    let end: Vec<_> = text.lines().skip_while(|line| !line.contains("Summary")).take(2).collect();
    assert_eq!(end, ["   Summary 2 passed in 3.00s", "           the run was cut short: 3 trials without a verdict"]);
    assert_eq!(rendered(&[]), "");
}

#[test]
fn colors_are_off_by_default_and_never_split_a_count() {
    let colored = told_with(&sample::one_failure(), HumanOptions { color: ColorChoice::Always, ..Default::default() });
    assert!(colored.contains("\u{1b}[32m\u{1b}[1m4 passed\u{1b}[0m, "), "{colored:?}");
    assert!(!rendered(&sample::one_failure()).contains('\u{1b}'));
}

#[test]
fn a_thousand_trials_need_few_writes() {
    struct Counting(Arc<std::sync::atomic::AtomicUsize>);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let names: Vec<String> = (0..1000).map(|n| format!("noop-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::new(&["scripted"], &names);
    for name in &names {
        stream.starts(0, &trial("scripted", name), 1);
        stream.ends(0, 1, &trial("scripted", name), Outcome::Pass);
    }
    let events = stream.finished();
    let writes = Arc::default();
    let mut human = Human::plain(Box::new(Counting(Arc::clone(&writes))), HumanOptions::default());
    let start = Instant::now();
    for event in &events {
        human.event(event).unwrap();
    }
    human.finish().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let writes = writes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(writes < 10, "{writes} writes");
}

#[test]
fn a_closed_pipe_is_an_error() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut human = Human::plain(Box::new(writer), HumanOptions::default());
    human.event(&sample::all_pass()[0]).unwrap();
    assert_eq!(human.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn live_lines_are_below_results_and_removed_at_the_end() {
    let terminal = Buffer::default();
    let options = HumanOptions::default();
    let live = screen::Live::new(Box::new(terminal.clone()), Box::new(|| (24, 80)), options.theme());
    let mut human = Human::on(Screen::Live(live), options);
    let events = sample::all_pass();
    for event in &events[..5] {
        human.event(event).unwrap();
    }
    human.flush().unwrap();
    for event in &events[5..9] {
        human.event(event).unwrap();
    }
    // Another thread draws the lines.
    let begun = std::time::Instant::now();
    while !terminal.text().contains("1 of 5 done, 4 running, 0 waiting") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", terminal.text());
        std::thread::yield_now();
    }
    let midway = terminal.text();
    assert!(midway.contains("] scripted/merge-hook"), "{midway}");
    assert!(midway.contains("      PASS [   1.21s] scripted/ensign-cycle (canary)\n"), "{midway}");
    assert!(!midway.contains("Start"), "live lines show the starts");
    for event in &events[9..] {
        human.event(event).unwrap();
    }
    human.finish().unwrap();
    let end = terminal.text();
    let last = end.rsplit("running").next().unwrap();
    assert!(last.contains("\u{1b}[J") && last.contains("5 passed in 3.61s"), "{last}");
}

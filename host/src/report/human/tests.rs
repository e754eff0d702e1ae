use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    model::{AttemptRecord, Fault, FaultClass, Outcome, Report, Usage, Verdict},
    report::sample::{self, Buffer, Stream, fail, finding, trial},
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

fn told(events: &[Event]) -> String {
    told_with(events, HumanOptions::default())
}

fn at(verbosity: Verbosity) -> HumanOptions {
    HumanOptions { verbosity, ..HumanOptions::default() }
}

#[test]
fn all_pass() {
    insta::assert_snapshot!(told(&sample::all_pass()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 at once (run 20261122-231500-abcd)
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
               one after another 9.57s (2.7× faster at once); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn one_failure() {
    insta::assert_snapshot!(told(&sample::one_failure()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 at once (run 20261122-231500-abcd)
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
               one after another 9.57s (2.7× faster at once); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn a_failed_canary() {
    insta::assert_snapshot!(told(&sample::canary_fails()), @r"
       Running 5 trials from 5 plugins in lane scripted, up to 16 at once (run 20261122-231500-abcd)
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
fn that_agents_are_not_confined_is_told_once() {
    let mut stream = Stream::new(&["pi"], &["gate", "hook"]);
    for name in ["gate", "hook"] {
        let trial = trial("pi", name);
        stream.starts(0, &trial, 1);
        stream.reports(1, &trial, Report::Unconfined { what: "this kernel has no Landlock".into() });
        stream.ends(0, 2, &trial, Outcome::Pass);
    }
    let told = told(&stream.finished());
    assert_eq!(told.matches("agents are not fully confined: this kernel has no Landlock").count(), 1, "{told}");
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
    let outcome = Outcome::Fault(Fault::new(FaultClass::Deadline, "no end after 5s\nin host call `next`"));
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
    insta::assert_snapshot!(told(&stream.finished()), @r"
       Running 4 trials from 2 plugins in lanes claude, pi, up to 16 at once (run 20261122-231500-abcd)
       WARNING --no-canary: no canary vouches for a lane; if one is broken, every trial in it runs and pays
          Open lane claude without its canary: 2 trials start
        Canary claude/gate
         Start pi/merge-hook
         FAULT [   5.00s] claude/gate (canary)
               │ deadline: no end after 5s
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
               │ deadline: no end after 5s
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
               one after another 10.10s (2.0× faster at once); longest pi/merge-hook 5.10s
               tokens 1,200 out
               run directory .host/runs/20261122-231500-abcd
       WARNING --no-canary: no canary vouches for a lane; if one is broken, every trial in it runs and pays
    ");
}

#[test]
fn retries_interruption_and_what_was_used() {
    insta::assert_snapshot!(told(&sample::every_kind()), @r"
       Running 4 trials from 2 plugins in lanes a, b, up to 16 at once (run 20261122-231500-abcd)
        Canary a/one
         Retry a/one, attempt 2: the last one ended in fault stall
          PASS [   1.02s] a/one (canary) (after 2 attempts)
               │ cut: standard output after 1 MiB
               │ denied: open /etc/passwd
               kept: /tmp/host-x
               kept: /tmp/host-x
          Open lane a: 1 trial starts
         Start a/two
     Interrupt SIGINT: nothing more starts
     CANCELLED [   0.02s] a/two: interrupted by SIGINT
               artifacts: .host/runs/20261122-231500-abcd/a/two/attempt-1
          SKIP            b/one (canary): needs a network
     CANCELLED            b/two: interrupted
    ────────────────────────────────────────────────
       Summary 1 passed, 1 skipped, 2 cancelled in 1.05s
               interrupted by SIGINT
               one after another 1.04s; longest a/one 1.02s
               tokens 2,469,134 in (2,000,000 from a cache), 8,642 out; cost $2.46
               run directory .host/runs/20261122-231500-abcd
    ");
}

#[test]
fn verbose_tells_what_agents_and_components_say() {
    let events = sample::every_kind();
    let text = told_with(&events[..18], at(Verbosity::Verbose));
    insta::assert_snapshot!(text, @r#"
       Running 4 trials from 2 plugins in lanes a, b, up to 16 at once (run 20261122-231500-abcd)
        Canary a/one
         Agent a/one │ is up with model m-1
       Message a/one
               │ Looking.
               │ Still looking.
          Tool a/one │ Bash {"c":1}
          Wait a/one │ overloaded (next try in 1.50s)
          Step a/one │ grade
          Note a/one │ two rounds
        Metric a/one │ rounds 2 rounds
      Attached a/one │ log.txt (12 bytes)
         Retry a/one, attempt 2: the last one ended in fault stall
    ────────────────────────────────────────────────
       Summary 0 passed in 1.03s
               the run broke off: 4 trials without a verdict
               tokens 2,469,134 in (2,000,000 from a cache), 8,642 out; cost $2.46
               run directory .host/runs/20261122-231500-abcd
    "#);
}

#[test]
fn quiet_tells_failures_and_the_summary() {
    insta::assert_snapshot!(told_with(&sample::one_failure(), at(Verbosity::Quiet)), @r"
          FAIL [   2.40s] scripted/merge-hook
    ────────────────────────────────────────────────
          FAIL [   2.40s] scripted/merge-hook
               │ entity-changed: the entity must be byte-identical
               │     - status: implementation
               │     + status: done
               │ guard-unseen: the final message must name the merge hook
               artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1
    ────────────────────────────────────────────────
       Summary 4 passed, 1 failed in 3.61s
               one after another 9.57s (2.7× faster at once); longest scripted/merge-hook 2.40s
               fan-out of lane scripted: 4 trials in 2.40s, 1.00× its longest trial
               run directory .host/runs/20261122-231500-abcd
    ");
    let passed = told_with(&sample::all_pass(), at(Verbosity::Quiet));
    assert_eq!(passed.lines().nth(1).unwrap(), "   Summary 5 passed in 3.61s");
}

#[test]
fn hostile_text_can_forge_no_line() {
    let forged =
        "x\n   Summary 5 passed in 1s\r\n\u{1b}[2J\u{1b}[1A      PASS [   1.00s] a\u{8}\u{8}\u{202e}\n::error::no";
    let mut stream = Stream::new(&["scripted"], &["gate\n      PASS y"]);
    let gate = trial("scripted", "gate\n      PASS y");
    stream.starts(0, &gate, 1);
    stream.reports(1, &gate, Report::Note { text: forged.into() });
    stream.reports(2, &gate, Report::Step { name: forged.into() });
    stream.reports(3, &gate, Report::Denied { what: forged.into() });
    stream.ends(0, 9, &gate, fail(vec![finding(forged, forged, Some(forged))]));
    let text = told_with(&stream.finished(), at(Verbosity::Verbose));
    insta::assert_snapshot!(text, @r"
       Running 1 trial from 1 plugin in lane scripted, up to 16 at once (run 20261122-231500-abcd)
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
    ────────────────────────────────────────────────
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
    ────────────────────────────────────────────────
       Summary 0 passed, 1 failed in 0.01s
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
fn evidence_findings_and_failures_are_bounded() {
    let names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::new(&["a"], &names);
    let long = "line\n".repeat(1000);
    for name in &names {
        let findings = vec![finding("c", "m", Some(&long)); 30];
        stream.ends(0, 1, &trial("a", name), fail(findings));
    }
    let text = told(&stream.finished());
    let log = ".host/runs/20261122-231500-abcd/events.jsonl";
    assert!(text.contains(&format!("           … 980 more lines in {log}\n")));
    assert!(text.contains(&format!("           … 10 more findings in {log}\n")));
    assert!(text.contains(&format!("           and 10 more: see {log}\n")));
    assert_eq!(text.matches("      FAIL").count(), 60 + story::RECAP);
}

#[test]
fn counts_keep_their_order_and_their_number() {
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
    let text = told(&stream.finished());
    assert!(text.contains("Summary 1 passed, 1 failed, 1 blocked, 2 faults, 1 skipped, 1 cancelled in"), "{text}");
}

#[test]
fn a_stream_that_breaks_off_gets_a_summary_all_the_same() {
    let events = sample::all_pass();
    let text = told(&events[..11]);
    let end: Vec<_> = text.lines().skip_while(|line| !line.contains("Summary")).take(2).collect();
    assert_eq!(end, ["   Summary 2 passed in 3.00s", "           the run broke off: 3 trials without a verdict"]);
    assert_eq!(told(&[]), "");
}

#[test]
fn colours_only_when_asked_for_and_never_within_a_count() {
    let coloured = told_with(&sample::one_failure(), HumanOptions { color: ColorChoice::Always, ..Default::default() });
    assert!(coloured.contains("\u{1b}[32m\u{1b}[1m4 passed\u{1b}[0m, "), "{coloured:?}");
    assert!(!told(&sample::one_failure()).contains('\u{1b}'));
}

#[test]
fn a_thousand_trials_are_told_in_no_time_and_few_writes() {
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

/// A terminal that only keeps what it is sent.
#[derive(Clone)]
struct Recorder(Buffer);

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl indicatif::TermLike for Recorder {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.write_str(&"<up>".repeat(n))
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.write_str(&"<down>".repeat(n))
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.clone().write_all(text.as_bytes())
    }
    fn clear_line(&self) -> io::Result<()> {
        self.write_str("<clear>")
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn on_a_terminal_lines_live_below_the_results_and_go_at_the_end() {
    let terminal = Recorder(Buffer::default());
    let target = indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let options = HumanOptions::default();
    let live = screen::Live::new(target, Box::new(terminal.0.clone()), Arc::new(|| (24, 80)), options.theme());
    let mut human = Human::on(Screen::Live(live), options);
    let events = sample::all_pass();
    for event in &events[..5] {
        human.event(event).unwrap();
    }
    human.flush().unwrap();
    for event in &events[5..9] {
        human.event(event).unwrap();
    }
    std::thread::sleep(Duration::from_millis(350));
    let midway = terminal.0.text();
    assert!(midway.contains("1 of 5 done, 4 running, 0 waiting"), "{midway}");
    assert!(midway.contains("] scripted/merge-hook"), "{midway}");
    assert!(midway.contains("      PASS [   1.21s] scripted/ensign-cycle (canary)\n"), "{midway}");
    assert!(!midway.contains("Start"), "live lines show the starts");
    for event in &events[9..] {
        human.event(event).unwrap();
    }
    human.finish().unwrap();
    let end = terminal.0.text();
    let last = end.rsplit("running").next().unwrap();
    assert!(last.contains("<clear>") && last.contains("5 passed in 3.61s"), "{last}");
}

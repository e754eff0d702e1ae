//! How sessions end: what counts as a fault that had happened before, and that every process is waited for.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use host_model::FaultClass;
use host_testing::{host_binary, session::*};

/// A line that ends the turn, while the agent lives on.
const FINISHED: &str = "[[step]]\nraw = '{\"type\":\"finished\",\"stop-reason\":\"end-turn\"}'\n";
/// The number of the agent's process, in a file that is never seen half written.
const PID: &str = "[[step]]\nshell = 'echo $PPID > number && mv number pid'\n";
const UP: &str = "[[step]]\nwrite = \"up\"\ntext = \"\"\n";

fn fault(kind: &str) -> String {
    format!("[[step]]\nfault = \"{kind}\"\n")
}

/// A program that does something else before it is the host's supervisor.
fn wrapped_host(attempt: &Attempt, before: &str) -> PathBuf {
    let (path, host) = (attempt.path("wrapped"), host_binary());
    let text = format!("#!/bin/sh\nif [ \"$1\" = supervise ]; then {before}; fi\nexec '{host}' \"$@\"\n");
    write_program(&path, &text)
}

#[tokio::test]
async fn an_early_failure_explains_a_later_end() {
    let says = "[[step]]\nsay = \"said while nobody fetches\"\n".repeat(5);
    let error = "[[step]]\nraw = '{\"type\":\"error\",\"class\":\"overloaded\",\"message\":\"why\"}'\n";
    for (steps, class, message) in [
        (
            format!("{}text = \"boom\"\n", fault("crash")),
            FaultClass::Crash,
            "exit code 70; the end of its stderr:\nboom",
        ),
        (fault("kill"), FaultClass::Crash, "SIGKILL"),
        (fault("exit"), FaultClass::Crash, "without finishing its turn: exit code 0"),
        (fault("unauthorized"), FaultClass::Launch, "401"),
        (format!("{FINISHED}{}", fault("crash")), FaultClass::Crash, "after it had finished its turn: exit code 70"),
        // It lives, but has given up.
        (format!("{error}{UP}{}", fault("stall")), FaultClass::Overload, "why"),
    ] {
        let attempt = Attempt::new(&format!("{PID}{says}{steps}"));
        let mut spec = attempt.spec();
        // The reader waits before it comes to the end.
        spec.limits.max_waiting_bytes = 64;
        let mut session = start(spec).await.unwrap();
        attempt.wait_for_file("root/pid").await;
        if steps.contains("stall") {
            attempt.wait_for_file("root/up").await;
        } else {
            // Its supervisor may still have to reap it. An agent without memory, and so without an environment, may
            // be about to end only, and would end because it was asked to.
            let agent = attempt.read("root/pid").trim().parse().unwrap();
            wait_until(Duration::from_secs(10), || !is_alive(agent)).await;
        }
        let found = within(8, session.end(Duration::from_secs(1))).await.unwrap().expect(&steps);
        assert_eq!(found.class, class, "{steps}: {found}");
        assert!(found.message.contains(message), "{steps}: {found}");
        assert_eq!(session.end(NO_GRACE).await, Ok(Some(found.clone())), "the answer stays the same");
        assert_eq!(session.conclude().await.unwrap_err(), found);
        assert!(attempt.read("record/session.json").contains("\"state\": \"fault\""));
        assert_eq!(attempt.living(), [0; 0]);
    }
}

#[tokio::test]
async fn busy_processes_are_ended_without_a_fault() {
    let last_words = "exec 7>/proc/$PPID/fd/1; touch up; \
        trap 'echo \"{\\\"type\\\":\\\"error\\\",\\\"class\\\":\\\"x\\\",\\\"message\\\":\\\"y\\\"}\" >&7; exit' TERM; \
        while :; do sleep 0.02; done";
    for steps in [
        format!("{UP}{}", fault("stall")),
        format!("{}{UP}{}", fault("ignore-sigterm"), fault("stall")),
        shell(last_words),
        format!("{FINISHED}{UP}{}", fault("stall")),
        format!("{UP}{FINISHED}"),
    ] {
        let attempt = Attempt::new(&steps);
        let mut session = attempt.start().await;
        attempt.wait_for_file("root/up").await;
        assert_eq!(within(8, session.end(Duration::from_millis(300))).await, Ok(None), "{steps}");
        assert_eq!(session.end(NO_GRACE).await, Ok(None));
        assert_eq!(session.conclude().await.unwrap_err().message, "the host has ended the session");
        assert!(attempt.read("record/session.json").contains("\"state\": \"ended\""));
    }
}

#[tokio::test]
async fn a_breakdown_after_the_turn_is_a_crash() {
    for (steps, message) in [
        (format!("{}text = \"boom\"\n", fault("crash")), "exit code 70; the end of its transcript may be missing"),
        (fault("kill"), "SIGKILL"),
        // A status that a program chooses is none the less one.
        (shell("kill -TERM $PPID; sleep 5"), "SIGTERM"),
    ] {
        let attempt = Attempt::new(&format!("[[step]]\nsay = \"done\"\n{FINISHED}{steps}"));
        let mut session = attempt.start().await;
        assert_eq!(all_events(&mut *session).await.1, None, "the turn itself was finished");
        let found = within(8, session.conclude()).await.unwrap_err();
        assert_eq!(found.class, FaultClass::Crash);
        assert!(found.message.contains("after it had finished") && found.message.contains(message), "{found}");
        assert_eq!(session.end(NO_GRACE).await, Ok(Some(found)));
    }
    // Leaving in peace is fine, and so is being made to leave.
    for steps in [fault("exit"), fault("stall")] {
        let attempt = Attempt::new(&format!("[[step]]\nsay = \"done\"\n{FINISHED}{steps}"));
        let mut spec = attempt.spec();
        spec.limits.exit_grace = Duration::from_millis(100);
        let mut session = start(spec).await.unwrap();
        assert_eq!(within(8, session.conclude()).await.unwrap().final_message, "done", "{steps}");
        assert_eq!(session.end(NO_GRACE).await, Ok(None));
    }
}

#[tokio::test]
async fn no_message_is_lost_for_its_length_or_its_bytes() {
    for (odd, bytes, cut) in [
        ("fault = \"huge-line\"\nbytes = 2000000\n", "x".repeat(1 << 20), "… [cut: 1999972 bytes in all]"),
        ("fault = \"invalid-utf8\"\n", "\u{fffd}\u{fffd}\u{fffd}(".into(), ""),
    ] {
        let attempt = Attempt::new(&format!("[[step]]\nsay = \"early\"\n[[step]]\n{odd}"));
        let conclusion = attempt.start().await.conclude().await.unwrap();
        let expected = format!("{bytes} {cut}").trim_end().to_owned();
        assert!(conclusion.final_message == expected, "{odd}: {} bytes", conclusion.final_message.len());
        assert_eq!(attempt.read("record/final-message.txt"), expected);
        let shortened = usize::from(!cut.is_empty());
        let summary = attempt.read("record/session.json");
        assert!(summary.contains(&format!("\"shortened-lines\": {shortened}")), "{summary}");
    }
}

#[tokio::test]
async fn an_earlier_message_does_not_pass_for_a_damaged_one() {
    let damaged = "raw = '{\"type\":\"message\",\"text\":\"late\" oh}'\n";
    let attempt = Attempt::new(&format!("[[step]]\nsay = \"early\"\n[[step]]\n{damaged}"));
    let conclusion = attempt.start().await.conclude().await.unwrap();
    assert_eq!(conclusion.final_message, "");
    assert_eq!(attempt.read("record/final-message.txt"), "");
    assert!(attempt.read("record/session.json").contains("\"unreadable-lines\": 1"));
    assert!(attempt.read("record/events.jsonl").contains("oh}"), "the line is kept");
}

#[tokio::test]
async fn a_silent_supervisor_is_a_launch_fault() {
    let attempt = Attempt::new("");
    let stuck = wrapped_host(&attempt, "exec sleep 1012");
    let begun = Instant::now();
    let found = within(12, start_by(stuck, attempt.spec())).await.err().unwrap();
    assert_eq!(found.class, FaultClass::Launch, "{found}");
    assert!(
        found.message.contains("did not respond within 5 s") && begun.elapsed() >= Duration::from_secs(5),
        "{found}"
    );
    assert_eq!(attempt.living(), [0; 0], "it is waited for");
}

#[tokio::test]
async fn a_message_cut_off_while_its_agent_starts_loses_no_process() {
    let steps = "[[step]]\nsay = \"one\"\n[[step]]\nawait-message = true\n[[step]]\nsay = \"two\"\n";
    for carry_on in [false, true] {
        let attempt = Attempt::new(steps);
        let slow = wrapped_host(&attempt, "touch starting; until [ -e go ]; do sleep 0.01; done");
        let go = || fs::write(attempt.path("root/go"), "").unwrap();
        go();
        let mut session = start_by(slow, attempt.spec()).await.unwrap();
        assert_eq!(all_events(&mut *session).await.1, None);
        wait_until(Duration::from_secs(5), || attempt.living().is_empty()).await;
        fs::remove_file(attempt.path("root/starting")).unwrap();
        fs::remove_file(attempt.path("root/go")).unwrap();
        {
            let mut send = session.send("go on".into());
            tokio::select! {
                biased;
                () = attempt.wait_for_file("root/starting") => {}
                sent = &mut send => panic!("it was not cut off: {sent:?}"),
            }
        }
        assert!(!attempt.living().is_empty());
        if carry_on {
            // The message is sent while the agent still starts.
            let (sent, ()) = tokio::join!(session.send("go on".into()), async { go() });
            sent.unwrap();
            let conclusion = session.conclude().await.unwrap();
            assert_eq!((conclusion.turns, conclusion.final_message.as_str()), (2, "two"));
        } else {
            let (ended, ()) = tokio::join!(within(8, session.end(NO_GRACE)), async { go() });
            assert_eq!(ended, Ok(None));
        }
        assert_eq!(attempt.living(), [0; 0], "every process is waited for");
    }
}

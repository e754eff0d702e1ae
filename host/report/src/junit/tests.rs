use std::{fs, path::Path};

use super::{schema::problem, *};
use crate::sample::{self, Stream, fail, finding, trial};
use host_model::{
    AttemptRecord, CountsAs, EventKind, Fault, FaultClass, Outcome, Report, SessionEventKind, Usage, Verdict,
};

/// The document that `events` give; it keeps to the schema.
fn document(events: &[Event]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("junit.xml");
    let mut junit = Junit::create(&path).unwrap();
    for event in events {
        junit.event(event).unwrap();
    }
    junit.flush().unwrap();
    junit.finish().unwrap();
    let document = fs::read_to_string(&path).unwrap();
    assert_eq!(problem(&document), None, "{document}");
    // `.ci/junit-xsd` holds them to Jenkins' own schema.
    if let Some(documents) = std::env::var_os("HOST_JUNIT_DOCUMENTS") {
        let name = format!("junit{}.xml", folder.path().file_name().unwrap().to_string_lossy());
        fs::copy(&path, Path::new(&documents).join(name)).unwrap();
    }
    document
}

fn record(outcome: Outcome, artifacts: Option<&str>) -> AttemptRecord {
    let artifacts = artifacts.map(Into::into);
    AttemptRecord { outcome, duration_ms: 10, usage: Usage::default(), artifacts, kept: None }
}

#[test]
fn one_failure() {
    insta::assert_snapshot!(document(&sample::one_failure()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="5" failures="1" errors="0" time="3.612">
        <testsuite name="scripted" tests="5" skipped="0" errors="0" failures="1" timestamp="2026-11-22T23:15:00.000+00:00" time="3.611">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="ensign-cycle"/>
                <property name="artifacts:ensign-cycle:1" value=".host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1"/>
                <property name="artifacts:gate:1" value=".host/runs/20261122-231500-abcd/scripted/gate/attempt-1"/>
                <property name="artifacts:rejection-flow:1" value=".host/runs/20261122-231500-abcd/scripted/rejection-flow/attempt-1"/>
                <property name="artifacts:three-cycle-escalation:1" value=".host/runs/20261122-231500-abcd/scripted/three-cycle-escalation/attempt-1"/>
                <property name="artifacts:merge-hook:1" value=".host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1"/>
            </properties>
            <testcase name="ensign-cycle" classname="scripted" time="1.210">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1</system-out>
            </testcase>
            <testcase name="gate" classname="scripted" time="1.788">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/gate/attempt-1</system-out>
            </testcase>
            <testcase name="rejection-flow" classname="scripted" time="1.888">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/rejection-flow/attempt-1</system-out>
            </testcase>
            <testcase name="three-cycle-escalation" classname="scripted" time="2.288">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/three-cycle-escalation/attempt-1</system-out>
            </testcase>
            <testcase name="merge-hook" classname="scripted" time="2.400">
                <failure message="entity-changed, guard-unseen" type="fail">entity-changed: the entity must be byte-identical
        - status: implementation
        + status: done
    guard-unseen: the final message must name the merge hook</failure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_failed_canary() {
    insta::assert_snapshot!(document(&sample::canary_fails()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="5" failures="1" errors="0" time="1.211">
        <testsuite name="scripted" tests="5" skipped="4" errors="0" failures="1" timestamp="2026-11-22T23:15:00.000+00:00" time="1.210">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="ensign-cycle"/>
                <property name="artifacts:ensign-cycle:1" value=".host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1"/>
            </properties>
            <testcase name="ensign-cycle" classname="scripted" time="1.210">
                <failure message="summary-missing" type="fail">summary-missing: the report must have a summary</failure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1</system-out>
            </testcase>
            <testcase name="gate" classname="scripted" time="0.000">
                <skipped message="canary ensign-cycle failed" type="blocked"/>
            </testcase>
            <testcase name="rejection-flow" classname="scripted" time="0.000">
                <skipped message="canary ensign-cycle failed" type="blocked"/>
            </testcase>
            <testcase name="three-cycle-escalation" classname="scripted" time="0.000">
                <skipped message="canary ensign-cycle failed" type="blocked"/>
            </testcase>
            <testcase name="merge-hook" classname="scripted" time="0.000">
                <skipped message="canary ensign-cycle failed" type="blocked"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn every_kind_of_event() {
    insta::assert_snapshot!(document(&sample::every_kind()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="4" failures="0" errors="0" time="1.050">
        <testsuite name="a" tests="2" skipped="1" errors="0" failures="0" timestamp="2026-11-22T23:15:00.000+00:00" time="1.045">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="one"/>
                <property name="kept:one:1" value="/tmp/host-x"/>
                <property name="kept:one:2" value="/tmp/host-x"/>
                <property name="artifacts:two:1" value=".host/runs/20261122-231500-abcd/a/two/attempt-1"/>
            </properties>
            <testcase name="one" classname="a" time="1.024">
                <flakyError message="no event for 60s" type="idle">
                    <stackTrace>idle: no event for 60s</stackTrace>
                    <system-out>agent: started with model m-1
    message: Looking.
        Still looking.
    tool: Bash {&quot;c&quot;:1}
    wait: overloaded (1500 ms)
    step: grade
    note: two rounds
    metric: rounds 2 rounds
    attached: log.txt (12 bytes)
    cut: standard output after 1 MiB
    denied: open /etc/passwd</system-out>
                </flakyError>
            </testcase>
            <testcase name="two" classname="a" time="0.019">
                <skipped message="interrupted by SIGINT" type="cancelled"/>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/a/two/attempt-1</system-out>
            </testcase>
        </testsuite>
        <testsuite name="b" tests="2" skipped="2" errors="0" failures="0" timestamp="2026-11-22T23:15:00.000+00:00" time="0.000">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="one"/>
            </properties>
            <testcase name="one" classname="b" time="0.000">
                <skipped message="needs a network" type="skip"/>
            </testcase>
            <testcase name="two" classname="b" time="0.000">
                <skipped message="interrupted" type="cancelled"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn earlier_attempts_of_failures_are_reruns() {
    let mut stream = Stream::new(&["pi"], &["gate"]);
    let gate = trial("pi", "gate");
    let fault = Fault::new(FaultClass::Overload, "529 for 60s");
    let findings = |code| fail(vec![finding(code, "must hold", Some("it does not"))]);
    stream.starts(0, &gate, 1);
    stream.reports(1, &gate, Report::Note { text: "of the first".into() });
    stream.record(10, &gate, 1, record(findings("one"), Some("pi/gate/attempt-1")));
    stream.starts(11, &gate, 2);
    stream.record(20, &gate, 2, record(Outcome::Fault(fault), None));
    stream.starts(21, &gate, 3);
    stream.record(30, &gate, 3, record(findings("two"), Some("pi/gate/attempt-3")));
    stream.judged(30, &gate, 3, 30, findings("two").into());
    insta::assert_snapshot!(document(&stream.finished()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="1" failures="1" errors="0" time="0.030">
        <testsuite name="pi" tests="1" skipped="0" errors="0" failures="1" timestamp="2026-11-22T23:15:00.000+00:00" time="0.030">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="gate"/>
                <property name="artifacts:gate:1" value=".host/runs/20261122-231500-abcd/pi/gate/attempt-1"/>
                <property name="artifacts:gate:3" value=".host/runs/20261122-231500-abcd/pi/gate/attempt-3"/>
            </properties>
            <testcase name="gate" classname="pi" time="0.030">
                <failure message="two" type="fail">two: must hold
        it does not</failure>
                <rerunFailure message="one" type="fail">
                    <stackTrace>one: must hold
        it does not</stackTrace>
                    <system-out>artifacts: .host/runs/20261122-231500-abcd/pi/gate/attempt-1
    note: of the first</system-out>
                </rerunFailure>
                <rerunError message="529 for 60s" type="overload">
                    <stackTrace>overload: 529 for 60s</stackTrace>
                </rerunError>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/pi/gate/attempt-3</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn retries_and_expectations() {
    insta::assert_snapshot!(document(&sample::attempts_and_expectations()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="5" failures="1" errors="0" time="91.600">
        <testsuite name="claude" tests="5" skipped="1" errors="0" failures="1" timestamp="2026-11-22T23:15:00.000+00:00" time="91.599">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="suite" value="scenarios/suite.toml sha256:1111111111111111111111111111111111111111111111111111111111111111"/>
                <property name="revision" value="2222222222222222222222222222222222222222 (modified)"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="ensign-cycle"/>
                <property name="artifacts:ensign-cycle:1" value=".host/runs/20261122-231500-abcd/claude/ensign-cycle/attempt-1"/>
                <property name="artifacts:gate:1" value=".host/runs/20261122-231500-abcd/claude/gate/attempt-1"/>
                <property name="artifacts:three-cycle-escalation:1" value=".host/runs/20261122-231500-abcd/claude/three-cycle-escalation/attempt-1"/>
                <property name="artifacts:gate:2" value=".host/runs/20261122-231500-abcd/claude/gate/attempt-2"/>
            </properties>
            <testcase name="ensign-cycle" classname="claude" time="0.200">
                <flakyError message="no event for 60s" type="idle">
                    <stackTrace>idle: no event for 60s</stackTrace>
                    <system-out>artifacts: .host/runs/20261122-231500-abcd/claude/ensign-cycle/attempt-1</system-out>
                </flakyError>
            </testcase>
            <testcase name="gate" classname="claude" time="0.200">
                <failure message="gate-not-held" type="fail">gate-not-held: the item must wait for the person
        + status: done
    note: not expected: `gate-not-held`; expected: `hook-unseen`</failure>
                <rerunFailure message="gate-not-held" type="fail">
                    <stackTrace>gate-not-held: the item must wait for the person
        + status: done</stackTrace>
                    <system-out>artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-1</system-out>
                </rerunFailure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-2</system-out>
            </testcase>
            <testcase name="rejection-flow" classname="claude" time="0.400">
                <system-out>passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet)</system-out>
            </testcase>
            <testcase name="three-cycle-escalation" classname="claude" time="0.500">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/claude/three-cycle-escalation/attempt-1</system-out>
            </testcase>
            <testcase name="merge-hook" classname="claude" time="0.300">
                <skipped message="expected failure: hook-unseen until 2026-12-31 (ada: the hook is not there yet)" type="xfail">expected failure: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
    hook-unseen: the final message must name the hook</skipped>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_broken_lane_is_named_and_repetitions_are_cases() {
    let broken = document(&sample::broken_lane_and_halt());
    assert!(broken.contains("<property name=\"broken\" value=\"2 trials in a row could not work with"), "{broken}");
    let repeated = document(&sample::repetitions());
    assert!(repeated.contains("<testcase name=\"gate#1\" classname=\"scripted\""), "{repeated}");
    assert_eq!(repeated.matches("<testcase ").count(), 10);
}

#[test]
fn passes_that_count_as_failures_are_failures() {
    let mut stream = Stream::new(&["l"], &["flaky", "xpass", "xfail"]);
    let [flaky, xpass, xfail] = ["flaky", "xpass", "xfail"].map(|name| trial("l", name));
    let crash = || sample::fault(FaultClass::Crash, "gone");
    stream.tried_again(10, &flaky, 1, crash(), (5, "crash (gone)"));
    stream.record(20, &flaky, 2, record(Outcome::Pass, None));
    let counts_as = CountsAs::Fail;
    stream.judged(20, &flaky, 2, 15, Verdict::Flaky { reason: "attempt 1: crash (gone)".into(), counts_as });
    let expected = || vec![sample::expected("c", "ada", "r")];
    stream.judged(20, &xpass, 1, 5, Verdict::Xpass { expected: expected(), counts_as });
    stream.tried_again(10, &xfail, 1, crash(), (5, "crash (gone)"));
    let findings = vec![finding("c", "m", None)];
    stream.judged(20, &xfail, 2, 5, Verdict::Xfail { findings, fault: None, expected: expected() });
    insta::assert_snapshot!(document(&stream.finished()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="3" failures="2" errors="0" time="0.020">
        <testsuite name="l" tests="3" skipped="1" errors="0" failures="2" timestamp="2026-11-22T23:15:00.000+00:00" time="0.000">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="flaky"/>
                <property name="artifacts:flaky:1" value=".host/runs/20261122-231500-abcd/l/flaky/attempt-1"/>
                <property name="artifacts:xfail:1" value=".host/runs/20261122-231500-abcd/l/xfail/attempt-1"/>
            </properties>
            <testcase name="flaky" classname="l" time="0.015">
                <failure message="attempt 1: crash (gone)" type="flaky">attempt 1: crash (gone)</failure>
                <rerunError message="gone" type="crash">
                    <stackTrace>crash: gone</stackTrace>
                    <system-out>artifacts: .host/runs/20261122-231500-abcd/l/flaky/attempt-1</system-out>
                </rerunError>
            </testcase>
            <testcase name="xpass" classname="l" time="0.005">
                <failure message="passed, but was expected to fail: c until 2026-12-31 (ada: r)" type="xpass">passed, but was expected to fail: c until 2026-12-31 (ada: r)</failure>
            </testcase>
            <testcase name="xfail" classname="l" time="0.005">
                <skipped message="expected failure: c until 2026-12-31 (ada: r)" type="xfail">expected failure: c until 2026-12-31 (ada: r)
    c: m</skipped>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/l/xfail/attempt-1</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn an_incomplete_stream_leaves_errors() {
    let mut stream = Stream::new(&["pi"], &["canary", "gate", "hook"]);
    let (canary, gate) = (trial("pi", "canary"), trial("pi", "gate"));
    stream.starts(0, &canary, 1);
    stream.ends(0, 5, &canary, Outcome::Pass);
    stream.opens(5, "pi");
    stream.starts(6, &gate, 1);
    stream.record(7, &gate, 1, record(Outcome::Fault(Fault::new(FaultClass::Crash, "exit 1")), None));
    stream.starts(8, &gate, 2);
    stream.at(9, EventKind::Reported { trial: gate, attempt: 2, report: Report::Step { name: "grade".into() } });
    insta::assert_snapshot!(document(&stream.events), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="3" failures="0" errors="2" time="0.009">
        <testsuite name="pi" tests="3" skipped="0" errors="2" failures="0" timestamp="2026-11-22T23:15:00.000+00:00" time="0.005">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="canary"/>
                <property name="artifacts:canary:1" value=".host/runs/20261122-231500-abcd/pi/canary/attempt-1"/>
            </properties>
            <testcase name="canary" classname="pi" time="0.005">
                <system-out>artifacts: .host/runs/20261122-231500-abcd/pi/canary/attempt-1</system-out>
            </testcase>
            <testcase name="gate" classname="pi">
                <error message="the run was cut short while this trial ran" type="unfinished"/>
                <rerunError message="exit 1" type="crash">
                    <stackTrace>crash: exit 1</stackTrace>
                </rerunError>
                <system-out>step: grade</system-out>
            </testcase>
            <testcase name="hook" classname="pi">
                <error message="the run was cut short before this trial started" type="unfinished"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn no_events_and_unplanned_trials_give_a_document_too() {
    assert_eq!(
        document(&[]),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"host\" tests=\"0\" failures=\"0\" errors=\"0\" \
         time=\"0.000\">\n</testsuites>\n"
    );
    let mut stream = Stream::new(&["a"], &[]);
    stream.judged(5, &trial("b", "surprise"), 0, 0, Verdict::Pass);
    let document = document(&stream.events);
    assert!(document.contains("<testcase name=\"surprise\" classname=\"b\" time=\"0.000\"/>"), "{document}");
}

const HOSTILE: &str = "%0A ::error::x ]]> <a href=\"&amp;\">'q'</a> \u{1b}[31mred\u{1b}[0m \u{0}\u{8}\u{b}\u{7f}\u{9b}\
                       \u{fffd}\u{fffe}\u{ffff}\u{202e} ,:|`\t\r\nsecond ##[error]line\u{1b}]0;hides the rest";

#[test]
fn hostile_names_and_texts_stay_text() {
    let mut stream = Stream::new(&[HOSTILE], &[HOSTILE, "b"]);
    let (bad, b) = (trial(HOSTILE, HOSTILE), trial(HOSTILE, "b"));
    stream.starts(0, &bad, 1);
    stream.says(1, &bad, SessionEventKind::Message { text: HOSTILE.into() });
    stream.reports(2, &bad, Report::Note { text: HOSTILE.into() });
    stream.ends(0, 5, &bad, fail(vec![finding(HOSTILE, HOSTILE, Some(HOSTILE))]));
    stream.judged(5, &b, 0, 0, Verdict::Skip { reason: HOSTILE.into() });
    let known = || vec![sample::expected(HOSTILE, HOSTILE, HOSTILE)];
    let findings = vec![finding(HOSTILE, HOSTILE, Some(HOSTILE))];
    let verdicts = [
        Verdict::Fail { findings: findings.clone(), note: Some(HOSTILE.into()) },
        Verdict::Flaky { reason: HOSTILE.into(), counts_as: CountsAs::Fail },
        Verdict::Xfail { findings, fault: None, expected: known() },
        Verdict::Xpass { expected: known(), counts_as: CountsAs::Pass },
        Verdict::Blocked { reason: HOSTILE.into() },
        Verdict::Fault(Fault::new(FaultClass::Crash, HOSTILE)),
    ];
    for (name, verdict) in ["c", "d", "e", "f", "g", "h"].iter().zip(verdicts) {
        stream.tried_again(6, &trial("z", name), 1, sample::fault(FaultClass::Idle, HOSTILE), (1, HOSTILE));
        stream.judged(7, &trial("z", name), 1, 0, verdict);
    }
    stream.at(8, EventKind::LaneBroken { lane: host_model::LaneName("z".into()), reason: HOSTILE.into() });
    insta::assert_snapshot!(document(&stream.finished()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="host" tests="8" failures="3" errors="1" time="0.008">
        <testsuite name="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" tests="2" skipped="1" errors="0" failures="1" timestamp="2026-11-22T23:15:00.000+00:00" time="0.005">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="kind" value="scripted"/>
                <property name="canary" value="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …"/>
                <property name="artifacts:%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" value=".host/runs/20261122-231500-abcd/%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …"/>
            </properties>
            <testcase name="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" classname="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" time="0.005">
                <failure message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="fail">%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest
        %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</failure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …
    message: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest
    note: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</system-out>
            </testcase>
            <testcase name="b" classname="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" time="0.000">
                <skipped message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="skip"/>
            </testcase>
        </testsuite>
        <testsuite name="z" tests="6" skipped="2" errors="1" failures="2" timestamp="2026-11-22T23:15:00.000+00:00" time="0.000">
            <properties>
                <property name="run" value="20261122-231500-abcd"/>
                <property name="broken" value="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …"/>
                <property name="artifacts:c:1" value=".host/runs/20261122-231500-abcd/z/c/attempt-1"/>
                <property name="artifacts:d:1" value=".host/runs/20261122-231500-abcd/z/d/attempt-1"/>
                <property name="artifacts:e:1" value=".host/runs/20261122-231500-abcd/z/e/attempt-1"/>
                <property name="artifacts:f:1" value=".host/runs/20261122-231500-abcd/z/f/attempt-1"/>
                <property name="artifacts:g:1" value=".host/runs/20261122-231500-abcd/z/g/attempt-1"/>
                <property name="artifacts:h:1" value=".host/runs/20261122-231500-abcd/z/h/attempt-1"/>
            </properties>
            <testcase name="c" classname="z" time="0.000">
                <failure message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="fail">%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest
        %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest
    note: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</failure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/z/c/attempt-1</system-out>
            </testcase>
            <testcase name="d" classname="z" time="0.000">
                <failure message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="flaky">%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</failure>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/z/d/attempt-1</system-out>
            </testcase>
            <testcase name="e" classname="z" time="0.000">
                <skipped message="expected failure: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="xfail">expected failure: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …
    %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest
        %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</skipped>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/z/e/attempt-1</system-out>
            </testcase>
            <testcase name="f" classname="z" time="0.000">
                <system-out>passed, but was expected to fail: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …
    artifacts: .host/runs/20261122-231500-abcd/z/f/attempt-1</system-out>
            </testcase>
            <testcase name="g" classname="z" time="0.000">
                <skipped message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="blocked"/>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/z/g/attempt-1</system-out>
            </testcase>
            <testcase name="h" classname="z" time="0.000">
                <error message="%0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`     …" type="crash">crash: %0A ::error::x ]]&gt; &lt;a href=&quot;&amp;amp;&quot;&gt;&apos;q&apos;&lt;/a&gt; red \u{0}\u{8}\u{b}\u{7f}\u{9b}�\u{fffe}\u{ffff}\u{202e} ,:|`
        second # #[error]line\u{1b}]0;hides the rest</error>
                <system-out>artifacts: .host/runs/20261122-231500-abcd/z/h/attempt-1</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn long_output_is_cut_visibly() {
    let mut stream = Stream::new(&["a"], &["one", "two"]);
    let (one, two) = (trial("a", "one"), trial("a", "two"));
    stream.starts(0, &one, 1);
    for at in 0..5000 {
        stream.reports(at, &one, Report::Note { text: format!("remark {at}") });
    }
    let lines = "x".repeat(63) + "\n";
    stream.ends(0, 6000, &one, fail(vec![finding("big", "a MiB", Some(&lines.repeat(16 * 1024)))]));
    let many = (0..5000).map(|at| finding(&format!("code-{at}"), "must hold", Some(&lines.repeat(20)))).collect();
    stream.ends(0, 6001, &two, fail(many));
    let document = document(&stream.finished());
    let log = ".host/runs/20261122-231500-abcd/events.jsonl";
    assert!(document.contains(&format!("… 16184 more lines in {log}</failure>")), "200 lines of evidence");
    let said = format!("/a/one/attempt-1\n… 4090 earlier lines in {log}\nnote: remark 4090\n");
    assert!(document.contains(&said) && document.contains("\nnote: remark 4999</system-out>"), "{document}");
    assert!(document.contains(", code-19 … and 4980 more findings\""));
    assert!(document.contains(&format!("more lines in {log}\n… 4900 more findings in {log}</failure>")));
    assert!(document.len() < 100 * 1024, "{}", document.len());
}

#[test]
fn counts_add_up() {
    let document = document(&sample::every_kind());
    assert!(document.contains("<testsuites name=\"host\" tests=\"4\" failures=\"0\" errors=\"0\" time="));
    assert!(document.contains("<testsuite name=\"b\" tests=\"2\" skipped=\"2\" errors=\"0\" failures=\"0\""));
}

#[test]
fn a_report_can_be_made_again_from_a_log() {
    let events = sample::every_kind();
    let mut log = Vec::new();
    for event in &events {
        serde_json::to_writer(&mut log, event).unwrap();
        log.push(b'\n');
    }
    let again: Vec<_> = crate::read_events(log.as_slice()).map(Result::unwrap).collect();
    assert_eq!(document(&again), document(&events));
}

#[test]
fn a_removed_directory_is_an_error_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut junit = Junit::create(&folder.path().join("junit.xml")).unwrap();
    drop(folder);
    assert_eq!(junit.finish().unwrap_err().kind(), io::ErrorKind::NotFound);
}

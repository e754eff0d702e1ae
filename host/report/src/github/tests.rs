use std::fs;

use super::*;
use crate::sample::{self, Buffer, Stream, fail, finding, trial};
use host_model::{CountsAs, Fault, FaultClass, Finding, LaneName, PassRate};

/// The output of a run.
struct Told {
    log: String,
    summary: String,
    output: String,
}

fn told_after(before: &str, events: &[Event], masks: &[&str]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let (summary, output) = (folder.path().join("summary"), folder.path().join("output"));
    fs::write(&summary, before).unwrap();
    let files = GithubFiles { summary: Some(summary.clone()), output: Some(output.clone()), workspace: None };
    let buffer = Buffer::default();
    let mut github = Github::new(buffer.clone(), files, &masks.iter().map(|mask| (*mask).into()).collect::<Vec<_>>());
    for event in events {
        github.event(event).unwrap();
    }
    github.finish().unwrap();
    let summary = fs::read_to_string(summary).unwrap();
    Told { log: buffer.text(), summary: summary[before.len()..].into(), output: fs::read_to_string(output).unwrap() }
}

fn rendered(events: &[Event]) -> Told {
    told_after("", events, &[])
}

fn fault(class: FaultClass, message: &str) -> host_model::Outcome {
    host_model::Outcome::Fault(Fault::new(class, message))
}

#[test]
fn all_pass() {
    let rendered = rendered(&sample::all_pass());
    assert_eq!(rendered.log, "");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 5 passed

    ### Lane scripted: 5 passed

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ✅ pass | ensign-cycle (canary) | 1.21s |  |
    | ✅ pass | gate | 1.79s |  |
    | ✅ pass | rejection-flow | 1.89s |  |
    | ✅ pass | three-cycle-escalation | 2.29s |  |
    | ✅ pass | merge-hook | 2.40s |  |
    ");
    insta::assert_snapshot!(rendered.output, @r"
    passed=5
    flaky=0
    failed=0
    xfail=0
    xpass=0
    blocked=0
    faults=0
    skipped=0
    cancelled=0
    unfinished=0
    total=5
    exit-code=0
    run=20261122-231500-abcd
    run-directory=.host/runs/20261122-231500-abcd
    ");
}

#[test]
fn one_failure() {
    let rendered = rendered(&sample::one_failure());
    insta::assert_snapshot!(rendered.log, @r"
    ::group::FAIL scripted/merge-hook
    │ entity-changed: the entity must be byte-identical
    │     - status: implementation
    │     + status: done
    │ guard-unseen: the final message must name the merge hook
    artifacts: .host/runs/20261122-231500-abcd/scripted/merge-hook/attempt-1
    ::endgroup::
    ::error file=plugins/merge-hook.wasm,line=1,title=FAIL scripted/merge-hook::entity-changed: the entity must be byte-identical%0A    - status: implementation%0A    + status: done%0Aguard-unseen: the final message must name the merge hook
    ");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 4 passed, 1 failed

    ### Lane scripted: 4 passed, 1 failed

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ✅ pass | ensign-cycle (canary) | 1.21s |  |
    | ❌ fail | merge-hook | 2.40s | entity-changed: the entity must be byte-identical<br>guard-unseen: the final message must name the merge hook |
    | ✅ pass | gate | 1.79s |  |
    | ✅ pass | rejection-flow | 1.89s |  |
    | ✅ pass | three-cycle-escalation | 2.29s |  |
    ");
}

#[test]
fn a_failed_canary() {
    let rendered = rendered(&sample::canary_fails());
    insta::assert_snapshot!(rendered.log, @r"
    ::group::FAIL scripted/ensign-cycle (canary)
    │ summary-missing: the report must have a summary
    artifacts: .host/runs/20261122-231500-abcd/scripted/ensign-cycle/attempt-1
    ::endgroup::
    ::error file=plugins/ensign-cycle.wasm,line=1,title=FAIL scripted/ensign-cycle (canary)::summary-missing: the report must have a summary
    ");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 0 passed, 1 failed, 4 blocked

    ### Lane scripted: 0 passed, 1 failed, 4 blocked

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ❌ fail | ensign-cycle (canary) | 1.21s | summary-missing: the report must have a summary |
    | 🚧 blocked | gate |  | canary ensign-cycle failed |
    | 🚧 blocked | rejection-flow |  | canary ensign-cycle failed |
    | 🚧 blocked | three-cycle-escalation |  | canary ensign-cycle failed |
    | 🚧 blocked | merge-hook |  | canary ensign-cycle failed |
    ");
    insta::assert_snapshot!(rendered.output, @r"
    passed=0
    flaky=0
    failed=1
    xfail=0
    xpass=0
    blocked=4
    faults=0
    skipped=0
    cancelled=0
    unfinished=0
    total=5
    exit-code=0
    run=20261122-231500-abcd
    run-directory=.host/runs/20261122-231500-abcd
    ");
}

#[test]
fn every_kind_of_event() {
    let rendered = rendered(&sample::every_kind());
    insta::assert_snapshot!(rendered.log, @r"::warning file=plugins/one.wasm,line=1,title=FLAKY a/one (canary)::attempt 1: idle (no event for 60s)");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 0 passed, 1 flaky, 1 skipped, 2 cancelled

    > ⚠️ interrupted by SIGINT

    ### Lane a: 0 passed, 1 flaky, 1 cancelled

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | 🔁 flaky after 2 attempts | one (canary) | 1.02s | attempt 1: idle (no event for 60s) |
    | 🛑 cancelled | two | 0.02s | interrupted by SIGINT |

    ### Lane b: 0 passed, 1 skipped, 1 cancelled

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ⏭️ skip | one (canary) |  | needs a network |
    | 🛑 cancelled | two |  | interrupted |
    ");
}

#[test]
fn retries_and_expectations() {
    let rendered = rendered(&sample::attempts_and_expectations());
    insta::assert_snapshot!(rendered.log, @r"
    ::group::FAIL claude/gate
    │ gate-not-held: the item must wait for the person
    │     + status: done
    │ note: not expected: `gate-not-held`; expected: `hook-unseen`
    artifacts: .host/runs/20261122-231500-abcd/claude/gate/attempt-2
    ::endgroup::
    ::error file=scenarios/gate/scenario.toml,line=1,title=FAIL claude/gate::gate-not-held: the item must wait for the person%0A    + status: done%0Anote: not expected: `gate-not-held`; expected: `hook-unseen`
    ::warning file=scenarios/ensign-cycle/scenario.toml,line=1,title=FLAKY claude/ensign-cycle (canary)::attempt 1: idle (no event for 60s)
    ::warning file=scenarios/rejection-flow/scenario.toml,line=1,title=XPASS claude/rejection-flow::passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet)
    ");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 1 passed, 1 flaky, 1 failed, 1 failed as expected, 1 passed unexpectedly

    ### Lane claude: 1 passed, 1 flaky, 1 failed, 1 failed as expected, 1 passed unexpectedly

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | 🔁 flaky after 2 attempts | ensign-cycle (canary) | 0.20s | attempt 1: idle (no event for 60s) |
    | ❌ fail after 2 attempts | gate | 0.20s | gate-not-held: the item must wait for the person<br>note: not expected: \`gate-not-held\`; expected: \`hook-unseen\` |
    | ❗ xpass | rejection-flow | 0.40s | passed, but was expected to fail: hook-unseen until 2026-12-31 (ada: the hook is not there yet) |
    | ☑️ xfail | merge-hook | 0.30s | expected failure: hook-unseen until 2026-12-31 (ada: the hook is not there yet) |
    | ✅ pass | three-cycle-escalation | 0.50s |  |
    ");
    insta::assert_snapshot!(rendered.output, @r"
    passed=1
    flaky=1
    failed=1
    xfail=1
    xpass=1
    blocked=0
    faults=0
    skipped=0
    cancelled=0
    unfinished=0
    total=5
    exit-code=0
    run=20261122-231500-abcd
    run-directory=.host/runs/20261122-231500-abcd
    ");
}

#[test]
fn a_shortage_is_annotated() {
    let summary = rendered(&sample::short_machine()).summary;
    assert!(summary.contains("up to 2 in parallel after a shortage: cannot start /bin/claude"), "{summary}");
    assert!(summary.starts_with("## host: 1 passed"), "{summary}");
}

#[test]
fn a_broken_lane_and_a_halt_are_annotated() {
    let rendered = rendered(&sample::broken_lane_and_halt());
    insta::assert_snapshot!(rendered.log.split("::group::").nth(2).unwrap(), @r"
    Status: 1 running, 1 waiting to retry, 3 waiting, 1 finished
    │ claude/two, attempt 2, starts in 4.90s
    │ pi/one, attempt 1, for 0.16s
    ::endgroup::
    ");
    insta::assert_snapshot!(rendered.summary.split("### Lane").next().unwrap(), @r"
    ## host: 1 passed, 1 blocked, 2 faults, 2 cancelled

    > ⚠️ --no-canary: no canary checks a lane first

    > ⚠️ lane claude broke: 2 trials in a row could not work with the agent, the last as launch: not logged in

    > ⚠️ halted: 2 trials have failed, and \`max-fail\` is 2
    ");
}

#[test]
fn the_table_of_pass_rates_is_bounded() {
    let events = sample::repetitions();
    insta::assert_snapshot!(rendered(&events).summary.split("### Lane").next().unwrap(), @r"
    ## host: 8 passed, 1 failed, 1 fault

    ### Pass rates

    | Scenario | Passed (95 % confidence interval) |
    | --- | --- |
    | scripted/gate | 4/5 passed, 80 % (38–96 %) |
    | scripted/merge-hook | 4/4 passed, 100 % (51–100 %); 1 of 5 not judged |
    ");
    let mut many = events.clone();
    let Some(EventKind::RunFinished { summary }) = many.last_mut().map(|event| &mut event.kind) else { panic!() };
    summary.rates = vec![summary.rates[0].clone(); 10_000];
    let rendered = rendered(&many).summary;
    let rates = rendered.split("### Lane").next().unwrap();
    assert!(rates.len() < 300 * 1024 && rates.contains("\n… and "), "{}", rates.len());
    assert!(rendered.contains("| ❌ fail | gate\\#2 "), "the trials keep their place");
}

#[test]
fn warnings_follow_errors_within_the_limit() {
    let names: Vec<_> = (0..15).map(|at| format!("s{at}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::with_canary(&["a"], &names, true).with_files();
    for (at, name) in names.iter().enumerate() {
        let verdict = match at {
            0..3 => Verdict::Flaky { reason: "attempt 1: idle (x)".into(), counts_as: CountsAs::Pass },
            3..12 => fault(FaultClass::Idle, "silence").into(),
            12 => Verdict::Flaky { reason: "attempt 1: idle (x)".into(), counts_as: CountsAs::Fail },
            _ => Verdict::Xpass { expected: vec![sample::expected("c", "ada", "r")], counts_as: CountsAs::Pass },
        };
        stream.judged(1, &trial("a", name), 2, 1, verdict);
    }
    let log = rendered(&stream.finished()).log;
    let levels: Vec<_> = log.lines().filter(|line| line.starts_with("::error") || line.starts_with("::warn")).collect();
    assert_eq!(levels.len(), 10);
    assert_eq!(levels[9], "::error file=scenarios/s12/scenario.toml,line=1,title=FLAKY a/s12::attempt 1: idle (x)");
    let last = log.lines().last().unwrap();
    assert_eq!(last, "::notice title=host::5 more warnings without an annotation: see the step's summary");
    assert_eq!(log.matches("::group::").count(), 10, "what did not fail is not folded out");
}

#[test]
fn an_incomplete_stream_is_reported_once() {
    let mut stream = Stream::with_canary(&["pi"], &["canary", "gate", "hook"], false);
    stream.starts(0, &trial("pi", "canary"), 1);
    stream.ends(0, 5, &trial("pi", "canary"), host_model::Outcome::Pass);
    stream.starts(6, &trial("pi", "gate"), 1);
    let rendered = rendered(&stream.events);
    assert_eq!(rendered.log, "::error title=host::the run was cut short: 2 trials without a verdict\n");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 1 passed, 2 unfinished

    > ⚠️ --no-canary: no canary checks a lane first

    > ⚠️ the run was cut short: 2 trials without a verdict

    ### Lane pi: 1 passed, 2 unfinished

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ✅ pass | canary (canary) | 0.01s |  |
    | ❔ unfinished | gate |  | the run was cut short |
    | ❔ unfinished | hook |  | the run was cut short |
    ");
    insta::assert_snapshot!(rendered.output, @r"
    passed=1
    flaky=0
    failed=0
    xfail=0
    xpass=0
    blocked=0
    faults=0
    skipped=0
    cancelled=0
    unfinished=2
    total=3
    run=20261122-231500-abcd
    run-directory=.host/runs/20261122-231500-abcd
    ");
}

#[test]
fn ten_annotations_canaries_first_then_faults_then_failures() {
    let names: Vec<_> = (0..14).map(|at| format!("s{at}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::new(&["a"], &names);
    for at in (0..14).rev() {
        let of = trial("a", names[at]);
        stream.starts(0, &of, 1);
        let ends = if at % 2 == 1 { fault(FaultClass::Idle, "silence") } else { fail(vec![finding("c", "m", None)]) };
        stream.ends(0, 10, &of, ends);
    }
    let log = rendered(&stream.finished()).log;
    let annotations: Vec<_> =
        log.lines().filter(|line| line.starts_with("::error") || line.starts_with("::n")).collect();
    let error = |word: &str, at: u32, mark: &str, message: &str| {
        format!("::error file=plugins/s{at}.wasm,line=1,title={word} a/s{at}{mark}::{message}")
    };
    let mut wanted = vec![error("FAIL", 0, " (canary)", "c: m")];
    wanted.extend([13, 11, 9, 7, 5, 3, 1].map(|at| error("FAULT", at, "", "idle: silence")));
    wanted.extend([12, 10].map(|at| error("FAIL", at, "", "c: m")));
    wanted.push("::notice title=host::4 more failures without an annotation: see the step's summary".into());
    assert_eq!(annotations, wanted);
    assert_eq!(log.matches("::group::").count(), 14, "the log has all of them");
    assert_eq!(log.matches("::endgroup::").count(), 14);
}

const HOSTILE: &str = "::error::x%0A, ]]> <b>`|` \u{1b}[31mred\u{1b}[0m\u{0}\u{fffd}\u{202e} ##[error]y @all\n::stop-commands::t\r\n\
                       ::set-output name=a::b\n\u{2028}::endgroup::";

#[test]
fn hostile_text_becomes_neither_commands_nor_markup() {
    let mut stream = Stream::new(&[HOSTILE], &[HOSTILE, "b"]);
    let (bad, b) = (trial(HOSTILE, HOSTILE), trial(HOSTILE, "b"));
    stream.starts(0, &bad, 1);
    stream.ends(0, 5, &bad, fail(vec![finding(HOSTILE, HOSTILE, Some(HOSTILE))]));
    stream.judged(5, &b, 0, 0, Verdict::Blocked { reason: HOSTILE.into() });
    if let EventKind::RunStarted { trials, .. } = &mut stream.events[0].kind {
        trials[1].file = Some(HOSTILE.into());
    }
    let known = || vec![sample::expected(HOSTILE, HOSTILE, HOSTILE)];
    let findings = vec![finding(HOSTILE, HOSTILE, None)];
    let counts_as = CountsAs::Pass;
    stream.judged(6, &b, 2, 0, Verdict::Flaky { reason: HOSTILE.into(), counts_as });
    stream.judged(6, &b, 1, 0, Verdict::Xpass { expected: known(), counts_as });
    stream.judged(6, &b, 1, 0, Verdict::Xfail { findings: findings.clone(), fault: None, expected: known() });
    stream.judged(6, &b, 1, 0, Verdict::Fail { findings, note: Some(HOSTILE.into()) });
    stream.at(7, EventKind::LaneBroken { lane: LaneName(HOSTILE.into()), reason: HOSTILE.into() });
    stream.at(7, EventKind::Halted { reason: HOSTILE.into() });
    let running = vec![RunningTrial { id: bad.clone(), attempt: 1, elapsed_ms: 1, retry_in_ms: None }];
    stream.at(7, EventKind::Status { running, waiting: 0, finished: 0 });
    stream.rates = vec![PassRate { id: bad, passed: 1, judged: 1, repetitions: 1, interval: None }];
    let rendered = rendered(&stream.finished());
    insta::assert_snapshot!(rendered.log, @r"
    ::group::FAIL ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all … (canary)
    │ ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …: ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all
    │     ::stop-commands::t
    │     ::set-output name=a::b
    │     \u{2028}::endgroup::
    │     ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all
    │     ::stop-commands::t
    │     ::set-output name=a::b
    │     \u{2028}::endgroup::
    artifacts: .host/runs/20261122-231500-abcd/::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …
    ::endgroup::
    ::group::FAIL ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …
    │ ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …: ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all
    │     ::stop-commands::t
    │     ::set-output name=a::b
    │     \u{2028}::endgroup::
    │ note: ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all
    │     ::stop-commands::t
    │     ::set-output name=a::b
    │     \u{2028}::endgroup::
    ::endgroup::
    ::group::Status: 1 running, 0 waiting, 0 finished
    │ ::error::x%0A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …, attempt 1, for 0.00s
    ::endgroup::
    ::error file=plugins/%3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …,line=1,title=FAIL %3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all … (canary)::::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …: ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all%0A    ::stop-commands::t%0A    ::set-output name=a::b%0A    \u{2028}::endgroup::%0A    ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all%0A    ::stop-commands::t%0A    ::set-output name=a::b%0A    \u{2028}::endgroup::
    ::error file=%3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …,line=1,title=FAIL %3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …::::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …: ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all%0A    ::stop-commands::t%0A    ::set-output name=a::b%0A    \u{2028}::endgroup::%0Anote: ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all%0A    ::stop-commands::t%0A    ::set-output name=a::b%0A    \u{2028}::endgroup::
    ::warning file=%3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …,line=1,title=FLAKY %3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …::::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all%0A    ::stop-commands::t%0A    ::set-output name=a::b%0A    \u{2028}::endgroup::
    ::warning file=%3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …,line=1,title=XPASS %3A%3Aerror%3A%3Ax%250A%2C ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …::passed, but was expected to fail: ::error::x%250A, ]]> <b>`|` red\u{0}�\u{202e} # #[error]y @all …
    ");
    insta::assert_snapshot!(rendered.summary, @r"
    ## host: 0 passed, 1 flaky, 2 failed, 1 failed as expected, 1 passed unexpectedly, 1 blocked

    > ⚠️ lane ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … broke: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …

    > ⚠️ halted: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …

    ### Pass rates

    | Scenario | Passed (95 % confidence interval) |
    | --- | --- |
    | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … | none of 1 judged |

    ### Lane ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …: 0 passed, 1 flaky, 2 failed, 1 failed as expected, 1 passed unexpectedly, 1 blocked

    | Verdict | Scenario | Time | Details |
    | --- | --- | ---: | --- |
    | ❌ fail | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … (canary) | 0.01s | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    | ❌ fail | b | 0.00s | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all …<br>note: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    | 🔁 flaky after 2 attempts | b | 0.00s | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    | ❗ xpass | b | 0.00s | passed, but was expected to fail: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    | 🚧 blocked | b |  | ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    | ☑️ xfail | b | 0.00s | expected failure: ::error::x%0A, \]\]&gt; &lt;b&gt;\`\|\` red\\u{0}�\\u{202e} \# \#\[error\]y &#64;all … |
    ");
    for line in rendered.log.lines().filter(|line| line.trim_start().starts_with("::")) {
        let command = line.trim_start_matches(':').split([':', ' ']).next().unwrap();
        assert!(["group", "endgroup", "error", "warning"].contains(&command), "{line}");
    }
    assert!(!rendered.log.contains("##["), "{}", rendered.log);
    assert!(!rendered.log.contains(['\u{1b}', '\r', '\u{0}', '\u{2028}']));
}

#[test]
fn secrets_are_shown_nowhere() {
    let secret = "s3|cr%t:`key`,";
    // Cut where the secret stands, were it still there.
    let name = format!("{}{secret}", "x".repeat(297));
    let mut stream = Stream::new(&["a"], &[&name, "two"]);
    let (one, two) = (trial("a", &name), trial("a", "two"));
    let text = format!("{}{secret}\n{secret}", "x".repeat(295));
    stream.starts(0, &one, 1);
    stream.ends(0, 5, &one, fail(vec![finding(secret, &text, Some(&text))]));
    stream.ends(0, 5, &two, fault(FaultClass::Launch, &text));
    stream.judged(5, &trial(secret, "x"), 0, 0, Verdict::Skip { reason: text.clone() });
    let rendered = told_after("", &stream.finished(), &[secret]);
    let start = format!("::group::FAIL a/{}*… (2 more characters) (canary)\n│ ***: xxx", "x".repeat(297));
    assert!(rendered.log.starts_with(&start), "{}", rendered.log);
    for shown in [rendered.log.as_str(), &rendered.summary, &rendered.output] {
        assert!(!shown.contains("s3") && !shown.contains("key"), "{shown}");
    }
}

#[test]
fn long_evidence_is_cut_visibly() {
    let mut stream = Stream::new(&["a"], &["one", "two"]);
    let (one, two) = (trial("a", "one"), trial("a", "two"));
    let line = "x".repeat(1024 * 1024);
    let lines = "::error::x\n".repeat(100_000);
    stream.starts(0, &one, 1);
    stream.ends(0, 5, &one, fail(vec![finding("line", "m", Some(&line)), finding("lines", "m", Some(&lines))]));
    stream.ends(0, 5, &two, fail((0..5000).map(|_| finding("many", "m", None)).collect::<Vec<Finding>>()));
    let rendered = rendered(&stream.finished());
    let cut = format!("│     {}… (1048276 more characters)\n│ lines: m\n│     ::error::x\n", "x".repeat(300));
    assert!(rendered.log.contains(&cut), "{}", rendered.log);
    let log = ".host/runs/20261122-231500-abcd/events.jsonl";
    assert!(rendered.log.contains(&format!("│ … 99980 more lines in {log}\n")), "{}", rendered.log);
    assert!(rendered.log.contains(&format!("│ … 4980 more findings in {log}\n")), "{}", rendered.log);
    assert!(rendered.log.contains(&format!("%0A… 99995 more lines in {log}\n")), "{}", rendered.log);
    assert!(rendered.summary.contains("many: m<br>… 4995 more findings |"), "{}", rendered.summary);
    assert!(rendered.log.len() < 8 * 1024 && rendered.summary.len() < 4 * 1024);
}

#[test]
fn the_summary_stays_below_its_limit_and_keeps_failures() {
    let names: Vec<_> = (0..8000).map(|at| format!("s{at}-{}", "x".repeat(100))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::with_canary(&["a", "b"], &names, false);
    for (lane, name) in ["a", "b"].iter().flat_map(|lane| names.iter().map(move |name| (*lane, *name))) {
        let ends = if lane == "b" && name.starts_with("s79") {
            fail(vec![finding("c", "m", None)])
        } else {
            host_model::Outcome::Pass
        };
        stream.ends(0, 5, &trial(lane, name), ends);
    }
    let events = stream.finished();
    for before in ["", "# Of another\ncommand", &"y".repeat(1024 * 1024 - 2000)] {
        let summary = told_after(before, &events, &[]).summary;
        let whole = before.len() + summary.len();
        assert!((1024 * 1024 - 500..1024 * 1024).contains(&whole), "{whole}");
        assert!(
            summary.contains("\n### Lane a: 8000 passed\n")
                && summary.contains("\n### Lane b: 7889 passed, 111 failed\n")
        );
        if before.len() < 1000 {
            assert_eq!(summary.matches("❌ fail").count(), 111, "passes give way");
        }
        let shown = summary.matches("\n| ✅").count() + summary.matches("\n| ❌").count();
        let left_out: usize = summary
            .lines()
            .filter_map(|line| line.strip_prefix("… and ")?.split_once(' ')?.0.parse::<usize>().ok())
            .sum();
        assert_eq!(shown + left_out, 16_000);
        assert!(summary.starts_with(if before.is_empty() { "## host" } else { "\n## host" }));
    }
    assert_eq!(told_after(&"y".repeat(1024 * 1024), &events, &[]).summary, "");
}

#[test]
fn without_files_only_the_log_is_written() {
    let buffer = Buffer::default();
    let mut github = Github::new(buffer.clone(), GithubFiles::default(), &[]);
    for event in sample::one_failure() {
        github.event(&event).unwrap();
    }
    assert_eq!(buffer.text(), "");
    github.flush().unwrap();
    assert!(
        buffer.text().starts_with("::group::FAIL scripted/merge-hook\n") && buffer.text().ends_with("::endgroup::\n")
    );
    github.finish().unwrap();
    assert!(buffer.text().lines().last().unwrap().starts_with("::error file=plugins/merge-hook.wasm,line=1,"));
}

#[test]
fn an_unwritable_file_does_not_affect_others() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let files = GithubFiles { summary: Some(folder.path().into()), output: Some(output.clone()), workspace: None };
    let buffer = Buffer::default();
    let mut github = Github::new(buffer.clone(), files, &[]);
    for event in sample::one_failure() {
        github.event(&event).unwrap();
    }
    assert_eq!(github.finish().unwrap_err().kind(), io::ErrorKind::IsADirectory);
    assert!(fs::read_to_string(output).unwrap().starts_with("passed=4\nflaky=0\nfailed=1\n"));
    assert!(buffer.text().contains("::error file="));
}

#[test]
fn a_closed_pipe_is_an_error_and_the_files_are_written() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let files = GithubFiles { output: Some(output.clone()), ..GithubFiles::default() };
    let mut github = Github::new(writer, files, &[]);
    for event in sample::one_failure() {
        github.event(&event).unwrap();
    }
    assert_eq!(github.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert!(fs::read_to_string(output).unwrap().starts_with("passed=4\n"));
}

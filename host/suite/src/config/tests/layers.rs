//! Who wins, over all sources.

use std::{collections::BTreeSet, fmt::Debug};

use super::*;
use host_model::{CountsAs, FaultClass, ReporterKind, RetryCause, RetryRules};

/// How a setting is said in a file with the value number `n`, 1 to 4, and by a flag or variable; and what it is then.
struct Setting {
    /// As its key is in [`Sources`].
    key: &'static str,
    /// Whether it stands in `[defaults]`.
    in_defaults: bool,
    written: fn(u32) -> String,
    asked: Option<fn(&mut Overrides, u32, Source)>,
    value: fn(&Settings) -> String,
    /// What value number `n` shows as; 0 is the built-in default.
    shown: fn(u32) -> String,
}

fn debug(value: impl Debug) -> String {
    format!("{value:?}")
}

fn result(n: u32) -> CountsAs {
    if n % 2 == 1 { CountsAs::Fail } else { CountsAs::Pass }
}

fn cause(n: u32) -> RetryCause {
    RetryCause::Fault(FaultClass::ALL[n as usize])
}

fn causes(n: u32) -> BTreeSet<RetryCause> {
    if n == 0 { RetryRules::default().on } else { [cause(n)].into() }
}

fn reporter(n: u32) -> ReporterKind {
    ReporterKind::ALL[n as usize]
}

/// The retries of the scenario `one` as the plan makes them.
fn retry(settings: &Settings) -> RetryRules {
    settings.retry_override.over(&settings.scenarios["one"].retry.over(&settings.lanes[0].retry.over(&settings.retry)))
}

const SETTINGS: &[Setting] = &[
    Setting {
        key: "jobs",
        in_defaults: false,
        written: |n| format!("jobs = {n}"),
        asked: Some(|over, n, source| over.jobs = Some(Sourced { value: n as usize, source })),
        value: |settings| debug(settings.jobs),
        shown: |n| debug(if n == 0 { 16 } else { n }),
    },
    Setting {
        key: "lanes",
        in_defaults: false,
        written: |n| format!("lanes = [\"l{n}\"]"),
        asked: Some(|over, n, source| over.lanes = Some(Sourced { value: vec![format!("l{n}")], source })),
        value: |settings| settings.lanes.iter().map(|lane| lane.name.0.as_str()).collect::<Vec<_>>().join(" "),
        shown: |n| if n == 0 { "l1 l2 l3 l4".to_owned() } else { format!("l{n}") },
    },
    Setting {
        key: "flaky-result",
        in_defaults: false,
        written: |n| format!("flaky-result = \"{}\"", result(n).as_str()),
        asked: Some(|over, n, source| over.flaky_result = Some(Sourced { value: result(n), source })),
        value: |settings| debug(settings.policy.flaky_result),
        shown: |n| debug(result(n)),
    },
    Setting {
        key: "xpass",
        in_defaults: false,
        written: |n| format!("xpass = \"{}\"", result(n).as_str()),
        asked: Some(|over, n, source| over.xpass = Some(Sourced { value: result(n), source })),
        value: |settings| debug(settings.policy.xpass),
        shown: |n| debug(result(n)),
    },
    Setting {
        key: "max-fail",
        in_defaults: false,
        // Without a bound, with one, and by the other key.
        written: |n| match n {
            2 => "fail-fast = false".to_owned(),
            1 => "fail-fast = true".to_owned(),
            _ => format!("max-fail = {n}"),
        },
        asked: Some(|over, n, source| over.max_fail = Some(Sourced { value: (n != 2).then_some(n), source })),
        value: |settings| debug(settings.policy.max_fail),
        shown: |n| debug((n != 0 && n != 2).then_some(n)),
    },
    Setting {
        key: "repeat-each",
        in_defaults: false,
        written: |n| format!("repeat-each = {}", n + 1),
        asked: Some(|over, n, source| over.repeat_each = Some(Sourced { value: n + 1, source })),
        value: |settings| debug(settings.policy.repeat_each),
        shown: |n| debug(n + 1),
    },
    Setting {
        key: "reporters",
        in_defaults: false,
        written: |n| format!("reporters = [\"{}\"]", reporter(n).as_str()),
        asked: Some(|over, n, source| over.reporters = Some(Sourced { value: vec![reporter(n)], source })),
        value: |settings| debug(&settings.reporters),
        shown: |n| debug([reporter(n)]),
    },
    Setting {
        key: "defaults.retries",
        in_defaults: true,
        written: |n| format!("retries = {n}"),
        asked: Some(|over, n, source| over.retries = Some(Sourced { value: n, source })),
        value: |settings| debug(retry(settings).retries),
        shown: |n| debug(n),
    },
    Setting {
        key: "defaults.retry-on",
        in_defaults: true,
        written: |n| format!("retry-on = [\"{}\"]", cause(n)),
        asked: Some(|over, n, source| over.retry_on = Some(Sourced { value: vec![cause(n)], source })),
        value: |settings| debug(retry(settings).on),
        shown: |n| debug(causes(n)),
    },
    Setting {
        key: "defaults.retry-delay",
        in_defaults: true,
        written: |n| format!("retry-delay = \"{}s\"", n + 1),
        asked: None,
        value: |settings| debug(retry(settings).delay.as_secs()),
        shown: |n| debug(n + 1),
    },
    Setting {
        key: "defaults.timeout",
        in_defaults: true,
        written: |n| format!("timeout = \"{n}s\""),
        asked: None,
        value: |settings| debug(settings.scenarios["one"].limits.timeout.as_secs()),
        shown: |n| debug(if n == 0 { 600 } else { n }),
    },
    Setting {
        key: "defaults.max-memory",
        in_defaults: true,
        written: |n| format!("max-memory = {n}"),
        asked: None,
        value: |settings| debug(settings.scenarios["one"].limits.max_memory),
        shown: |n| debug(if n == 0 { 512 << 20 } else { n }),
    },
];

/// Who speaks, the weakest first: the suite, a profile, a variable, a flag. Value number `n` is said by speaker `n`.
const SUITE: u32 = 1;
const PROFILE: u32 = 2;
const ASKED: [(u32, &str); 2] = [(3, "HOST_IT"), (4, "--it")];

fn asked_by(name: &str) -> Source {
    if name.starts_with("--") { Source::Flag(name.into()) } else { Source::Variable(name.into()) }
}

#[test]
fn the_strongest_source_wins_for_every_setting() {
    const LANES: &str = "[lane.l1]\n[lane.l2]\n[lane.l3]\n[lane.l4]\n";
    for setting in SETTINGS {
        for speakers in 0_u32..16 {
            let speaks = |speaker: u32| speakers & (1 << (speaker - 1)) != 0;
            // The stronger of flag and variable is all that comes in: clap decides between them.
            let asked = ASKED.into_iter().rev().find(|(speaker, _)| speaks(*speaker));
            if asked.is_some() && setting.asked.is_none() {
                continue;
            }
            let line = |speaker, header: &str| match speaks(speaker) {
                true => format!("{header}{}\n", (setting.written)(speaker)),
                false => String::new(),
            };
            let suite = match setting.in_defaults {
                true => {
                    line(SUITE, "[defaults]\n") + "[profile.ci]\n" + &line(PROFILE, "[profile.ci.defaults]\n") + LANES
                }
                false => line(SUITE, "") + "[profile.ci]\n" + &line(PROFILE, "") + LANES,
            };
            let suite = Suite::of(suite).file("scenarios/one/scenario.toml", "");
            let mut overrides = Overrides { profile: flag("--profile", "ci".to_owned()), ..Overrides::default() };
            if let (Some((speaker, name)), Some(ask)) = (asked, setting.asked) {
                ask(&mut overrides, speaker, asked_by(name));
            }
            let settings = suite.with(&overrides).unwrap();
            let winner = (1..=4).rev().find(|speaker| speaks(*speaker)).unwrap_or(0);
            let case = format!("{} said by {speakers:04b}", setting.key);
            assert_eq!((setting.value)(&settings), (setting.shown)(winner), "{case}");
            let source = settings.sources.of(setting.key);
            match (asked, winner) {
                (Some((_, name)), _) => assert_eq!(*source, asked_by(name), "{case}"),
                (None, 0) => assert_eq!(*source, Source::Default, "{case}"),
                (None, _) => {
                    let Source::File { profile, .. } = source else { panic!("{case}: {source}") };
                    assert_eq!(profile.is_some(), winner == PROFILE, "{case}");
                }
            }
        }
    }
}

#[test]
fn other_profiles_have_no_effect() {
    let suite = Suite::of("jobs = 2\n[profile.ci]\njobs = 9\n[profile.ci.defaults]\nretries = 3");
    let settings = suite.resolve().unwrap();
    assert_eq!((settings.jobs, settings.retry.retries, settings.profile), (2, 0, None));
}

#[test]
fn flags_beat_scenarios_beat_lanes_beat_defaults() {
    let suite = |lane: &str, scenario: &str| {
        Suite::of(format!("[defaults]\nretries = 1\n[profile.ci.defaults]\nretries = 2\n[lane.a]\n{lane}\n"))
            .file("scenarios/one/scenario.toml", scenario)
    };
    let profile = || flag("--profile", "ci".to_owned());
    let of = |suite: &Suite, overrides: &Overrides| retry(&suite.with(overrides).unwrap()).retries;
    let in_profile = Overrides { profile: profile(), ..Overrides::default() };
    assert_eq!(of(&suite("", ""), &Overrides::default()), 1);
    assert_eq!(of(&suite("", ""), &in_profile), 2);
    assert_eq!(of(&suite("retries = 3", ""), &in_profile), 3);
    assert_eq!(of(&suite("retries = 3", "retries = 4"), &in_profile), 4);
    let asked = Overrides { retries: flag("--retries", 0), profile: profile(), ..Overrides::default() };
    assert_eq!(of(&suite("retries = 3", "retries = 4"), &asked), 0);
}

#[test]
fn sources_complete_each_other() {
    let suite = Suite::of(
        "[defaults]\nretry-on = [\"fail\"]\n[profile.ci.defaults]\nretry-delay = \"0s\"\n[lane.a]\nretries = 2\nbreaker = 0",
    )
    .file("scenarios/one/scenario.toml", "retries = 5");
    let overrides = Overrides { profile: flag("--profile", "ci".to_owned()), ..Overrides::default() };
    let settings = suite.with(&overrides).unwrap();
    let expected = RetryRules { retries: 5, on: [RetryCause::Fail].into(), delay: Duration::ZERO };
    assert_eq!((retry(&settings), settings.lanes[0].breaker), (expected, 0));
}

#[test]
fn sources_show_their_position() {
    let suite = Suite::of("canary = []\njobs = 2\n\n[profile.ci]\nmax-fail = 7\n");
    let overrides = Overrides { profile: flag("--profile", "ci".to_owned()), ..Overrides::default() };
    let settings = suite.with(&overrides).unwrap();
    let of = |key| settings.sources.of(key).to_string().replace(&format!("{}/", suite.folder.path().display()), "");
    assert_eq!(of("jobs"), "scenarios/suite.toml:2:8");
    assert_eq!(of("max-fail"), "scenarios/suite.toml:5:12 ([profile.ci])");
    assert_eq!(of("profile"), "--profile");
    assert_eq!(of("xpass"), "default");
}

#[test]
fn unknown_profiles_offer_the_nearest() {
    let unknown = |suite: &str, name: &str| {
        Suite::of(suite)
            .with(&Overrides { profile: flag("--profile", name.to_owned()), ..Overrides::default() })
            .unwrap_err()
    };
    let two = "[profile.ci]\n[profile.nightly]";
    assert_eq!(unknown(two, "nihgtly"), ["there is no profile `nihgtly`; did you mean `nightly`?"]);
    assert_eq!(unknown(two, "zzzzz"), ["there is no profile `zzzzz`; there are `ci`, `nightly`"]);
    assert_eq!(unknown("", "ci"), ["there is no profile `ci`; the suite defines none (`[profile.NAME]`)"]);
}

#[test]
fn expected_failures_are_read_in_every_form() {
    let text = "[[expect-fail]]\nlane = \"b\"\nfindings = \"x\"\nowner = \"ada\"\nreason = \"r\"\nuntil = 2026-12-31\n\
                [[expect-fail]]\nlane = [\"a\", \"scripted\"]\nfindings = [\"y\", \"z\"]\nowner = \"bob\"\nreason = \"s\"\n\
                until = \"2027-01-01\"\n[[expect-fail]]\nfindings = \"x\"\nowner = \"o\"\nreason = \"t\"\nuntil = 2026-01-01\n";
    // Lanes that are not run in are lanes all the same.
    let suite = Suite::of("lanes = [\"a\"]\n[lane.a]\n[lane.b]").file("scenarios/one/scenario.toml", text);
    let settings = suite.resolve().unwrap();
    let known: Vec<_> = settings.scenarios["one"].expected_failures.iter().map(|it| it.known.clone()).collect();
    let lanes: Vec<Vec<&str>> = known.iter().map(|it| it.lanes.iter().map(|lane| lane.0.as_str()).collect()).collect();
    assert_eq!(lanes, [vec!["b"], vec!["a", "scripted"], vec![]]);
    let codes: Vec<Vec<&str>> = known.iter().map(|it| it.findings.iter().map(String::as_str).collect()).collect();
    assert_eq!(codes, [vec!["x"], vec!["y", "z"], vec!["x"]]);
    let days: Vec<String> = known.iter().map(|it| it.until.to_string()).collect();
    assert_eq!(days, ["2026-12-31", "2027-01-01", "2026-01-01"]);
    assert_eq!(known[1].owner, "bob");
    assert_eq!(known[1].reason, "s");
}

#[test]
fn expected_faults_need_no_findings() {
    let rest = "owner = \"o\"\nreason = \"r\"\nuntil = 2026-12-31\n";
    let text = format!(
        "[[expect-fail]]\nclass = \"trap\"\n{rest}[[expect-fail]]\nclass = [\"limit\", \"denied\"]\nfindings = \"x\"\n{rest}"
    );
    let suite = Suite::of("").file("scenarios/one/scenario.toml", &text);
    let settings = suite.resolve().unwrap();
    let told: Vec<Vec<String>> = settings.scenarios["one"]
        .expected_failures
        .iter()
        .map(|it| it.known.codes().map(str::to_owned).collect())
        .collect();
    assert_eq!(told, [vec!["trap"], vec!["x", "denied", "limit"]]);
}

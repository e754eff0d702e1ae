//! Each way in which an agent breaks gets its own class in time, leaves its evidence, and is taken for no verdict.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use host_model::{AttemptRecord, EventKind, FaultClass, ScenarioId, Verdict};
use host_testing::{Finished, Suite, plain_module};

/// What the host itself may have resident at once, whatever agents do.
const MEMORY: u64 = 150 << 20;

/// One run at a time: each of them loads the machine.
static ALONE: Mutex<()> = Mutex::new(());

/// A way to break, or to be odd.
struct Way {
    name: &'static str,
    /// What the scenario's file says of limits.
    limits: &'static str,
    steps: &'static str,
    /// The class that it must get, and words that its message must have; `None` where it is no fault.
    fault: Option<(FaultClass, &'static str)>,
    /// Milliseconds that it takes at least, and at most on a machine that has nothing else to do.
    takes: (u64, u64),
}

const fn way(name: &'static str, steps: &'static str, fault: Option<(FaultClass, &'static str)>) -> Way {
    Way { name, limits: "", steps, fault, takes: (0, 4_000) }
}

const fn slow(way: Way, limits: &'static str, takes: (u64, u64)) -> Way {
    Way { limits, takes, ..way }
}

const QUIET: &str = "idle-timeout = \"2s\"";

/// All of them. What has no limits of its own has such that only hit a machine that stands still.
const WAYS: &[Way] = &[
    slow(
        way("stall", "[[step]]\nfault = \"stall\"", Some((FaultClass::Idle, "`idle-timeout`"))),
        QUIET,
        (2_000, 6_000),
    ),
    slow(way("silent", "[[step]]\nsleep = \"10m\"", Some((FaultClass::Idle, "`idle-timeout`"))), QUIET, (2_000, 6_000)),
    slow(way("mute", "", Some((FaultClass::Idle, "`idle-timeout`"))), QUIET, (2_000, 6_000)),
    slow(
        way(
            "deaf-stall",
            "[[step]]\nfault = \"ignore-sigterm\"\n[[step]]\nfault = \"stall\"",
            Some((FaultClass::Idle, "`idle-timeout`")),
        ),
        QUIET,
        (2_000, 6_000),
    ),
    slow(
        way("loop", "[[step]]\nfault = \"loop\"\ndelay = \"20ms\"", Some((FaultClass::Idle, "`no-progress-timeout`"))),
        "no-progress-timeout = \"2s\"",
        (2_000, 8_000),
    ),
    slow(
        way(
            "overloaded",
            "[[step]]\nfault = \"overloaded\"\ndelay = \"50ms\"",
            Some((FaultClass::Overload, "`backoff-timeout`")),
        ),
        "backoff-timeout = \"1s\"",
        (1_000, 5_000),
    ),
    slow(
        way("too-late", "[[step]]\nsleep = \"10m\"", Some((FaultClass::Timeout, "`timeout`"))),
        "timeout = \"2s\"",
        (2_000, 6_000),
    ),
    way("crash", "[[step]]\nfault = \"crash\"", Some((FaultClass::Crash, "70"))),
    way(
        "last-words",
        "[[step]]\nfault = \"crash\"\ntext = \"no more memory\"",
        Some((FaultClass::Crash, "no more memory")),
    ),
    way("kill", "[[step]]\nfault = \"kill\"", Some((FaultClass::Crash, "SIGKILL"))),
    way("exit", "[[step]]\nfault = \"exit\"", Some((FaultClass::Crash, "without"))),
    way("half-line", "[[step]]\nfault = \"half-line\"", Some((FaultClass::Crash, "without"))),
    way("daemon-crash", "[[step]]\nfault = \"daemon\"\n[[step]]\nfault = \"crash\"", Some((FaultClass::Crash, "70"))),
    way("unauthorized", "[[step]]\nfault = \"unauthorized\"", Some((FaultClass::Launch, "refuse"))),
    way(
        "impossible",
        "[[step]]\nreplace = \"nowhere\"\nfrom = \"a\"\nto = \"b\"",
        Some((FaultClass::Protocol, "step 2")),
    ),
    way(
        "two-back-offs",
        "[[step]]\nback-off = \"busy\"\ndelay = \"100ms\"\n[[step]]\nback-off = \"busy\"\ndelay = \"100ms\"",
        None,
    ),
    way("garbage", "[[step]]\nfault = \"garbage\"\ncount = 100", None),
    way("invalid-utf8", "[[step]]\nfault = \"invalid-utf8\"", None),
    way("deaf", "[[step]]\nfault = \"ignore-sigterm\"", None),
    way("daemon", "[[step]]\nfault = \"daemon\"", None),
    way("round", "[[step]]\nfault = \"loop\"\ncount = 3\ndelay = \"1ms\"", None),
    slow(way("huge-line", "[[step]]\nfault = \"huge-line\"\nbytes = 67108864", None), "", (0, 20_000)),
    slow(way("flood", "[[step]]\nfault = \"flood\"\ncount = 1000000", None), "", (0, 60_000)),
];

/// The same with less, for many at once.
const LESS: &[Way] = &[
    way("huge-line", "[[step]]\nfault = \"huge-line\"\nbytes = 8388608", None),
    way("flood", "[[step]]\nfault = \"flood\"\ncount = 20000", None),
];

impl Way {
    fn add_to(&self, suite: &Suite, scenario: &str) {
        let toml = "plugin = \"passes.wasm\"\n";
        let rest = "\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n";
        let begins = "[[step]]\nwrite = \"work.md\"\ntext = \"begun\\n\"\n";
        suite.scenario(scenario, &format!("{toml}{}{rest}", self.limits));
        match self.name {
            "mute" => suite.agent(scenario, "[[step]]\nfault = \"mute\"\n"),
            _ => suite.agent(scenario, &format!("{begins}{}\n[[step]]\nsay = \"done\"\n", self.steps)),
        };
    }

    #[track_caller]
    fn check(&self, scenario: &str, finished: &Finished) {
        match (finished.verdict(scenario), self.fault) {
            (Verdict::Pass, None) => {}
            (Verdict::Fault(fault), Some((class, words))) => {
                assert!(fault.class == class && fault.message.contains(words), "{}: {fault}", self.name);
            }
            (verdict, _) => panic!("{}: {verdict:?}\n{}", self.name, finished.told()),
        }
    }
}

fn suite() -> Suite {
    let suite = Suite::new();
    suite.file(
        "scenarios/suite.toml",
        "[defaults]\ntimeout = \"110s\"\nidle-timeout = \"100s\"\nbackoff-timeout = \"100s\"\n",
    );
    suite.file("passes.wasm", plain_module("", ""));
    suite
}

fn record<'a>(finished: &'a Finished, scenario: &str) -> &'a AttemptRecord {
    finished.records().into_iter().find(|(id, _)| id.0 == scenario).unwrap().1
}

/// The evidence of an attempt, checked for what every attempt with a session leaves.
fn evidence(suite: &Suite, way: &Way, record: &AttemptRecord) {
    let folder = suite.last_run().unwrap().join(record.artifacts.as_ref().expect(way.name));
    let read = |name: &str| {
        let bytes = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{}: {name}: {error}", way.name));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for name in ["stream.jsonl", "stderr.txt", "events.jsonl", "final-message.txt"] {
        read(&format!("session-1/{name}"));
    }
    let session: serde_json::Value = serde_json::from_str(&read("session-1/session.json")).unwrap();
    assert_ne!(session["state"], "running", "{}", way.name);
    let timings: serde_json::Value = serde_json::from_str(&read("timings.json")).unwrap();
    assert!(timings["total-ms"].as_u64().unwrap() <= record.duration_ms, "{}: {timings}", way.name);
    assert_eq!(timings["sessions"][0]["concluded-ms"].is_u64(), way.fault.is_none(), "{}: {timings}", way.name);
    assert_eq!(timings["sessions"][0]["first-event-ms"].is_u64(), way.name != "mute", "{}: {timings}", way.name);
    let transcripts: Vec<PathBuf> =
        fs::read_dir(folder.join("config/sessions")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(transcripts.len(), 1, "{}", way.name);
    if way.name != "mute" {
        assert_eq!(read("root/work.md"), "begun\n");
        assert!(read("root.diff").ends_with("--- /dev/null\n+++ b/work.md\n@@ -0,0 +1 @@\n+begun\n"), "{}", way.name);
        assert!(read("root.tree").ends_with(" work.md\n"), "{}", way.name);
    }
}

#[test]
fn every_failure_has_its_class_in_time_with_evidence() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let suite = suite();
    for way in WAYS {
        way.add_to(&suite, way.name);
    }
    let finished = suite.host(["run", "passes.wasm", "--jobs", "8"]);
    finished.exits(110);
    for way in WAYS {
        way.check(way.name, &finished);
        let record = record(&finished, way.name);
        let (least, most) = way.takes;
        let took = record.duration_ms;
        println!("{:14} {took:6} ms of {least} to {most}", way.name);
        assert!(least <= took, "{} took {took} ms", way.name);
        evidence(&suite, way, record);
    }
    assert!(finished.fault("loop").message.contains(r#"`look {"at":"the same"}`"#), "{}", finished.fault("loop"));
    println!("the host had {} KiB", finished.peak_memory >> 10);
    assert!((1..=MEMORY).contains(&finished.peak_memory), "the host had {} bytes", finished.peak_memory);
    assert_eq!(suite.leftovers(), [""; 0]);
}

/// Numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % bound as u64).unwrap()
    }
}

#[test]
fn a_hundred_broken_agents_at_once_have_one_verdict_each() {
    const MANY: usize = 100;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let given = std::env::var("FAULTS_SEED").ok().map(|seed| seed.parse().expect("FAULTS_SEED is a number"));
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("again with FAULTS_SEED={seed}");
    let mut random = Random(seed);
    let suite = suite();
    let ways: BTreeMap<String, &Way> = (0..MANY)
        .map(|number| {
            let way = &WAYS[random.below(WAYS.len())];
            let way = LESS.iter().find(|less| less.name == way.name).unwrap_or(way);
            (format!("t{number:02}-{}", way.name), way)
        })
        .collect();
    for (scenario, way) in &ways {
        way.add_to(&suite, scenario);
    }
    let finished = suite.host(["run", "passes.wasm", "--jobs", "100"]);
    finished.exits(110);
    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut summary = None;
    for event in &finished.events {
        match &event.kind {
            EventKind::RunStarted { trials, .. } => {
                let planned: BTreeSet<_> = trials.iter().map(|trial| &trial.id.scenario.0).collect();
                assert_eq!(planned, ways.keys().collect());
            }
            EventKind::TrialFinished { trial: id, verdict, .. } => {
                let ScenarioId(scenario) = &id.scenario;
                *judged.entry(scenario.clone()).or_default() += 1;
                let word = serde_json::to_value(verdict).unwrap()["verdict"].as_str().unwrap().to_owned();
                *words.entry(word).or_default() += 1;
            }
            EventKind::RunFinished { summary: figures } => summary = Some(figures),
            _ => {}
        }
    }
    assert_eq!(judged, ways.keys().map(|scenario| (scenario.clone(), 1)).collect());
    assert_eq!(summary.expect("the last event").verdicts, words);
    for (scenario, way) in &ways {
        way.check(scenario, &finished);
        evidence(&suite, way, record(&finished, scenario));
    }
    println!("the host had {} KiB", finished.peak_memory >> 10);
    assert!((1..=MEMORY).contains(&finished.peak_memory), "the host had {} bytes", finished.peak_memory);
    assert_eq!(suite.leftovers(), [""; 0]);
}

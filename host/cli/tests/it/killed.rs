//! What a host that is killed with `kill -9` leaves, and that the next run says so, removes it and works.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use host_model::EventKind;
use host_report::read_events;
use rustix::process::Signal;

use host_testing::{Finished, Running, Suite, plain_module, plugin, processes, processes_with, repository, wait_until};

/// Kills of one test.
const KILLS: usize = 20;
/// In which no descendant of a killed host is left: what is promised, and what an overloaded machine may take.
const PROMISED: Duration = Duration::from_secs(2);
const OVERLOADED: Duration = Duration::from_secs(30);

/// What an agent does to outlive its host: leaves session and process group, drops its environment, is orphaned twice,
/// ignores SIGTERM, is stopped.
const DAEMONS: &str = "setsid sleep 1000.81 & (cd /; setsid env -i sleep 1000.82 &); \
    ( ( setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000.83; sleep 1000.84' & ) & ); \
    sh -c 'kill -STOP $$' & (while :; do echo x > busy; sleep 0.01; done &)";

/// A suite with a canary, a scenario of this repository, and an agent that leaves daemons and talks.
fn suite() -> Suite {
    let suite = Suite::new();
    let gate = repository().join("scenarios/gate");
    let right = fs::read_to_string(gate.join("agents/right.toml")).unwrap().replace("900ms", "100ms");
    for name in ["README.md", "rate-limit-page.md"] {
        suite.file(&format!("scenarios/gate/root/{name}"), fs::read(gate.join("root").join(name)).unwrap());
    }
    let talk = "[[step]]\nsay = \"on and on\"\n[[step]]\nsleep = \"5ms\"\n".repeat(60);
    suite
        .file("scenarios/suite.toml", "plugins = [\"*.wasm\"]\ncanary = [\"canary\"]\n")
        .file("canary.wasm", plain_module("", ""))
        .file("daemons.wasm", plain_module("", ""))
        .file("gate.wasm", fs::read(plugin("gate")).unwrap())
        .file("scenarios/gate/agents/right.toml", right)
        .scenario("gate", "[grants]\nsession = true\n[fixture]\ngit = true\n")
        .scenario("daemons", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent("daemons", &format!("[[step]]\nshell = '''{DAEMONS}'''\n{talk}"));
    suite
}

/// Numbers that look random, the same ones for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bound.mul_f64((mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64)
    }
}

/// The names in a folder, which need not be there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A run of the canary alone.
fn next(suite: &Suite) -> Finished {
    let finished = suite.host(["run", "canary.wasm"]);
    finished.exits(0).passes("canary");
    finished
}

/// The suite's living processes, those that hide included.
fn living(suite: &Suite) -> Vec<String> {
    let hidden = processes_with("1000.82").into_iter().map(|process| process.display().to_string());
    suite.living().into_iter().chain(hidden).collect()
}

/// Waits until no process of the suite lives.
#[track_caller]
fn until_none_lives(suite: &Suite) {
    let killed = Instant::now();
    while !living(suite).is_empty() {
        assert!(killed.elapsed() < OVERLOADED, "{:#?}", living(suite));
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a killed run's log, which must be sound up to its last full line, has its end.
fn is_finished(log: &Path) -> bool {
    let events: Vec<_> = read_events(BufReader::new(File::open(log).unwrap())).collect::<Result<_, _>>().unwrap();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.seq, place as u64, "{}", log.display());
    }
    assert!(events.first().is_none_or(|event| matches!(event.kind, EventKind::RunStarted { .. })));
    events.last().is_some_and(|event| matches!(event.kind, EventKind::RunFinished { .. }))
}

#[test]
fn the_next_run_reports_and_cleans_up_a_killed_run() {
    let given = std::env::var("HOST_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(since.as_nanos() as u64);
    // Shown when the test fails.
    eprintln!("HOST_TEST_SEED={seed}");
    let mut random = Random(seed);
    let suite = suite();
    let runs = suite.path(".host/runs");
    let begun = Instant::now();
    suite.host(["run"]).exits(0).passes("daemons").passes("gate");
    let whole_run = begun.elapsed();
    let (mut took, mut cut_logs, mut at_work) = (Vec::new(), 0, 0);
    for kill in 0..KILLS {
        let before = names(&runs);
        let running = suite.start(["run"]);
        // Much happens at the beginning; most of a run is waiting for daemons that ignore SIGTERM.
        let delay = random.below(if kill % 4 < 2 { whole_run } else { whole_run / 3 });
        thread::sleep(delay);
        at_work += usize::from(living(&suite).iter().any(|process| process.contains(" supervise ")));
        running.kill();
        let killed = Instant::now();
        if kill % 2 == 0 {
            until_none_lives(&suite);
            took.push(killed.elapsed());
        }
        // Else the next run starts while supervisors are still at work.
        let left = names(&suite.tmp());
        let new: Vec<PathBuf> = names(&runs).difference(&before).map(|run| runs.join(run)).collect();
        let said = next(&suite).stderr;
        let context = format!("kill {kill} after {delay:?} of {whole_run:?}, which left {left:?} and {new:?}:\n{said}");
        for run in new.iter().filter(|run| run.join("events.jsonl").exists()) {
            let name = run.file_name().unwrap().to_str().unwrap();
            if !is_finished(&run.join("events.jsonl")) {
                cut_logs += 1;
                let told = format!("note: run {name} was killed; its event log is complete up to the last full line: ");
                assert!(said.contains(&format!("{told}.host/runs/{name}/events.jsonl\n")), "{context}");
            }
            assert_eq!(said.contains("removed 1 temporary folder of dead runs"), !left.is_empty(), "{context}");
        }
        until_none_lives(&suite);
        assert_eq!(said.contains("note:"), said.contains("removed 1"), "{context}");
        assert_eq!(suite.leftovers(), [""; 0], "{context}");
        let output = names(&suite.path(".host"));
        assert!(output.iter().all(|name| [".gitignore", "latest", "runs"].contains(&name.as_str())), "{output:?}");
        // The run directories are evidence.
        assert!(new.iter().all(|run| run.is_dir()), "{context}");
    }
    took.sort();
    eprintln!(
        "killed {KILLS} times: {at_work} with agents at work, {cut_logs} logs without an end; \
         all dead within {:?} (median), {:?} (most); a whole run takes {whole_run:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert!(at_work > 0 && cut_logs > 0, "no kill fell into the middle of a run");
    assert!(took[took.len() / 2] < PROMISED, "{took:?}");
    assert_eq!(suite.host(["run"]).exits(0).passes("daemons").passes("gate").stderr, "");
    assert_eq!(suite.leftovers(), [""; 0]);
}

/// The roots of the attempts under way.
fn roots(suite: &Suite) -> Vec<PathBuf> {
    let within = |folder: PathBuf| names(&folder).into_iter().map(move |name| folder.join(name)).collect::<Vec<_>>();
    let slots = within(suite.tmp()).into_iter().flat_map(within).filter(|slot| slot.is_dir());
    let attempts = slots.flat_map(within);
    attempts.map(|attempt| attempt.join("root")).filter(|root| root.is_dir()).collect()
}

/// Lets waiting agents go on.
fn go(suite: &Suite) {
    roots(suite).iter().for_each(|root| fs::write(root.join("go"), "").unwrap());
}

/// A run whose agent waits until the file `go` is in its root: it can look nowhere else.
fn waiting<'a>(suite: &'a Suite, args: &[&'static str]) -> Running<'a> {
    let steps = "touch up; until [ -e go ]; do sleep 0.02; done";
    suite
        .file("canary.wasm", plain_module("", ""))
        .file("waiting.wasm", plain_module("", ""))
        .scenario("waiting", "[session]\nprompt = \"go\"\n[grants]\nsession = true\n")
        .agent("waiting", &format!("[[step]]\nshell = '''{steps}'''\n[[step]]\nsay = \"done\"\n"));
    let running = suite.start(["run", "waiting.wasm"].iter().chain(args).copied());
    assert!(wait_until(|| roots(suite).iter().any(|root| root.join("up").exists())), "the agent does not begin");
    running
}

#[test]
fn a_living_run_is_never_swept_even_if_it_is_stopped() {
    let suite = Suite::new();
    let running = waiting(&suite, &[]);
    let workspace = names(&suite.tmp());
    assert_eq!(workspace.len(), 1);
    running.signal(Signal::STOP);
    assert_eq!(next(&suite).stderr, "");
    assert_eq!(names(&suite.tmp()), workspace);
    go(&suite);
    running.signal(Signal::CONT);
    running.finish().exits(0);
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn events_are_logged_while_the_run_continues() {
    let suite = Suite::new();
    let running = waiting(&suite, &[]);
    let log = suite.last_run().unwrap().join("events.jsonl");
    let told = |word: &str| fs::read_to_string(&log).unwrap().contains(word);
    assert!(wait_until(|| told("\"attempt-started\"") && told("\"tool-call\"")));
    running.kill();
    assert!(!is_finished(&log));
    until_none_lives(&suite);
    assert!(next(&suite).stderr.contains("its event log is complete up to the last full line"));
}

#[test]
fn only_the_host_holds_its_workspace_lock() {
    let suite = Suite::new();
    let running = waiting(&suite, &[]);
    let claim = suite.tmp().join(names(&suite.tmp()).first().unwrap()).join("run.json");
    let holders: Vec<PathBuf> = processes()
        .filter(|process| {
            let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            descriptors.filter_map(|it| fs::read_link(it.path()).ok()).any(|file| file == claim)
        })
        .collect();
    assert_eq!(holders, [Path::new("/proc").join(running.pid().to_string())]);
    go(&suite);
    running.finish().exits(0);
}

#[test]
fn kept_directories_survive_a_killed_host() {
    let suite = Suite::new();
    waiting(&suite, &["--keep"]).kill();
    until_none_lives(&suite);
    let workspace = names(&suite.tmp());
    assert_eq!(workspace.len(), 1);
    assert_eq!(next(&suite).stderr, "");
    assert_eq!(names(&suite.tmp()), workspace);
}

#[test]
fn one_of_two_concurrent_runs_cleans_up() {
    let suite = Suite::new();
    waiting(&suite, &[]).kill();
    until_none_lives(&suite);
    let run = suite.last_run().unwrap();
    let dead = run.file_name().unwrap().to_str().unwrap();
    // Which of them shall find what was left is open; their words go to one file each.
    let other = Suite::new();
    other.file("canary.wasm", plain_module("", ""));
    let (tmp, output) = (suite.tmp(), suite.path(".host"));
    let args = ["run", "canary.wasm", "--output", output.to_str().unwrap()];
    let [one, two] = [&suite, &other].map(|at| at.start_with_tmp(&tmp, args));
    let said = [one.finish(), two.finish()].map(|finished| finished.exits(0).stderr.matches(dead).count());
    assert_eq!(said.iter().filter(|count| **count > 0).count(), 1, "{said:?}");
    assert_eq!(suite.leftovers(), [""; 0]);
}

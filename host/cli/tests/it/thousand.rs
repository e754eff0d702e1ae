//! A thousand trials in one run.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use host_model::{EventKind, Verdict};

use host_testing::{Suite, plain_module, probe};

const COPIES: usize = 1000;

#[test]
fn each_of_a_thousand_trials_has_its_own_place_and_verdict() {
    let suite = Suite::new();
    fs::create_dir(suite.path("plugins")).unwrap();
    for number in 0..COPIES {
        fs::copy(probe("probe-noop"), suite.path(&format!("plugins/p{number}.wasm"))).unwrap();
    }
    let finished = suite.host(["run", "plugins/*.wasm"]);
    finished.exits(0);

    let places: Vec<u64> = finished.events.iter().map(|event| event.seq).collect();
    assert_eq!(places, (0..places.len() as u64).collect::<Vec<_>>());
    assert!(finished.events.is_sorted_by_key(|event| event.at_ms));

    // Each trial: planned, started, finished, judged, once and in this order.
    let mut story: HashMap<&str, Vec<&str>> = HashMap::new();
    for event in &finished.events {
        match &event.kind {
            EventKind::RunStarted { trials, .. } => {
                story.extend(trials.iter().map(|trial| (trial.id.scenario.0.as_str(), vec!["planned"])));
            }
            EventKind::AttemptStarted { trial, attempt: 1 } => {
                story.get_mut(trial.scenario.0.as_str()).unwrap().push("started");
            }
            EventKind::AttemptFinished { trial, attempt: 1, record } => {
                assert_eq!(record.kept, None);
                story.get_mut(trial.scenario.0.as_str()).unwrap().push("finished");
            }
            EventKind::TrialFinished { trial, attempts: 1, verdict: Verdict::Pass, .. } => {
                story.get_mut(trial.scenario.0.as_str()).unwrap().push("passed");
            }
            EventKind::LaneOpened { .. } | EventKind::RunFinished { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let told: HashSet<_> = story.values().collect();
    assert_eq!(told, HashSet::from([&vec!["planned", "started", "finished", "passed"]]));
    let names: HashSet<String> = story.keys().map(ToString::to_string).collect();
    assert_eq!(names, (0..COPIES).map(|number| format!("p{number}::noop")).collect());
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn a_thousand_folders_of_few_programs_get_each_its_own_verdict() {
    const PROGRAMS: usize = 20;
    let suite = Suite::new();
    for code in 0..PROGRAMS {
        suite.file(&format!("m{code}.wasm"), plain_module(&format!("(call $proc_exit (i32.const {code}))"), ""));
    }
    let wrong = |number: usize| number.is_multiple_of(50);
    for number in 0..COPIES {
        let (code, folder) = (number % PROGRAMS, format!("t{number}"));
        let expected = if wrong(number) { code + 1 } else { code };
        suite.file(&format!("scenarios/{folder}/data/file"), &folder);
        suite.scenario(
            &folder,
            &format!(
                "plugin = \"m{code}.wasm\"\npreopens = [{{ from = \"data\", to = \"/\" }}]\n\
                 expect = {{ exit-code = {expected} }}"
            ),
        );
    }
    let finished = suite.host(["run", "*.wasm"]);
    finished.exits(100);
    assert_eq!(finished.records().len(), COPIES);
    let mut verdicts = HashMap::new();
    for event in &finished.events {
        if let EventKind::TrialFinished { trial, verdict, .. } = &event.kind {
            assert!(verdicts.insert(trial.scenario.0.clone(), verdict.clone()).is_none(), "{trial} was judged twice");
        }
    }
    for number in 0..COPIES {
        let verdict = &verdicts[&format!("t{number}")];
        assert_eq!(matches!(verdict, Verdict::Fail { .. }), wrong(number), "{number}: {verdict:?}");
        assert_eq!(*verdict == Verdict::Pass, !wrong(number), "{number}: {verdict:?}");
    }
    assert_eq!(suite.leftovers(), [""; 0]);
}

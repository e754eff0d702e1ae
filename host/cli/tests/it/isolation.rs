//! Two attempts at once never share a file.

use std::fs;

use host_testing::{Finished, Suite, probe};

#[test]
fn fifty_attempts_at_once_find_only_their_own_files() {
    let suite = Suite::new();
    for number in 0..50 {
        fs::hard_link(probe("probe-isolation"), suite.path(&format!("isolation-{number}.wasm")))
            .or_else(|_| fs::copy(probe("probe-isolation"), suite.path(&format!("isolation-{number}.wasm"))).map(drop))
            .unwrap();
    }
    let finished = suite.host(["run", "-j", "16", "*.wasm"]);
    finished.exits(0);
    for number in 0..50 {
        finished.passes(&format!("isolation-{number}::isolation"));
    }
    assert_eq!(most_at_once(&finished), 16);
    assert_eq!(suite.leftovers(), [""; 0]);
}

/// How many attempts were under way at the same time.
fn most_at_once(finished: &Finished) -> usize {
    use host_model::EventKind::{AttemptFinished, AttemptStarted};
    let mut under_way = 0_usize;
    let mut most = 0;
    for event in &finished.events {
        match event.kind {
            AttemptStarted { .. } => under_way += 1,
            AttemptFinished { .. } => under_way -= 1,
            _ => {}
        }
        most = most.max(under_way);
    }
    most
}

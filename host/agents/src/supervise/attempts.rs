//! Finds the processes of an attempt's agents.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use memchr::memmem;
use rustix::process::getpid;

use crate::supervise::process_tree::{self, Process};

/// How long a scan of all processes is reused: every attempt needs one per second.
const CACHE_DURATION: Duration = Duration::from_millis(500);

/// The agents that were running at some time.
struct ProcessSnapshot {
    at: Instant,
    agents: Vec<SupervisedAgent>,
}

/// The environment of a supervisor, which is the same as its agent's, and the processes below it.
struct SupervisedAgent {
    environment: Vec<u8>,
    processes: Vec<i32>,
}

static LAST_SNAPSHOT: Mutex<Option<Arc<ProcessSnapshot>>> = Mutex::new(None);

/// The processes of the agents whose environment has a directory below `base`, such as their HOME. Empty if `/proc`
/// cannot be read.
#[must_use]
pub fn attempt_processes(base: &Path) -> Vec<i32> {
    let needle = [b"=".as_slice(), base.as_os_str().as_bytes(), b"/"].concat();
    let belongs = |agent: &&SupervisedAgent| {
        agent.environment.split(|byte| *byte == 0).any(|entry| memmem::find(entry, &needle).is_some())
    };
    snapshot().agents.iter().filter(belongs).flat_map(|agent| agent.processes.iter().copied()).collect()
}

fn snapshot() -> Arc<ProcessSnapshot> {
    // Concurrent callers wait for one scan and share its result.
    let mut last = LAST_SNAPSHOT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(snapshot) = last.as_ref().filter(|snapshot| snapshot.at.elapsed() < CACHE_DURATION) {
        return Arc::clone(snapshot);
    }
    let snapshot = Arc::new(ProcessSnapshot { at: Instant::now(), agents: find_agents() });
    *last = Some(Arc::clone(&snapshot));
    snapshot
}

fn find_agents() -> Vec<SupervisedAgent> {
    let own = getpid().as_raw_nonzero().get();
    let processes = process_tree::find(|it| it.parent == own).unwrap_or_default();
    group(own, &processes)
        .into_iter()
        .map(|(child, processes)| {
            let environment = fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
            SupervisedAgent { environment, processes }
        })
        .collect()
}

/// Groups the descendants of `own` by its child above them. Leaves out the child itself, which is a supervisor.
fn group(own: i32, processes: &[Process]) -> BTreeMap<i32, Vec<i32>> {
    let parents: BTreeMap<i32, i32> = processes.iter().map(|it| (it.pid, it.parent)).collect();
    let mut groups: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in processes {
        let mut child = process.pid;
        // A chain is at most as long as the list; a reused pid could form a loop.
        for _ in 0..parents.len() {
            match parents.get(&child) {
                Some(parent) if *parent != own => child = *parent,
                _ => break,
            }
        }
        if child != process.pid && parents.get(&child) == Some(&own) {
            groups.entry(child).or_default().push(process.pid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_grouped_by_child() {
        let of = |pid, parent| Process::for_test(pid, parent, 1);
        let processes = [of(20, 10), of(30, 10), of(21, 20), of(22, 21), of(31, 30), of(5, 99)];
        let groups = group(10, &processes);
        assert_eq!(groups, BTreeMap::from([(20, vec![21, 22]), (30, vec![31])]));
    }

    #[test]
    fn processes_are_found_by_attempt_directory() {
        let base = tempfile::tempdir().unwrap();
        let mut supervisor = std::process::Command::new("sh")
            .args(["-c", "sleep 30 & sleep 30"])
            .env("HOME", base.path().join("home"))
            .spawn()
            .unwrap();
        let start = Instant::now();
        while attempt_processes(base.path()).len() < 2 {
            assert!(start.elapsed() < Duration::from_secs(60), "the processes were not found");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(attempt_processes(&base.path().join("home")).is_empty());
        let pid = i32::try_from(supervisor.id()).unwrap();
        process_tree::kill_all(|it| it.pid == pid).unwrap();
        supervisor.wait().unwrap();
    }
}

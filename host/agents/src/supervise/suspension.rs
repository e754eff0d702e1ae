//! Stops and continues agents together with the host. Each agent has its own session, so the terminal's stop signal
//! does not reach it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use rustix::process::{Pid, Signal};

use crate::supervise::{
    pids,
    process_tree::{self, Process},
};

/// The running supervisors, by their pids for system calls.
static SUPERVISORS: Mutex<BTreeMap<i32, Process>> = Mutex::new(BTreeMap::new());
/// Held while a supervisor starts, so that no agent starts while all are stopped.
static START_LOCK: RwLock<()> = RwLock::new(());

fn supervisors() -> MutexGuard<'static, BTreeMap<i32, Process>> {
    // Every change is complete by itself.
    SUPERVISORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prevents suspension while the result is held.
pub(crate) fn prevent() -> RwLockReadGuard<'static, ()> {
    START_LOCK.read().unwrap_or_else(PoisonError::into_inner)
}

/// Registers the supervisor `pid`, which was started and not reaped yet.
pub(crate) fn register(pid: i32) {
    if let Some(process) = Pid::from_raw(pid).and_then(pids::proc_pid).and_then(Process::read) {
        supervisors().insert(pid, process);
    }
}

/// Unregisters the supervisor `pid`, which is about to be reaped.
pub(crate) fn unregister(pid: i32) {
    supervisors().remove(&pid);
}

/// Stops all agents with everything they started, calls `stop`, which returns when the host continues, and continues
/// them. Processes that were already stopped stay stopped. Blocks.
pub fn suspend_agents(stop: impl FnOnce()) {
    let _none_starts = START_LOCK.write().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<Process> = supervisors().values().cloned().collect();
    let is_known = |process: &Process| known.iter().any(|known| known.is_same(process));
    let stopped = if known.is_empty() { Vec::new() } else { process_tree::stop_all(is_known) };
    stop();
    for process in &stopped {
        process.signal(Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    /// Whether each process of a tree is stopped.
    fn stopped(root: i32) -> Vec<bool> {
        let tree = process_tree::find(|it| it.pid == root).unwrap();
        tree.iter().map(|it| it.stopped).collect()
    }

    #[test]
    fn a_process_tree_is_stopped_and_continued() {
        // The last one stops itself.
        let script = "sleep 30 & sh -c 'kill -STOP $$; sleep 30' & wait";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let settled = |count| {
            for _ in 0..3000 {
                let states = stopped(root);
                if states.len() == 3 && states.iter().filter(|stopped| **stopped).count() == count {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            panic!("{:?} for {count} stopped", stopped(root));
        };
        settled(1);
        register(root);
        suspend_agents(|| settled(3));
        settled(1);
        unregister(root);
        suspend_agents(|| settled(1));
        process_tree::kill_all(|it| it.pid == root).unwrap();
        child.wait().unwrap();
    }
}

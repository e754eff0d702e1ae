//! Cleans up after supervisors that were killed, by the agent or by the kernel for lack of memory.
//!
//! The agent dies with its supervisor (parent-death signal), but processes the agent started are orphaned. If the host
//! is a subreaper, it becomes their parent. They differ from the host's other children: every agent begins its own
//! session (`setsid`), and no process can return to an earlier session, while supervisors and helpers such as `git`
//! stay in the host's session. All orphans belong to broken sessions, so it does not matter to which one. If the host
//! is not a subreaper, orphans are found by the marker in their environment, if they kept it.
//!
//! Processes that were children of this process before it became `host` (a shell starts a daemon and then executes the
//! host) are not orphans. If the host is the first process of its PID namespace, it also becomes the parent of
//! unrelated orphans; then only those with a marker count.
//!
//! Not covered: an agent that kills supervisor *and* host and whose descendants drop the marker; and one that kills its
//! supervisor where the host is the first process of its namespace. In the latter case the kernel ends all of them with
//! the host.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rustix::process::{WaitOptions, getpid, set_child_subreaper, waitpid};

use crate::supervise::{
    pids,
    process_tree::{self, Process},
};
use host_clock::Instant;

/// Names the session in the environment of its agent, to find leftover processes.
pub const SESSION_MARKER: &str = "HOST_SESSION";

/// Children that this process had before it became `host`.
static INHERITED_CHILDREN: OnceLock<Vec<Process>> = OnceLock::new();

/// Only one sweep may run: it must not wait for a pid that another one reaped and that is in use again.
static SWEEP_LOCK: Mutex<()> = Mutex::new(());

/// Makes this process the parent of orphaned descendants. Call it once, before the first session starts.
///
/// # Errors
/// The kernel refused.
pub fn become_subreaper() -> io::Result<()> {
    // If that fails, no agent can be started either.
    if let Ok(own) = pids::own_process()
        && let Ok(children) = process_tree::find(|process| process.parent == own.pid)
    {
        INHERITED_CHILDREN.get_or_init(|| children);
    }
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills and reaps orphans that the host adopted, and processes marked with `session`, with all their descendants,
/// until none is left or `timeout` has passed. Blocks.
///
/// # Errors
/// Lists the processes that are left.
pub fn kill_orphans(session: Option<&str>, timeout: Duration) -> Result<(), String> {
    let _one_at_a_time = SWEEP_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let marker = session.map(|session| format!("{SESSION_MARKER}={session}"));
    let own = Process::read(pids::own_process()?.pid).ok_or("cannot read the host's own entry in /proc")?;
    let host = HostProcess {
        own,
        is_init: getpid().is_init(),
        inherited: INHERITED_CHILDREN.get().map_or(&[], Vec::as_slice),
    };
    let belongs = |process: &Process| host.has_orphan(process, marker.as_deref());
    let until = Instant::now() + timeout;
    loop {
        let left = process_tree::find(belongs).map_err(|error| format!("cannot list processes: {error}"))?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(process_tree::describe(&left));
        }
        // If listing fails, the next round reports it.
        drop(process_tree::kill_all(belongs));
        for pid in left.iter().filter(|it| it.parent == host.own.pid).filter_map(Process::syscall_pid) {
            // An error means that it is not a child anymore, which is just as good.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The host, as far as it matters to recognize its orphans.
struct HostProcess<'a> {
    own: Process,
    is_init: bool,
    inherited: &'a [Process],
}

impl HostProcess<'_> {
    /// Whether `process` is the root of a tree of orphans. The host's session is 0 if the session leader is outside of
    /// the host's PID namespace, as in a container started by a shell.
    fn has_orphan(&self, process: &Process, marker: Option<&str>) -> bool {
        // A supervisor has its agent's environment, but is in the host's session.
        if process.pid == self.own.pid || process.session == self.own.session {
            return false;
        }
        let is_adopted = || {
            let is_earlier = self.inherited.iter().any(|inherited| inherited.is_same(process));
            !is_earlier && (!self.is_init || process.zombie || process.was_started_with_variable(SESSION_MARKER))
        };
        if process.parent == self.own.pid {
            return is_adopted();
        }
        !process.zombie && marker.is_some_and(|marker| process.was_started_with(marker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_differ_from_the_hosts_children() {
        for session in [0, 7] {
            let inherited = [Process::for_test(14, 10, 14)];
            let host = HostProcess { own: Process::for_test(10, 1, session), is_init: false, inherited: &inherited };
            let has = |pid, parent, session| host.has_orphan(&Process::for_test(pid, parent, session), None);
            assert!(!has(10, 1, session));
            assert!(!has(11, 10, session), "a supervisor");
            assert!(has(12, 10, 12));
            assert!(!has(13, 1, 13), "a child of others");
            assert!(!has(14, 10, 14), "a child from before");
            // No such process exists, so it has no marker.
            let first = HostProcess { is_init: true, ..host };
            assert!(!first.has_orphan(&Process::for_test(i32::MAX, 10, 12), None), "anyone's");
        }
    }
}

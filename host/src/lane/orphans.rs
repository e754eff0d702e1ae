//! What is left when a supervisor itself was killed, by the agent or by the kernel for want of memory.
//!
//! Its agent dies with it (parent-death signal), but what the agent had started is orphaned. When the host is a
//! subreaper it becomes their parent. They can be told from the host's other children: every agent begins a
//! session (`setsid`) of its own, and no process ever gets back into its ancestors' session, while supervisors
//! and the host's helpers (`git`) stay in the host's. All orphans belong to sessions that broke, so it does not
//! matter whose they are. Where the host is no subreaper, the marker in their environment finds those that
//! have kept it.
//!
//! Not covered: an agent that kills supervisor *and* host, and whose descendants drop the marker.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

use super::process_tree::{self, Process};
use crate::clock::Instant;

/// Names the session in the environment of its agent, for whoever must find leftovers.
pub const SESSION_MARKER: &str = "HOST_SESSION";

/// One sweep at a time: a process that it reaps must not be another one's by then.
static SWEEP: Mutex<()> = Mutex::new(());

/// Makes this process the parent of whatever is orphaned below it. The composition root calls this once, before
/// the first session starts.
///
/// # Errors
/// When the kernel refuses.
pub fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills and reaps orphans that the host has adopted, and processes marked with `session`, with all their
/// descendants, until none is left or `patience` is over. Blocks.
///
/// # Errors
/// The processes that are left, for a person.
pub fn kill_orphans(session: Option<&str>, patience: Duration) -> Result<(), String> {
    let _one_at_a_time = SWEEP.lock().unwrap_or_else(PoisonError::into_inner);
    let marker = session.map(|session| format!("{SESSION_MARKER}={session}"));
    let own = Process::read(getpid().as_raw_nonzero().get()).ok_or("cannot read the host's own entry in /proc")?;
    let belongs = |process: &Process| is_orphan(process, &own, marker.as_deref());
    let until = Instant::now() + patience;
    loop {
        let left = process_tree::find(belongs).map_err(|error| format!("cannot list processes: {error}"))?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(process_tree::describe(&left));
        }
        // A failure to list shows in the next round.
        drop(process_tree::kill_all(belongs));
        for orphan in left.iter().filter(|it| it.parent == own.pid) {
            // Not a child any more is as good as reaped.
            let _ = waitpid(Pid::from_raw(orphan.pid), WaitOptions::NOHANG);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether it is the root of a tree of orphans. The host's session is 0 where its leader is outside of the host's PID
/// namespace, as in a container that a shell started.
fn is_orphan(process: &Process, own: &Process, marker: Option<&str>) -> bool {
    // A supervisor has its agent's environment, but it is in the host's session.
    if process.pid == own.pid || process.session == own.session {
        return false;
    }
    process.parent == own.pid || (!process.zombie && marker.is_some_and(|marker| process.was_started_with(marker)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_children_are_told_from_orphans_whatever_its_session_is() {
        for session in [0, 7] {
            let own = Process::for_test(10, 1, session);
            assert!(!is_orphan(&own, &own, None));
            assert!(!is_orphan(&Process::for_test(11, 10, session), &own, None), "a supervisor");
            assert!(is_orphan(&Process::for_test(12, 10, 12), &own, None));
            assert!(!is_orphan(&Process::for_test(13, 1, 13), &own, None), "somebody else's");
        }
    }
}

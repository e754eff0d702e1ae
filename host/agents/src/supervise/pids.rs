//! Pids in `/proc`, and pids for system calls.
//!
//! They differ if `/proc` belongs to another PID namespace than this process, for example after `unshare --pid --fork`
//! without `--mount-proc`. Passing a pid from there to `kill` would then hit an unrelated process. Everything read from
//! `/proc` is compared by its pids there; only [`to_syscall_pid`] converts one for a system call.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::OnceLock,
};

use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnProcess {
    pub(crate) pid: i32,
    /// How many levels its own namespace is below that of `/proc`.
    depth: usize,
}

/// Finds this process in `/proc`.
///
/// # Errors
/// There is no `/proc`, or it belongs to a namespace without this process. The text includes a fix.
pub(crate) fn own_process() -> Result<OwnProcess, String> {
    // A process never changes its PID namespace, but `/proc` may be mounted later.
    static OWN_PROCESS: OnceLock<OwnProcess> = OnceLock::new();
    if let Some(own) = OWN_PROCESS.get() {
        return Ok(*own);
    }
    let link = fs::read_link("/proc/self").map_err(|error| unusable(&error))?;
    let number = link.to_str().and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| unusable(&io::Error::other("the link does not name a process")))?;
    let status = fs::read_to_string("/proc/self/status").map_err(|error| unusable(&error))?;
    let own_pid = getpid().as_raw_nonzero().get();
    let depth = match namespace_pids(&status) {
        Some(numbers) if numbers.first() == Some(&number) && numbers.last() == Some(&own_pid) => numbers.len() - 1,
        // An older kernel does not show them.
        None if number == own_pid => 0,
        _ => return Err(unusable(&io::Error::other(format!("it shows process {own_pid} as {number}")))),
    };
    Ok(*OWN_PROCESS.get_or_init(|| OwnProcess { pid: number, depth }))
}

fn unusable(error: &io::Error) -> String {
    format!(
        "cannot find this process in /proc: {error}\nhelp: mount the /proc of its PID namespace (`mount -t proc proc \
         /proc`, `unshare --mount-proc`)"
    )
}

/// The pid for system calls of this process, given a pid in `/proc`. `None` if the process is not in this process's
/// namespace.
pub(crate) fn to_syscall_pid(proc_pid: i32) -> Option<i32> {
    let own = own_process().ok()?;
    if own.depth == 0 {
        return Some(proc_pid);
    }
    let status = fs::read_to_string(format!("/proc/{proc_pid}/status")).ok()?;
    namespace_pids(&status)?.get(own.depth).copied()
}

/// The pid in `/proc` of a child that is not reaped yet, given its pid for system calls.
pub(crate) fn proc_pid(child: Pid) -> Option<i32> {
    if pids_are_shared() {
        return Some(child.as_raw_nonzero().get());
    }
    pid_of(pidfd_open(child, PidfdFlags::empty()).ok()?.as_fd())
}

/// Whether a handle opened with the pid from [`to_syscall_pid`] belongs to the process that `/proc` lists as
/// `proc_pid`: the same pid may exist in several namespaces.
pub(crate) fn handle_matches(handle: BorrowedFd<'_>, proc_pid: i32) -> bool {
    pids_are_shared() || pid_of(handle) == Some(proc_pid)
}

/// The pid in `/proc` of a handle's process.
fn pid_of(handle: BorrowedFd<'_>) -> Option<i32> {
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).ok()?;
    line(&fdinfo, "Pid:")?.trim().parse().ok()
}

/// Whether pids from `/proc` can be passed to system calls unchanged.
pub(crate) fn pids_are_shared() -> bool {
    own_process().is_ok_and(|own| own.depth == 0)
}

/// The pids of a process in all namespaces from that of `/proc` down to its own.
fn namespace_pids(status: &str) -> Option<Vec<i32>> {
    line(status, "NSpid:")?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_of_all_namespaces_are_parsed() {
        assert_eq!(namespace_pids("Name:\tx\nNSpid:\t4711\t12\t1\nNSpgid:\t4711"), Some(vec![4711, 12, 1]));
        assert_eq!(namespace_pids("Name:\tx\n"), None);
        assert_eq!(namespace_pids("NSpid:\tx\n"), None);
    }

    #[test]
    fn this_process_has_one_pid_in_its_own_proc() {
        let own = own_process().unwrap();
        assert_eq!(to_syscall_pid(own.pid), Some(getpid().as_raw_nonzero().get()));
        let handle = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        assert_eq!(pid_of(handle.as_fd()), Some(own.pid));
    }
}

//! Reads the process tree from `/proc` and kills trees of processes so that none escapes.

use std::{collections::BTreeMap, fs, io, os::fd::AsFd};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::supervise::pids;

/// How many times to scan for processes that were forked while a tree was being stopped.
const STOP_PASSES: usize = 64;

/// A process as `/proc/PID/stat` shows it. All pids are those of `/proc`, see `pids`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Its session (`setsid`).
    pub(crate) session: i32,
    /// Whether it is dead and waits to be reaped.
    pub(crate) zombie: bool,
    /// Whether a signal stopped it.
    pub(crate) stopped: bool,
    pub(crate) name: String,
    /// Clock ticks since boot; distinguishes it from a later process with the same pid.
    started: u64,
}

impl Process {
    /// `None` if there is no such process (anymore).
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat))
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name is in parentheses and may contain parentheses itself: the last one ends it.
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            stopped: *fields.first()? == "T",
            name: head.split_once('(')?.1.to_owned(),
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Sends `signal` to exactly this process, and never to one that has the same pid later or in another namespace.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = self.syscall_pid() else { return };
        let same = || Self::read(self.pid).is_some_and(|now| now.started == self.started);
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Errors mean that it is gone or belongs to another user; the caller will notice.
            Ok(handle) if same() && pids::handle_matches(handle.as_fd(), self.pid) => {
                let _ = pidfd_send_signal(handle, signal);
            }
            Err(rustix::io::Errno::NOSYS) if same() && pids::pids_are_shared() => drop(kill_process(pid, signal)),
            _ => {}
        }
    }

    /// Its pid for system calls, if it has one.
    pub(crate) fn syscall_pid(&self) -> Option<Pid> {
        pids::to_syscall_pid(self.pid).and_then(Pid::from_raw)
    }

    /// Whether `other` is the same process, and not a later one with the same pid.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }

    /// Whether the process was started with the variable `name`, whatever its value.
    pub(crate) fn was_started_with_variable(&self, name: &str) -> bool {
        self.environment_has(|entry| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
    }

    /// Whether the process was started with `entry` (`NAME=VALUE`) in its environment.
    pub(crate) fn was_started_with(&self, entry: &str) -> bool {
        self.environment_has(|found| found == entry.as_bytes())
    }

    fn environment_has(&self, is: impl FnMut(&[u8]) -> bool) -> bool {
        fs::read(format!("/proc/{}/environ", self.pid)).is_ok_and(|environ| environ.split(|byte| *byte == 0).any(is))
    }
}

/// Finds all processes that match `belongs`, and all their descendants, in one scan. Calls `on_found` for each
/// immediately; those in `known` are skipped.
///
/// # Errors
/// `/proc` cannot be listed.
fn scan(
    known: &mut BTreeMap<i32, Process>,
    belongs: &impl Fn(&Process) -> bool,
    on_found: impl Fn(&Process),
) -> io::Result<()> {
    let mut others: Vec<Process> = Vec::new();
    // The kernel lists by pid, so parents mostly come before their children.
    for pid in fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()) {
        if known.contains_key(&pid) {
            continue;
        }
        let Some(process) = Process::read(pid) else { continue };
        if known.contains_key(&process.parent) || belongs(&process) {
            on_found(&process);
            known.insert(pid, process);
        } else {
            others.push(process);
        }
    }
    // After pids have wrapped around, a child may come before its parent.
    loop {
        let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|it| known.contains_key(&it.parent));
        if found.is_empty() {
            return Ok(());
        }
        for process in found {
            on_found(&process);
            known.insert(process.pid, process);
        }
        others = rest;
    }
}

/// Finds all processes that match `belongs`, and all their descendants.
///
/// # Errors
/// `/proc` cannot be listed.
pub(crate) fn find(belongs: impl Fn(&Process) -> bool) -> io::Result<Vec<Process>> {
    let mut known = BTreeMap::new();
    scan(&mut known, &belongs, |_| {})?;
    Ok(known.into_values().collect())
}

/// Sends SIGKILL to all processes that match `belongs`, and to all their descendants. Each one is stopped as soon as it
/// is found, and scans are repeated until they find no new one: a fork bomb would win the race against a plain kill.
///
/// # Errors
/// `/proc` cannot be listed; processes found before are killed nevertheless.
pub(crate) fn kill_all(belongs: impl Fn(&Process) -> bool) -> io::Result<()> {
    let (stopped, result) = stop_trees(&belongs);
    for process in stopped.values() {
        process.signal(Signal::KILL);
    }
    result
}

/// Sends SIGSTOP to all processes that match `belongs`, and to all their descendants. Returns those that were not stopped
/// before.
pub(crate) fn stop_all(belongs: impl Fn(&Process) -> bool) -> Vec<Process> {
    let (found, _) = stop_trees(&belongs);
    found.into_values().filter(|process| !process.stopped && !process.zombie).collect()
}

/// Stops trees of processes. Scans until no new process is found.
fn stop_trees(belongs: &impl Fn(&Process) -> bool) -> (BTreeMap<i32, Process>, io::Result<()>) {
    let mut found = BTreeMap::new();
    let mut result = Ok(());
    for _ in 0..STOP_PASSES {
        let before = found.len();
        result = scan(&mut found, belongs, |process| {
            if !process.stopped {
                process.signal(Signal::STOP);
            }
        });
        if found.len() == before {
            break;
        }
    }
    (found, result)
}

/// Lists at most ten processes for people: `4711 (sleep), 4712 (sh)`.
pub(crate) fn describe(processes: &[Process]) -> String {
    let mut names: Vec<String> = processes.iter().take(10).map(|it| format!("{} ({})", it.pid, it.name)).collect();
    if processes.len() > names.len() {
        names.push(format!("and {} more", processes.len() - names.len()));
    }
    names.join(", ")
}

#[cfg(test)]
impl Process {
    pub(crate) fn for_test(pid: i32, parent: i32, session: i32) -> Self {
        Self { pid, parent, session, zombie: false, stopped: false, name: "p".into(), started: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_parsed_with_any_name() {
        let tail = "S 10 11 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987 0 0";
        let read = Process::parse(5, &format!("5 (a) b (c) {tail}")).unwrap();
        assert_eq!((read.parent, read.session, read.started, read.name.as_str()), (10, 12, 987, "a) b (c"));
        assert_eq!(Process::parse(5, "5 (cut"), None);
        assert_eq!(Process::parse(5, "5 (cut) S 1"), None);
    }

    #[test]
    fn a_tree_includes_all_descendants() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let tree = || find(|it| it.pid == root).unwrap();
        while tree().len() < 2 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill_all(|it| it.pid == root).unwrap();
        child.wait().unwrap();
        assert_eq!(tree(), []);
    }

    #[test]
    fn this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(find(|it| it.pid == own).unwrap().iter().any(|it| it.pid == own && !it.zombie));
        assert!(Process::read(own).unwrap().was_started_with(&format!("PATH={}", std::env::var("PATH").unwrap())));
    }

    #[test]
    fn long_process_lists_are_abbreviated() {
        let many: Vec<_> = (1..=12).map(|pid| Process::for_test(pid, 0, 1)).collect();
        assert!(describe(&many).ends_with("10 (p), and 2 more"));
    }
}

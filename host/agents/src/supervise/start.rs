//! Starts the agent in a supervisor.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    process::{
        Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit, setsid,
    },
};

use crate::confine::ConfinementPlan;

/// The soft limit of open files that programs expect. With the host's own, far higher one, those that close every
/// descriptor take for ever, and `select` breaks.
const OPEN_FILES_LIMIT: u64 = 1024;

/// What `host supervise -- PROGRAM ARGS…` is given.
#[derive(Clone, Debug)]
pub struct SuperviseArgs {
    /// The agent's program; looked up in the environment's `PATH` when it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

pub(super) fn start_agent(args: &SuperviseArgs, stdin: Option<&Path>, mut plan: ConfinementPlan) -> io::Result<i32> {
    // What the standard library says of one that is missing names no file.
    drop(open_null()?);
    let supervisor = getpid();
    let mut command = Command::new(&args.program);
    command.args(&args.args).stdin(Stdio::null());
    let stdin = stdin.map(stdin_path).transpose()?;
    let max = getrlimit(Resource::Nofile).maximum;
    let open_files =
        Rlimit { current: Some(max.map_or(OPEN_FILES_LIMIT, |max| max.min(OPEN_FILES_LIMIT))), maximum: max };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
    unsafe {
        command.pre_exec(move || {
            // Away from the supervisor: `kill 0` in the agent must not reach it. See also `orphans`.
            setsid()?;
            default_signals();
            setrlimit(Resource::Nofile, open_files)?;
            plan.enter()?;
            if let Some(stdin) = &stdin {
                // Only now: another agent of the attempt may have put a link there, or a device. A pipe, which is how
                // ACP gets its requests, is opened without waiting for somebody who writes to it.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let opened = rustix::fs::open(stdin.as_c_str(), flags, Mode::empty())?;
                let kind = FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
                if !matches!(kind, FileType::RegularFile | FileType::Fifo) {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                rustix::fs::fcntl_setfl(&opened, OFlags::empty())?;
                rustix::stdio::dup2_stdin(&opened)?;
            }
            // After that: the kernel forgets it when credentials change.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(supervisor) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// The name of a file that is there, as the kernel takes it.
fn stdin_path(path: &Path) -> io::Result<CString> {
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot open {} as its standard input: {error}", path.display()))
    };
    path.metadata().map_err(context)?;
    CString::new(path.as_os_str().as_bytes()).map_err(|error| context(error.into()))
}

/// Whatever the host was started with (`nohup`), and what is blocked here, does not reach the agent.
fn default_signals() {
    // SAFETY: plain system calls on a set that lives here; unchangeable signals are refused, which is fine.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// The host may itself have been started with open descriptors; they are nothing for an agent.
pub(super) fn close_on_exec_from(first: i32) -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor >= first)
        .collect();
    for descriptor in open {
        // SAFETY: sets a flag; the descriptor of the listing itself is closed by now, which is an error that does
        // not matter.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Its error says what it is about.
fn open_null() -> io::Result<File> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot open /dev/null: {error}")))
}

/// Else the host would not see the agent's streams end while this process lives.
pub(super) fn release_stdio() -> io::Result<()> {
    let null = open_null()?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

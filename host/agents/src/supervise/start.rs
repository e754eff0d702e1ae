//! Starts an agent from its supervisor.

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

/// The soft limit of open files that programs expect. With the host's much higher limit, programs that close every
/// descriptor take forever, and `select` breaks.
const OPEN_FILES_LIMIT: u64 = 1024;

/// The arguments of `host supervise -- PROGRAM ARGS…`.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The agent's program; searched for in `PATH` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

pub(super) fn start_agent(
    args: &SupervisorOptions,
    stdin: Option<&Path>,
    mut plan: ConfinementPlan,
) -> io::Result<i32> {
    // The standard library's error for a missing one does not name the file.
    drop(open_null()?);
    let supervisor = getpid();
    let mut command = Command::new(&args.program);
    command.args(&args.args).stdin(Stdio::null());
    let stdin = stdin.map(stdin_path).transpose()?;
    let max = getrlimit(Resource::Nofile).maximum;
    let open_files =
        Rlimit { current: Some(max.map_or(OPEN_FILES_LIMIT, |max| max.min(OPEN_FILES_LIMIT))), maximum: max };
    // SAFETY: the closure only makes system calls; it neither allocates nor takes locks.
    unsafe {
        command.pre_exec(move || {
            // Away from the supervisor: `kill 0` in the agent must not reach it. See also `orphans`.
            setsid()?;
            default_signals();
            setrlimit(Resource::Nofile, open_files)?;
            plan.enter()?;
            if let Some(stdin) = &stdin {
                // Opened only after confinement: another agent of the attempt may have put a link or a device there. A
                // pipe, which ACP agents read from, is opened without waiting for a writer.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let opened = rustix::fs::open(stdin.as_c_str(), flags, Mode::empty())?;
                let kind = FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
                if !matches!(kind, FileType::RegularFile | FileType::Fifo) {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                rustix::fs::fcntl_setfl(&opened, OFlags::empty())?;
                rustix::stdio::dup2_stdin(&opened)?;
            }
            // Must come last: the kernel clears it when credentials change.
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

/// The path of an existing file as a C string.
fn stdin_path(path: &Path) -> io::Result<CString> {
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot open {} as its standard input: {error}", path.display()))
    };
    path.metadata().map_err(context)?;
    CString::new(path.as_os_str().as_bytes()).map_err(|error| context(error.into()))
}

/// Resets signal handling, so that the agent does not inherit what the host was started with (`nohup`) or what is
/// blocked here.
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

/// The host may have inherited open descriptors, which agents must not receive.
pub(super) fn close_on_exec_from(first: i32) -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor >= first)
        .collect();
    for descriptor in open {
        // SAFETY: sets a flag; the descriptor of the listing itself is closed by now, which is a harmless error.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Opens `/dev/null` with an error that names it.
fn open_null() -> io::Result<File> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot open /dev/null: {error}")))
}

/// Otherwise the host would not see the end of the agent's streams while this process lives.
pub(super) fn release_stdio() -> io::Result<()> {
    let null = open_null()?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

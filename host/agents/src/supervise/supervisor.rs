//! The supervisor of one agent: the host's own binary in a hidden mode.
//!
//! As a *child subreaper*, it becomes the parent of all processes the agent orphans, so it knows its agent's
//! descendants. It survives a `kill -9` of the host: the control socket between the two then closes, which has the same
//! effect as an order to end. It has one thread and no async runtime: the agent's parent-death signal is tied to the
//! thread that forked it, and the supervisor must start within a few milliseconds.
//!
//! Standard input is the control socket. The agent inherits standard output and error, which are never read here, and
//! environment and working directory.
//!
//! | from the supervisor | |
//! |---|---|
//! | `started PID` | the agent runs |
//! | `unconfined WHY` | the kernel cannot enforce the whole confinement; sent before `started` |
//! | `failed MESSAGE` | the agent could not be started; the supervisor exits |
//! | `exited CODE`, `killed SIGNAL` | the agent exited; descendants may live on |
//! | `ending` | the host's order was received: an exit reported before was not caused by it |
//! | `gone` | no descendant is left; the supervisor exits |
//!
//! | from the host | |
//! |---|---|
//! | `start JSON` | see [`StartOrder`]; the first line, written before this process begins |
//! | `end MILLISECONDS` | SIGTERM for all, SIGKILL for those left after that time; may be repeated to shorten it |
//! | end of file | same as `end 0` |
//!
//! Not covered: processes that another service starts at the agent's request (a container daemon, cron, systemd) are
//! not descendants, and processes of another user (setuid) cannot be signaled; the latter are reported.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::FileType,
    process::{
        Signal, WaitOptions, getpid, set_child_subreaper, set_parent_process_death_signal, setpriority_process, wait,
    },
};

use crate::{
    confine::ConfinementPlan,
    supervise::{
        pids,
        process_tree::{self, Process},
        protocol::StartOrder,
        start::{SupervisorOptions, close_on_exec_from, release_stdio, start_agent},
    },
};

/// How long to wait between two rounds of killing; a process in an uninterruptible wait needs time.
const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// If a wait takes this much longer than requested, this process was stopped meanwhile.
const STOPPED_THRESHOLD: Duration = Duration::from_millis(500);

/// Runs an agent until it and all its descendants are gone. Returns the exit code of the supervisor.
#[must_use]
pub fn supervise(args: &SupervisorOptions) -> u8 {
    match Supervisor::prepare().and_then(|supervisor| supervisor.run(args)) {
        Ok(()) => 0,
        Err(error) => {
            // Standard error is still the agent's, and thus recorded.
            drop(writeln!(
                io::stderr(),
                "host supervise: {error}; only `host run` uses this mode, with a control socket"
            ));
            1
        }
    }
}

struct Supervisor {
    control: UnixStream,
    /// The agent's pid until it is reaped; a descendant may have the same pid afterwards.
    agent: Option<i32>,
    /// Whether the order to end was acknowledged.
    end_acknowledged: bool,
    /// Readable when a child exits or a signal asks this process to end.
    signals: File,
    inbox: Vec<u8>,
    /// When SIGKILL begins; `None` until the end is requested.
    kill_at: Option<Instant>,
    /// Whether the host may still send orders.
    host_connected: bool,
}

impl Supervisor {
    fn prepare() -> io::Result<Self> {
        let control = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
        if !FileType::from_raw_mode(rustix::fs::fstat(&control)?.st_mode).is_socket() {
            return Err(io::Error::other("standard input is not a control socket"));
        }
        // Without it, the descendants of an agent could not be ended.
        pids::own_process().map_err(io::Error::other)?;
        set_child_subreaper(Some(getpid()))?;
        // An agent may stop its supervisor; the kernel continues it when the host dies.
        set_parent_process_death_signal(Some(Signal::CONT))?;
        close_on_exec_from(3)?;
        Ok(Self {
            control: UnixStream::from(control),
            agent: None,
            end_acknowledged: false,
            signals: watch_signals()?,
            inbox: Vec::new(),
            kill_at: None,
            host_connected: true,
        })
    }

    fn run(mut self, args: &SupervisorOptions) -> io::Result<()> {
        let order = self.read_start_order()?;
        let agent = match self.start(args, &order) {
            Ok(pid) => pid,
            Err(why) => {
                self.report(&format!("failed {why}"));
                return Ok(());
            }
        };
        self.agent = Some(agent);
        self.report(&format!("started {agent}"));
        release_stdio()?;
        // An order may have been sent together with the start order.
        self.process_orders()?;
        while self.reap()? {
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                // On a busy machine, fifty forking processes would get fifty times the supervisor's CPU share. If
                // raising the priority is not allowed, the race takes longer.
                let _ = setpriority_process(None, -20);
                // If listing fails, the next round tries again: giving up would let all of them go.
                let _ = process_tree::kill_all(is_own_child);
            }
            self.wait()?;
        }
        self.report("gone");
        Ok(())
    }

    /// Starts the agent. An error describes why it did not start.
    fn start(&mut self, args: &SupervisorOptions, order: &StartOrder) -> Result<i32, String> {
        let StartOrder { confinement, stdin } = order;
        (confinement.enter_view())
            .map_err(|error| format!("cannot hide the directories of other attempts from it: {error}"))?;
        let plan = ConfinementPlan::prepare(confinement, Path::new(&args.program))?;
        if let Some(why) = &plan.unconfined {
            self.report(&format!("unconfined {why}"));
        }
        start_agent(args, stdin.as_deref().map(Path::new), plan).map_err(|error| error.to_string())
    }

    /// Reads the first line from the host.
    fn read_start_order(&mut self) -> io::Result<StartOrder> {
        let mut buffer = [0; 4 << 10];
        loop {
            if let Some(line) = self.take_line() {
                let order = line.strip_prefix(b"start ").and_then(|order| serde_json::from_slice(order).ok());
                return order
                    .ok_or_else(|| io::Error::other("the control socket does not begin with an order to start"));
            }
            match self.control.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the control socket ends without an order to start")),
                Ok(read) => self.inbox.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reaps exited children. Returns whether a child is left. Orphaned descendants become children, so no child means
    /// no descendant.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if self.agent == Some(pid.as_raw_nonzero().get()) => {
                    self.agent = None;
                    if let Some(code) = status.exit_status() {
                        self.report(&format!("exited {code}"));
                    } else if let Some(signal) = status.terminating_signal() {
                        self.report(&format!("killed {signal}"));
                    }
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(true),
                Err(rustix::io::Errno::CHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a signal, an order or the next deadline.
    fn wait(&mut self) -> io::Result<()> {
        let wanted = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()).max(KILL_INTERVAL));
        let timeout =
            wanted.map(|it| Timespec { tv_sec: it.as_secs().cast_signed(), tv_nsec: it.subsec_nanos().into() });
        let mut ready = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if self.host_connected {
            ready.push(PollFd::new(&self.control, PollFlags::IN));
        }
        let began = Instant::now();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if let (Some(at), Some(wanted)) = (&mut self.kill_at, wanted) {
            // The supervisor and the agent were stopped; that time does not count as grace.
            let over = began.elapsed().saturating_sub(wanted);
            *at += if over > STOPPED_THRESHOLD { over } else { Duration::ZERO };
        }
        let signalled = !ready[0].revents().is_empty();
        let ordered = ready.get(1).is_some_and(|it| !it.revents().is_empty());
        if signalled && self.end_requested()? {
            self.end_after(Duration::ZERO);
        }
        if ordered {
            self.read_orders()?;
        }
        Ok(())
    }

    /// Empties the signal queue. Returns whether a signal asked for the end.
    fn end_requested(&mut self) -> io::Result<bool> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut requested = false;
        let mut buffer = [0; SIZE];
        loop {
            match self.signals.read(&mut buffer) {
                // `ssi_signo` is the first field.
                Ok(SIZE) => requested |= buffer[..4] != (libc::SIGCHLD as u32).to_ne_bytes(),
                Ok(_) => return Ok(requested),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(requested),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read_orders(&mut self) -> io::Result<()> {
        let mut buffer = [0; 256];
        match self.control.read(&mut buffer) {
            Ok(read) if read > 0 => self.inbox.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The host is gone, or pretends to be.
            _ => {
                self.host_connected = false;
                self.end_after(Duration::ZERO);
            }
        }
        self.process_orders()
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.inbox.iter().position(|byte| *byte == b'\n')?;
        Some(self.inbox.drain(..=end).collect())
    }

    /// Executes the complete orders received so far.
    fn process_orders(&mut self) -> io::Result<()> {
        while let Some(line) = self.take_line() {
            let grace = String::from_utf8_lossy(&line).trim().strip_prefix("end ").and_then(|it| it.parse().ok());
            if !self.end_acknowledged {
                // An agent that has already exited was not ended by the order.
                self.reap()?;
                self.report("ending");
                self.end_acknowledged = true;
            }
            self.end_after(Duration::from_millis(grace.unwrap_or(0)));
        }
        Ok(())
    }

    fn end_after(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        if self.kill_at.is_none() && !grace.is_zero() {
            for process in process_tree::find(is_own_child).unwrap_or_default() {
                process.signal(Signal::TERM);
                // A stopped process only handles SIGTERM after it continues.
                process.signal(Signal::CONT);
            }
        }
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
    }

    /// Sends a line to the host. If the host is gone, the end of the socket will show that.
    fn report(&mut self, line: &str) {
        let line = line.replace('\n', " ");
        drop(self.control.write_all(format!("{line}\n").as_bytes()));
    }
}

/// Matches the roots of the trees to end.
fn is_own_child(process: &Process) -> bool {
    pids::own_process().is_ok_and(|own| process.parent == own.pid)
}

fn watch_signals() -> io::Result<File> {
    // SAFETY: plain system calls on a set that lives here; the descriptor is new and has no other owner.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(File::from(OwnedFd::from_raw_fd(descriptor))),
        }
    }
}

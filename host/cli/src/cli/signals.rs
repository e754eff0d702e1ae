use std::sync::{Arc, Mutex, PoisonError};

use host_core::{app::Stop, runner::Signal};
use host_report::LiveLines;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// What signals act on.
#[derive(Clone, Default)]
pub(super) struct Stopping {
    stop: Stop,
    /// The live lines that are cleared from the terminal while the process is suspended.
    lines: Arc<Mutex<Option<LiveLines>>>,
}

impl Stopping {
    /// Requested by the first signal that ends the process.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// From now on `lines` are on the terminal.
    pub(super) fn clears(&self, lines: Option<LiveLines>) {
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }
}

/// The signals that end a run, or request its status, as they arrive. One that ends it is received before `stopping` is
/// requested.
///
/// A SIGHUP that was ignored at the start stays ignored: `nohup host run` must outlive its terminal.
pub(super) fn signals(stopping: &Stopping) -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(4);
    let stop = |name: &str| Signal::Stop(name.to_owned());
    let ignored = ignored();
    for (kind, meaning) in [
        (SignalKind::interrupt(), stop("SIGINT")),
        (SignalKind::terminate(), stop("SIGTERM")),
        (SignalKind::quit(), stop("SIGQUIT")),
        (SignalKind::hangup(), stop("SIGHUP")),
        (SignalKind::user_defined1(), Signal::Status),
    ] {
        if kind == SignalKind::hangup() && ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
            continue;
        }
        let mut arrived = signal(kind)?;
        let (sender, stopping) = (sender.clone(), stopping.clone());
        tokio::spawn(async move {
            while arrived.recv().await.is_some() {
                // Status requests leave space for stop requests, which are not received while a run is being prepared.
                if meaning == Signal::Status && sender.capacity() <= 2 {
                    continue;
                }
                // The receiver is gone once the run is over and its reports are written.
                let _ = sender.send(meaning.clone()).await;
                if matches!(meaning, Signal::Stop(_)) {
                    stopping.stop.request();
                    host_report::interrupt();
                }
            }
        });
    }
    if ignored & (1 << (libc::SIGTSTP - 1)) == 0 {
        let mut arrived = signal(SignalKind::from_raw(libc::SIGTSTP))?;
        let lines = Arc::clone(&stopping.lines);
        tokio::spawn(async move {
            while arrived.recv().await.is_some() {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Where no thread can be started the signal has no effect.
                let _ = tokio::task::spawn_blocking(move || suspend(lines.as_ref())).await;
            }
        });
    }
    Ok(receiver)
}

/// Ctrl-Z: stops the agents and then this process, and continues the agents when it is continued.
fn suspend(lines: Option<&LiveLines>) {
    host_agents::suspend_agents(|| match lines {
        Some(lines) => lines.suspend(stop_this_process),
        None => stop_this_process(),
    });
}

/// As the kernel does it by default: nothing happens in a process group that could not be continued.
fn stop_this_process() {
    // SAFETY: system calls on values that live here. The handler is put back as it was. The signal is this thread's own,
    // so that all threads are stopped before `raise` returns.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        let mut handler: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGTSTP, &raw const default, &raw mut handler) == 0 {
            libc::raise(libc::SIGTSTP);
            libc::sigaction(libc::SIGTSTP, &raw const handler, std::ptr::null_mut());
        }
    }
}

/// The signals that this process ignores, signal 1 in the lowest bit; none where that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

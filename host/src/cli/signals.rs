use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::runner::Signal;

/// Whether a signal has asked for the end: for what is under way and cannot wait for signals.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Whether it has.
    pub(super) fn is_asked_for(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Asks for the end.
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The signals that end a run, or ask what it is at, as they arrive. One that ends it is there when `stopping` says so.
///
/// A SIGHUP that was ignored from the start stays so: `nohup host run` is to outlive its terminal.
pub(super) fn signals(stopping: &Stopping) -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(4);
    let stop = |name: &str| Signal::Stop(name.to_owned());
    let ignored = ignored();
    for (kind, meaning) in [
        (SignalKind::interrupt(), stop("SIGINT")),
        (SignalKind::terminate(), stop("SIGTERM")),
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
                if sender.send(meaning.clone()).await.is_err() {
                    return;
                }
                if matches!(meaning, Signal::Stop(_)) {
                    stopping.ask();
                }
            }
        });
    }
    Ok(receiver)
}

/// The signals that this process ignores, signal 1 in the lowest bit; none where that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

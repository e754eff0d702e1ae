use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::runner::Signal;

/// The signals that end a run, or ask what it is at, as they arrive.
///
/// A SIGHUP that was ignored from the start stays so: `nohup host run` is to outlive its terminal.
pub(super) fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
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
        let sender = sender.clone();
        tokio::spawn(async move {
            while arrived.recv().await.is_some() {
                if sender.send(meaning.clone()).await.is_err() {
                    return;
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

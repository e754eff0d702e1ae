use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::runner::Signal;

/// The signals that end a run, or ask what it is at, as they arrive.
pub(super) fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(4);
    let stop = |name: &str| Signal::Stop(name.to_owned());
    for (kind, meaning) in [
        (SignalKind::interrupt(), stop("SIGINT")),
        (SignalKind::terminate(), stop("SIGTERM")),
        (SignalKind::hangup(), stop("SIGHUP")),
        (SignalKind::user_defined1(), Signal::Status),
    ] {
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

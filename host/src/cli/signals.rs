use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// The names of the signals that ask the run to end, as they arrive.
pub(super) fn interruptions() -> std::io::Result<mpsc::Receiver<String>> {
    let (names, receiver) = mpsc::channel(4);
    for (kind, name) in
        [(SignalKind::interrupt(), "SIGINT"), (SignalKind::terminate(), "SIGTERM"), (SignalKind::hangup(), "SIGHUP")]
    {
        let mut arrived = signal(kind)?;
        let names = names.clone();
        tokio::spawn(async move {
            while arrived.recv().await.is_some() {
                if names.send(name.to_owned()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::runner::Signal;

/// Asks a function to end early. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<State>);

#[derive(Debug)]
struct State {
    requested: watch::Sender<bool>,
    /// Whether something has to be cleaned up before the process ends.
    held: watch::Sender<bool>,
}

impl Default for State {
    fn default() -> Self {
        Self { requested: watch::Sender::new(false), held: watch::Sender::new(false) }
    }
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        self.0.requested.send_replace(true);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.requested.borrow()
    }

    /// Waits until the end is asked for.
    pub(super) async fn requested(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.requested.subscribe().wait_for(|requested| *requested).await;
    }

    /// Waits until the function that was asked to end has removed its temporary folders and ended its agents.
    pub async fn cleaned_up(&self) {
        let _ = self.0.held.subscribe().wait_for(|held| !held).await;
    }

    /// Marks that something has to be cleaned up until the returned value is dropped. `None` when the end was asked for:
    /// then nothing of that kind may begin.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        self.0.held.send_replace(true);
        let held = Held(&self.0.held);
        (!self.is_requested()).then_some(held)
    }
}

/// Something has to be cleaned up as long as this exists.
pub(super) struct Held<'a>(&'a watch::Sender<bool>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// How a run learns that it has to end, or to report its status.
#[derive(Debug)]
pub struct Interrupts {
    /// Signals for the run, in the order of their arrival.
    pub signals: mpsc::Receiver<Signal>,
    /// Requested together with the first [`Signal::Stop`]: for work that cannot wait for `signals`.
    pub stop: Stop,
}

impl Interrupts {
    /// Never interrupts the run.
    #[must_use]
    pub fn never() -> Self {
        Self { signals: mpsc::channel(1).1, stop: Stop::default() }
    }
}

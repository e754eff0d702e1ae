//! Holds conversations at their beginning: all that wait here are alive at the same time.

use std::collections::BTreeSet;

use tokio::sync::watch;

/// Open until it is closed.
#[derive(Debug, Default)]
pub(super) struct Gate(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// The openings of the conversations that have come.
    waiting: BTreeSet<String>,
}

impl Gate {
    pub(super) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }

    pub(super) fn open(&self) {
        self.0.send_modify(|state| state.closed = false);
    }

    /// Waits until so many conversations wait.
    pub(super) async fn holds(&self, count: usize) {
        // The sender is here: this is no error.
        drop(self.0.subscribe().wait_for(|state| state.waiting.len() >= count).await);
    }

    /// Waits until the gate is open. A conversation that asks again, by the same words, is the same one.
    pub(super) async fn pass(&self, conversation: String) {
        let mut state = self.0.subscribe();
        if state.borrow().closed {
            self.0.send_modify(|state| {
                state.waiting.insert(conversation);
            });
            drop(state.wait_for(|state| !state.closed).await);
        }
    }
}

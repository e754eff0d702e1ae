//! Records what an agent writes to stderr.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{dialect::TurnState, session::journal::Journal};
use host_model::RedactingStream;

/// How many bytes of stderr a fault's message shows.
const STDERR_TAIL: usize = 4 << 10;
/// Holds only the journal and the turn's state: if a surviving descendant keeps stderr open, nothing else waits for it.
pub(super) async fn record_stderr(
    mut stderr: impl AsyncRead + Unpin,
    mut redacted: RedactingStream,
    journal: Arc<Mutex<Journal>>,
    state: Arc<Mutex<TurnState>>,
) {
    let record = |bytes: &[u8]| {
        Journal::with(&journal, |journal| journal.record.stderr(bytes));
        TurnState::with(&state, |state| {
            state.stderr.extend_from_slice(bytes);
            let surplus = state.stderr.len().saturating_sub(STDERR_TAIL);
            state.stderr.drain(..surplus);
        });
    };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        record(&redacted.push(&buffer[..read]));
    }
    record(&redacted.finish());
}

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::runner::{executor::AttemptEvents, timings::Timings};
use host_model::{Report, SessionEvent, SessionEventKind, Usage};

/// What of one session goes into the event log; its record has it all.
const MAX_LOGGED_EVENTS: u64 = 5_000;
const MAX_LOGGED_BYTES: usize = 8 << 20;

/// Sends the events of a session to the dispatcher, up to a limit, and returns the last usage.
pub(super) async fn forward(
    mut received: mpsc::Receiver<SessionEvent>,
    events: AttemptEvents,
    session: u32,
    timings: Arc<Timings>,
) -> Usage {
    let (mut told, mut bytes, mut cut) = (0_u64, 0_usize, 0_u64);
    let mut usage = Usage::default();
    let mut spoke = false;
    while let Some(event) = received.recv().await {
        if !std::mem::replace(&mut spoke, true) {
            timings.session_spoke(session as usize);
        }
        if let SessionEventKind::Usage(known) = &event.kind {
            usage = known.clone();
        }
        bytes = bytes.saturating_add(weight(&event.kind));
        if told < MAX_LOGGED_EVENTS && bytes <= MAX_LOGGED_BYTES {
            told += 1;
            events.session(session, event).await;
        } else {
            cut += 1;
        }
    }
    if cut > 0 {
        let what = format!("{cut} more events of session {session} are only in its record");
        events.report(Report::Cut { what }).await;
    }
    usage
}

/// About how many bytes an event takes in the log.
fn weight(kind: &SessionEventKind) -> usize {
    match kind {
        SessionEventKind::Message { text } => text.len(),
        SessionEventKind::ToolCall { name, input, .. } => name.len() + input.to_string().len(),
        SessionEventKind::ToolResult { output, .. } => output.len(),
        SessionEventKind::Raw { line } => line.len(),
        SessionEventKind::BackOff(back_off) => back_off.reason.len(),
        SessionEventKind::Started { .. } | SessionEventKind::Usage(_) => 64,
    }
}

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use super::text::{fitted_record, fitted_report};
use host_model::{AttemptRecord, Redactor, Report, SessionEvent};
use host_suite::plan::PlannedTrial;

/// Carries out attempts. [`AttemptExecutor`](super::AttemptExecutor) runs components; tests use another one.
pub trait Executor: Send + Sync + 'static {
    /// Carries out one attempt of `trial`. It ends early, as cancelled, when `stop` changes. On return nothing of the
    /// attempt is left: no process, and no directory unless it is kept.
    fn execute<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        attempt: u32,
        events: &'a AttemptEvents,
        stop: watch::Receiver<StopRequest>,
    ) -> Executing<'a>;

    /// `trial` has its verdict: no other attempt of it follows.
    fn trial_finished(&self, _trial: &PlannedTrial) {}
}

/// The future of an attempt.
pub type Executing<'a> = Pin<Box<dyn Future<Output = AttemptRecord> + Send + 'a>>;

/// Whether the run has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopRequest {
    /// It goes on.
    None,
    /// It ends: agents are asked to stop, and get a little time.
    Graceful,
    /// It ends immediately.
    Kill,
}

/// Sends the events of an attempt to the dispatcher.
#[derive(Clone)]
pub struct AttemptEvents {
    pub(super) trial: usize,
    pub(super) attempt: u32,
    pub(super) messages: mpsc::Sender<Message>,
    /// Removes the secrets of the attempt.
    pub(super) redactor: Redactor,
}

/// A message of an attempt to the dispatcher.
pub(super) struct Message {
    pub(super) trial: usize,
    pub(super) attempt: u32,
    pub(super) kind: MessageKind,
}

pub(super) enum MessageKind {
    /// Requests to start. Nothing of the attempt exists before the answer.
    Starting(oneshot::Sender<()>),
    Session {
        session: u32,
        event: Box<SessionEvent>,
    },
    Reported(Report),
    /// The component, or an earlier session of the attempt, changed what the next agent starts with.
    SetupChanged,
    Finished(Box<AttemptRecord>),
}

impl AttemptEvents {
    /// The same, without the secrets that `redactor` knows.
    pub(super) fn redacted(&self, redactor: Redactor) -> Self {
        Self { redactor, ..self.clone() }
    }

    /// Sends an event of the attempt's session number `session`, from 1.
    pub async fn session(&self, session: u32, mut event: SessionEvent) {
        // The lane's secrets are removed already; the component may have told the agent those of the scenario's grants.
        event.kind = self.redactor.event(event.kind);
        self.send(MessageKind::Session { session, event: Box::new(event) }).await;
    }

    /// Sends a report of the component, or of the host about it.
    pub async fn report(&self, report: Report) {
        self.send(MessageKind::Reported(fitted_report(self.redactor.report(report)))).await;
    }

    /// Sends that a fault of the next session says nothing about the lane.
    pub(super) async fn setup_changed(&self) {
        self.send(MessageKind::SetupChanged).await;
    }

    /// Without a dispatcher the run is over, and the message is dropped.
    async fn send(&self, kind: MessageKind) {
        let _ = self.messages.send(Message { trial: self.trial, attempt: self.attempt, kind }).await;
    }
}

/// One attempt from handshake to record. A panic of the executor ends this task: the dispatcher sees that it ended without
/// a record.
pub(super) async fn attempt(
    executor: Arc<dyn Executor>,
    trial: Arc<PlannedTrial>,
    events: AttemptEvents,
    stop: watch::Receiver<StopRequest>,
) {
    let (leave, granted) = oneshot::channel();
    events.send(MessageKind::Starting(leave)).await;
    if granted.await.is_err() {
        return;
    }
    let record = executor.execute(&trial, events.attempt, &events, stop).await;
    events.send(MessageKind::Finished(Box::new(fitted_record(record)))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::SessionEventKind;

    #[tokio::test]
    async fn reports_do_not_show_secrets() {
        let (messages, mut told) = mpsc::channel(1);
        let events = AttemptEvents { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        let redactor = Redactor::new(["s3cr3t-value".to_owned()]).unwrap();
        events.redacted(redactor).report(Report::Note { text: "it is s3cr3t-value".into() }).await;
        let MessageKind::Reported(report) = told.recv().await.unwrap().kind else { panic!("it is a report") };
        assert_eq!(report, Report::Note { text: "it is ***".into() });
    }

    #[tokio::test]
    async fn reports_are_limited() {
        let (messages, mut told) = mpsc::channel(1);
        let events = AttemptEvents { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        events.report(Report::Denied { what: "x".repeat(1 << 20) }).await;
        let MessageKind::Reported(report) = told.recv().await.unwrap().kind else { panic!("it is a report") };
        assert!(serde_json::to_string(&report).unwrap().len() < 70_000);
    }

    #[tokio::test]
    async fn session_events_do_not_show_granted_secrets() {
        let (messages, mut told) = mpsc::channel(1);
        let events = AttemptEvents { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        let redactor = Redactor::new(["s3cr3t-value".to_owned()]).unwrap();
        let kind = SessionEventKind::Message { text: "you said s3cr3t-value".into() };
        events.redacted(redactor).session(1, SessionEvent { at_ms: 0, kind }).await;
        let MessageKind::Session { event, .. } = told.recv().await.unwrap().kind else { panic!("it is of a session") };
        assert_eq!(event.kind, SessionEventKind::Message { text: "you said ***".into() });
    }
}

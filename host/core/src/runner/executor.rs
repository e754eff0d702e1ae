use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use super::text::{fitted_record, fitted_report};
use host_model::{AttemptRecord, Redactor, Report, SessionEvent};
use host_suite::plan::PlannedTrial;

/// Carries out attempts. The real one runs components; tests have one that does not.
pub trait Executor: Send + Sync + 'static {
    /// Carries out one attempt of `trial`. When `stop` changes it ends early, as cancelled. On return nothing
    /// of the attempt is left: no process, no directory, unless kept.
    fn execute<'a>(
        &'a self,
        trial: &'a PlannedTrial,
        attempt: u32,
        feed: &'a Feed,
        stop: watch::Receiver<Stop>,
    ) -> Executing<'a>;

    /// `trial` has its verdict, and no attempt of it follows.
    fn over(&self, _trial: &PlannedTrial) {}
}

/// An attempt under way.
pub type Executing<'a> = Pin<Box<dyn Future<Output = AttemptRecord> + Send + 'a>>;

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It does.
    No,
    /// It ends: agents are asked to stop and given a little time.
    Ask,
    /// It ends at once.
    Kill,
}

/// How an attempt tells the dispatcher what happens.
#[derive(Clone)]
pub struct Feed {
    pub(super) trial: usize,
    pub(super) attempt: u32,
    pub(super) messages: mpsc::Sender<Message>,
    /// What nobody may be told.
    pub(super) redactor: Redactor,
}

/// What attempts tell the dispatcher.
pub(super) struct Message {
    pub(super) trial: usize,
    pub(super) attempt: u32,
    pub(super) kind: MessageKind,
}

pub(super) enum MessageKind {
    /// Asks for leave to start; nothing of the attempt exists before it is given.
    Starting(oneshot::Sender<()>),
    Session {
        session: u32,
        event: Box<SessionEvent>,
    },
    Reported(Report),
    /// The component, or an earlier session of the attempt, had a hand in what the next agent starts with.
    Touched,
    Finished(Box<AttemptRecord>),
}

impl Feed {
    /// The same, and it tells nothing that `redactor` knows. What sessions say is looked through where it comes in.
    pub(super) fn redacted(&self, redactor: Redactor) -> Self {
        Self { redactor, ..self.clone() }
    }

    /// Tells of an event of the attempt's session number `session`, from 1.
    pub async fn session(&self, session: u32, mut event: SessionEvent) {
        // Its lane's secrets are out of it; those of the scenario's grants the component may have told the agent.
        event.kind = self.redactor.event(event.kind);
        self.send(MessageKind::Session { session, event: Box::new(event) }).await;
    }

    /// Tells of something that the component, or the host about it, reports.
    pub async fn report(&self, report: Report) {
        self.send(MessageKind::Reported(fitted_report(self.redactor.report(report)))).await;
    }

    /// Tells that a fault of the next session says nothing about the lane.
    pub(super) async fn touched(&self) {
        self.send(MessageKind::Touched).await;
    }

    /// Without a dispatcher the run is over, and nobody needs to know any more.
    async fn send(&self, kind: MessageKind) {
        let _ = self.messages.send(Message { trial: self.trial, attempt: self.attempt, kind }).await;
    }
}

/// One attempt from handshake to record. A panic of the executor ends this task, and the dispatcher sees the
/// task end without a record.
pub(super) async fn attempt(
    executor: Arc<dyn Executor>,
    trial: Arc<PlannedTrial>,
    feed: Feed,
    stop: watch::Receiver<Stop>,
) {
    let (leave, granted) = oneshot::channel();
    feed.send(MessageKind::Starting(leave)).await;
    if granted.await.is_err() {
        return;
    }
    let record = executor.execute(&trial, feed.attempt, &feed, stop).await;
    feed.send(MessageKind::Finished(Box::new(fitted_record(record)))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::SessionEventKind;

    #[tokio::test]
    async fn a_report_of_a_secret_does_not_show_it() {
        let (messages, mut told) = mpsc::channel(1);
        let feed = Feed { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        let redactor = Redactor::new(["s3cr3t-value".to_owned()]).unwrap();
        feed.redacted(redactor).report(Report::Note { text: "it is s3cr3t-value".into() }).await;
        let MessageKind::Reported(report) = told.recv().await.unwrap().kind else { panic!("it is a report") };
        assert_eq!(report, Report::Note { text: "it is ***".into() });
    }

    #[tokio::test]
    async fn a_report_is_bounded_whoever_makes_it() {
        let (messages, mut told) = mpsc::channel(1);
        let feed = Feed { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        feed.report(Report::Denied { what: "x".repeat(1 << 20) }).await;
        let MessageKind::Reported(report) = told.recv().await.unwrap().kind else { panic!("it is a report") };
        assert!(serde_json::to_string(&report).unwrap().len() < 70_000);
    }

    #[tokio::test]
    async fn a_secret_that_the_component_has_told_the_agent_is_in_no_event_of_the_session() {
        let (messages, mut told) = mpsc::channel(1);
        let feed = Feed { trial: 0, attempt: 1, messages, redactor: Redactor::default() };
        let redactor = Redactor::new(["s3cr3t-value".to_owned()]).unwrap();
        let kind = SessionEventKind::Message { text: "you said s3cr3t-value".into() };
        feed.redacted(redactor).session(1, SessionEvent { at_ms: 0, kind }).await;
        let MessageKind::Session { event, .. } = told.recv().await.unwrap().kind else { panic!("it is of a session") };
        assert_eq!(event.kind, SessionEventKind::Message { text: "you said ***".into() });
    }
}

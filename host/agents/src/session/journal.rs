//! The state of a running session, across all of its turns.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    lane::{Remarks, SessionLimits},
    session::{
        observer::Observer,
        record::{Record, SessionSummary, TurnSummary},
    },
};
use host_model::{Redactor, SessionEvent, SessionEventKind};

#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) started: Instant,
    pub(crate) record: Record,
    pub(crate) summary: SessionSummary,
    pub(crate) final_message: String,
    /// Redacts the agent's output before it is recorded or reported.
    pub(crate) redactor: Redactor,
    pub(crate) notes: Vec<String>,
}

impl Journal {
    pub(crate) fn new(record: Record, summary: SessionSummary, redactor: Redactor) -> Self {
        let (final_message, notes) = (String::new(), Vec::new());
        Self { started: Instant::now(), record, summary, final_message, redactor, notes }
    }

    pub(crate) fn with<T>(this: &Mutex<Self>, with: impl FnOnce(&mut Self) -> T) -> T {
        with(&mut this.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn save(&mut self) {
        self.summary.duration_ms = self.now_ms();
        let Self { record, summary, final_message, .. } = self;
        record.summary(summary, final_message);
    }

    /// Counts a line that is damaged, or of which no event contains `omitted_bytes` bytes.
    pub(crate) fn count_partial_line(&mut self, omitted_bytes: u64, damaged: bool) {
        self.summary.unreadable_lines += u64::from(damaged);
        self.summary.shortened_lines += u64::from(omitted_bytes > 0);
        self.summary.left_out_bytes += omitted_bytes;
    }

    /// Takes the remarks: each is returned once.
    pub(crate) fn remarks(&mut self) -> Remarks {
        let (lines, bytes) = (self.summary.shortened_lines, self.summary.left_out_bytes);
        let cut = format!(
            "{lines} long lines of the agent were read in part: {bytes} bytes are only in the session's record"
        );
        Remarks { notes: std::mem::take(&mut self.notes), cut: (lines > 0).then_some(cut) }
    }

    pub(crate) fn record_event(&mut self, kind: SessionEventKind) -> SessionEvent {
        let kind = self.redactor.event(kind);
        match &kind {
            SessionEventKind::Started { session_id, model } => {
                self.summary.agent_session = Some(session_id.clone());
                self.summary.model.clone_from(model);
            }
            SessionEventKind::Message { text } => self.final_message.clone_from(text),
            SessionEventKind::Usage(usage) => self.summary.usage = usage.clone(),
            _ => {}
        }
        self.summary.events += 1;
        let event = SessionEvent { at_ms: self.now_ms(), kind };
        self.record.event(&event);
        event
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TurnContext {
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) observer: Option<Observer>,
    pub(crate) limits: SessionLimits,
}

impl TurnContext {
    pub(crate) fn journal<T>(&self, with: impl FnOnce(&mut Journal) -> T) -> T {
        Journal::with(&self.journal, with)
    }

    /// Adds a turn to the journal and returns its index.
    pub(crate) fn enter_turn(&self) -> usize {
        self.journal(|journal| {
            let started_ms = journal.now_ms();
            journal.summary.turns.push(TurnSummary { started_ms, ..TurnSummary::default() });
            journal.save();
            journal.summary.turns.len() - 1
        })
    }
}

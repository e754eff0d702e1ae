//! A session whose every turn is a process of its own.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    Answer, HostProgram, LaneKind, Session, SessionSpec,
    process::{AgentCommand, AgentProcess},
    record::{Record, SessionSummary},
    turn::{Dialect, Journal, Turn, TurnContext},
};
use crate::model::{Conclusion, Fault, FaultClass, SessionEvent};

/// The longest argument that Linux passes to a program is 128 KiB, its end included.
const MAX_ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// What a kind of agent must say to be run one process a turn.
pub(crate) trait TurnAgent: Send {
    /// What to start for a turn, from 1, that begins with `message`.
    fn command(&self, turn: u32, message: &str) -> AgentCommand;

    /// How its output is read.
    fn dialect(&self) -> Box<dyn Dialect>;
}

/// Drives a [`TurnAgent`].
pub(crate) struct TurnSession {
    host: HostProgram,
    id: String,
    agent: Box<dyn TurnAgent>,
    context: TurnContext,
    turn: Option<Turn>,
    turns: u32,
    /// One for each turn: what a turn leaves running in the background may live until the session ends.
    processes: Vec<AgentProcess>,
    fault: Option<Fault>,
    conclusion: Option<Conclusion>,
}

impl TurnSession {
    /// Starts the first turn. `id` marks the session's processes.
    pub(crate) async fn start(
        host: HostProgram,
        kind: LaneKind,
        id: String,
        agent: Box<dyn TurnAgent>,
        spec: &SessionSpec,
    ) -> Result<Self, Fault> {
        let summary = SessionSummary {
            lane: kind.to_string(),
            session: id.clone(),
            state: "running".into(),
            ..SessionSummary::default()
        };
        let record = Record::create(spec.record_dir.as_deref(), &spec.limits)?;
        let journal = Journal { started: Instant::now(), record, summary, final_message: String::new() };
        let context = TurnContext {
            journal: Arc::new(Mutex::new(journal)),
            observer: spec.observer.clone(),
            limits: spec.limits.clone(),
        };
        let (turn, processes, fault, conclusion) = (None, Vec::new(), None, None);
        let mut session = Self { host, id, agent, context, turn, turns: 0, processes, fault, conclusion };
        session.start_turn(&spec.prompt).await?;
        Ok(session)
    }

    async fn start_turn(&mut self, message: &str) -> Result<(), Fault> {
        if let Err(problem) = check_message(message) {
            return Err(self.broken(Fault::new(FaultClass::Protocol, problem)));
        }
        let command = self.agent.command(self.turns + 1, message);
        match AgentProcess::start(&self.host, &command, &self.id).await {
            Ok((process, streams)) => {
                self.turns += 1;
                self.turn = Some(Turn::start(&process, streams, self.agent.dialect(), self.context.clone()));
                self.processes.push(process);
                Ok(())
            }
            Err(problem) => Err(self.broken(Fault::new(FaultClass::Launch, problem))),
        }
    }

    async fn next(&mut self) -> Result<Option<SessionEvent>, Fault> {
        self.check()?;
        let Some(turn) = self.turn.as_mut().filter(|_| self.conclusion.is_none()) else { return Ok(None) };
        if let Some(event) = turn.next().await {
            return Ok(Some(event));
        }
        match turn.result() {
            Some(Err(fault)) => {
                let fault = fault.clone();
                Err(self.broken(fault))
            }
            _ => Ok(None),
        }
    }

    async fn send_message(&mut self, message: &str) -> Result<(), Fault> {
        self.check()?;
        if self.conclusion.is_some() {
            let fault = Fault::new(FaultClass::Protocol, "a message was sent to a session that is concluded");
            return Err(self.broken(fault));
        }
        self.finish_turn().await?;
        self.await_exit().await;
        self.start_turn(message).await
    }

    async fn finish_turn(&mut self) -> Result<String, Fault> {
        let Some(turn) = &mut self.turn else { return Ok(String::new()) };
        match turn.finish().await {
            Ok(stop_reason) => Ok(stop_reason),
            Err(fault) => Err(self.broken(fault)),
        }
    }

    /// An agent that said its last word gets a moment to leave by itself, and is made to leave then.
    async fn await_exit(&mut self) {
        let grace = self.context.limits.exit_grace;
        let Some(process) = self.processes.last_mut() else { return };
        if timeout(grace, process.exited()).await.is_err() {
            process.request_end(grace);
            process.exited().await;
        }
        if let Some(turn) = &mut self.turn {
            turn.settle().await;
        }
    }

    async fn conclude_once(&mut self) -> Result<Conclusion, Fault> {
        self.check()?;
        if let Some(conclusion) = &self.conclusion {
            return Ok(conclusion.clone());
        }
        let stop_reason = self.finish_turn().await?;
        self.await_exit().await;
        self.end_processes(self.context.limits.exit_grace).await?;
        let turns = self.turns;
        let conclusion = self.context.journal(|journal| {
            journal.summary.state = "concluded".into();
            journal.summary.stop_reason = Some(stop_reason.clone());
            journal.save();
            let duration = journal.started.elapsed();
            Conclusion {
                final_message: journal.final_message.clone(),
                stop_reason,
                turns,
                usage: journal.usage(),
                duration,
            }
        });
        if let Some(failure) = self.context.journal(|journal| journal.record.failure().cloned()) {
            return Err(self.broken(failure));
        }
        self.conclusion = Some(conclusion.clone());
        Ok(conclusion)
    }

    async fn end_now(&mut self, grace: Duration) -> Result<(), Fault> {
        if self.conclusion.is_none() && self.fault.is_none() {
            self.fault = Some(Fault::new(FaultClass::Internal, "the host has ended the session"));
            self.context.journal(|journal| journal.summary.state = "ended".into());
        }
        self.end_processes(grace).await
    }

    async fn end_processes(&mut self, grace: Duration) -> Result<(), Fault> {
        for process in &self.processes {
            process.request_end(grace);
        }
        if let Some(turn) = &mut self.turn {
            turn.stop_fetching();
        }
        let mut left = Vec::new();
        for process in &mut self.processes {
            left.extend(process.gone().await.err());
        }
        if let Some(turn) = &mut self.turn {
            turn.settle().await;
        }
        self.context.journal(Journal::save);
        if left.is_empty() {
            return Ok(());
        }
        let message = format!("processes of the agent survive and must be killed by hand: {}", left.join("; "));
        Err(self.broken(Fault::new(FaultClass::Internal, message)))
    }

    fn check(&self) -> Result<(), Fault> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// The first fault is for good. The agent is of no more use: its end begins, and `end` waits for it.
    fn broken(&mut self, fault: Fault) -> Fault {
        let fault = self.fault.get_or_insert(fault).clone();
        for process in &self.processes {
            process.request_end(Duration::ZERO);
        }
        self.context.journal(|journal| {
            journal.summary.state = "fault".into();
            journal.summary.fault = Some(fault.clone());
            journal.save();
        });
        fault
    }
}

impl Session for TurnSession {
    fn next_event(&mut self) -> Answer<'_, Option<SessionEvent>> {
        Box::pin(self.next())
    }

    fn send(&mut self, message: String) -> Answer<'_, ()> {
        Box::pin(async move { self.send_message(&message).await })
    }

    fn conclude(&mut self) -> Answer<'_, Conclusion> {
        Box::pin(self.conclude_once())
    }

    fn end(&mut self, grace: Duration) -> Answer<'_, ()> {
        Box::pin(self.end_now(grace))
    }
}

/// A message becomes an argument of a program.
fn check_message(message: &str) -> Result<(), String> {
    if message.contains('\0') {
        return Err("the message holds a NUL character, which no agent can be given".into());
    }
    if message.len() > MAX_ARGUMENT_BYTES {
        let length = message.len();
        return Err(format!(
            "the message has {length} bytes, but an agent takes at most {MAX_ARGUMENT_BYTES}: put the long part into a \
             file of the root"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_must_fit_an_argument() {
        assert_eq!(check_message("do it\nnow"), Ok(()));
        assert_eq!(check_message(&"x".repeat(MAX_ARGUMENT_BYTES)), Ok(()));
        assert!(check_message(&"x".repeat(MAX_ARGUMENT_BYTES + 1)).unwrap_err().contains("131072 bytes"));
        assert!(check_message("a\0b").unwrap_err().contains("NUL"));
    }
}

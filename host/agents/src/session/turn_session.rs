//! A session whose turns are either processes or messages to one persistent process.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    dialect::Dialect,
    lane::{LaneFuture, Remarks, Session, SessionSpec},
    session::{
        input::AgentInput,
        journal::{Journal, TurnContext},
        message::check_message,
        process::{AgentCommand, AgentProcess, HostProgram},
        record::{Record, SessionSummary},
        turn::AgentTurn,
    },
};
use host_clock::timeout;
use host_model::{Conclusion, Fault, FaultClass, LaneKind, Redactor, SessionEvent};

/// An agent that is started for each turn, or once for all.
pub(crate) trait TurnAgent: Send {
    /// The command for a turn, counted from 1, that begins with `message`. An error ends the session.
    fn command(&self, turn: u32, message: &str) -> Result<AgentCommand, Fault>;

    /// Whether one process takes all messages on its standard input until that is closed.
    fn is_persistent(&self) -> bool {
        false
    }

    fn dialect(&self) -> Box<dyn Dialect>;

    /// Called, possibly repeatedly, when all of its processes are gone. An error describes what could not be cleaned
    /// up.
    fn clean_up(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Whether the end of the session was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndStage {
    Open,
    /// It was, and earlier output of the agent is still being read.
    Ending,
    /// From here on, nothing the agent does is a fault.
    Ended,
}

pub(crate) struct TurnSession {
    host: HostProgram,
    id: String,
    agent: Box<dyn TurnAgent>,
    context: TurnContext,
    turn: Option<AgentTurn>,
    turns: u32,
    /// One per started agent: background processes of a turn may live until the session ends.
    processes: Vec<AgentProcess>,
    /// The agent's directory for temporary files, which is removed with the attempt.
    tmp: PathBuf,
    /// The standard input of a persistent agent.
    input: Option<AgentInput>,
    /// The message of a turn whose agent was spawned but may not have started.
    starting: Option<String>,
    stage: EndStage,
    fault: Option<Fault>,
    conclusion: Option<Conclusion>,
}

impl TurnSession {
    /// Starts the first turn. `id` marks the session's processes; `redactor` is applied to all of their output.
    pub(crate) async fn start(
        host: HostProgram,
        kind: LaneKind,
        id: String,
        agent: Box<dyn TurnAgent>,
        spec: &SessionSpec,
        redactor: Redactor,
    ) -> Result<Box<dyn Session>, Fault> {
        let summary = SessionSummary {
            lane: kind.to_string(),
            session: id.clone(),
            state: "running".into(),
            ..SessionSummary::default()
        };
        let record = Record::create(spec.record_dir.as_deref(), &spec.limits)?;
        let journal = Journal::new(record, summary, redactor);
        let context = TurnContext {
            journal: Arc::new(Mutex::new(journal)),
            observer: spec.observer.clone(),
            limits: spec.limits.clone(),
        };
        let mut session = Self {
            host,
            id,
            agent,
            context,
            turn: None,
            turns: 0,
            processes: Vec::new(),
            tmp: spec.tmp.clone(),
            input: None,
            starting: None,
            stage: EndStage::Open,
            fault: None,
            conclusion: None,
        };
        match session.send_message(&spec.prompt).await {
            Ok(()) => Ok(Box::new(session)),
            Err(fault) => {
                // Nobody else could wait for the spawned processes.
                session.end_processes(Duration::ZERO).await?;
                Err(fault)
            }
        }
    }

    /// Spawns the agent of the next turn. From here on `end` knows its process; `wait_started` waits for its start.
    fn spawn_turn(&mut self, message: &str) -> Result<(), Fault> {
        let mut command = self.agent.command(self.turns + 1, message).map_err(|fault| self.fail(fault))?;
        let mut lines = None;
        if self.agent.is_persistent() {
            match AgentInput::open(&self.tmp) {
                Ok(input) => {
                    command.stdin = Some(input.path());
                    lines = Some(input.lines.clone());
                    self.input = Some(input);
                }
                Err(error) => {
                    return Err(self.fail(Fault::of_host("cannot create the agent's standard input", &error)));
                }
            }
        }
        if let Err(problem) = check_message(message, &command) {
            return Err(self.fail(Fault::new(FaultClass::Protocol, problem)));
        }
        match AgentProcess::spawn(&self.host, &command, &self.id) {
            Ok((process, streams)) => {
                self.turns += 1;
                let (dialect, context) = (self.agent.dialect(), self.context.clone());
                self.turn = Some(AgentTurn::start(process.subscribe(), streams, dialect, context, message, lines));
                self.processes.push(process);
                self.starting = Some(message.to_owned());
                Ok(())
            }
            Err(problem) => Err(self.fail(Fault::of_launch(problem))),
        }
    }

    /// Waits until the agent of this turn has started. Continues a `send` whose future was dropped.
    async fn wait_started(&mut self) -> Result<(), Fault> {
        let Some(process) = self.processes.last_mut().filter(|_| self.starting.is_some()) else { return Ok(()) };
        let started = process.wait_started().await;
        self.starting = None;
        let confinement = process.confinement();
        self.context.journal(|journal| journal.summary.confinement = confinement);
        started.map_err(|problem| self.fail(Fault::of_launch(problem)))
    }

    async fn next(&mut self) -> Result<Option<SessionEvent>, Fault> {
        self.check_open()?;
        self.wait_started().await?;
        let Some(turn) = self.turn.as_mut().filter(|_| self.conclusion.is_none()) else { return Ok(None) };
        if let Some(event) = turn.next().await {
            return Ok(Some(event));
        }
        self.finish_turn().await.map(|_| None)
    }

    async fn send_message(&mut self, message: &str) -> Result<(), Fault> {
        self.check_open()?;
        if self.conclusion.is_some() {
            let fault = Fault::new(FaultClass::Protocol, "cannot send a message: the session is concluded");
            return Err(self.fail(fault));
        }
        // Otherwise the future of this call was dropped after it had spawned the agent.
        if self.starting.as_deref() != Some(message) {
            self.wait_started().await?;
            self.finish_turn().await?;
            if self.agent.is_persistent() && self.turn.is_some() {
                return self.begin_turn(message);
            }
            self.await_exit().await?;
            self.spawn_turn(message)?;
        }
        self.wait_started().await
    }

    /// Sends a persistent agent another message. Does not wait, so that nothing is sent twice.
    fn begin_turn(&mut self, message: &str) -> Result<(), Fault> {
        if self.turn.as_mut().is_some_and(|turn| turn.begin_another(message)) {
            self.turns += 1;
            return Ok(());
        }
        let gone =
            Fault::new(FaultClass::Crash, "the agent exited after its turn, before the host sent another message");
        let fault = self.unrequested_fault().unwrap_or(gone);
        Err(self.fail(fault))
    }

    async fn finish_turn(&mut self) -> Result<String, Fault> {
        let Some(turn) = &mut self.turn else { return Ok(String::new()) };
        match turn.finish().await {
            Ok(stop_reason) => Ok(stop_reason),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Gives an agent that finished its turn a moment to exit on its own, then ends it. If it crashes meanwhile, its
    /// files may be incomplete.
    async fn await_exit(&mut self) -> Result<(), Fault> {
        let grace = self.context.limits.exit_grace;
        // A persistent agent exits at the end of its input and has no more work to do.
        let moment = if self.input.is_some() { grace / 4 } else { grace };
        if let Some(input) = &self.input {
            input.close();
        }
        let Some(process) = self.processes.last_mut() else { return Ok(()) };
        if timeout(moment, process.wait_exit()).await.is_err() {
            process.request_end(grace);
            process.wait_exit().await;
        } else if self.input.is_some() {
            // Processes that an adapter started exit after it; a signal in between would delay them.
            drop(timeout(moment, process.wait_gone()).await);
        }
        if let Some(turn) = &mut self.turn {
            turn.wait_recorded().await;
        }
        self.unrequested_fault().map_or(Ok(()), |fault| Err(self.fail(fault)))
    }

    /// The fault of the last agent, if it exited before the host asked it to.
    fn unrequested_fault(&self) -> Option<Fault> {
        let exit = self.processes.last()?.unrequested_exit()?;
        self.turn.as_ref()?.fault_of(&exit)
    }

    async fn conclude_once(&mut self) -> Result<Conclusion, Fault> {
        self.check_open()?;
        if let Some(conclusion) = &self.conclusion {
            return Ok(conclusion.clone());
        }
        self.wait_started().await?;
        let stop_reason = self.finish_turn().await?;
        self.await_exit().await?;
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
                usage: journal.summary.usage.clone(),
                duration,
            }
        });
        if let Some(failure) = self.context.journal(|journal| journal.record.failure().cloned()) {
            return Err(self.fail(failure));
        }
        self.conclusion = Some(conclusion.clone());
        Ok(conclusion)
    }

    async fn end_now(&mut self, grace: Duration) -> Result<Option<Fault>, Fault> {
        if self.stage != EndStage::Ended {
            self.stage = EndStage::Ending;
            if let (None, None, Some(turn)) = (&self.fault, &self.conclusion, &mut self.turn) {
                // What the agent reports before it is ended counts; what it reports because of that does not.
                turn.stop_fetching();
                turn.catch_up().await;
                if let Some(Err(fault)) = turn.outcome() {
                    self.fail(fault);
                }
            }
            self.stage = EndStage::Ended;
        }
        self.end_processes(grace).await?;
        if self.fault.is_none() && self.conclusion.is_none() {
            match self.unrequested_fault() {
                Some(fault) => drop(self.fail(fault)),
                None => self.context.journal(|journal| {
                    journal.summary.state = "ended".into();
                    journal.save();
                }),
            }
        }
        Ok(self.fault.clone())
    }

    /// An error describes what survives, regardless of earlier faults.
    async fn end_processes(&mut self, grace: Duration) -> Result<(), Fault> {
        for process in &self.processes {
            process.request_end(grace);
        }
        if let Some(turn) = &mut self.turn {
            turn.stop_fetching();
        }
        let mut left = Vec::new();
        for process in &mut self.processes {
            left.extend(process.wait_gone().await.err());
        }
        if let Some(turn) = &mut self.turn {
            turn.wait_recorded().await;
        }
        self.context.journal(Journal::save);
        if left.is_empty() {
            return self.agent.clean_up().map_err(|problem| self.fail(Fault::new(FaultClass::Internal, problem)));
        }
        let message =
            format!("processes of the agent are still running and must be killed manually: {}", left.join("; "));
        let survivors = Fault::new(FaultClass::Internal, message);
        self.fail(survivors.clone());
        Err(survivors)
    }

    fn check_open(&self) -> Result<(), Fault> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None if self.stage == EndStage::Open || self.conclusion.is_some() => Ok(()),
            None => Err(Fault::new(FaultClass::Internal, "the host has ended the session")),
        }
    }

    /// The first fault is final. The agent is of no further use: starts to end it; `end` waits for it.
    fn fail(&mut self, fault: Fault) -> Fault {
        let fault = self.record_fault(fault);
        for process in &self.processes {
            process.request_end(Duration::ZERO);
        }
        fault
    }

    /// The first fault is final, also in the record.
    fn record_fault(&mut self, fault: Fault) -> Fault {
        let redactor = self.context.journal(|journal| journal.redactor.clone());
        let fault = self.fault.get_or_insert_with(|| redactor.fault(fault)).clone();
        self.context.journal(|journal| {
            journal.summary.state = "fault".into();
            journal.summary.fault = Some(fault.clone());
            journal.save();
        });
        fault
    }
}

impl Session for TurnSession {
    fn next_event(&mut self) -> LaneFuture<'_, Option<SessionEvent>> {
        Box::pin(self.next())
    }

    fn send(&mut self, message: String) -> LaneFuture<'_, ()> {
        Box::pin(async move { self.send_message(&message).await })
    }

    fn conclude(&mut self) -> LaneFuture<'_, Conclusion> {
        Box::pin(self.conclude_once())
    }

    fn end(&mut self, grace: Duration) -> LaneFuture<'_, Option<Fault>> {
        Box::pin(self.end_now(grace))
    }

    fn abort(&mut self, fault: &Fault) -> bool {
        let is_over = self.turn.as_ref().is_some_and(|turn| turn.outcome().is_some());
        if self.fault.is_some() || self.conclusion.is_some() || is_over {
            return false;
        }
        self.record_fault(fault.clone());
        true
    }

    fn remarks(&mut self) -> Remarks {
        self.context.journal(Journal::remarks)
    }

    fn unconfined(&self) -> Option<String> {
        self.processes.iter().find_map(AgentProcess::unconfined)
    }
}

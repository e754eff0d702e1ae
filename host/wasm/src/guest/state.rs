//! The functions that a component can call: WASI through its sandbox, the lane's agent, and reports.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::component::bindings::{
    self, SessionHandle,
    scenario::host::{agent, report},
};
use crate::sandbox::{self, Audit, HasSandbox, Sandbox, Violations};
use host_model::{Conclusion, Fault, FaultClass, GrantItem, Report, SessionEvent};

/// The agent's sessions of one attempt. Sessions are numbered from 0.
#[async_trait]
pub trait GuestSessions: Send + Sync {
    /// Starts a session and returns its number.
    ///
    /// # Errors
    /// The agent does not start.
    async fn start(&self, prompt: String) -> Result<usize, Fault>;
    /// The next event of the turn; `None` at its end.
    ///
    /// # Errors
    /// The session is broken.
    async fn next_event(&self, session: usize) -> Result<Option<SessionEvent>, Fault>;
    /// Begins the next turn.
    ///
    /// # Errors
    /// The session is broken.
    async fn send(&self, session: usize, message: String) -> Result<(), Fault>;
    /// Waits for the end of the turn and ends the session.
    ///
    /// # Errors
    /// The session is broken.
    async fn conclude(&self, session: usize) -> Result<Conclusion, Fault>;
}

/// Receives the reports of one attempt's component, and limits them.
#[async_trait]
pub trait GuestReports: Send {
    /// A report of the component.
    async fn report(&mut self, report: Report);
    /// An attachment of the component.
    async fn attach(&mut self, name: String, media_type: String, content: Vec<u8>);
    /// Something that the host could not save, and why.
    async fn not_saved(&mut self, what: String);
    /// The component has ended.
    async fn finish(&mut self);
}

/// What a component reaches outside its sandbox.
pub struct AttemptHost {
    /// The agent's sessions.
    pub sessions: Arc<dyn GuestSessions>,
    /// Whether the component may start a session.
    pub session_granted: bool,
    /// Receives the component's reports.
    pub reports: Box<dyn GuestReports>,
    /// Records a session that was started without the grant.
    pub violations: Arc<Violations>,
    /// Records the use of grants.
    pub audit: Option<Arc<Audit>>,
}

/// The data of a Store.
pub(super) struct Guest {
    pub(super) sandbox: Sandbox,
    /// None while a plugin lists its scenarios: sessions and reports trap.
    pub(super) host: Option<AttemptHost>,
}

impl Guest {
    fn host(&mut self, function: &str) -> wasmtime::Result<&mut AttemptHost> {
        self.host.as_mut().ok_or_else(|| wasmtime::Error::msg(format!("`{function}` cannot be used in `list`")))
    }

    /// The attempt's sessions, and the number of `session` among them.
    fn session(
        &mut self,
        function: &str,
        session: &Resource<SessionHandle>,
    ) -> wasmtime::Result<(Arc<dyn GuestSessions>, usize)> {
        let sessions = Arc::clone(&self.host(function)?.sessions);
        Ok((sessions, self.sandbox.table().get(session)?.0))
    }
}

/// A linker for components of `engine`.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    sandbox::add_to_linker(&mut linker)?;
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// A linker for core modules of `engine`, commands of WASI 0.1.
pub(super) fn module_linker(engine: &wasmtime::Engine) -> wasmtime::Result<wasmtime::Linker<Guest>> {
    let mut linker = wasmtime::Linker::new(engine);
    sandbox::add_to_module_linker(&mut linker)?;
    Ok(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.sandbox.ctx()
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.sandbox.http()
    }
}

impl HasSandbox for Guest {
    fn sandbox(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}

impl agent::Host for Guest {}

impl agent::HostSession for Guest {
    async fn start(
        &mut self,
        prompt: String,
    ) -> wasmtime::Result<Result<Resource<SessionHandle>, agent::SessionFault>> {
        let host = self.host("session.start")?;
        if let Some(audit) = &host.audit {
            audit.note("session", "start", Some(&GrantItem::Session), host.session_granted);
        }
        if !host.session_granted {
            let what = "the component started a session, but the scenario is not granted `session`";
            host.violations.breach(Fault::new(FaultClass::Denied, what));
            return Err(wasmtime::Error::msg(what));
        }
        match host.sessions.start(prompt).await {
            Ok(number) => Ok(Ok(self.sandbox.table().push(SessionHandle(number))?)),
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn next_event(
        &mut self,
        session: Resource<SessionHandle>,
    ) -> wasmtime::Result<Result<Option<agent::Event>, agent::SessionFault>> {
        let (sessions, number) = self.session("session.next-event", &session)?;
        Ok(sessions.next_event(number).await.map(|event| event.map(Into::into)).map_err(Into::into))
    }

    async fn send(
        &mut self,
        session: Resource<SessionHandle>,
        message: String,
    ) -> wasmtime::Result<Result<(), agent::SessionFault>> {
        let (sessions, number) = self.session("session.send", &session)?;
        Ok(sessions.send(number, message).await.map_err(Into::into))
    }

    async fn conclude(
        &mut self,
        session: Resource<SessionHandle>,
    ) -> wasmtime::Result<Result<agent::Conclusion, agent::SessionFault>> {
        let (sessions, number) = self.session("session.conclude", &session)?;
        Ok(sessions.conclude(number).await.map(Into::into).map_err(Into::into))
    }

    async fn drop(&mut self, session: Resource<SessionHandle>) -> wasmtime::Result<()> {
        let (sessions, number) = self.session("session.drop", &session)?;
        self.sandbox.table().delete(session)?;
        // The sessions keep a fault that happens here; there is no caller to return it to.
        let _ = sessions.conclude(number).await;
        Ok(())
    }
}

impl report::Host for Guest {
    async fn step(&mut self, name: String) -> wasmtime::Result<()> {
        self.host("report.step")?.reports.report(Report::Step { name }).await;
        Ok(())
    }

    async fn note(&mut self, text: String) -> wasmtime::Result<()> {
        self.host("report.note")?.reports.report(Report::Note { text }).await;
        Ok(())
    }

    async fn metric(&mut self, name: String, value: f64, unit: String) -> wasmtime::Result<()> {
        let value = value.is_finite().then_some(value);
        self.host("report.metric")?.reports.report(Report::Metric { name, value, unit }).await;
        Ok(())
    }

    async fn attach(&mut self, name: String, media_type: String, content: Vec<u8>) -> wasmtime::Result<()> {
        self.host("report.attach")?.reports.attach(name, media_type, content).await;
        Ok(())
    }
}

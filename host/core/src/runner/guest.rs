//! The functions that a component can call: WASI through its sandbox, the lane's agent, and reports.

use std::{path::PathBuf, sync::Arc};

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::{executor::AttemptEvents, sessions::Sessions, text::shortened};
use host_model::{Fault, FaultClass, GrantItem, Report};
use host_wasm::component::bindings::{
    self, SessionHandle,
    scenario::host::{agent, report},
};
use host_wasm::sandbox::{self, Audit, HasSandbox, Sandbox, Violations};

/// The most reports of one attempt; of the others only their number is reported.
const MAX_REPORTS: u32 = 1_000;
/// Bytes of one report's text.
const MAX_REPORT_BYTES: usize = 4 << 10;

/// The data of an attempt's Store.
pub(super) struct Guest {
    pub(super) sandbox: Sandbox,
    pub(super) sessions: Arc<Sessions>,
    pub(super) violations: Arc<Violations>,
    pub(super) session_granted: bool,
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) reports: Reports,
}

/// The reports of one attempt, with limits.
pub(super) struct Reports {
    events: AttemptEvents,
    folder: PathBuf,
    told: u32,
    cut: u32,
    attached: u64,
    bound: u64,
}

impl Reports {
    /// Attachments are saved in `folder`, and take up to `bound` bytes together.
    pub(super) fn new(events: AttemptEvents, folder: PathBuf, bound: u64) -> Self {
        Self { events, folder, told: 0, cut: 0, attached: 0, bound }
    }

    async fn send(&mut self, report: Report) {
        if !self.is_over_limit() {
            self.told += 1;
            self.events.report(report).await;
        }
    }

    /// Counts a report that is over the limit, so that nothing that belongs to it is saved either.
    fn is_over_limit(&mut self) -> bool {
        let over = self.told >= MAX_REPORTS;
        self.cut += u32::from(over);
        over
    }

    /// What was cut, for the end of the attempt.
    pub(super) fn cut(&self) -> Option<Report> {
        (self.cut > 0).then(|| Report::Cut { what: format!("{} reports after the first {MAX_REPORTS}", self.cut) })
    }

    /// Saves an attachment; an existing one of that name stays.
    fn keep(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        let total = self.attached.saturating_add(content.len() as u64);
        if total > self.bound {
            return Err(format!(
                "the attachment `{name}`: attachments may have {} bytes (limit `max-output`)",
                self.bound
            ));
        }
        host_model::check_name(name).map_err(|error| format!("an attachment: {error}"))?;
        std::fs::create_dir_all(&self.folder).map_err(|error| format!("the attachment `{name}`: {error}"))?;
        let written = std::fs::File::create_new(self.folder.join(name))
            .and_then(|mut file| std::io::Write::write_all(&mut file, content));
        written.map_err(|error| format!("the attachment `{name}`: {error}"))?;
        self.attached = total;
        Ok(())
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
        if let Some(audit) = &self.audit {
            audit.note("session", "start", Some(&GrantItem::Session), self.session_granted);
        }
        if !self.session_granted {
            let what = "the component started a session, but the scenario is not granted `session`";
            self.violations.breach(Fault::new(FaultClass::Denied, what));
            return Err(wasmtime::Error::msg(what));
        }
        match self.sessions.start(prompt).await {
            Ok(place) => Ok(Ok(self.sandbox.table().push(SessionHandle(place))?)),
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn next_event(
        &mut self,
        session: Resource<SessionHandle>,
    ) -> wasmtime::Result<Result<Option<agent::Event>, agent::SessionFault>> {
        let SessionHandle(place) = *self.sandbox.table().get(&session)?;
        Ok(self.sessions.next_event(place).await.map(|event| event.map(Into::into)).map_err(Into::into))
    }

    async fn send(
        &mut self,
        session: Resource<SessionHandle>,
        message: String,
    ) -> wasmtime::Result<Result<(), agent::SessionFault>> {
        let SessionHandle(place) = *self.sandbox.table().get(&session)?;
        Ok(self.sessions.send(place, message).await.map_err(Into::into))
    }

    async fn conclude(
        &mut self,
        session: Resource<SessionHandle>,
    ) -> wasmtime::Result<Result<agent::Conclusion, agent::SessionFault>> {
        let SessionHandle(place) = *self.sandbox.table().get(&session)?;
        Ok(self.sessions.conclude(place).await.map(Into::into).map_err(Into::into))
    }

    async fn drop(&mut self, session: Resource<SessionHandle>) -> wasmtime::Result<()> {
        let SessionHandle(place) = self.sandbox.table().delete(session)?;
        // A fault here is noted by `sessions`; there is no caller to return it to.
        let _ = self.sessions.conclude(place).await;
        Ok(())
    }
}

impl report::Host for Guest {
    async fn step(&mut self, name: String) -> wasmtime::Result<()> {
        self.reports.send(Report::Step { name: bounded(name) }).await;
        Ok(())
    }

    async fn note(&mut self, text: String) -> wasmtime::Result<()> {
        self.reports.send(Report::Note { text: bounded(text) }).await;
        Ok(())
    }

    async fn metric(&mut self, name: String, value: f64, unit: String) -> wasmtime::Result<()> {
        let value = value.is_finite().then_some(value);
        self.reports.send(Report::Metric { name: bounded(name), value, unit: bounded(unit) }).await;
        Ok(())
    }

    async fn attach(&mut self, name: String, media_type: String, content: Vec<u8>) -> wasmtime::Result<()> {
        if self.reports.is_over_limit() {
            return Ok(());
        }
        let report = match self.reports.keep(&name, &content) {
            Ok(()) => Report::Attachment { name, media_type: bounded(media_type), bytes: content.len() as u64 },
            Err(what) => Report::Cut { what: bounded(what) },
        };
        self.reports.send(report).await;
        Ok(())
    }
}

fn bounded(text: String) -> String {
    shortened(text, MAX_REPORT_BYTES)
}

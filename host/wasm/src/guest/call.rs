//! One call of a component: its Store, the call, and the state of the component if it traps.

use std::{path::Path, sync::Arc};

use tokio::task::block_in_place;
use wasmtime::Store;

use super::{
    core_dump::{keep_backtrace, keep_core_dump},
    failure::fault_of,
    link::{Linked, LinkedPlugin, Returned},
    state::{AttemptHost, Guest},
};
use crate::{
    sandbox::{self, Account, Audit, Granted, GuestConfig, Network, OutputFile, Resolve, Sandbox, Violations},
    unwind::catch_panic,
};
use host_model::{Fault, FaultClass, GrantItem, Scenario};

/// Bytes that one call may copy into the host.
const MAX_COPIED_BYTES: usize = 64 << 20;

/// Everything that a call of a component needs.
pub struct CallRequest<'a> {
    /// The scenario to run.
    pub scenario: &'a Scenario,
    /// The arguments, environment, standard input and directories of the component.
    pub config: GuestConfig,
    /// The folder for the component's state if it traps.
    pub folder: &'a Path,
    /// Receives the component's standard output.
    pub stdout: &'a OutputFile,
    /// Receives the component's standard error.
    pub stderr: &'a OutputFile,
    /// What the component may use.
    pub granted: &'a Arc<Granted>,
    /// Resolves names for the component.
    pub resolver: &'a Arc<dyn Resolve>,
    /// Records exceeded limits and denials.
    pub violations: &'a Arc<Violations>,
    /// Records the use of grants.
    pub audit: Option<&'a Arc<Audit>>,
    /// Sessions and reports.
    pub host: AttemptHost,
}

impl CallRequest<'_> {
    /// Opens the component's directories, waits for `prepare`, and calls the component. When it returns, nothing of the
    /// component runs any more.
    ///
    /// # Errors
    /// A fault of `prepare`, of the call, or of its output.
    pub async fn run(
        self,
        plugin: &LinkedPlugin,
        prepare: impl Future<Output = Result<(), Fault>> + Send,
    ) -> Result<Returned, Fault> {
        let limits = &self.scenario.limits;
        let violations = Arc::clone(self.violations);
        let account = Account::new(limits, plugin.mappings(), move |what| violations.limit(what));
        let _instances = account
            .take(plugin.instance_bytes(limits), "its instances: globals and functions")
            .map_err(|exceeded| Fault::new(FaultClass::Limit, exceeded.to_string()))?;
        account.scope(self.call(&plugin.linked, &account, prepare)).await
    }

    async fn call(
        self,
        linked: &Linked,
        account: &Arc<Account>,
        prepare: impl Future<Output = Result<(), Fault>> + Send,
    ) -> Result<Returned, Fault> {
        let Self { scenario, folder, stdout, stderr, violations, .. } = self;
        let mut store = self.store(linked.engine(), account)?;
        prepare.await?;
        let called = linked.call(&mut store, &scenario.name).await;
        if let Some(host) = &mut store.data_mut().host {
            host.reports.finish().await;
        }
        let called = match called {
            Ok(returned) => Ok(returned),
            Err(error) => {
                let fault = fault_of(&error, &stderr.tail(), &scenario.limits);
                // A call that is ended because it exceeded a limit looks like a trap.
                let trapped = fault.class == FaultClass::Trap && violations.breached().is_none();
                let id = trapped.then_some(&*scenario.id.0);
                let saved = catch_panic(async { save_state(&error, &mut store, id, folder) }).await;
                let saved = saved.unwrap_or_else(|panic| {
                    Err(format!("the state at the trap was not saved: the host panicked: {panic}"))
                });
                if let (Err(what), Some(host)) = (saved, &mut store.data_mut().host) {
                    host.reports.not_saved(what).await;
                }
                Err(fault)
            }
        };
        // Dropped before anything is graded or saved: nothing of the component runs any more.
        drop(store);
        match lost_output(&[stdout, stderr]) {
            Some(fault) if called.is_ok() => Err(fault),
            _ => called,
        }
    }

    fn store(self, engine: &wasmtime::Engine, account: &Arc<Account>) -> Result<Store<Guest>, Fault> {
        let limits = &self.scenario.limits;
        let (granted, resolver) = (Arc::clone(self.granted), Arc::clone(self.resolver));
        if let Some(audit) = self.audit {
            granted.env().keys().for_each(|name| audit.note("env", name, Some(&GrantItem::Env(name.clone())), true));
        }
        let network =
            Network::new(granted, resolver, Arc::clone(self.violations), self.audit.cloned(), limits.max_handles);
        let outputs = (self.stdout.clone(), self.stderr.clone());
        let sandbox = Sandbox::new(&self.config, limits, Some(outputs), Arc::clone(account), network)?;
        Ok(sandbox::store(engine, Guest { sandbox, host: Some(self.host) }, limits, MAX_COPIED_BYTES))
    }
}

/// Saves where the call broke off, and the component's state in a core dump named `trapped`, if it is given. A backtrace
/// that cannot be saved is not reported: the fault has its cause.
fn save_state(
    error: &wasmtime::Error,
    store: &mut Store<Guest>,
    trapped: Option<&str>,
    folder: &Path,
) -> Result<(), String> {
    let _ = keep_backtrace(error, folder);
    trapped.map_or(Ok(()), |name| block_in_place(|| keep_core_dump(error, store, name, folder)))
}

/// The fault if output of a component was lost: nothing can be judged by the rest.
fn lost_output(outputs: &[&OutputFile]) -> Option<Fault> {
    let error = outputs.iter().find_map(|output| output.take_error())?;
    Some(Fault::of_host("cannot save the component's output", &error))
}

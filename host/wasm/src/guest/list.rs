//! Asks a plugin for its scenarios. The call runs in a sandbox with nothing granted: no files, no environment, no network,
//! no session.

use std::{sync::Arc, time::Duration};

use wasmtime::component::Linker;

use super::state::{Guest, linker};
use crate::{
    component::{
        Plugin,
        bindings::{PluginPre, exports::scenario::host::scenarios::ScenarioInfo},
        explain_link_error,
    },
    engine::{self, Account, Engine},
    sandbox::{self, Sandbox},
};
use host_model::{BadName, Clause, DeclaredScenario, Grant, Limits, check_name};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_MEMORY: u64 = 256 << 20;
const MAX_HANDLES: u32 = 100;
const MAX_SCENARIOS: usize = 10_000;
/// Bytes that one call may copy into the host.
const MAX_COPIED_BYTES: usize = 8 << 20;

/// Why a plugin's list cannot be used. Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It imports something that the host does not have.
    #[error("cannot be linked: {reason}")]
    Link {
        /// The linker's message.
        reason: String,
    },
    /// It trapped, or used something that discovery denies.
    #[error("cannot list its scenarios: {reason}")]
    Trap {
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("does not list its scenarios within {TIMEOUT:?}")]
    Timeout,
    /// It lists none, or far too many.
    #[error("lists {count} scenarios; a plugin contains 1 to {MAX_SCENARIOS}")]
    Count {
        /// How many.
        count: usize,
    },
    /// A name cannot be used.
    #[error("lists a scenario with a bad name: {source}")]
    Name {
        /// Why not.
        #[source]
        source: BadName,
    },
    /// A clause's code cannot be used.
    #[error("lists a clause of `{scenario}` with a bad code: {source}")]
    Code {
        /// The scenario.
        scenario: String,
        /// Why not.
        #[source]
        source: BadName,
    },
    /// A name is listed twice.
    #[error("lists `{name}` twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A clause's code is listed twice.
    #[error("lists the clause `{code}` of `{scenario}` twice; give each clause its own code")]
    DuplicateClause {
        /// The scenario.
        scenario: String,
        /// The code.
        code: String,
    },
    /// A grant that this host does not know.
    #[error(
        "requests the grant `{}` for `{scenario}`, which this host does not have (it has {}); correct the name, or \
         update `host`", grant.escape_debug(), Grant::ALL.map(|known| format!("`{known}`")).join(", ")
    )]
    UnknownGrant {
        /// The scenario.
        scenario: String,
        /// The grant's name.
        grant: String,
    },
}

/// Lists the scenarios of plugins.
pub struct Lister {
    linkers: Vec<Linker<Guest>>,
}

impl Lister {
    /// A lister for plugins of `engine`.
    ///
    /// # Errors
    /// wasmtime's, if its own interfaces do not link: a bug of the host.
    pub fn new(engine: &Engine) -> wasmtime::Result<Self> {
        Ok(Self { linkers: engine.wasmtime().into_iter().map(linker).collect::<wasmtime::Result<_>>()? })
    }

    /// The scenarios of the typed `plugin`.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn list(&self, plugin: &Plugin) -> Result<Vec<DeclaredScenario>, ListError> {
        let listed = host_clock::timeout(TIMEOUT, self.call(plugin)).await.map_err(|_| ListError::Timeout)??;
        if listed.is_empty() || listed.len() > MAX_SCENARIOS {
            return Err(ListError::Count { count: listed.len() });
        }
        let mut scenarios: Vec<DeclaredScenario> = Vec::with_capacity(listed.len());
        let mut names = std::collections::HashSet::new();
        for info in listed {
            let scenario = validate(info)?;
            if !names.insert(scenario.name.clone()) {
                return Err(ListError::DuplicateName { name: scenario.name });
            }
            scenarios.push(scenario);
        }
        Ok(scenarios)
    }

    async fn call(&self, plugin: &Plugin) -> Result<Vec<ScenarioInfo>, ListError> {
        let no_component = || ListError::Link { reason: "it is not a component".into() };
        let component = plugin.code.component().ok_or_else(no_component)?;
        let compiled_for = component.engine();
        let linker = self.linkers.iter().find(|linker| wasmtime::Engine::same(linker.engine(), compiled_for));
        let linker = linker.ok_or_else(|| ListError::Link { reason: "it was compiled for another engine".into() })?;
        let imports = &plugin.contents.imports;
        let link = |error: wasmtime::Error| ListError::Link { reason: explain_link_error(imports, &error) };
        let pre = linker.instantiate_pre(component).and_then(PluginPre::new).map_err(link)?;
        let limits = Limits { max_memory: MAX_MEMORY, max_handles: MAX_HANDLES, ..Limits::default() };
        // An exceeded limit is reported by the trap that it causes.
        let account = Account::new(&limits, plugin.engine.mappings(), drop);
        let trap = |error: wasmtime::Error| ListError::Trap { reason: engine::causes(&error).join(": ") };
        let sandbox = Sandbox::without_grants(&limits, Arc::clone(&account))
            .map_err(|fault| ListError::Trap { reason: fault.message })?;
        let _instances = account
            .take(plugin.survey.instance_bytes(limits.max_instances), "its instances")
            .map_err(|exceeded| trap(exceeded.into()))?;
        let mut store = sandbox::store(compiled_for, Guest { sandbox, host: None }, &limits, MAX_COPIED_BYTES);
        let listed = async {
            let bound = pre.instantiate_async(&mut store).await?;
            bound.scenario_host_scenarios().call_list(&mut store).await
        };
        account.scope(listed).await.map_err(trap)
    }
}

fn validate(info: ScenarioInfo) -> Result<DeclaredScenario, ListError> {
    check_name(&info.name).map_err(|source| ListError::Name { source })?;
    let needs = info.needs.iter().map(|need| {
        Grant::from_word(need)
            .ok_or_else(|| ListError::UnknownGrant { scenario: info.name.clone(), grant: need.clone() })
    });
    let mut codes = std::collections::HashSet::new();
    let clauses = info.clauses.into_iter().map(|clause| {
        if !codes.insert(clause.code.clone()) {
            return Err(ListError::DuplicateClause {
                scenario: info.name.clone(),
                code: clause.code.escape_debug().to_string(),
            });
        }
        check_name(&clause.code).map_err(|source| ListError::Code { scenario: info.name.clone(), source })?;
        Ok(Clause { code: clause.code, requires: clause.requires })
    });
    Ok(DeclaredScenario {
        needs: needs.collect::<Result<_, _>>()?,
        clauses: clauses.collect::<Result<_, ListError>>()?,
        name: info.name,
        summary: info.summary,
        tags: info.tags,
    })
}

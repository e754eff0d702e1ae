//! Plain WASI commands: how one is called, and what its exit code means.

use wasmtime::{Store, component};
use wasmtime_wasi::{I32Exit, p2, p3};

use super::{expect::compare, failure::with_last_words, guest::Guest};
use host_model::{Expectation, Fault, Finding, Outcome};
use host_wasm::component::WasiVersion;
use host_wasm::sandbox::OutputFile;

/// The exit code of a command that does not apply here (as in Automake's test protocol).
const SKIP: i32 = 77;

/// A plain command, linked.
#[derive(Clone)]
pub(super) enum Command {
    /// A core module.
    P1(wasmtime::InstancePre<Guest>),
    P2(p2::bindings::CommandPre<Guest>),
    P3(component::InstancePre<Guest>),
}

impl Command {
    pub(super) fn link(pre: component::InstancePre<Guest>, version: WasiVersion) -> wasmtime::Result<Self> {
        match version {
            // A command of 0.1 that is a component has been adapted to 0.2.
            WasiVersion::P1 | WasiVersion::P2 => Ok(Self::P2(p2::bindings::CommandPre::new(pre)?)),
            WasiVersion::P3 => Ok(Self::P3(pre)),
        }
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::P1(pre) => pre.module().engine(),
            Self::P2(pre) => pre.engine(),
            Self::P3(pre) => pre.engine(),
        }
    }

    /// Runs it and returns its exit code.
    ///
    /// # Errors
    /// A trap.
    pub(super) async fn call(&self, store: &mut Store<Guest>) -> wasmtime::Result<i32> {
        let called = match self {
            Self::P1(pre) => call_p1(pre, store).await.map(Ok),
            Self::P2(pre) => match pre.instantiate_async(&mut *store).await {
                Ok(command) => command.wasi_cli_run().call_run(&mut *store).await,
                Err(error) => Err(error),
            },
            Self::P3(pre) => call_p3(pre, store).await,
        };
        match called {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => Ok(*code),
                None => Err(error),
            },
        }
    }
}

/// What has both entries is initialized before it starts.
async fn call_p1(pre: &wasmtime::InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<()> {
    let instance = pre.instantiate_async(&mut *store).await?;
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call_async(&mut *store, ()).await?;
    }
    instance.get_typed_func::<(), ()>(&mut *store, "_start")?.call_async(&mut *store, ()).await
}

async fn call_p3(pre: &component::InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), ()>> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let command = p3::bindings::Command::new(&mut *store, &instance)?;
    store.run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await).await?
}

/// The outcome for an exit code. Without expectations: 0 passes, 77 skips, anything else fails.
///
/// # Errors
/// A fault if an output cannot be read back.
pub(super) fn judge_command(
    code: i32,
    stdout: &OutputFile,
    stderr: &OutputFile,
    expect: Option<&Expectation>,
) -> Result<Outcome, Fault> {
    let Some(expect) = expect else {
        return Ok(match code {
            0 => Outcome::Pass,
            SKIP => Outcome::Skip { reason: skip_reason(stdout, stderr) },
            _ => Outcome::Fail { findings: vec![exit_code(code, 0, stderr)] },
        });
    };
    let mut findings = Vec::new();
    let wanted = expect.exit_code.unwrap_or(0);
    if code != wanted {
        findings.push(exit_code(code, wanted, stderr));
    }
    for (name, output, wanted) in [("stdout", stdout, &expect.stdout), ("stderr", stderr, &expect.stderr)] {
        if let Some(wanted) = wanted {
            findings.extend(compare(name, output, wanted)?);
        }
    }
    Ok(if findings.is_empty() { Outcome::Pass } else { Outcome::Fail { findings } })
}

fn exit_code(code: i32, wanted: i32, stderr: &OutputFile) -> Finding {
    Finding {
        code: "exit-code".into(),
        message: with_last_words(format!("the command exited with {code}, not {wanted}"), &stderr.tail()),
        evidence: None,
    }
}

fn skip_reason(stdout: &OutputFile, stderr: &OutputFile) -> String {
    let last_line = |text: String| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    last_line(stderr.tail())
        .or_else(|| last_line(stdout.tail()))
        .unwrap_or_else(|| format!("the command exited with {SKIP}"))
}

//! The sandbox of one attempt: its directories, WASI context, network policy and limits.

mod audit;
mod copying;
mod denial_code;
mod determinism;
mod disk_use;
mod file_calls;
mod fingerprint;
mod fixture;
mod granted;
mod http;
mod image;
mod loopback;
mod name_lookup;
mod network;
mod output;
mod preview1;
mod programs;
mod repository;
mod resolver;
mod sockets;
mod sweep;
#[cfg(test)]
mod tests;
mod violations;
mod workspace;
mod workspace_lock;

use std::{path::PathBuf, sync::Arc};

pub use audit::{Audit, UsedGrants};
pub use copying::Halt;
pub use disk_use::{DiskUse, DiskUseError};
use file_calls::FileCalls;
pub use fixture::{FixtureError, RecordedFixtureError, Snapshot};
pub use granted::{GrantError, Granted};
pub use host_fs::remove_tree;
use http::HttpGate;
pub use image::{Captured, ImageError, ImageLimits, Part, RestoreError, restore};
pub use network::Network;
pub use output::OutputFile;
use preview1::Listings;
pub use preview1::RaisedSignal;
pub use programs::{Installed, installed};
pub use resolver::{LookupPermit, PendingLookup, Resolve, SystemResolver};
pub use sweep::{DeadRun, Sweep, SweepProblem, sweep};
pub use violations::{ConcurrencyExceeded, Violations};
use wasmtime::{
    Store,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView, p1::WasiP1Ctx, p2::pipe::MemoryInputPipe};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};
pub use workspace::{AttemptDirs, CHECK, Workspace};

pub use crate::engine::{Account, Exceeded, Mappings, causes};

use crate::engine::{self, Limiter, add_wasi, http_ctx};
use host_model::{Fault, Limits};

/// What a component gets. Everything is empty by default, and empty means denied.
#[derive(Clone, Debug, Default)]
pub struct GuestConfig {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// The environment in order; granted variables come after it.
    pub env: Vec<(String, String)>,
    /// The content of stdin.
    pub stdin: Vec<u8>,
    /// The directories in order.
    pub preopens: Vec<PreopenedDir>,
}

/// A directory that is open to a component.
#[derive(Clone, Debug)]
pub struct PreopenedDir {
    /// Where it is.
    pub path: PathBuf,
    /// The name that the component knows it by.
    pub guest_path: String,
    /// Whether the component cannot change it.
    pub read_only: bool,
}

/// The part of an attempt's Store that WASI and the limits need.
pub struct Sandbox {
    /// The context of all WASI versions.
    wasi: WasiP1Ctx,
    listings: Listings,
    http: WasiHttpCtx,
    gate: HttpGate,
    network: Arc<Network>,
    files: Arc<FileCalls>,
    /// Counts memory and tables.
    pub limiter: Limiter,
}

impl Sandbox {
    /// Opens the preopens of an attempt. Nothing is inherited; without `outputs`, output is discarded.
    ///
    /// # Errors
    /// A fault of class `internal` if a directory cannot be opened.
    pub fn new(
        config: &GuestConfig,
        limits: &Limits,
        outputs: Option<(OutputFile, OutputFile)>,
        account: Arc<Account>,
        network: Network,
    ) -> Result<Self, Fault> {
        Self::build(config, limits, outputs, account, network, true)
    }

    /// With `sockets`, sockets can be created; `network` decides what they may do.
    fn build(
        config: &GuestConfig,
        limits: &Limits,
        outputs: Option<(OutputFile, OutputFile)>,
        account: Arc<Account>,
        network: Network,
        sockets: bool,
    ) -> Result<Self, Fault> {
        let mut wasi = WasiCtx::builder();
        wasi.args(&config.args);
        if let Some((stdout, stderr)) = outputs {
            wasi.stdout(stdout).stderr(stderr);
        }
        let own = config.env.iter().map(|(name, value)| (name, value));
        for (name, value) in own.chain(network.granted().env()) {
            wasi.env(name, value);
        }
        if let Some(seed) = network.granted().grants().deterministic {
            determinism::make_deterministic(&mut wasi, seed);
        }
        if !config.stdin.is_empty() {
            wasi.stdin(MemoryInputPipe::new(config.stdin.clone()));
        }
        for PreopenedDir { path, guest_path, read_only } in &config.preopens {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(path, guest_path, perms).map_err(|error| {
                let what = format!("cannot open {} for the component", path.display());
                let error: &(dyn std::error::Error + Send + Sync) = error.as_ref();
                Fault::of_host(what, error)
            })?;
        }
        let network = Arc::new(network.with_account(Arc::clone(&account)));
        let policy = Arc::clone(&network);
        // Only `name_lookup` resolves names.
        wasi.allow_tcp(sockets).allow_udp(sockets).allow_ip_name_lookup(false).socket_addr_check(
            move |address, used| {
                let allowed = policy.socket(address, used);
                Box::pin(async move { allowed })
            },
        );
        let mut wasi = wasi.build_p1();
        wasi.ctx().table.set_max_capacity(limits.max_handles as usize);
        let limiter = Limiter::new(limits, Arc::clone(&account));
        let gate = HttpGate(Arc::clone(&network));
        let files = FileCalls::new(network.violations(), account);
        Ok(Self { wasi, listings: Listings::default(), http: http_ctx(), gate, network, files, limiter })
    }

    /// A sandbox without directories, environment, arguments, sockets and network, which discards output.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn without_grants(limits: &Limits, account: Arc<Account>) -> Result<Self, Fault> {
        let network = Network::new(Arc::default(), Arc::new(SystemResolver), Arc::default(), None, limits.max_handles);
        Self::build(&GuestConfig::default(), limits, None, account, network, false)
    }

    /// What outgoing HTTP needs.
    pub fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.gate, table: self.wasi.ctx().table, ctx: &mut self.http }
    }

    /// The table of the handles that the component holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        self.wasi.ctx().table
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

impl wasmtime_wasi_http::WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http()
    }
}

/// Store data that contains a sandbox.
pub trait HasSandbox: WasiView + wasmtime_wasi_http::WasiHttpView {
    /// The sandbox.
    fn sandbox(&mut self) -> &mut Sandbox;
}

impl HasSandbox for Sandbox {
    fn sandbox(&mut self) -> &mut Self {
        self
    }
}

/// A Store for `data` within `limits`; a call may copy `copied` bytes into the host.
pub fn store<T: HasSandbox + Send>(engine: &wasmtime::Engine, data: T, limits: &Limits, copied: usize) -> Store<T> {
    engine::store(engine, data, limits.max_handles as usize, copied, |data| &mut data.sandbox().limiter)
}

/// Adds all of WASI 0.1 that a sandbox offers, for core modules.
///
/// # Errors
/// wasmtime's, if its own functions do not link: a bug of the host.
pub fn add_to_module_linker<T: HasSandbox + Send + 'static>(linker: &mut wasmtime::Linker<T>) -> wasmtime::Result<()> {
    preview1::add_to_linker(linker)
}

/// Adds all of WASI 0.2 and 0.3 that a sandbox offers. APIs that were not granted are linked but return an error, so that
/// a component that imports them can run.
///
/// # Errors
/// wasmtime's, if its own interfaces do not link: a bug of the host.
pub fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    add_wasi(linker)?;
    file_calls::add_to_linker(linker)?;
    name_lookup::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}

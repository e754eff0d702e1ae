//! One attempt's directories, its WASI context, its network policy and its bounds.

mod answer;
mod audit;
mod claim;
mod copying;
mod disk_use;
mod file_calls;
mod fingerprint;
mod fixture;
mod granted;
mod http;
mod image;
mod look_up;
mod loopback;
mod network;
mod output;
mod preview1;
mod programs;
mod repository;
mod resolver;
mod sameness;
mod sockets;
mod sweep;
#[cfg(test)]
mod tests;
mod tripwire;
mod workspace;

use std::{path::PathBuf, sync::Arc};

pub use audit::{Audit, UsedGrants};
pub use copying::Halt;
pub use disk_use::{DiskUse, Uncounted};
use file_calls::FileCalls;
pub use fixture::{FixtureError, RecordedFixtureError, Snapshot};
pub use granted::{GrantError, Granted};
pub use host_fs::remove_tree;
use http::HttpGate;
pub use image::{Captured, ImageError, ImageLimits, Part, RestoreError, restore};
pub use network::Network;
pub use output::OutputFile;
use preview1::Listings;
pub use preview1::Raised;
pub use programs::{Installed, installed};
pub use resolver::{Resolve, Resolving, SystemResolver, Turn};
pub use sweep::{DeadRun, Sweep, SweepProblem, sweep};
pub use tripwire::{Crowded, Tripwire};
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

/// What a component is given beyond its directories. Everything is empty by default, and empty means denied.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// The environment, in its order; what is granted comes after it.
    pub env: Vec<(String, String)>,
    /// What stdin holds.
    pub stdin: Vec<u8>,
    /// Its directories in their order.
    pub preopens: Vec<OpenedDir>,
}

/// A directory that a component is given.
#[derive(Clone, Debug)]
pub struct OpenedDir {
    /// Where it is.
    pub path: PathBuf,
    /// The name that the component knows it by.
    pub seen_as: String,
    /// Whether the component can change nothing in it.
    pub read_only: bool,
}

/// The part of an attempt's Store that WASI and the bounds need.
pub struct Sandbox {
    /// What all versions of WASI work on; what only 0.1 needs costs the others nothing.
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
    /// Opens the preopens of an attempt. Nothing is inherited; of the network it has what `network` grants, and nothing
    /// by default.
    ///
    /// # Errors
    /// A fault of class `internal` when a directory cannot be opened.
    pub fn new(
        given: &Given,
        limits: &Limits,
        (stdout, stderr): (OutputFile, OutputFile),
        account: Arc<Account>,
        network: Network,
    ) -> Result<Self, Fault> {
        let mut wasi = WasiCtx::builder();
        wasi.args(&given.args).stdout(stdout).stderr(stderr);
        let own = given.env.iter().map(|(name, value)| (name, value));
        for (name, value) in own.chain(network.granted().env()) {
            wasi.env(name, value);
        }
        if let Some(seed) = network.granted().grants().deterministic {
            sameness::fix(&mut wasi, seed);
        }
        if !given.stdin.is_empty() {
            wasi.stdin(MemoryInputPipe::new(given.stdin.clone()));
        }
        for OpenedDir { path, seen_as, read_only } in &given.preopens {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(path, seen_as, perms).map_err(|error| {
                let what = format!("cannot open {} for the component", path.display());
                let error: &(dyn std::error::Error + Send + Sync) = error.as_ref();
                Fault::of_host(what, error)
            })?;
        }
        let network = Arc::new(network.counted(Arc::clone(&account)));
        let judge = Arc::clone(&network);
        // Names are looked up by `look_up` alone.
        wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(false).socket_addr_check(move |address, used| {
            let allowed = judge.socket(address, used);
            Box::pin(async move { allowed })
        });
        let mut wasi = wasi.build_p1();
        wasi.ctx().table.set_max_capacity(limits.handles as usize);
        let limiter = Limiter::new(limits, Arc::clone(&account));
        let gate = HttpGate(Arc::clone(&network));
        let files = FileCalls::new(network.tripwire(), account);
        Ok(Self { wasi, listings: Listings::default(), http: http_ctx(), gate, network, files, limiter })
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

/// A Store's data that a sandbox is a part of.
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
    engine::store(engine, data, limits.handles as usize, copied, |data| &mut data.sandbox().limiter)
}

/// Adds all of WASI 0.1 that a sandbox offers, for core modules.
///
/// # Errors
/// wasmtime's, if its own functions do not link: a bug of the host.
pub fn add_to_module_linker<T: HasSandbox + Send + 'static>(linker: &mut wasmtime::Linker<T>) -> wasmtime::Result<()> {
    preview1::add_to_linker(linker)
}

/// Adds all of WASI 0.2 and 0.3 that a sandbox offers. What is not granted is there too, and refuses: a component that
/// could use it runs, as long as it does not.
///
/// # Errors
/// wasmtime's, if its own interfaces do not link: a bug of the host.
pub fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    add_wasi(linker)?;
    file_calls::add_to_linker(linker)?;
    look_up::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}

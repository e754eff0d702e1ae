//! One attempt's directories, its WASI context, its network policy and its bounds.

mod claim;
mod fingerprint;
mod fixture;
mod image;
mod output;
mod remove;
mod sweep;
mod tripwire;
mod workspace;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

pub use fixture::{FixtureError, RecordedFixtureError, Snapshot};
pub use image::{Captured, ImageError, ImageLimits, Part, RestoreError, restore};
pub use output::OutputFile;
pub use remove::remove_tree;
pub use sweep::{DeadRun, Sweep, SweepProblem, sweep};
pub use tripwire::Tripwire;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView, p2::pipe::MemoryInputPipe, sockets::SocketAddrUse};
pub use workspace::{AttemptDirs, Workspace};

use crate::{
    engine::Limiter,
    model::{Fault, FaultClass, Limits},
};

/// What a component is given beyond its directories. Everything is empty by default, and empty means denied.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
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
    wasi: WasiCtx,
    table: ResourceTable,
    /// Counts memory and tables.
    pub limiter: Limiter,
}

impl Sandbox {
    /// Opens the preopens of an attempt. Nothing is inherited; TCP, UDP and name look-up are refused. A try of TCP
    /// or UDP is noted in `tripwire`; wasmtime has no place to note a look-up.
    ///
    /// # Errors
    /// A fault of class `internal` when a directory cannot be opened.
    pub fn new(
        given: &Given,
        limits: &Limits,
        stdout: OutputFile,
        stderr: OutputFile,
        tripwire: &Arc<Tripwire>,
    ) -> Result<Self, Fault> {
        let mut wasi = WasiCtx::builder();
        wasi.args(&given.args).stdout(stdout).stderr(stderr);
        for (name, value) in &given.env {
            wasi.env(name, value);
        }
        if !given.stdin.is_empty() {
            wasi.stdin(MemoryInputPipe::new(given.stdin.clone()));
        }
        for OpenedDir { path, seen_as, read_only } in &given.preopens {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(path, seen_as, perms).map_err(|error| {
                Fault::new(FaultClass::Internal, format!("cannot open {} for the component: {error:#}", path.display()))
            })?;
        }
        let noted = Arc::clone(tripwire);
        wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(false).socket_addr_check(move |address, used| {
            noted.denied(network_use(address, used));
            Box::pin(async { false })
        });
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        let told = Arc::clone(tripwire);
        let limiter = Limiter::new(limits, move |what| told.limit(what));
        Ok(Self { wasi: wasi.build(), table, limiter })
    }

    /// The table of the handles that the component holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn network_use(address: SocketAddr, used: SocketAddrUse) -> String {
    match used {
        SocketAddrUse::TcpBind => format!("TCP: to bind {address}"),
        SocketAddrUse::TcpListen => format!("TCP: to listen on {address}"),
        SocketAddrUse::TcpAccept => format!("TCP: to accept a connection from {address}"),
        SocketAddrUse::TcpConnect => format!("TCP: to connect to {address}"),
        SocketAddrUse::UdpBind => format!("UDP: to bind {address}"),
        SocketAddrUse::UdpSend => format!("UDP: to send to {address}"),
        _ => format!("network: to use {address}"),
    }
}

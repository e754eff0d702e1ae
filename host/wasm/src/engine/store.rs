//! WASI and the Store for every component that the host calls.

use wasmtime::{ResourceLimiter, Store, component::Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpView};

use super::http_limits::{self, MAX_FIELD_BYTES};

/// Bytes of a request body that wait for the network; the memory limit does not count them.
pub const HTTP_CHUNK: usize = 16 << 10;

/// Streams, futures and resources of any kind, for each handle that the component may hold of the host. A stream of WASI
/// 0.3 keeps a file or a socket open after its handle was dropped.
const PER_HANDLE: usize = 8;

/// Adds WASI 0.2 and 0.3 with outgoing HTTP, whose requests hold no more of the host's memory than a server would accept.
/// The context must be [`http_ctx`]'s.
///
/// # Errors
/// wasmtime's, if its own interfaces do not link: a bug of the host.
pub fn add_wasi<T: WasiView + WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    http_limits::add_to_linker(linker)
}

/// The HTTP context of a component, with the bound on the headers of one request.
#[must_use]
pub fn http_ctx() -> WasiHttpCtx {
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(MAX_FIELD_BYTES);
    http
}

/// A Store that yields at every epoch, so that a timeout and a stop are noticed. `max_handles` are those of the host that
/// the component may hold, `max_copied` the bytes that one call may copy into the host.
pub fn store<T: Send>(
    engine: &wasmtime::Engine,
    data: T,
    max_handles: usize,
    max_copied: usize,
    limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static,
) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.limiter(limiter);
    store.set_hostcall_fuel(max_copied);
    store.set_max_component_handles(max_handles.saturating_mul(PER_HANDLE));
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

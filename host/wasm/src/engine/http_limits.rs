//! Bounds on method, host and path of a request. wasmtime accepts any length and keeps them with each request that was not
//! sent yet; one for each handle that a component may have would exhaust the host's memory.

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{WasiHttpView, p2::bindings::http::types as p2, p3::bindings::http::types as p3};

/// The approximate size of the headers of one request, and of its method, host and path. There may be as many requests as
/// the component may have handles.
pub(super) const MAX_FIELD_BYTES: usize = 64 << 10;

/// Whether a request may hold the text; a longer one counts as an invalid method, host or path.
fn is_within_bound(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.len() <= MAX_FIELD_BYTES)
}

macro_rules! bounded {
    ($linker:ident, $version:ident, $package:literal, $resource:literal, $host:ident, $request:ident) => {
        let mut types = $linker.instance($package)?;
        types.func_wrap(
            concat!("[method]", $resource, ".set-method"),
            |mut store: StoreContextMut<'_, T>, (request, method): (Resource<$version::$request>, $version::Method)| {
                let text = if let $version::Method::Other(method) = &method { Some(method.as_str()) } else { None };
                if !is_within_bound(text) {
                    return Ok((Err(()),));
                }
                $version::$host::set_method(&mut store.data_mut().http(), request, method).map(|set| (set,))
            },
        )?;
        types.func_wrap(
            concat!("[method]", $resource, ".set-authority"),
            |mut store: StoreContextMut<'_, T>, (request, host): (Resource<$version::$request>, Option<String>)| {
                if !is_within_bound(host.as_deref()) {
                    return Ok((Err(()),));
                }
                $version::$host::set_authority(&mut store.data_mut().http(), request, host).map(|set| (set,))
            },
        )?;
        types.func_wrap(
            concat!("[method]", $resource, ".set-path-with-query"),
            |mut store: StoreContextMut<'_, T>, (request, path): (Resource<$version::$request>, Option<String>)| {
                if !is_within_bound(path.as_deref()) {
                    return Ok((Err(()),));
                }
                $version::$host::set_path_with_query(&mut store.data_mut().http(), request, path).map(|set| (set,))
            },
        )?;
    };
}

/// Replaces the functions in `linker` by bounded ones.
pub(super) fn add_to_linker<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    bounded!(linker, p2, "wasi:http/types@0.2.12", "outgoing-request", HostOutgoingRequest, OutgoingRequest);
    bounded!(linker, p3, "wasi:http/types@0.3.0", "request", HostRequest, Request);
    linker.allow_shadowing(false);
    Ok(())
}

//! WASI 0.1 for core modules, on wasmtime's own implementation.
//!
//! Every call is wrapped: it finds the memory of a module by either of its names, works without a memory if it takes no
//! address, and holds no more of the host's memory than the attempt may use. The calls for which wasmtime differs from
//! WASI 0.1 are in [`overrides`].

mod buffers;
mod listing;
mod overrides;

pub(super) use listing::Listings;
use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;
use wiggle::{GuestError, GuestMemory};

use super::{HasSandbox, Sandbox};

/// The module that the functions are imported from.
const MODULE: &str = "wasi_snapshot_preview1";
/// The export of a module's memory, in both name mangling schemes.
const MEMORY: [&str; 2] = ["memory", "cm32p2_memory"];

/// Error numbers of WASI 0.1.
const SUCCESS: i32 = 0;
const INVAL: i32 = 28;

/// The program raised a signal, which WASI does not have.
#[derive(Debug, thiserror::Error)]
#[error("the program raised the signal {0}")]
pub struct RaisedSignal(i32);

/// The sandbox, and the memory of the calling module: empty if it exports none, so that every address is out of bounds.
fn parts<'a, T: HasSandbox>(caller: &'a mut Caller<'_, T>) -> (&'a mut Sandbox, GuestMemory<'a>) {
    let memory = MEMORY.iter().find_map(|name| match caller.get_export(name) {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    });
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, data) = match memory {
        Some(memory) => memory.data_and_store_mut(caller),
        None => (&mut [][..], caller.data_mut()),
    };
    let sandbox = data.sandbox();
    p1::WasiSnapshotPreview1::set_hostcall_fuel(&mut sandbox.wasi, fuel);
    (sandbox, GuestMemory::Unshared(bytes))
}

/// Returns `inval` for an invalid enum or flag value, on which wasmtime traps.
fn or_invalid(result: wasmtime::Result<i32>) -> wasmtime::Result<i32> {
    result.or_else(|error| match error.downcast_ref::<GuestError>() {
        Some(problem) if is_invalid(problem) => Ok(INVAL),
        _ => Err(error),
    })
}

fn is_invalid(problem: &GuestError) -> bool {
    match problem {
        GuestError::InvalidEnumValue(_) | GuestError::InvalidFlagValue(_) => true,
        GuestError::InFunc { err, .. } => is_invalid(err),
        _ => false,
    }
}

/// The first argument of the functions of a module.
macro_rules! target {
    (p1 $sandbox:ident) => {
        &mut $sandbox.wasi
    };
    (overrides $sandbox:ident) => {
        $sandbox
    };
}

/// Adds the functions of `$module`.
macro_rules! add {
    ($linker:ident, $module:ident, async { $($name:ident ($($arg:ident: $ty:ty),*);)* }) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    let (sandbox, mut memory) = parts(&mut caller);
                    or_invalid($module::$name(target!($module sandbox), &mut memory, $($arg),*).await)
                })
            },
        )?;)*
    };
    ($linker:ident, $module:ident, sync { $($name:ident ($($arg:ident: $ty:ty),*);)* }) => {
        $($linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, T>, $($arg: $ty),*| {
            let (sandbox, mut memory) = parts(&mut caller);
            or_invalid($module::$name(target!($module sandbox), &mut memory, $($arg),*))
        })?;)*
    };
}

/// Adds all of WASI 0.1.
///
/// # Errors
/// wasmtime's, if its own functions do not link: a bug of the host.
pub(super) fn add_to_linker<T: HasSandbox + Send + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    add!(linker, p1, sync {
        args_get(list: i32, texts: i32);
        args_sizes_get(count: i32, size: i32);
        clock_res_get(clock: i32, time: i32);
        clock_time_get(clock: i32, precision: i64, time: i32);
        environ_get(list: i32, texts: i32);
        environ_sizes_get(count: i32, size: i32);
        fd_allocate(fd: i32, offset: i64, length: i64);
        fd_fdstat_set_flags(fd: i32, flags: i32);
        fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
        fd_prestat_dir_name(fd: i32, name: i32, length: i32);
        fd_prestat_get(fd: i32, stat: i32);
        fd_tell(fd: i32, offset: i32);
        random_get(buffer: i32, length: i32);
        sched_yield();
        sock_accept(fd: i32, flags: i32, accepted: i32);
        sock_recv(fd: i32, list: i32, count: i32, flags: i32, read: i32, read_flags: i32);
        sock_send(fd: i32, list: i32, count: i32, flags: i32, sent: i32);
        sock_shutdown(fd: i32, how: i32);
    });
    add!(linker, p1, async {
        fd_advise(fd: i32, offset: i64, length: i64, advice: i32);
        fd_datasync(fd: i32);
        fd_fdstat_get(fd: i32, stat: i32);
        fd_filestat_get(fd: i32, stat: i32);
        fd_filestat_set_size(fd: i32, size: i64);
        fd_seek(fd: i32, offset: i64, whence: i32, new_offset: i32);
        fd_sync(fd: i32);
        path_create_directory(fd: i32, path: i32, length: i32);
        path_link(fd: i32, flags: i32, path: i32, length: i32, to: i32, to_path: i32, to_length: i32);
        path_readlink(fd: i32, path: i32, length: i32, buffer: i32, size: i32, read: i32);
        path_rename(fd: i32, path: i32, length: i32, to: i32, to_path: i32, to_length: i32);
        path_symlink(target: i32, target_length: i32, fd: i32, path: i32, length: i32);
        path_unlink_file(fd: i32, path: i32, length: i32);
        poll_oneoff(subscriptions: i32, events: i32, count: i32, ready: i32);
    });
    linker.func_wrap(MODULE, "proc_exit", |code: i32| overrides::proc_exit(code))?;
    linker.func_wrap(MODULE, "proc_raise", |signal: i32| overrides::proc_raise(signal))?;
    add!(linker, overrides, async {
        fd_close(fd: i32);
        fd_filestat_set_times(fd: i32, read: i64, changed: i64, flags: i32);
        fd_pread(fd: i32, list: i32, count: i32, offset: i64, read: i32);
        fd_pwrite(fd: i32, list: i32, count: i32, offset: i64, written: i32);
        fd_read(fd: i32, list: i32, count: i32, read: i32);
        fd_readdir(fd: i32, buffer: i32, size: i32, cookie: i64, used: i32);
        fd_renumber(from: i32, to: i32);
        fd_write(fd: i32, list: i32, count: i32, written: i32);
        path_filestat_get(fd: i32, lookup: i32, path: i32, length: i32, stat: i32);
        path_filestat_set_times(fd: i32, lookup: i32, path: i32, length: i32, read: i64, changed: i64, flags: i32);
        path_open(fd: i32, lookup: i32, path: i32, length: i32, flags: i32, base: i64, inheriting: i64, fdflags: i32,
            opened: i32);
        path_remove_directory(fd: i32, path: i32, length: i32);
    });
    Ok(())
}

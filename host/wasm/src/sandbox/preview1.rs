//! WASI 0.1 for core modules, on wasmtime's own implementation of it.
//!
//! Each call goes through here, so that it finds the memory of a module by either of its names, needs none where it is
//! given no address, and holds no more of the host's memory than the attempt may have. Where wasmtime answers otherwise than
//! WASI 0.1 says, the call has a function of its own below.

mod buffers;
mod listing;

pub(super) use listing::Listings;
use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::{
    I32Exit,
    p1::{WasiP1Ctx, wasi_snapshot_preview1 as p1},
};
use wiggle::{GuestError, GuestMemory};

use super::{HasSandbox, Sandbox};

/// The module that the functions are imported from.
const MODULE: &str = "wasi_snapshot_preview1";
/// The export by which a module shows its memory, and its name in the other way of mangling names.
const MEMORY: [&str; 2] = ["memory", "cm32p2_memory"];

/// Numbers of WASI 0.1 for errors.
const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const NOTDIR: i32 = 54;
const NOTSUP: i32 = 58;
/// Bytes of the longest path that a system takes.
const LONGEST_PATH: usize = 4096;
/// The flag of a look-up that follows a link at the end of a path.
const FOLLOW: i32 = 1;

/// The program raised a signal, and there are no signals here.
#[derive(Debug, thiserror::Error)]
#[error("the program raised the signal {0}")]
pub struct Raised(i32);

/// What a call works on, and the memory of the module that makes it: empty where it shows none, so that each address is
/// one outside of it.
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

/// A number that stands for nothing, where WASI 0.1 knows only some: wasmtime traps over it as an argument.
fn answered(result: wasmtime::Result<i32>) -> wasmtime::Result<i32> {
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

/// What the functions of a module work on.
macro_rules! target {
    (p1 $sandbox:ident) => {
        &mut $sandbox.wasi
    };
    (own $sandbox:ident) => {
        $sandbox
    };
}

/// Adds functions that `$module` has by the same names.
macro_rules! add {
    ($linker:ident, $module:ident, async { $($name:ident ($($arg:ident: $ty:ty),*);)* }) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    let (sandbox, mut memory) = parts(&mut caller);
                    answered($module::$name(target!($module sandbox), &mut memory, $($arg),*).await)
                })
            },
        )?;)*
    };
    ($linker:ident, $module:ident, sync { $($name:ident ($($arg:ident: $ty:ty),*);)* }) => {
        $($linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, T>, $($arg: $ty),*| {
            let (sandbox, mut memory) = parts(&mut caller);
            answered($module::$name(target!($module sandbox), &mut memory, $($arg),*))
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
        fd_tell(fd: i32, place: i32);
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
        fd_seek(fd: i32, offset: i64, whence: i32, place: i32);
        fd_sync(fd: i32);
        path_create_directory(fd: i32, path: i32, length: i32);
        path_link(fd: i32, flags: i32, path: i32, length: i32, to: i32, to_path: i32, to_length: i32);
        path_readlink(fd: i32, path: i32, length: i32, buffer: i32, size: i32, read: i32);
        path_rename(fd: i32, path: i32, length: i32, to: i32, to_path: i32, to_length: i32);
        path_symlink(target: i32, target_length: i32, fd: i32, path: i32, length: i32);
        path_unlink_file(fd: i32, path: i32, length: i32);
        poll_oneoff(subscriptions: i32, events: i32, count: i32, told: i32);
    });
    linker.func_wrap(MODULE, "proc_exit", |code: i32| own::proc_exit(code))?;
    linker.func_wrap(MODULE, "proc_raise", |signal: i32| own::proc_raise(signal))?;
    add!(linker, own, async {
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

/// What stands in for wasmtime's functions, with the reason for each.
mod own {
    use super::{
        BADF, FOLLOW, GuestMemory, I32Exit, NOTDIR, NOTSUP, Raised, Sandbox,
        buffers::Shortened,
        is_of_socket, is_special,
        listing::{self, Room},
        p1, trailing_slashes,
    };

    type Result<T> = wasmtime::Result<T>;

    /// An operating system keeps the low byte of a code. wasmtime takes codes from 126 on for an error of its own.
    pub(super) fn proc_exit(code: i32) -> Result<()> {
        Err(I32Exit(code & 0xff).into())
    }

    /// Programs raise a signal to end. wasmtime says that it cannot be raised, and they go on.
    pub(super) fn proc_raise(signal: i32) -> Result<i32> {
        Err(Raised(signal).into())
    }

    // What a descriptor stood for is not read on under its number.
    pub(super) async fn fd_close(sandbox: &mut Sandbox, memory: &mut GuestMemory<'_>, fd: i32) -> Result<i32> {
        sandbox.listings.forget(fd);
        p1::fd_close(&mut sandbox.wasi, memory, fd).await
    }

    /// The descriptor of a directory cannot set its times, but a name of it can.
    pub(super) async fn fd_filestat_set_times(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        read: i64,
        changed: i64,
        flags: i32,
    ) -> Result<i32> {
        let errno = p1::fd_filestat_set_times(&mut sandbox.wasi, memory, fd, read, changed, flags).await?;
        if errno != BADF {
            return Ok(errno);
        }
        let (mut name, follow) = (*b".", 0);
        let own = &mut GuestMemory::Unshared(&mut name);
        let errno = p1::path_filestat_set_times(&mut sandbox.wasi, own, fd, follow, 0, 1, read, changed, flags).await?;
        Ok(if errno == NOTDIR { BADF } else { errno })
    }

    pub(super) async fn fd_renumber(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        from: i32,
        to: i32,
    ) -> Result<i32> {
        sandbox.listings.forget(from);
        sandbox.listings.forget(to);
        p1::fd_renumber(&mut sandbox.wasi, memory, from, to).await
    }

    // What is read or written at once is held by the host, too.
    pub(super) async fn fd_read(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        list: i32,
        count: i32,
        read: i32,
    ) -> Result<i32> {
        let shortened = Shortened::first_of(memory, list, count);
        let errno = p1::fd_read(&mut sandbox.wasi, memory, fd, list, count, read).await;
        shortened.restore(memory);
        errno
    }

    pub(super) async fn fd_pread(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        list: i32,
        count: i32,
        offset: i64,
        read: i32,
    ) -> Result<i32> {
        let shortened = Shortened::first_of(memory, list, count);
        let errno = p1::fd_pread(&mut sandbox.wasi, memory, fd, list, count, offset, read).await;
        shortened.restore(memory);
        errno
    }

    pub(super) async fn fd_write(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        list: i32,
        count: i32,
        written: i32,
    ) -> Result<i32> {
        let shortened = Shortened::first_of(memory, list, count);
        let errno = p1::fd_write(&mut sandbox.wasi, memory, fd, list, count, written).await;
        shortened.restore(memory);
        errno
    }

    pub(super) async fn fd_pwrite(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        list: i32,
        count: i32,
        offset: i64,
        written: i32,
    ) -> Result<i32> {
        let shortened = Shortened::first_of(memory, list, count);
        let errno = p1::fd_pwrite(&mut sandbox.wasi, memory, fd, list, count, offset, written).await;
        shortened.restore(memory);
        errno
    }

    pub(super) async fn fd_readdir(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        buffer: i32,
        size: i32,
        cookie: i64,
        used: i32,
    ) -> Result<i32> {
        let state = (&mut sandbox.wasi, &mut sandbox.listings);
        listing::fd_readdir(state, memory, fd, cookie, Room { buffer, size, used }).await
    }

    /// A slash at the end of a path means what a link there leads to. wasmtime follows it only when it is told.
    pub(super) async fn path_filestat_get(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        lookup: i32,
        path: i32,
        length: i32,
        stat: i32,
    ) -> Result<i32> {
        let follow = if trailing_slashes(memory, path, length) > 0 { FOLLOW } else { 0 };
        let told = p1::path_filestat_get(&mut sandbox.wasi, memory, fd, lookup | follow, path, length, stat).await;
        // WASI 0.1 has types for sockets, but wasmtime traps over one.
        told.or_else(|error| if is_of_socket(&error) { Ok(NOTSUP) } else { Err(error) })
    }

    #[expect(clippy::too_many_arguments, reason = "they are those of WASI 0.1")]
    pub(super) async fn path_filestat_set_times(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        lookup: i32,
        path: i32,
        length: i32,
        read: i64,
        changed: i64,
        flags: i32,
    ) -> Result<i32> {
        let lookup = lookup | if trailing_slashes(memory, path, length) > 0 { FOLLOW } else { 0 };
        let wasi = &mut sandbox.wasi;
        // wasmtime opens what a followed path leads to.
        if lookup & FOLLOW != 0 && is_special(wasi, memory, fd, lookup, path, length).await? {
            return Ok(NOTSUP);
        }
        p1::path_filestat_set_times(wasi, memory, fd, lookup, path, length, read, changed, flags).await
    }

    /// To open a pipe, a socket or a device could wait for ever, or do anything. An agent may have left one.
    #[expect(clippy::too_many_arguments, reason = "they are those of WASI 0.1")]
    pub(super) async fn path_open(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        lookup: i32,
        path: i32,
        length: i32,
        flags: i32,
        base: i64,
        inheriting: i64,
        fdflags: i32,
        opened: i32,
    ) -> Result<i32> {
        let wasi = &mut sandbox.wasi;
        if is_special(wasi, memory, fd, lookup, path, length).await? {
            return Ok(NOTSUP);
        }
        p1::path_open(wasi, memory, fd, lookup, path, length, flags, base, inheriting, fdflags, opened).await
    }

    /// A slash at the end changes nothing: only a directory can be removed. wasmtime refuses it.
    pub(super) async fn path_remove_directory(
        sandbox: &mut Sandbox,
        memory: &mut GuestMemory<'_>,
        fd: i32,
        path: i32,
        length: i32,
    ) -> Result<i32> {
        let slashes = trailing_slashes(memory, path, length);
        let trimmed = if slashes < length { length - slashes } else { length };
        p1::path_remove_directory(&mut sandbox.wasi, memory, fd, path, trimmed).await
    }
}

/// Whether wasmtime says that it cannot tell what a socket is.
fn is_of_socket(error: &wasmtime::Error) -> bool {
    error.to_string().contains("sockets are not currently supported")
}

/// Whether a path leads to something that is neither a file nor a directory nor a link. Where it cannot be looked at, the
/// call says why.
async fn is_special(
    wasi: &mut WasiP1Ctx,
    memory: &GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    length: i32,
) -> wasmtime::Result<bool> {
    /// Bytes of a file's attributes, and where its type is in them.
    const STAT: usize = 64;
    const TYPE: usize = 16;
    let Some(text) = slice(memory, path, length).filter(|text| text.len() <= LONGEST_PATH) else { return Ok(false) };
    // In a memory of the host's own, which begins at an address that everything can.
    let mut bytes = vec![0; STAT + text.len() + align_of::<u64>()];
    let start = bytes.as_ptr().align_offset(align_of::<u64>());
    let own = &mut bytes[start..];
    own[STAT..STAT + text.len()].copy_from_slice(text);
    let mut memory = GuestMemory::Unshared(own);
    match p1::path_filestat_get(wasi, &mut memory, fd, lookup & FOLLOW, STAT as i32, length, 0).await {
        // Unknown, a block device, a character device.
        Ok(SUCCESS) => Ok(bytes[start + TYPE] < 3),
        Ok(_) => Ok(false),
        Err(error) if is_of_socket(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// What a module names by address and length, where it is in its memory.
fn slice<'a>(memory: &'a GuestMemory<'_>, start: i32, length: i32) -> Option<&'a [u8]> {
    let GuestMemory::Unshared(bytes) = memory else { return None };
    let (start, length) = (start.cast_unsigned() as usize, length.cast_unsigned() as usize);
    bytes.get(start..start.checked_add(length)?)
}

/// How many slashes the path ends with. What is not in the memory is for the call to find.
fn trailing_slashes(memory: &GuestMemory<'_>, path: i32, length: i32) -> i32 {
    let text = slice(memory, path, length).unwrap_or_default();
    let slashes = text.iter().rev().take_while(|byte| **byte == b'/').count();
    i32::try_from(slashes).unwrap_or(0)
}

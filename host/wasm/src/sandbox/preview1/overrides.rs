//! Replacements for functions of wasmtime, with the reason for each.

use wasmtime_wasi::{
    I32Exit,
    p1::{WasiP1Ctx, wasi_snapshot_preview1 as p1},
};
use wiggle::GuestMemory;

use super::{
    RaisedSignal, SUCCESS, Sandbox,
    buffers::ShortenedBuffer,
    listing::{self, OutputBuffer},
};

const BADF: i32 = 8;
const NOTDIR: i32 = 54;
const NOTSUP: i32 = 58;
/// The longest path that a system accepts, in bytes.
const MAX_PATH_BYTES: usize = 4096;
/// The lookup flag that follows a link at the end of a path.
const FOLLOW: i32 = 1;

type Result<T> = wasmtime::Result<T>;

/// An operating system keeps the low byte of a code. wasmtime treats codes from 126 on as an error of its own.
pub(super) fn proc_exit(code: i32) -> Result<()> {
    Err(I32Exit(code & 0xff).into())
}

/// Programs raise a signal to end. wasmtime returns an error instead, and they continue.
pub(super) fn proc_raise(signal: i32) -> Result<i32> {
    Err(RaisedSignal(signal).into())
}

/// A listing is not continued under the number of a closed descriptor.
pub(super) async fn fd_close(sandbox: &mut Sandbox, memory: &mut GuestMemory<'_>, fd: i32) -> Result<i32> {
    sandbox.listings.forget(fd);
    p1::fd_close(&mut sandbox.wasi, memory, fd).await
}

/// wasmtime cannot set the times of a directory by its descriptor, but it can by its path.
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

/// What one call reads or writes is held in the host's memory, so these calls are bounded.
macro_rules! bounded {
    ($($name:ident ($($arg:ident: $ty:ty),*);)*) => {
        $(pub(super) async fn $name(
            sandbox: &mut Sandbox,
            memory: &mut GuestMemory<'_>,
            fd: i32,
            list: i32,
            count: i32,
            $($arg: $ty),*
        ) -> Result<i32> {
            let shortened = ShortenedBuffer::first_of(memory, list, count);
            let errno = p1::$name(&mut sandbox.wasi, memory, fd, list, count, $($arg),*).await;
            shortened.restore(memory);
            errno
        })*
    };
}

bounded! {
    fd_read(read: i32);
    fd_pread(offset: i64, read: i32);
    fd_write(written: i32);
    fd_pwrite(offset: i64, written: i32);
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
    listing::fd_readdir(state, memory, fd, cookie, OutputBuffer { buffer, size, used }).await
}

/// A slash at the end of a path means that a link is followed, which wasmtime does only when the flag is set.
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
    let errno = p1::path_filestat_get(&mut sandbox.wasi, memory, fd, lookup | follow, path, length, stat).await;
    // WASI 0.1 has types for sockets, but wasmtime traps on one.
    errno.or_else(|error| if is_of_socket(&error) { Ok(NOTSUP) } else { Err(error) })
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
    // wasmtime opens the target of a followed link.
    if lookup & FOLLOW != 0 && is_special(wasi, memory, fd, lookup, path, length).await? {
        return Ok(NOTSUP);
    }
    p1::path_filestat_set_times(wasi, memory, fd, lookup, path, length, read, changed, flags).await
}

/// Opening a pipe, a socket or a device could block forever or have any effect. An agent may have left one.
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

/// A slash at the end changes nothing, since only a directory can be removed, but wasmtime refuses it.
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

/// Whether wasmtime failed because it has no type for a socket.
fn is_of_socket(error: &wasmtime::Error) -> bool {
    error.to_string().contains("sockets are not currently supported")
}

/// Whether a path leads to something other than a file, a directory or a link. If it cannot be inspected, the call itself
/// returns the error.
async fn is_special(
    wasi: &mut WasiP1Ctx,
    memory: &GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    length: i32,
) -> wasmtime::Result<bool> {
    /// The size of `filestat`, and the offset of the file type in it.
    const STAT: usize = 64;
    const TYPE: usize = 16;
    let Some(text) = slice(memory, path, length).filter(|text| text.len() <= MAX_PATH_BYTES) else { return Ok(false) };
    // In a buffer of the host, aligned for `filestat`.
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

/// The bytes at an address and length, if they are within the memory.
fn slice<'a>(memory: &'a GuestMemory<'_>, start: i32, length: i32) -> Option<&'a [u8]> {
    let GuestMemory::Unshared(bytes) = memory else { return None };
    let (start, length) = (start.cast_unsigned() as usize, length.cast_unsigned() as usize);
    bytes.get(start..start.checked_add(length)?)
}

/// How many slashes the path ends with. A path outside the memory is left to the call to report.
fn trailing_slashes(memory: &GuestMemory<'_>, path: i32, length: i32) -> i32 {
    let text = slice(memory, path, length).unwrap_or_default();
    let slashes = text.iter().rev().take_while(|byte| **byte == b'/').count();
    i32::try_from(slashes).unwrap_or(0)
}

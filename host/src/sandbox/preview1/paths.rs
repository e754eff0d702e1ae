//! What opens a path, or sets its times where a link at its end is followed, with the host's own file calls: they wait for
//! no pipe, and open names that are not UTF-8.
//!
//! wasmtime lets nobody put an open file among a program's descriptors. So a descriptor is made of something that opens at
//! once, and what is behind it is replaced before the program knows its number.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wasmtime_wasi::{
    FsPerms, OpenMode, WasiView,
    filesystem::{Descriptor, Dir},
    p1::{WasiP1Ctx, types::Errno, wasi_snapshot_preview1 as p1},
    p2::bindings::filesystem::types::ErrorCode,
};
use wiggle::{GuestMemory, GuestPtr};

use super::FOLLOW;
use crate::sandbox::{
    Sandbox,
    file_calls::{Times, Wanted},
};

const SUCCESS: i32 = 0;

/// Flags of WASI 0.1.
const CREATE: i32 = 1;
const DIRECTORY: i32 = 2;
const EXCLUSIVE: i32 = 4;
const TRUNCATE: i32 = 8;
const READ: i64 = 1 << 1;
const WRITE: i64 = 1 << 6;
const APPEND: i32 = 1;
const NONBLOCK: i32 = 4;
const SYNCHRONIZED: i32 = 2 | 8 | 16;
const READ_AT: i32 = 1;
const READ_NOW: i32 = 2;
const CHANGED_AT: i32 = 4;
const CHANGED_NOW: i32 = 8;

/// Handles that are needed for a moment, beyond those that the program may have.
const PASSING_HANDLES: usize = 2;

/// The arguments of `path_open` but for the rights that descriptors below it would have.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) fd: i32,
    pub(super) lookup: i32,
    pub(super) path: i32,
    pub(super) length: i32,
    pub(super) flags: i32,
    pub(super) rights: i64,
    pub(super) fdflags: i32,
    pub(super) opened: i32,
}

impl Open {
    fn wanted(self) -> Wanted {
        Wanted {
            follow: self.lookup & FOLLOW != 0,
            create: self.flags & CREATE != 0,
            exclusive: self.flags & EXCLUSIVE != 0,
            truncate: self.flags & TRUNCATE != 0,
            directory: self.flags & DIRECTORY != 0,
            read: self.rights & READ != 0,
            write: self.rights & WRITE != 0,
            synchronized: self.fdflags & SYNCHRONIZED != 0,
        }
    }

    fn is_known(self) -> bool {
        let flags = CREATE | DIRECTORY | EXCLUSIVE | TRUNCATE;
        self.lookup & !FOLLOW == 0
            && self.flags & !flags == 0
            && self.fdflags & !(APPEND | NONBLOCK | SYNCHRONIZED) == 0
    }
}

/// Opens a path. What wasmtime refuses before it opens anything is left to it.
pub(super) async fn path_open(
    sandbox: &mut Sandbox,
    memory: &mut GuestMemory<'_>,
    open: Open,
) -> wasmtime::Result<i32> {
    let Some(path) = text(memory, open.path, open.length).filter(|_| open.is_known()) else {
        let Open { fd, lookup, path, length, flags, rights, fdflags, opened } = open;
        return p1::path_open(
            &mut sandbox.wasi,
            memory,
            fd,
            lookup,
            path,
            length,
            flags,
            rights,
            rights,
            fdflags,
            opened,
        )
        .await;
    };
    let most = sandbox.wasi.ctx().table.max_capacity();
    sandbox.wasi.ctx().table.set_max_capacity(most.saturating_add(PASSING_HANDLES));
    let opened = opened(sandbox, open, path).await;
    sandbox.wasi.ctx().table.set_max_capacity(most);
    match opened? {
        Ok(opened) => {
            memory.write(GuestPtr::<u32>::new(open.opened.cast_unsigned()), opened.cast_unsigned())?;
            Ok(SUCCESS)
        }
        Err(errno) => Ok(errno),
    }
}

async fn opened(sandbox: &mut Sandbox, open: Open, path: Vec<u8>) -> wasmtime::Result<Result<i32, i32>> {
    let (passing, directory) = match again(&mut sandbox.wasi, open.fd).await? {
        Ok(opened) => opened,
        Err(errno) => return Ok(Err(errno)),
    };
    let files = Arc::clone(&sandbox.files);
    let file = match files.open(directory.clone(), path, open.wanted()).await {
        Ok(Descriptor::Dir(found)) => {
            replace(&mut sandbox.wasi, &directory.dir, Descriptor::Dir(found));
            return Ok(Ok(passing));
        }
        Ok(Descriptor::File(file)) => file,
        Err(error) => {
            close(&mut sandbox.wasi, passing).await?;
            return Ok(Err(number(error)));
        }
    };
    // Something that is a file, and opens at once.
    let stand_in = match File::open("/dev") {
        Ok(devices) => Dir::new(devices, FsPerms::ReadOnly, OpenMode::READ, false),
        Err(error) => {
            close(&mut sandbox.wasi, passing).await?;
            return Ok(Err(number(error)));
        }
    };
    replace(&mut sandbox.wasi, &directory.dir, Descriptor::Dir(stand_in));
    let before = files_of(&mut sandbox.wasi);
    let fdflags = open.fdflags & (APPEND | NONBLOCK);
    let opened = call_open(&mut sandbox.wasi, passing, *b"null", 0, fdflags).await?;
    if opened.is_ok() {
        let new =
            files_of(&mut sandbox.wasi).into_iter().find(|one| !before.iter().any(|known| Arc::ptr_eq(known, one)));
        if let Some(new) = new {
            replace(&mut sandbox.wasi, &new, Descriptor::File(file));
        }
    }
    close(&mut sandbox.wasi, passing).await?;
    Ok(opened)
}

/// Sets the times of what a path leads to.
pub(super) async fn set_times(
    sandbox: &mut Sandbox,
    memory: &GuestMemory<'_>,
    (fd, path, length): (i32, i32, i32),
    (read, changed, flags): (i64, i64, i32),
) -> wasmtime::Result<i32> {
    let Some(path) = text(memory, path, length) else { return Ok(Errno::Fault as i32) };
    let both = |at, now| flags & at != 0 && flags & now != 0;
    if both(READ_AT, READ_NOW) || both(CHANGED_AT, CHANGED_NOW) {
        return Ok(Errno::Inval as i32);
    }
    let time = |at: i32, now: i32, nanoseconds: i64| match (flags & at != 0, flags & now != 0) {
        (true, _) => Some(UNIX_EPOCH + Duration::from_nanos(nanoseconds.cast_unsigned())),
        (_, true) => Some(SystemTime::now()),
        _ => None,
    };
    let times = Times { read: time(READ_AT, READ_NOW, read), changed: time(CHANGED_AT, CHANGED_NOW, changed) };
    let (passing, directory) = match again(&mut sandbox.wasi, fd).await? {
        Ok(opened) => opened,
        Err(errno) => return Ok(errno),
    };
    close(&mut sandbox.wasi, passing).await?;
    let files = Arc::clone(&sandbox.files);
    Ok(files.set_times(directory, path, times).await.map_or_else(number, |()| SUCCESS))
}

fn text(memory: &GuestMemory<'_>, path: i32, length: i32) -> Option<Vec<u8>> {
    let GuestMemory::Unshared(bytes) = memory else { return None };
    let start = path.cast_unsigned() as usize;
    let end = start.checked_add(length.cast_unsigned() as usize)?;
    bytes.get(start..end).map(<[u8]>::to_vec)
}

fn number(error: std::io::Error) -> i32 {
    Errno::from(ErrorCode::from(error)) as i32
}

/// Another descriptor of the directory behind `fd`, and the directory; or the number of an error.
async fn again(wasi: &mut WasiP1Ctx, fd: i32) -> wasmtime::Result<Result<(i32, Dir), i32>> {
    let before = directories(wasi);
    let opened = match call_open(wasi, fd, *b".\0\0\0", DIRECTORY, 0).await? {
        Ok(opened) => opened,
        Err(errno) => return Ok(Err(errno)),
    };
    let new = |one: &Dir| !before.iter().any(|known| Arc::ptr_eq(&known.dir, &one.dir));
    match directories(wasi).into_iter().find(new) {
        Some(directory) => Ok(Ok((opened, directory))),
        None => Ok(Err(Errno::Io as i32)),
    }
}

/// Opens a path with a memory of the host's own. The path ends where zeros begin.
async fn call_open(
    wasi: &mut WasiP1Ctx,
    fd: i32,
    path: [u8; 4],
    flags: i32,
    fdflags: i32,
) -> wasmtime::Result<Result<i32, i32>> {
    let length = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    let mut scratch = [0; 8];
    scratch[..4].copy_from_slice(&path);
    let mut memory = GuestMemory::Unshared(&mut scratch);
    let errno =
        p1::path_open(wasi, &mut memory, fd, 0, 0, i32::try_from(length)?, flags, READ, READ, fdflags, 4).await?;
    let opened = i32::from_le_bytes(scratch[4..].try_into()?);
    Ok(if errno == SUCCESS { Ok(opened) } else { Err(errno) })
}

async fn close(wasi: &mut WasiP1Ctx, fd: i32) -> wasmtime::Result<()> {
    p1::fd_close(wasi, &mut GuestMemory::Unshared(&mut []), fd).await.map(drop)
}

/// Puts another descriptor in the place of the one whose open file is `known`.
fn replace(wasi: &mut WasiP1Ctx, known: &Arc<File>, other: Descriptor) {
    let handles = wasi.ctx().table.iter_mut().filter_map(|handle| handle.downcast_mut::<Descriptor>());
    let is_known = |descriptor: &&mut Descriptor| match descriptor {
        Descriptor::Dir(directory) => Arc::ptr_eq(&directory.dir, known),
        Descriptor::File(file) => Arc::ptr_eq(&file.file, known),
    };
    if let Some(descriptor) = handles.into_iter().find(is_known) {
        *descriptor = other;
    }
}

fn directories(wasi: &mut WasiP1Ctx) -> Vec<Dir> {
    let handles = wasi.ctx().table.iter_mut().filter_map(|handle| handle.downcast_ref::<Descriptor>());
    handles
        .filter_map(|descriptor| match descriptor {
            Descriptor::Dir(directory) => Some(directory.clone()),
            Descriptor::File(_) => None,
        })
        .collect()
}

fn files_of(wasi: &mut WasiP1Ctx) -> Vec<Arc<File>> {
    let handles = wasi.ctx().table.iter_mut().filter_map(|handle| handle.downcast_ref::<Descriptor>());
    handles
        .filter_map(|descriptor| match descriptor {
            Descriptor::File(file) => Some(Arc::clone(&file.file)),
            Descriptor::Dir(_) => None,
        })
        .collect()
}

//! `fd_readdir`, read from the operating system's directory.
//!
//! wasmtime's own reads the whole directory for every call and counts its entries again, so that a program that removes
//! entries while reading misses others; it fails on the first name that is not UTF-8, and traps on a socket.

use std::{
    collections::VecDeque,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Stat, fstat, statat},
    io::Errno,
};
use tokio::task::spawn_blocking;
use wasmtime_wasi::{
    WasiView,
    filesystem::Descriptor,
    p1::{WasiP1Ctx, wasi_snapshot_preview1 as p1},
};
use wiggle::{GuestMemory, GuestPtr};

/// Directories whose listing stays open, each with a descriptor of the host. Beyond that, the least recently read one is read
/// from its beginning again.
const MAX_OPEN: usize = 16;
/// Entries that are read in advance.
const BATCH_ENTRIES: usize = 256;
/// The size of an entry before its name.
const ENTRY_HEAD_BYTES: usize = 24;

/// Numbers of WASI 0.1.
const SUCCESS: i32 = 0;
const IO: i32 = 29;
const OPEN_DIRECTORY: i32 = 2;
const FD_READ: i64 = 1 << 1;

/// The directories that a module is reading, by descriptor, the most recently read last.
#[derive(Default)]
pub(in super::super) struct Listings(VecDeque<(i32, Listing)>);

impl Listings {
    /// The descriptor was closed or renumbered.
    pub(super) fn forget(&mut self, fd: i32) {
        self.0.retain(|(known, _)| *known != fd);
    }

    /// The listing of `fd`, if it is at `cookie`.
    fn take(&mut self, fd: i32, cookie: u64) -> Option<Listing> {
        let place = self.0.iter().position(|(known, _)| *known == fd)?;
        let (_, listing) = self.0.remove(place)?;
        (cookie != 0 && listing.next == cookie).then_some(listing)
    }

    fn keep(&mut self, fd: i32, listing: Listing) {
        if self.0.len() >= MAX_OPEN {
            self.0.pop_front();
        }
        self.0.push_back((fd, listing));
    }
}

/// A directory, read up to an entry.
struct Listing {
    directory: Dir,
    /// The number of the directory itself.
    own: u64,
    /// Entries that were read in advance.
    unread: VecDeque<Entry>,
    /// The cookie of the first of those: the number of entries before it.
    next: u64,
    ended: bool,
}

struct Entry {
    number: u64,
    kind: u8,
    name: Vec<u8>,
}

impl Listing {
    /// Every directory starts with `.` and `..`, both with the directory's own number.
    fn begin(directory: &File) -> Result<Self, Errno> {
        let own = number_of(&fstat(directory)?);
        let entry = |name: &[u8]| Entry { number: own, kind: kind_of(FileType::Directory), name: name.to_vec() };
        let unread = [entry(b"."), entry(b"..")].into();
        Ok(Self { directory: Dir::read_from(directory)?, own, unread, next: 0, ended: false })
    }

    /// Reads more entries if none are left.
    fn fill(&mut self) -> Result<(), Errno> {
        while self.unread.is_empty() && !self.ended {
            self.unread.reserve(BATCH_ENTRIES);
            while self.unread.len() < BATCH_ENTRIES {
                let Some(entry) = self.directory.read() else {
                    self.ended = true;
                    break;
                };
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                // Removed files are skipped. A file that cannot be inspected is listed anyway.
                let (number, kind) = match statat(self.directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => (number_of(&stat), FileType::from_raw_mode(stat.st_mode)),
                    Err(Errno::NOENT) => continue,
                    Err(_) => (self.own, entry.file_type()),
                };
                self.unread.push_back(Entry { number, kind: kind_of(kind), name: name.to_bytes().to_vec() });
            }
        }
        Ok(())
    }

    /// Skips the entries before `cookie`.
    fn skip_to(&mut self, cookie: u64) -> Result<(), Errno> {
        while self.next < cookie {
            self.fill()?;
            if self.unread.pop_front().is_none() {
                break;
            }
            self.next += 1;
        }
        Ok(())
    }
}

/// The inode number as wasmtime reports it.
fn number_of(stat: &Stat) -> u64 {
    let mut hasher = DefaultHasher::new();
    (stat.st_dev, stat.st_ino).hash(&mut hasher);
    hasher.finish()
}

fn kind_of(kind: FileType) -> u8 {
    match kind {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
        // WASI 0.1 has no type for a pipe.
        FileType::Fifo | FileType::Unknown => 0,
    }
}

/// The call's output arguments.
pub(super) struct OutputBuffer {
    pub(super) buffer: i32,
    pub(super) size: i32,
    pub(super) used: i32,
}

/// Writes entries from `cookie` on to the buffer, as many as fit and the beginning of the next.
pub(super) async fn fd_readdir(
    (wasi, listings): (&mut WasiP1Ctx, &mut Listings),
    memory: &mut GuestMemory<'_>,
    fd: i32,
    cookie: i64,
    output: OutputBuffer,
) -> wasmtime::Result<i32> {
    let cookie = cookie.cast_unsigned();
    let mut listing = match listings.take(fd, cookie) {
        Some(listing) => listing,
        None => {
            let directory = match directory(wasi, fd).await? {
                Ok(directory) => directory,
                Err(errno) => return Ok(errno),
            };
            let begun = spawn_blocking(move || {
                let mut listing = Listing::begin(&directory)?;
                listing.skip_to(cookie)?;
                Ok::<_, Errno>(listing)
            });
            match begun.await? {
                Ok(listing) => listing,
                Err(_) => return Ok(IO),
            }
        }
    };
    let (start, size) = (output.buffer.cast_unsigned(), output.size.cast_unsigned());
    let mut used = 0_u32;
    while used < size {
        if listing.unread.is_empty() {
            let (filled, problem) = spawn_blocking(move || {
                let problem = listing.fill().err();
                (listing, problem)
            })
            .await?;
            listing = filled;
            if problem.is_some() {
                return Ok(IO);
            }
        }
        let Some(entry) = listing.unread.front() else { break };
        let bytes = encoded(entry, listing.next + 1);
        let piece = bytes.len().min((size - used) as usize);
        let length = u32::try_from(piece)?;
        memory.copy_from_slice(&bytes[..piece], GuestPtr::<u8>::new(start.wrapping_add(used)).as_array(length))?;
        used += length;
        if piece < bytes.len() {
            break;
        }
        listing.unread.pop_front();
        listing.next += 1;
    }
    memory.write(GuestPtr::<u32>::new(output.used.cast_unsigned()), used)?;
    listings.keep(fd, listing);
    Ok(SUCCESS)
}

/// An entry as WASI 0.1 has it, with the cookie of the one after it. Names are bytes, whatever they are.
fn encoded(entry: &Entry, next: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_HEAD_BYTES + entry.name.len());
    bytes.extend(next.to_le_bytes());
    bytes.extend(entry.number.to_le_bytes());
    bytes.extend(u32::try_from(entry.name.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([entry.kind, 0, 0, 0]);
    bytes.extend(&entry.name);
    bytes
}

/// The directory behind a descriptor of the module, or the number of an error. wasmtime tells it nobody, so it is opened
/// once more, with a path in a memory of the host's own, and looked for among the module's handles.
async fn directory(wasi: &mut WasiP1Ctx, fd: i32) -> wasmtime::Result<Result<Arc<File>, i32>> {
    const PATH: i32 = 0;
    const OPENED: usize = 4;
    /// As a module's memory begins at an address that everything can.
    #[repr(align(8))]
    struct Scratch([u8; 8]);
    let mut scratch = Scratch(*b".\0\0\0\0\0\0\0");
    // The first call of all makes the handles of the preopens.
    p1::fd_prestat_get(wasi, &mut GuestMemory::Unshared(&mut Scratch([0; 8]).0), fd, PATH)?;
    let before = directories(wasi);
    let mut memory = GuestMemory::Unshared(&mut scratch.0);
    let opened = OPENED as i32;
    let errno = p1::path_open(wasi, &mut memory, fd, 0, PATH, 1, OPEN_DIRECTORY, FD_READ, 0, 0, opened).await?;
    if errno != SUCCESS {
        return Ok(Err(errno));
    }
    let found = directories(wasi).into_iter().find(|one| !before.iter().any(|known| Arc::ptr_eq(known, one)));
    let opened = i32::from_le_bytes(scratch.0[OPENED..].try_into()?);
    p1::fd_close(wasi, &mut GuestMemory::Unshared(&mut []), opened).await?;
    Ok(found.ok_or(IO))
}

/// All directories that the module has handles of.
fn directories(wasi: &mut WasiP1Ctx) -> Vec<Arc<File>> {
    let handles = wasi.ctx().table.iter_mut().filter_map(|handle| handle.downcast_ref::<Descriptor>());
    handles
        .filter_map(|descriptor| match descriptor {
            Descriptor::Dir(directory) => Some(Arc::clone(&directory.dir)),
            Descriptor::File(_) => None,
        })
        .collect()
}

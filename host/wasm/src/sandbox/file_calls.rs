//! The calls of `wasi:filesystem` 0.2 and 0.3 for which wasmtime's could block forever or hide files: opening a path, and
//! listing a directory. The agent shares the directories with the component, and may put anything in them at any time.

mod listing;
mod lossy_names;
mod open;
#[macro_use]
mod convert;
mod p2;
mod p3;
mod times;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;
use wasmtime::component::Linker;
use wasmtime_wasi::{
    OpenMode,
    filesystem::{Descriptor, Dir, File},
    runtime::spawn_blocking,
};

use self::{
    listing::{Entry, Listing},
    open::Opened,
};
pub(super) use self::{open::OpenOptions, times::Times};
use super::{HasSandbox, Violations};
use crate::engine::{Account, Exceeded, Reservation};

/// How long to wait before opening a file again on which an agent holds a lease.
const LEASE_RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// How often an attempt waits for leases in total: 5 s. A lease can last 45 s, on any number of files.
const MAX_LEASE_WAITS: u32 = 500;

/// Bytes of the host's memory that a listing takes: the entries that were read in advance.
const LISTING_BYTES: u64 = 32 << 10;

/// The shared state of an attempt's file calls.
pub(super) struct FileCalls {
    violations: Arc<Violations>,
    account: Arc<Account>,
    waits: AtomicU32,
}

impl FileCalls {
    pub(super) fn new(violations: &Arc<Violations>, account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self { violations: Arc::clone(violations), account, waits: AtomicU32::new(MAX_LEASE_WAITS) })
    }

    /// Reserves the memory of a listing, until the result is dropped.
    fn listing(&self) -> Result<Reservation, Exceeded> {
        self.account.take(LISTING_BYTES, "directories that it is listing")
    }

    /// Opens a path, which need not be UTF-8.
    pub(super) async fn open(&self, directory: Dir, path: Vec<u8>, options: OpenOptions) -> io::Result<Descriptor> {
        options.check()?;
        if directory.perms.write_not_permitted() && options.changes() {
            return Err(Errno::PERM.into());
        }
        let opened = loop {
            let (from, path) = (Arc::clone(&directory.dir), path.clone());
            match spawn_blocking(move || open_lossy(&from, &path, options)).await {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => self.wait().await?,
                opened => break opened?,
            }
        };
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::READ, options.reads());
        mode.set(OpenMode::WRITE, options.changes());
        Ok(match opened {
            Opened::File(file) => Descriptor::File(File::new(file, directory.perms, mode, false)),
            Opened::Directory(found) => Descriptor::Dir(Dir::new(found, directory.perms, mode, false)),
        })
    }

    /// Waits for the holder of a lease to release it.
    async fn wait(&self) -> io::Result<()> {
        let left = self.waits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::from(Errno::BUSY))?;
        tokio::time::sleep(LEASE_RETRY_INTERVAL).await;
        Ok(())
    }

    /// Sets the times of the target of a path.
    pub(super) async fn set_times(&self, directory: Dir, path: Vec<u8>, times: Times) -> io::Result<()> {
        if directory.perms.write_not_permitted() {
            return Err(Errno::PERM.into());
        }
        spawn_blocking(move || times::set(&directory.dir, &path, times)).await
    }

    /// Finds a file by the lossy names of a listing.
    async fn find_lossy(&self, directory: Dir, path: String, follow: bool) -> io::Result<Descriptor> {
        let found = spawn_blocking(move || {
            let raw = lossy_names::find_raw(&directory.dir, &path)?;
            let found = open::find(&directory.dir, &raw, follow)?;
            Ok::<_, io::Error>(File::new(found, directory.perms, OpenMode::empty(), false))
        });
        found.await.map(Descriptor::File)
    }

    /// Records the names that are not UTF-8.
    fn note_lossy(&self, entries: &[Entry]) {
        for raw_name in entries.iter().filter_map(|entry| entry.raw_name.as_deref()) {
            self.violations.add_lossy_name(raw_name);
        }
    }
}

fn open_lossy(directory: &std::fs::File, path: &[u8], options: OpenOptions) -> io::Result<Opened> {
    let opened = open::open(directory, path, options);
    match (opened, str::from_utf8(path)) {
        (Err(error), Ok(path)) if error.kind() == io::ErrorKind::NotFound && lossy_names::may_be_lossy(path) => {
            open::open(directory, &lossy_names::find_raw(directory, path)?, options)
        }
        (opened, _) => opened,
    }
}

/// Starts a listing and reads its first entries.
async fn list(directory: Dir) -> io::Result<(Listing, Vec<Entry>)> {
    spawn_blocking(move || {
        let mut listing = Listing::of(&directory.dir)?;
        let entries = listing.next()?;
        Ok((listing, entries))
    })
    .await
}

/// Reads the next entries.
async fn list_more(mut listing: Listing) -> io::Result<(Listing, Vec<Entry>)> {
    spawn_blocking(move || {
        let entries = listing.next()?;
        Ok((listing, entries))
    })
    .await
}

fn calls<T: HasSandbox>(data: &mut T) -> Arc<FileCalls> {
    Arc::clone(&data.sandbox().files)
}

/// Replaces the functions in `linker`.
pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker(linker)?;
    p3::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_listings_count_toward_the_memory_limit() {
        let violations = Arc::new(Violations::default());
        let recorder = Arc::clone(&violations);
        let limits = host_model::Limits { max_memory: 3 * LISTING_BYTES, ..Default::default() };
        let account = Account::new(&limits, crate::engine::Mappings::share(1), move |what| recorder.limit(what));
        let calls = FileCalls::new(&violations, account);
        let mut open: Vec<_> = (0..3).map(|_| calls.listing().unwrap()).collect();
        open.pop();
        open.push(calls.listing().unwrap());
        assert!(violations.breached().is_none() && calls.listing().is_err());
        let fault = violations.breached().unwrap();
        assert!(fault.message.contains("directories that it is listing; its limit `max-memory` is 98304"), "{fault}");
    }
}

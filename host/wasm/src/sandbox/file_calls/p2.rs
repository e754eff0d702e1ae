use std::{collections::VecDeque, io, sync::Arc, time::SystemTime};

use rustix::{fs::FileType, io::Errno};
use wasmtime::{
    StoreContextMut,
    component::{Linker, LinkerInstance, Resource, ResourceType},
};
use wasmtime_wasi::{
    filesystem::{Descriptor, Dir, WasiFilesystemView},
    p2::bindings::filesystem::types::{
        DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, HostDescriptor, MetadataHashValue,
        NewTimestamp, OpenFlags, PathFlags,
    },
};

use super::{
    Entry, FileCalls, HasSandbox, Listing, OpenOptions, Reservation, Times, calls, list, list_more, lossy_names, open,
    times::system_time,
};

type CallResult<V> = wasmtime::Result<(Result<V, ErrorCode>,)>;

pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    // Without the kernel's help, paths are opened by wasmtime's own function.
    if open::is_available() {
        types.func_wrap_async(
            "[method]descriptor.open-at",
            |mut store: StoreContextMut<'_, T>,
             (fd, path_flags, path, open_flags, flags): (
                Resource<Descriptor>,
                PathFlags,
                String,
                OpenFlags,
                DescriptorFlags,
            )| {
                Box::new(async move {
                    let directory = match directory(store.data_mut(), &fd)? {
                        Ok(directory) => directory,
                        Err(code) => return Ok((Err(code),)),
                    };
                    let opened = calls(store.data_mut())
                        .open(directory, path.into(), open_options(path_flags, open_flags, flags))
                        .await;
                    returned(match opened {
                        Ok(opened) => Ok(store.data_mut().sandbox().table().push(opened)?),
                        Err(error) => Err(error.into()),
                    })
                })
            },
        )?;
        add_times(&mut types)?;
        add_lossy_names(&mut types)?;
    }
    add_listing(&mut types)
}

/// Replaces wasmtime's function for a path whose last link is followed.
fn add_times<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut store: StoreContextMut<'_, T>,
         (fd, flags, path, read, modified): (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::new(async move {
                let data = store.data_mut();
                if !flags.contains(PathFlags::SYMLINK_FOLLOW) {
                    return or_code(data.filesystem().set_times_at(fd, flags, path, read, modified).await);
                }
                let directory = match directory(data, &fd)? {
                    Ok(directory) => directory,
                    Err(code) => return Ok((Err(code),)),
                };
                                returned(match times(read, modified) {
                    Ok(times) => calls(data).set_times(directory, path.into(), times).await.map_err(ErrorCode::from),
                    Err(error) => Err(io::Error::from(error).into()),
                })
            })
        },
    )
}

/// Wraps the calls that inspect a path without opening it: they accept the names that a listing shows.
fn add_lossy_names<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    macro_rules! add {
        ($name:literal, $by_path:ident, $by_descriptor:ident, $value:ty) => {
            types.func_wrap_async(
                $name,
                |mut store: StoreContextMut<'_, T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
                    Box::new(async move {
                        let handle = fd.rep();
                        let data = store.data_mut();
                        let found = data.filesystem().$by_path(fd, flags, path.clone()).await;
                        match or_code(found)? {
                            (Err(ErrorCode::NoEntry),) if lossy_names::may_be_lossy(&path) => {
                                let Some(found) = find_lossy(data, handle, path, flags).await? else {
                                    return Ok((Err(ErrorCode::NoEntry),));
                                };
                                let borrowed = Resource::new_borrow(found.rep());
                                let value: Result<$value, _> = data.filesystem().$by_descriptor(borrowed).await;
                                data.sandbox().table().delete(found)?;
                                or_code(value)
                            }
                            found => Ok(found),
                        }
                    })
                },
            )?
        };
    }
    add!("[method]descriptor.stat-at", stat_at, stat, DescriptorStat);
    add!("[method]descriptor.metadata-hash-at", metadata_hash_at, metadata_hash, MetadataHashValue);
    Ok(())
}

async fn find_lossy<T: HasSandbox>(
    data: &mut T,
    handle: u32,
    path: String,
    flags: PathFlags,
) -> wasmtime::Result<Option<Resource<Descriptor>>> {
    let Ok(directory) = directory(data, &Resource::new_borrow(handle))? else { return Ok(None) };
    let found = calls(data).find_lossy(directory, path, flags.contains(PathFlags::SYMLINK_FOLLOW)).await;
    found.ok().map(|found| Ok(data.sandbox().table().push(found)?)).transpose()
}

fn add_listing<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.resource("directory-entry-stream", ResourceType::host::<Entries>(), |mut store, handle| {
        store.data_mut().sandbox().table().delete(Resource::<Entries>::new_own(handle))?;
        Ok(())
    })?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (fd,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let directory = match directory(store.data_mut(), &fd)? {
                    Ok(directory) => directory,
                    Err(code) => return Ok((Err(code),)),
                };
                let reservation = calls(store.data_mut()).listing()?;
                returned(match list(directory).await {
                    Ok((listing, entries)) => {
                        let sandbox = store.data_mut().sandbox();
                        let entries = Entries::new(&sandbox.files, listing, entries, reservation);
                        Ok(sandbox.table().push(entries)?)
                    }
                    Err(error) => Err(error.into()),
                })
            })
        },
    )?;
    types.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, T>, (entries,): (Resource<Entries>,)| {
            Box::new(async move { returned(store.data_mut().sandbox().table().get_mut(&entries)?.next().await) })
        },
    )
}

/// A listing that a component has a handle of.
struct Entries {
    calls: Arc<FileCalls>,
    listing: Option<Listing>,
    read: VecDeque<Entry>,
    _reservation: Reservation,
}

impl Entries {
    fn new(calls: &Arc<FileCalls>, listing: Listing, read: Vec<Entry>, reservation: Reservation) -> Self {
        calls.note_lossy(&read);
        Self { calls: Arc::clone(calls), listing: Some(listing), read: read.into(), _reservation: reservation }
    }

    async fn next(&mut self) -> Result<Option<DirectoryEntry>, ErrorCode> {
        if self.read.is_empty()
            && let Some(listing) = self.listing.take()
        {
            // After an error, the listing ends.
            let (listing, read) = list_more(listing).await?;
            self.calls.note_lossy(&read);
            if !read.is_empty() {
                self.listing = Some(listing);
            }
            self.read = read.into();
        }
        Ok(self.read.pop_front().map(|entry| DirectoryEntry { type_: descriptor_type(entry.kind), name: entry.name }))
    }
}

conversions!(DescriptorType::Unknown);

fn directory<T: HasSandbox>(data: &mut T, fd: &Resource<Descriptor>) -> wasmtime::Result<Result<Dir, ErrorCode>> {
    Ok(match data.sandbox().table().get(fd)? {
        Descriptor::Dir(directory) => Ok(directory.clone()),
        Descriptor::File(_) => Err(ErrorCode::NotDirectory),
    })
}

fn returned<V>(result: Result<V, ErrorCode>) -> CallResult<V> {
    Ok((result,))
}

fn or_code<V>(result: wasmtime_wasi::p2::FsResult<V>) -> CallResult<V> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

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
    Entry, FileCalls, HasSandbox, Held, Listing, Times, Wanted, calls, list, list_on, odd_names, open, times::moment,
};

type Answer<V> = wasmtime::Result<(Result<V, ErrorCode>,)>;

pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    // Without the kernel's help a path is opened as wasmtime does it.
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
                        .open(directory, path.into(), wanted(path_flags, open_flags, flags))
                        .await;
                    given(match opened {
                        Ok(opened) => Ok(store.data_mut().sandbox().table().push(opened)?),
                        Err(error) => Err(error.into()),
                    })
                })
            },
        )?;
        times_to_linker(&mut types)?;
        odd_names_to_linker(&mut types)?;
    }
    listing_to_linker(&mut types)
}

/// As wasmtime does it, but where a link at the end of the path is followed.
fn times_to_linker<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut store: StoreContextMut<'_, T>,
         (fd, flags, path, read, changed): (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::new(async move {
                let data = store.data_mut();
                if !flags.contains(PathFlags::SYMLINK_FOLLOW) {
                    return answered(data.filesystem().set_times_at(fd, flags, path, read, changed).await);
                }
                let directory = match directory(data, &fd)? {
                    Ok(directory) => directory,
                    Err(code) => return Ok((Err(code),)),
                };
                let times = time(read).and_then(|read| Ok(Times { read, changed: time(changed)? }));
                given(match times {
                    Ok(times) => calls(data).set_times(directory, path.into(), times).await.map_err(ErrorCode::from),
                    Err(error) => Err(io::Error::from(error).into()),
                })
            })
        },
    )
}

fn time(time: NewTimestamp) -> Result<Option<SystemTime>, Errno> {
    match time {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(SystemTime::now())),
        NewTimestamp::Timestamp(time) => moment(time.seconds.into(), time.nanoseconds).map(Some),
    }
}

/// What looks at a path without opening it: it knows the names that a listing shows.
fn odd_names_to_linker<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut store: StoreContextMut<'_, T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
            Box::new(async move {
                let handle = fd.rep();
                let data = store.data_mut();
                let stat = data.filesystem().stat_at(fd, flags, path.clone()).await;
                match answered(stat)? {
                    (Err(ErrorCode::NoEntry),) if odd_names::may_be_odd(&path) => {
                        let Some(found) = find_odd(data, handle, path, flags).await? else {
                            return Ok((Err(ErrorCode::NoEntry),));
                        };
                        let stat: Result<DescriptorStat, _> =
                            data.filesystem().stat(Resource::new_borrow(found.rep())).await;
                        data.sandbox().table().delete(found)?;
                        answered(stat)
                    }
                    stat => Ok(stat),
                }
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash-at",
        |mut store: StoreContextMut<'_, T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
            Box::new(async move {
                let handle = fd.rep();
                let data = store.data_mut();
                let hash = data.filesystem().metadata_hash_at(fd, flags, path.clone()).await;
                match answered(hash)? {
                    (Err(ErrorCode::NoEntry),) if odd_names::may_be_odd(&path) => {
                        let Some(found) = find_odd(data, handle, path, flags).await? else {
                            return Ok((Err(ErrorCode::NoEntry),));
                        };
                        let hash: Result<MetadataHashValue, _> =
                            data.filesystem().metadata_hash(Resource::new_borrow(found.rep())).await;
                        data.sandbox().table().delete(found)?;
                        answered(hash)
                    }
                    hash => Ok(hash),
                }
            })
        },
    )
}

async fn find_odd<T: HasSandbox>(
    data: &mut T,
    handle: u32,
    path: String,
    flags: PathFlags,
) -> wasmtime::Result<Option<Resource<Descriptor>>> {
    let Ok(directory) = directory(data, &Resource::new_borrow(handle))? else { return Ok(None) };
    let found = calls(data).find_odd(directory, path, flags.contains(PathFlags::SYMLINK_FOLLOW)).await;
    found.ok().map(|found| Ok(data.sandbox().table().push(found)?)).transpose()
}

fn listing_to_linker<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
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
                let held = calls(store.data_mut()).listing()?;
                given(match list(directory).await {
                    Ok((listing, entries)) => {
                        let sandbox = store.data_mut().sandbox();
                        let entries = Entries::new(&sandbox.files, listing, entries, held);
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
            Box::new(async move { given(store.data_mut().sandbox().table().get_mut(&entries)?.next().await) })
        },
    )
}

/// A listing that a component holds.
struct Entries {
    calls: Arc<FileCalls>,
    listing: Option<Listing>,
    read: VecDeque<Entry>,
    _held: Held,
}

impl Entries {
    fn new(calls: &Arc<FileCalls>, listing: Listing, read: Vec<Entry>, held: Held) -> Self {
        calls.note_odd(&read);
        Self { calls: Arc::clone(calls), listing: Some(listing), read: read.into(), _held: held }
    }

    async fn next(&mut self) -> Result<Option<DirectoryEntry>, ErrorCode> {
        if self.read.is_empty()
            && let Some(listing) = self.listing.take()
        {
            // After an error it is at its end.
            let (listing, read) = list_on(listing).await?;
            self.calls.note_odd(&read);
            if !read.is_empty() {
                self.listing = Some(listing);
            }
            self.read = read.into();
        }
        Ok(self.read.pop_front().map(|entry| DirectoryEntry { type_: kind(entry.kind), name: entry.name }))
    }
}

/// As wasmtime tells the kinds elsewhere.
fn kind(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        _ => DescriptorType::Unknown,
    }
}

fn wanted(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> Wanted {
    let synchronized = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    Wanted {
        follow: path.contains(PathFlags::SYMLINK_FOLLOW),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
        directory: open.contains(OpenFlags::DIRECTORY),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
        synchronized: flags.intersects(synchronized),
    }
}

fn directory<T: HasSandbox>(data: &mut T, fd: &Resource<Descriptor>) -> wasmtime::Result<Result<Dir, ErrorCode>> {
    Ok(match data.sandbox().table().get(fd)? {
        Descriptor::Dir(directory) => Ok(directory.clone()),
        Descriptor::File(_) => Err(ErrorCode::NotDirectory),
    })
}

fn given<V>(result: Result<V, ErrorCode>) -> Answer<V> {
    Ok((result,))
}

fn answered<V>(result: wasmtime_wasi::p2::FsResult<V>) -> Answer<V> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

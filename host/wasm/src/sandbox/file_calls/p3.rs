use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use rustix::{fs::FileType, io::Errno};
use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{
        Accessor, Destination, FutureReader, Linker, LinkerInstance, Resource, StreamProducer, StreamReader,
        StreamResult, VecBuffer,
    },
};
use wasmtime_wasi::{
    filesystem::{Descriptor, Dir, WasiFilesystem, WasiFilesystemView},
    p3::bindings::filesystem::types::{
        DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, HostDescriptorWithStore,
        MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
    },
    runtime::{AbortOnDropJoinHandle, spawn},
};

use super::{
    Entry, FileCalls, HasSandbox, Held, Listing, Times, Wanted, calls, list, list_on, odd_names, open, times::moment,
};

type Answer<V> = wasmtime::Result<(Result<V, ErrorCode>,)>;
type Ended = FutureReader<Result<(), ErrorCode>>;

pub(super) fn add_to_linker<T: HasSandbox + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    if open::is_available() {
        types.func_wrap_concurrent(
            "[method]descriptor.open-at",
            |store: &Accessor<T>,
             (fd, path_flags, path, open_flags, flags): (
                Resource<Descriptor>,
                PathFlags,
                String,
                OpenFlags,
                DescriptorFlags,
            )| {
                Box::pin(async move {
                    let (calls, directory) = match directory(store, &fd)? {
                        Ok(found) => found,
                        Err(code) => return Ok((Err(code),)),
                    };
                    match calls.open(directory, path.into(), wanted(path_flags, open_flags, flags)).await {
                        Ok(opened) => {
                            let pushed = store.with(|mut store| store.data_mut().sandbox().table().push(opened))?;
                            Ok((Ok(pushed),))
                        }
                        Err(error) => Ok((Err(error.into()),)),
                    }
                })
            },
        )?;
        times_to_linker(&mut types)?;
        odd_names_to_linker(&mut types)?;
    }
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>,
         (fd,): (Resource<Descriptor>,)|
         -> wasmtime::Result<((StreamReader<DirectoryEntry>, Ended),)> {
            let sandbox = store.data_mut().sandbox();
            let directory = match sandbox.table().get(&fd)? {
                Descriptor::Dir(directory) => Ok(directory.clone()),
                Descriptor::File(_) => Err(ErrorCode::NotDirectory),
            };
            let calls = Arc::clone(&sandbox.files);
            let (ended, told) = oneshot::channel();
            let entries = match directory {
                Ok(directory) => {
                    let held = calls.listing()?;
                    let entries = Entries { calls, state: State::New(directory), ended: Some(ended), _held: held };
                    StreamReader::new(&mut store, entries)?
                }
                Err(code) => {
                    // Nobody has asked for it yet, so there is somebody to tell it to.
                    let _ = ended.send(Err(code));
                    StreamReader::new(&mut store, std::iter::empty())?
                }
            };
            Ok(((entries, FutureReader::new(&mut store, told)?),))
        },
    )
}

/// As wasmtime does it, but where a link at the end of the path is followed.
fn times_to_linker<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |store: &Accessor<T>,
         (fd, flags, path, read, changed): (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::pin(async move {
                if !flags.contains(PathFlags::SYMLINK_FOLLOW) {
                    let files = store.with_getter::<WasiFilesystem>(T::filesystem);
                    let set = <WasiFilesystem as HostDescriptorWithStore<T>>::set_times_at(
                        &files, fd, flags, path, read, changed,
                    );
                    return answered(set.await);
                }
                let (calls, directory) = match directory(store, &fd)? {
                    Ok(found) => found,
                    Err(code) => return Ok((Err(code),)),
                };
                let times = time(read).and_then(|read| Ok(Times { read, changed: time(changed)? }));
                Ok((match times {
                    Ok(times) => calls.set_times(directory, path.into(), times).await.map_err(ErrorCode::from),
                    Err(error) => Err(io::Error::from(error).into()),
                },))
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
    types.func_wrap_concurrent(
        "[method]descriptor.stat-at",
        |store: &Accessor<T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
            Box::pin(async move {
                let (handle, files) = (fd.rep(), store.with_getter::<WasiFilesystem>(T::filesystem));
                let stat = <WasiFilesystem as HostDescriptorWithStore<T>>::stat_at(&files, fd, flags, path.clone());
                match answered(stat.await)? {
                    (Err(ErrorCode::NoEntry),) if odd_names::may_be_odd(&path) => {
                        let Some(found) = find_odd(store, handle, path, flags).await? else {
                            return Ok((Err(ErrorCode::NoEntry),));
                        };
                        let borrowed = Resource::new_borrow(found.rep());
                        let stat: Result<DescriptorStat, _> =
                            <WasiFilesystem as HostDescriptorWithStore<T>>::stat(&files, borrowed).await;
                        store.with(|mut store| store.data_mut().sandbox().table().delete(found))?;
                        answered(stat)
                    }
                    stat => Ok(stat),
                }
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.metadata-hash-at",
        |store: &Accessor<T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
            Box::pin(async move {
                let (handle, files) = (fd.rep(), store.with_getter::<WasiFilesystem>(T::filesystem));
                let hash =
                    <WasiFilesystem as HostDescriptorWithStore<T>>::metadata_hash_at(&files, fd, flags, path.clone());
                match answered(hash.await)? {
                    (Err(ErrorCode::NoEntry),) if odd_names::may_be_odd(&path) => {
                        let Some(found) = find_odd(store, handle, path, flags).await? else {
                            return Ok((Err(ErrorCode::NoEntry),));
                        };
                        let borrowed = Resource::new_borrow(found.rep());
                        let hash: Result<MetadataHashValue, _> =
                            <WasiFilesystem as HostDescriptorWithStore<T>>::metadata_hash(&files, borrowed).await;
                        store.with(|mut store| store.data_mut().sandbox().table().delete(found))?;
                        answered(hash)
                    }
                    hash => Ok(hash),
                }
            })
        },
    )
}

async fn find_odd<T: HasSandbox + 'static>(
    store: &Accessor<T>,
    handle: u32,
    path: String,
    flags: PathFlags,
) -> wasmtime::Result<Option<Resource<Descriptor>>> {
    let Ok((calls, directory)) = directory(store, &Resource::new_borrow(handle))? else { return Ok(None) };
    let found = calls.find_odd(directory, path, flags.contains(PathFlags::SYMLINK_FOLLOW)).await;
    let pushed = found.ok().map(|found| store.with(|mut store| store.data_mut().sandbox().table().push(found)));
    Ok(pushed.transpose()?)
}

/// A listing that a component reads. It holds no thread while nobody reads it.
struct Entries {
    calls: Arc<FileCalls>,
    state: State,
    ended: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    _held: Held,
}

enum State {
    New(Dir),
    Between(Listing),
    Reading(AbortOnDropJoinHandle<io::Result<(Listing, Vec<Entry>)>>),
    Over,
}

impl Entries {
    fn end(&mut self, result: Result<(), ErrorCode>) {
        if let Some(ended) = self.ended.take() {
            // Whoever dropped the future does not want to know.
            let _ = ended.send(result);
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl<D> StreamProducer<D> for Entries {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // Whether there is an entry is only known by reading it.
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut reading = match std::mem::replace(&mut self.state, State::Over) {
            State::New(directory) => spawn(list(directory)),
            State::Between(listing) => spawn(list_on(listing)),
            State::Reading(reading) => reading,
            State::Over => return Poll::Ready(Ok(StreamResult::Dropped)),
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.state = State::Reading(reading);
            return if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending };
        };
        match read {
            Ok((listing, entries)) if !entries.is_empty() => {
                self.calls.note_odd(&entries);
                self.state = State::Between(listing);
                let entries = entries.into_iter();
                let entries = entries.map(|entry| DirectoryEntry { type_: kind(entry.kind), name: entry.name });
                destination.set_buffer(entries.collect::<Vec<_>>().into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            read => {
                self.end(read.map(drop).map_err(ErrorCode::from));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
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
        _ => DescriptorType::Other(None),
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

fn directory<T: HasSandbox + 'static>(
    store: &Accessor<T>,
    fd: &Resource<Descriptor>,
) -> wasmtime::Result<Result<(Arc<FileCalls>, Dir), ErrorCode>> {
    store.with(|mut store| {
        let data = store.data_mut();
        Ok(match data.sandbox().table().get(fd)? {
            Descriptor::Dir(directory) => {
                let directory = directory.clone();
                Ok((calls(data), directory))
            }
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
        })
    })
}

fn answered<V>(result: wasmtime_wasi::p3::filesystem::FilesystemResult<V>) -> Answer<V> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

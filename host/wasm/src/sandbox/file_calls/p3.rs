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
    Entry, FileCalls, HasSandbox, Listing, OpenOptions, Reservation, Times, calls, list, list_more, lossy_names, open,
    times::system_time,
};

type CallResult<V> = wasmtime::Result<(Result<V, ErrorCode>,)>;
type End = FutureReader<Result<(), ErrorCode>>;

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
                    match calls.open(directory, path.into(), open_options(path_flags, open_flags, flags)).await {
                        Ok(opened) => {
                            let pushed = store.with(|mut store| store.data_mut().sandbox().table().push(opened))?;
                            Ok((Ok(pushed),))
                        }
                        Err(error) => Ok((Err(error.into()),)),
                    }
                })
            },
        )?;
        add_times(&mut types)?;
        add_lossy_names(&mut types)?;
    }
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>,
         (fd,): (Resource<Descriptor>,)|
         -> wasmtime::Result<((StreamReader<DirectoryEntry>, End),)> {
            let sandbox = store.data_mut().sandbox();
            let directory = match sandbox.table().get(&fd)? {
                Descriptor::Dir(directory) => Ok(directory.clone()),
                Descriptor::File(_) => Err(ErrorCode::NotDirectory),
            };
            let calls = Arc::clone(&sandbox.files);
            let (ended, result) = oneshot::channel();
            let entries = match directory {
                Ok(directory) => {
                    let reservation = calls.listing()?;
                    let entries =
                        Entries { calls, state: State::New(directory), ended: Some(ended), _reservation: reservation };
                    StreamReader::new(&mut store, entries)?
                }
                Err(code) => {
                    // The receiver still exists.
                    let _ = ended.send(Err(code));
                    StreamReader::new(&mut store, std::iter::empty())?
                }
            };
            Ok(((entries, FutureReader::new(&mut store, result)?),))
        },
    )
}

/// Replaces wasmtime's function for a path whose last link is followed.
fn add_times<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |store: &Accessor<T>,
         (fd, flags, path, read, modified): (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::pin(async move {
                if !flags.contains(PathFlags::SYMLINK_FOLLOW) {
                    let files = store.with_getter::<WasiFilesystem>(T::filesystem);
                    let set = <WasiFilesystem as HostDescriptorWithStore<T>>::set_times_at(
                        &files, fd, flags, path, read, modified,
                    );
                    return or_code(set.await);
                }
                let (calls, directory) = match directory(store, &fd)? {
                    Ok(found) => found,
                    Err(code) => return Ok((Err(code),)),
                };
                                Ok((match times(read, modified) {
                    Ok(times) => calls.set_times(directory, path.into(), times).await.map_err(ErrorCode::from),
                    Err(error) => Err(io::Error::from(error).into()),
                },))
            })
        },
    )
}

/// Wraps the calls that inspect a path without opening it: they accept the names that a listing shows.
fn add_lossy_names<T: HasSandbox + 'static>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    macro_rules! add {
        ($name:literal, $by_path:ident, $by_descriptor:ident, $value:ty) => {
            types.func_wrap_concurrent(
                $name,
                |store: &Accessor<T>, (fd, flags, path): (Resource<Descriptor>, PathFlags, String)| {
                    Box::pin(async move {
                        let (handle, files) = (fd.rep(), store.with_getter::<WasiFilesystem>(T::filesystem));
                        let found =
                            <WasiFilesystem as HostDescriptorWithStore<T>>::$by_path(&files, fd, flags, path.clone());
                        match or_code(found.await)? {
                            (Err(ErrorCode::NoEntry),) if lossy_names::may_be_lossy(&path) => {
                                let Some(found) = find_lossy(store, handle, path, flags).await? else {
                                    return Ok((Err(ErrorCode::NoEntry),));
                                };
                                let borrowed = Resource::new_borrow(found.rep());
                                let value: Result<$value, _> =
                                    <WasiFilesystem as HostDescriptorWithStore<T>>::$by_descriptor(&files, borrowed)
                                        .await;
                                store.with(|mut store| store.data_mut().sandbox().table().delete(found))?;
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

async fn find_lossy<T: HasSandbox + 'static>(
    store: &Accessor<T>,
    handle: u32,
    path: String,
    flags: PathFlags,
) -> wasmtime::Result<Option<Resource<Descriptor>>> {
    let Ok((calls, directory)) = directory(store, &Resource::new_borrow(handle))? else { return Ok(None) };
    let found = calls.find_lossy(directory, path, flags.contains(PathFlags::SYMLINK_FOLLOW)).await;
    let pushed = found.ok().map(|found| store.with(|mut store| store.data_mut().sandbox().table().push(found)));
    Ok(pushed.transpose()?)
}

/// A listing that a component reads. It occupies no thread while it is not read.
struct Entries {
    calls: Arc<FileCalls>,
    state: State,
    ended: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    _reservation: Reservation,
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
            // The component may have dropped the future.
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
        // Only a read shows whether there is another entry.
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut reading = match std::mem::replace(&mut self.state, State::Over) {
            State::New(directory) => spawn(list(directory)),
            State::Between(listing) => spawn(list_more(listing)),
            State::Reading(reading) => reading,
            State::Over => return Poll::Ready(Ok(StreamResult::Dropped)),
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.state = State::Reading(reading);
            return if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending };
        };
        match read {
            Ok((listing, entries)) if !entries.is_empty() => {
                self.calls.note_lossy(&entries);
                self.state = State::Between(listing);
                let entries = entries.into_iter();
                let entries =
                    entries.map(|entry| DirectoryEntry { type_: descriptor_type(entry.kind), name: entry.name });
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

conversions!(DescriptorType::Other(None));

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

fn or_code<V>(result: wasmtime_wasi::p3::filesystem::FilesystemResult<V>) -> CallResult<V> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

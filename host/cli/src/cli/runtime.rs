//! The threads of the program. They are made up front, so that a machine with too few reports that before anything runs.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::runtime::Runtime;

use host_core::app::Error;
use host_model::Shortage;

/// Threads in addition to the workers: for blocking calls, the engine's clock, and reports.
const OTHER_THREADS: usize = 5;
/// How often, and after how long, the start is retried when the machine is short of something.
const MAX_TRIES: usize = 12;
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// Bytes of address space that must be free at the start: threads, the engine and one attempt take about as much.
const MIN_ADDRESS_SPACE: usize = 96 << 20;
/// How often the runtime gets a blocking task. If no thread could be made for an earlier one, which then waits in a queue,
/// this makes one; and some threads stay, since none of them is idle for long enough to end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// A runtime with a thread for each processor, or fewer if the machine cannot make as many.
///
/// # Errors
/// There are too few threads or descriptors, also after a while.
pub(super) fn build() -> Result<Runtime, Error> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut tries = MAX_TRIES;
    loop {
        tries -= 1;
        match try_build(cores) {
            Ok(runtime) => {
                runtime.spawn(keep_threads());
                return Ok(runtime);
            }
            Err(error) if tries > 0 && Shortage::of_start(&error).is_some() => thread::sleep(RETRY_DELAY),
            Err(error) => {
                let help = Shortage::of_start(&error).map_or("", Shortage::help);
                let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
                return Err(Error::setup(format!("cannot start: {error}{help}")));
            }
        }
    }
}

fn try_build(cores: usize) -> io::Result<Runtime> {
    has_address_space()?;
    let there = can_start(cores + OTHER_THREADS, spawn)?;
    let Some(workers) = there.checked_sub(OTHER_THREADS).filter(|workers| *workers > 0) else {
        return Err(io::Error::from_raw_os_error(libc::EAGAIN));
    };
    let build = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            // Looks for timers and I/O after every task, so that guests that compute do not hold up the others.
            .event_interval(1)
            .build()
    };
    // It panics if its first thread cannot be made: other processes may have taken those that were free a moment ago.
    catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err(io::Error::from_raw_os_error(libc::EAGAIN)))
}

/// Checks that agents and helpers can be started and ended.
///
/// # Errors
/// What is missing, and what to do.
pub(super) fn check_machine() -> Result<(), Error> {
    let needed = [
        ("/proc/self/exe", File::open("/proc/self/exe"), "mount /proc; host needs it to start and end processes"),
        (
            "/dev/null",
            File::options().read(true).write(true).open("/dev/null"),
            "create it with `mknod -m 666 /dev/null c 1 3`; host needs it to start processes",
        ),
    ];
    for (path, opened, help) in needed {
        opened.map_err(|error| match Shortage::of(&error) {
            Some(_) => Error::file("cannot open", Path::new(path), &error),
            None => Error::setup(format!("cannot open {path}: {error}\nhelp: {help}")),
        })?;
    }
    Ok(())
}

/// Whether address space is free for what a run needs at least. A failed small allocation aborts the process; at the start a
/// shortage can still be reported.
fn has_address_space() -> io::Result<()> {
    // SAFETY: a new mapping that is not accessible, and that is unmapped as it was mapped.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mapped = libc::mmap(std::ptr::null_mut(), MIN_ADDRESS_SPACE, libc::PROT_NONE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(mapped, MIN_ADDRESS_SPACE);
    }
    Ok(())
}

/// Starts `wanted` threads, which wait until all are started; returns how many could be started.
///
/// # Errors
/// Why not even one could be started.
fn can_start(
    wanted: usize,
    spawn: impl Fn(Box<dyn FnOnce() + Send>) -> io::Result<thread::JoinHandle<()>>,
) -> io::Result<usize> {
    static OVER: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());
    let lock = || OVER.0.lock().unwrap_or_else(PoisonError::into_inner);
    let round = *lock();
    let mut threads = Vec::with_capacity(wanted);
    let mut failed = None;
    while threads.len() < wanted && failed.is_none() {
        let waits = Box::new(move || {
            let over = OVER.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(OVER.1.wait_while(over, |over| *over == round));
        });
        match spawn(waits) {
            Ok(thread) => threads.push(thread),
            Err(error) => failed = Some(error),
        }
    }
    *lock() += 1;
    OVER.1.notify_all();
    let made = threads.len();
    for thread in threads {
        // They only waited.
        let _ = thread.join();
    }
    match failed {
        Some(error) if made == 0 => Err(error),
        _ => Ok(made),
    }
}

fn spawn(work: Box<dyn FnOnce() + Send>) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().spawn(work)
}

async fn keep_threads() {
    loop {
        tokio::time::sleep(KEEP_ALIVE_INTERVAL).await;
        // It returns nothing.
        let _ = tokio::task::spawn_blocking(|| ()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn startable_threads_are_counted() {
        let left = AtomicUsize::new(3);
        let few = |work| {
            let some = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            some.map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN)).and_then(|_| spawn(work))
        };
        assert_eq!(can_start(8, few).unwrap(), 3);
        assert_eq!(can_start(8, few).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        assert_eq!(can_start(8, spawn).unwrap(), 8);
    }
}

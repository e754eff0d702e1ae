//! The threads of the program: made up front, so that a machine that has too few says so before anything runs.

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

/// Threads beside those that carry tasks: for what blocks, the engine's clock, and reports.
const OTHERS: usize = 5;
/// A shortage at the start is waited out, so often and so long each time.
const TRIES: usize = 12;
const WAIT: Duration = Duration::from_millis(250);
/// Bytes of address space that must be left at the start: what threads, the engine and one attempt take.
const ADDRESS_SPACE: usize = 96 << 20;
/// How often a task that blocks is given to the runtime. Where no thread could be made for an earlier one, which then
/// waits in a queue, this makes one; and some threads stay, since none of them is idle for long enough to end.
const BEAT: Duration = Duration::from_secs(3);

/// A runtime with a thread for each processor, or fewer where the machine does not have them.
///
/// # Errors
/// There are too few threads or descriptors, also after a while.
pub(super) fn build() -> Result<Runtime, Error> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match try_build(cores) {
            Ok(runtime) => {
                runtime.spawn(beat());
                return Ok(runtime);
            }
            Err(error) if tries > 0 && Shortage::of_start(&error).is_some() => thread::sleep(WAIT),
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
    let there = can_start(cores + OTHERS, spawn)?;
    let Some(workers) = there.checked_sub(OTHERS).filter(|workers| *workers > 0) else {
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
    // It panics where its first thread cannot be made: somebody else may have taken those that were there a moment ago.
    catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err(io::Error::from_raw_os_error(libc::EAGAIN)))
}

/// Looks for what agents and helpers cannot be started, or ended, without.
///
/// # Errors
/// What is missing, and what to do.
pub(super) fn check_machine() -> Result<(), Error> {
    let needed = [
        ("/proc/self/exe", File::open("/proc/self/exe"), "mount /proc: processes are started and ended by it"),
        (
            "/dev/null",
            File::options().read(true).write(true).open("/dev/null"),
            "make it (`mknod -m 666 /dev/null c 1 3`): processes are started with it",
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

/// Whether address space is left for what a run needs at least. Too little memory for a small thing is an end without
/// a word in this language; too little at the start need not be.
fn has_address_space() -> io::Result<()> {
    // SAFETY: a new mapping that nobody can touch, which is given back as it was made.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mapped = libc::mmap(std::ptr::null_mut(), ADDRESS_SPACE, libc::PROT_NONE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(mapped, ADDRESS_SPACE);
    }
    Ok(())
}

/// Starts `wanted` threads, which wait for each other's start and end; returns how many there could be.
///
/// # Errors
/// Why there could not even be one.
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
        // They only wait.
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

async fn beat() {
    loop {
        tokio::time::sleep(BEAT).await;
        // It has nothing to say.
        let _ = tokio::task::spawn_blocking(|| ()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn threads_are_counted_before_they_are_needed() {
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

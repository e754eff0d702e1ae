//! Settings of the process for runs.

/// Every attempt holds a few descriptors open; the soft limit is often far below the hard one.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it was, which is enough for most runs.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Long lines of many agents come and go: their memory is returned immediately, where glibc would keep larger and larger
/// blocks for later.
pub(super) fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator. When it is refused all stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

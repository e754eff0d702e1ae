//! Catches panics where they must not reach further. Shared data stays valid: every change under a lock is complete by
//! itself, so poisoned locks are taken over.

use std::{
    any::Any,
    cell::Cell,
    fmt::Display,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll},
};

use host_model::{Fault, FaultClass};

/// Waits for `work`.
///
/// # Errors
/// The message of a panic in it.
pub async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    let polled = |cx: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
    };
    poll_fn(polled).await
}

/// Does `work`.
///
/// # Errors
/// The message of a panic in it.
pub fn catch_panic_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// [`catch_panic_now`] for work that is known to panic. Panic hooks can check [`panic_is_expected`].
pub fn catch_expected_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    EXPECTED.set(true);
    let done = catch_panic_now(work);
    EXPECTED.set(false);
    done
}

/// Whether a panic in this thread is expected and must not be reported.
#[must_use]
pub fn panic_is_expected() -> bool {
    EXPECTED.get()
}

/// The fault for a panic of the host in `what`.
#[must_use]
pub fn panicked(what: impl Display, words: &str) -> Fault {
    Fault::new(FaultClass::Internal, format!("{what} panicked: {words}; this is a bug in host"))
}

pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it has no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_message() {
        assert_eq!(catch_panic(async { 7 }).await, Ok(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("number {}", 3);
        };
        assert_eq!(catch_panic::<()>(late).await, Err("number 3".into()));
        assert_eq!(catch_expected_panic(panic_is_expected), Ok(true));
        assert!(catch_expected_panic::<()>(|| panic!("known")).is_err() && !panic_is_expected());
        assert_eq!(catch_panic_now(|| 7), Ok(7));
        assert_eq!(catch_panic_now::<()>(|| panic!("plain")), Err("plain".into()));
        assert_eq!(catch_panic_now::<()>(|| std::panic::panic_any(7)), Err("it has no message".into()));
    }
}

//! Panics, stopped where they must not reach further. What is shared afterwards is sound: locks that a panic poisoned
//! are taken over by all who share them, since every change under them is complete by itself.

use std::{
    any::Any,
    cell::Cell,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll},
};

/// Waits for `work`.
///
/// # Errors
/// What a panic in it says.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    let polled = |cx: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(words_of(&*panic))),
    };
    poll_fn(polled).await
}

/// The same for work that does not wait.
pub(super) fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words_of(&*panic))
}

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// [`caught_now`] for what is known to panic. Whoever reports panics can tell by [`panic_is_expected`].
pub(super) fn caught_expected<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    EXPECTED.set(true);
    let done = caught_now(work);
    EXPECTED.set(false);
    done
}

/// Whether a panic in this thread is provided for, and nobody need hear of it.
#[must_use]
pub fn panic_is_expected() -> bool {
    EXPECTED.get()
}

/// What a panic says.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it has no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_its_words_and_the_rest_a_result() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("number {}", 3);
        };
        assert_eq!(caught::<()>(late).await, Err("number 3".into()));
        assert_eq!(caught_expected(panic_is_expected), Ok(true));
        assert!(caught_expected::<()>(|| panic!("known")).is_err() && !panic_is_expected());
        assert_eq!(caught_now(|| 7), Ok(7));
        assert_eq!(caught_now::<()>(|| panic!("plain")), Err("plain".into()));
        assert_eq!(caught_now::<()>(|| std::panic::panic_any(7)), Err("it has no message".into()));
    }
}

//! Optional deadlines.

use host_clock::Instant;

/// Waits until `instant`, or forever if there is none.
pub(super) async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => host_clock::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

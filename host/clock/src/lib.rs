//! The host's own time. It stops while the host does not run: when a signal stops it, when the machine or its container is
//! suspended, and when the processor is too busy to schedule it. All timeouts for other processes use it, since the host
//! cannot observe them in the meantime.
//!
//! [`keep`] reads the system's monotonic clock every few milliseconds. Of a longer gap between two readings only a part
//! counts. That clock itself stops while the machine is suspended.

use std::{
    ops::{Add, Sub},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant as SystemInstant;

/// How often the system's clock is read.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The most time between two readings that counts.
const MAX_GAP: Duration = Duration::from_millis(250);
/// How long events that have happened already may take to be noticed after a timeout.
const SETTLE: Duration = Duration::from_millis(20);

static CLOCK: Clock = Clock::new();

/// The calendar's time, limited to the years −9999 to 9999.
#[must_use]
pub fn wall() -> jiff::Timestamp {
    calendar(std::time::SystemTime::now())
}

fn calendar(time: std::time::SystemTime) -> jiff::Timestamp {
    let end = if time < std::time::UNIX_EPOCH { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::try_from(time).unwrap_or(end)
}

/// A moment of the host's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(SystemInstant);

impl Instant {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self(CLOCK.now(SystemInstant::now()))
    }

    /// The time since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

/// Later than every timeout of a run: adding a duration from a file can overflow.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.checked_add(time).unwrap_or_else(|| self.0 + FAR))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero if `other` is later.
    fn sub(self, other: Self) -> Duration {
        self.0.saturating_duration_since(other.0)
    }
}

/// A timeout has passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits until `time` has passed.
pub async fn sleep(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

/// Waits until `end`.
pub async fn sleep_until(end: Instant) {
    loop {
        let left = end - Instant::now();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Gives events that have happened already a moment to be noticed.
pub async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

/// Waits for `future`, but at most `time`.
///
/// # Errors
/// `future` did not end in time, nor shortly after.
pub async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let expires = async {
        sleep(time).await;
        settle().await;
    };
    tokio::select! {
        biased;
        answer = future => Ok(answer),
        () = expires => Err(Elapsed),
    }
}

/// Reads the system's clock from now on. Never returns.
pub async fn keep() {
    CLOCK.lock().last = Some(SystemInstant::now());
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        CLOCK.now(SystemInstant::now());
    }
}

/// Stops the clock until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Hold(());

/// Stops the clock while the host itself delays the processes that it times.
pub fn hold() -> Hold {
    CLOCK.hold(SystemInstant::now());
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        CLOCK.release(SystemInstant::now());
    }
}

struct Clock(Mutex<State>);

struct State {
    /// The last reading; none without regular ones, since gaps have no meaning then.
    last: Option<SystemInstant>,
    /// Time that did not count.
    lost: Duration,
    holds: usize,
    /// When the clock was stopped.
    held: Option<SystemInstant>,
}

impl Clock {
    const fn new() -> Self {
        Self(Mutex::new(State { last: None, lost: Duration::ZERO, holds: 0, held: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, now: SystemInstant) -> SystemInstant {
        let mut state = self.lock();
        state.look(now);
        let counted = state.held.unwrap_or(now);
        counted.checked_sub(state.lost).unwrap_or(counted)
    }

    fn hold(&self, now: SystemInstant) {
        let mut state = self.lock();
        state.look(now);
        state.holds += 1;
        state.held.get_or_insert(now);
    }

    fn release(&self, now: SystemInstant) {
        let mut state = self.lock();
        state.look(now);
        state.holds = state.holds.saturating_sub(1);
        if state.holds == 0
            && let Some(since) = state.held.take()
        {
            state.lost += now.saturating_duration_since(since);
        }
    }
}

impl State {
    fn look(&mut self, now: SystemInstant) {
        let Some(last) = &mut self.last else { return };
        // Threads come here with what they read a moment before.
        let now = now.max(*last);
        let gap = now - *last;
        *last = now;
        // While the clock is stopped all of the time is lost in one piece.
        if self.held.is_none() {
            self.lost += gap.saturating_sub(MAX_GAP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_past_the_calendar_stop_at_its_end() {
        let after =
            |seconds| calendar(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).strftime("%Y%m%d").to_string();
        assert_eq!(after(0), "19700101");
        assert_eq!(after(253_402_300_799), "99991230", "the last second of the year 9999");
        assert_eq!(after(1 << 40), "99991230");
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// A clock that is looked at, and a moment.
    fn clock() -> (Clock, SystemInstant) {
        let (clock, now) = (Clock::new(), SystemInstant::now() + 1000 * SECOND);
        clock.lock().last = Some(now);
        (clock, now)
    }

    #[test]
    fn suspended_time_does_not_count() {
        let (clock, began) = clock();
        let mut now = began;
        for _ in 0..20 {
            now += LOOK_INTERVAL;
            assert_eq!(clock.now(now), now, "it runs");
        }
        now += 3600 * SECOND;
        assert_eq!(clock.now(now) - began, SECOND + MAX_GAP);
        now += LOOK_INTERVAL;
        assert_eq!(clock.now(now) - began, SECOND + MAX_GAP + LOOK_INTERVAL, "it runs again");
    }

    #[test]
    fn starved_hosts_have_a_slower_clock() {
        let (clock, began) = clock();
        let mut now = began;
        for _ in 0..10 {
            now += 2 * SECOND;
            clock.now(now);
        }
        assert_eq!(clock.now(now) - began, 10 * MAX_GAP);
    }

    #[test]
    fn clocks_never_go_back() {
        let (clock, began) = clock();
        let later = clock.now(began + 5 * SECOND);
        assert!(clock.now(began + 4 * SECOND) <= later);
        assert_eq!(clock.now(began + 5 * SECOND), later);
    }

    #[test]
    fn held_clocks_stop_until_the_last_release() {
        let (clock, began) = clock();
        clock.hold(began);
        clock.hold(began + SECOND / 10);
        clock.release(began + 7 * SECOND);
        assert_eq!(clock.now(began + 8 * SECOND), began);
        clock.release(began + 9 * SECOND);
        assert_eq!(clock.now(began + 9 * SECOND), began);
        assert_eq!(clock.now(began + 9 * SECOND + LOOK_INTERVAL), began + LOOK_INTERVAL);
    }

    #[test]
    fn gaps_without_regular_readings_are_ignored() {
        let (clock, now) = (Clock::new(), SystemInstant::now());
        assert_eq!(clock.now(now + 3600 * SECOND), now + 3600 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn events_at_the_timeout_still_count() {
        let (told, tell) = tokio::sync::oneshot::channel();
        let late = async {
            tokio::time::sleep(SECOND + SETTLE / 2).await;
            told.send(7)
        };
        let (answer, _) = tokio::join!(timeout(SECOND, tell), late);
        assert_eq!(answer, Ok(Ok(7)));
        assert_eq!(timeout(SECOND, std::future::pending::<()>()).await, Err(Elapsed));
    }

    #[test]
    fn durations_that_overflow_are_far_away() {
        let now = Instant::now();
        assert_eq!((now + Duration::MAX) - now, FAR);
    }
}

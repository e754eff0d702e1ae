//! Records what a component did that it may not.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use host_model::{Fault, FaultClass};

/// Denied uses that are listed; a component can try any number of times.
const MAX_DENIALS: usize = 20;
/// The length of each; the path of a request can be long.
const MAX_DENIAL_BYTES: usize = 2 << 10;

/// File names that are not UTF-8 that are listed.
const MAX_LOSSY_NAMES: usize = 5;

/// Records what a component did that it may not. Exceeding a limit ends the attempt; a denied use returns an error and is
/// recorded, and the component continues.
#[derive(Default)]
pub struct Violations {
    recorded: Mutex<Recorded>,
    breached: Notify,
}

#[derive(Default)]
struct Recorded {
    breach: Option<Fault>,
    denied: Vec<String>,
    more_denials: u64,
    concurrency_exceeded: Option<ConcurrencyExceeded>,
    lossy_names: BTreeSet<Vec<u8>>,
    more_lossy_names: bool,
}

/// Requests and lookups that were refused because too many were pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyExceeded {
    /// How many.
    pub refused: u64,
    /// How many may be pending.
    pub at_once: u32,
}

impl fmt::Display for ConcurrencyExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, at_once } = self;
        write!(f, "{refused} requests and look-ups beyond {at_once} in parallel; the limit is `max-handles`")
    }
}

impl Violations {
    /// A limit was exceeded, which ends the attempt as `limit`.
    pub fn limit(&self, what: impl Into<String>) {
        self.breach(Fault::new(FaultClass::Limit, what));
    }

    /// Ends the attempt with `fault`. Only the first one counts.
    pub fn breach(&self, fault: Fault) {
        let mut recorded = self.lock();
        if recorded.breach.is_none() {
            recorded.breach = Some(fault);
        }
        drop(recorded);
        self.breached.notify_one();
    }

    /// Something was denied because it is not granted.
    pub fn denied(&self, mut what: String) {
        if what.len() > MAX_DENIAL_BYTES {
            what.truncate(what.floor_char_boundary(MAX_DENIAL_BYTES));
            what.push_str(" …");
        }
        let mut recorded = self.lock();
        if recorded.denied.contains(&what) || recorded.denied.len() >= MAX_DENIALS {
            recorded.more_denials += 1;
        } else {
            recorded.denied.push(what);
        }
    }

    /// A request or a lookup was refused because `at_once` of them were pending.
    pub(super) fn add_concurrency_exceeded(&self, at_once: u32) {
        let mut recorded = self.lock();
        recorded.concurrency_exceeded.get_or_insert(ConcurrencyExceeded { refused: 0, at_once }).refused += 1;
    }

    /// The requests and lookups that were refused because too many were pending, if any.
    #[must_use]
    pub fn concurrency_exceeded(&self) -> Option<ConcurrencyExceeded> {
        self.lock().concurrency_exceeded
    }

    /// A listing showed the component a file name that is not UTF-8.
    pub(super) fn add_lossy_name(&self, name: &[u8]) {
        let mut recorded = self.lock();
        if recorded.lossy_names.len() < MAX_LOSSY_NAMES {
            recorded.lossy_names.insert(name.to_owned());
        } else if !recorded.lossy_names.contains(name) {
            recorded.more_lossy_names = true;
        }
    }

    /// A message about file names that are not UTF-8, which the component saw with U+FFFD in them.
    #[must_use]
    pub fn lossy_names(&self) -> Option<String> {
        let recorded = self.lock();
        if recorded.lossy_names.is_empty() {
            return None;
        }
        let names: Vec<String> = recorded.lossy_names.iter().map(|name| format!("`{}`", name.escape_ascii())).collect();
        let more = if recorded.more_lossy_names { " and more" } else { "" };
        Some(format!("file names that are not UTF-8; the component sees U+FFFD in them: {}{more}", names.join(", ")))
    }

    /// The first breach.
    #[must_use]
    pub fn breached(&self) -> Option<Fault> {
        self.lock().breach.clone()
    }

    /// Waits for the first breach.
    pub async fn wait(&self) -> Fault {
        loop {
            if let Some(fault) = self.breached() {
                return fault;
            }
            self.breached.notified().await;
        }
    }

    /// The denied uses, each once, and how many more there were.
    #[must_use]
    pub fn denials(&self) -> (Vec<String>, u64) {
        let recorded = self.lock();
        (recorded.denied.clone(), recorded.more_denials)
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        // Every change is complete by itself, so the state is valid even after a panic.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_denials_are_bounded_in_number_and_length() {
        let violations = Violations::default();
        for number in 0..100 {
            violations.denied(format!("{number}: {}", "é".repeat(100_000)));
        }
        let (denials, more) = violations.denials();
        assert_eq!((denials.len(), more), (MAX_DENIALS, 80));
        assert!(denials.iter().all(|what| what.len() < MAX_DENIAL_BYTES + 10 && what.ends_with(" …")));
    }
}

//! The memory that the host holds on behalf of an attempt, bounded by its limit `max-memory`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use host_model::Limits;

/// Stacks that do not count: one for the call, and one that the engine keeps for the next.
const FREE_STACKS: u64 = 2;
/// Bytes that each further stack counts toward `max-memory`: as much as guest code can fill.
const STACK_BYTES: u64 = super::MAX_WASM_STACK as u64;

tokio::task_local! {
    static CURRENT: Arc<Account>;
}

/// The memory account of one attempt. Whatever allocates memory of the host on behalf of a component reserves it here
/// first, and releases it when it is dropped. Exceeding a limit ends the attempt.
pub struct Account {
    reserved: AtomicU64,
    limit: u64,
    stacks: AtomicU64,
    max_stacks: u64,
    memories: u32,
    on_exceeded: Box<dyn Fn(String) + Send + Sync>,
}

/// A limit was exceeded. The attempt was notified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Exceeded(String);

/// Reserved memory, which is released when this is dropped.
pub struct Reservation {
    account: Arc<Account>,
    bytes: u64,
    stack: bool,
}

impl Account {
    /// An account for an attempt with these `limits`, which may use `mappings` of the process's address space.
    /// `on_exceeded` is called with the message when a limit is exceeded.
    #[must_use]
    pub fn new(limits: &Limits, mappings: Mappings, on_exceeded: impl Fn(String) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            reserved: AtomicU64::new(0),
            limit: limits.max_memory,
            stacks: AtomicU64::new(0),
            max_stacks: mappings.stacks(),
            memories: mappings.memories(limits.max_instances),
            on_exceeded: Box::new(on_exceeded),
        })
    }

    /// Runs `task`, whose stacks are counted here.
    pub async fn scope<F: Future>(self: &Arc<Self>, task: F) -> F::Output {
        CURRENT.scope(Arc::clone(self), task).await
    }

    /// The account of the attempt that is running on this thread.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Reserves `bytes` for `what`, until the result is dropped.
    ///
    /// # Errors
    /// [`Exceeded`] if the limit `max-memory` does not allow it.
    pub fn take(self: &Arc<Self>, bytes: u64, what: impl fmt::Display) -> Result<Reservation, Exceeded> {
        self.add(bytes, |total, limit| {
            format!("the component needs {total} bytes of memory, including {what}; its limit `max-memory` is {limit}")
        })?;
        Ok(Reservation { account: Arc::clone(self), bytes, stack: false })
    }

    /// Reserves memory that is released only when the attempt ends.
    pub(super) fn add(&self, bytes: u64, message: impl Fn(u64, u64) -> String) -> Result<(), Exceeded> {
        let limit = self.limit;
        let added = self.reserved.try_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
            reserved.checked_add(bytes).filter(|total| *total <= limit)
        });
        match added {
            Ok(_) => Ok(()),
            Err(reserved) => Err(self.exceed(message(reserved.saturating_add(bytes), limit))),
        }
    }

    /// Releases what [`Account::add`] reserved.
    pub(super) fn release(&self, bytes: u64) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Reserves a stack for a call.
    pub(super) fn stack(self: &Arc<Self>) -> Result<Reservation, Exceeded> {
        let count = self.stacks.fetch_add(1, Ordering::Relaxed) + 1;
        let mut reserved = Reservation { account: Arc::clone(self), bytes: 0, stack: true };
        if count > self.max_stacks {
            let max = self.max_stacks;
            return Err(self.exceed(format!(
                "the component has {count} calls in progress that each need a stack, but an attempt may have {max} of \
                 them with this many attempts in parallel; lower `jobs`"
            )));
        }
        if count > FREE_STACKS {
            self.add(STACK_BYTES, |total, limit| {
                format!(
                    "the component needs {total} bytes of memory, including the stacks of {count} concurrent calls; \
                     its limit `max-memory` is {limit}"
                )
            })?;
            reserved.bytes = STACK_BYTES;
        }
        Ok(reserved)
    }

    /// How many memories a component may have.
    pub(super) fn memories(&self) -> u32 {
        self.memories
    }

    /// Ends the attempt.
    pub(super) fn exceed(&self, what: String) -> Exceeded {
        (self.on_exceeded)(what.clone());
        Exceeded(what)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.release(self.bytes);
        if self.stack {
            self.account.stacks.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many mappings of the process's address space one attempt may have. The kernel limits them per process
/// (`vm.max_map_count`), and an attempt that used them all would make others fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mappings(u64);

impl Mappings {
    /// What every attempt may have, however many run in parallel.
    const MIN: u64 = 48;
    /// Mappings that the pool uses for one slot.
    const PER_SLOT: u64 = 8;
    /// The default of Linux.
    const DEFAULT: u64 = 65_530;

    /// The share of one of `attempts`.
    #[must_use]
    pub fn share(attempts: u32) -> Self {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let total = text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(Self::DEFAULT);
        Self::of(total, attempts)
    }

    /// Leaves a quarter to threads, libraries and the host's own heap.
    fn of(total: u64, attempts: u32) -> Self {
        let attempts = u64::from(attempts.max(1));
        let room = (total - total / 4).saturating_sub(attempts.saturating_mul(Self::PER_SLOT));
        Self((room / attempts).max(Self::MIN))
    }

    /// Half of the share is for memories: each has its guards and the image of its data.
    fn memories(self, instances: u32) -> u32 {
        instances.min(u32::try_from(self.0 / 2 / 3).unwrap_or(u32::MAX))
    }

    /// The other half is for stacks, each with a guard.
    fn stacks(self) -> u64 {
        self.0 / 2 / 2
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn account(memory: u64, mappings: Mappings) -> (Arc<Account>, Arc<Mutex<Vec<String>>>) {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let sender = Arc::clone(&messages);
        let limits = Limits { max_memory: memory, ..Limits::default() };
        (Account::new(&limits, mappings, move |what| sender.lock().unwrap().push(what)), messages)
    }

    #[test]
    fn reservations_add_up_and_are_released() {
        let (account, messages) = account(1000, Mappings::of(Mappings::DEFAULT, 1));
        let first = account.take(600, "a listing").unwrap();
        let second = account.take(400, "another").unwrap();
        let exceeded = account.take(1, "a third").err().unwrap();
        assert_eq!(
            exceeded.to_string(),
            "the component needs 1001 bytes of memory, including a third; its limit `max-memory` is 1000"
        );
        assert_eq!(*messages.lock().unwrap(), [exceeded.to_string()]);
        drop(first);
        drop(account.take(600, "once more").unwrap());
        drop(second);
        assert_eq!(account.reserved.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn additional_stacks_count_toward_the_memory_limit() {
        let (account, _) = account(3 * STACK_BYTES, Mappings::of(Mappings::DEFAULT, 1));
        let mut stacks: Vec<_> = (0..FREE_STACKS + 3).map(|_| account.stack().unwrap()).collect();
        let exceeded = account.stack().err().unwrap().to_string();
        assert!(
            exceeded.contains("the stacks of 6 concurrent calls") && exceeded.contains("`max-memory`"),
            "{exceeded}"
        );
        stacks.pop();
        assert!(account.stack().is_ok(), "what is dropped is given back");
        drop(stacks);
        assert_eq!((account.reserved.load(Ordering::Relaxed), account.stacks.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn mappings_are_divided_among_attempts() {
        assert_eq!(Mappings::of(Mappings::DEFAULT, 12).memories(100), 100);
        assert_eq!(Mappings::of(Mappings::DEFAULT, 256).memories(100), 30);
        assert_eq!(Mappings::of(Mappings::DEFAULT, 5_000), Mappings(Mappings::MIN));
        assert!(Mappings(Mappings::MIN).memories(100) >= 8 && Mappings(Mappings::MIN).stacks() >= 8);
        let (account, _) = account(u64::MAX, Mappings(Mappings::MIN));
        let _stacks: Vec<_> = (0..12).map(|_| account.stack().unwrap()).collect();
        let exceeded = account.stack().err().unwrap().to_string();
        assert!(exceeded.contains("13 calls") && exceeded.contains("`jobs`"), "{exceeded}");
    }
}

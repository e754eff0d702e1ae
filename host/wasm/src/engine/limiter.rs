use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::account::Account;
use host_model::{Limits, Shortage};

/// Tables for each of the instances that a component may have.
const TABLES_PER_INSTANCE: usize = 10;

/// Counts memory and table elements over all of a component's memories and tables. Growing beyond a limit traps
/// immediately: a component that only saw a failed grow could keep trying until its timeout.
pub struct Limiter {
    account: Arc<Account>,
    elements: u64,
    max_elements: u64,
    instances: usize,
    /// Bytes of the last memory growth.
    growth: u64,
}

impl Limiter {
    /// Enforces the limits on tables and instances, and counts memory in `account`, which is notified if a limit is
    /// exceeded.
    #[must_use]
    pub fn new(limits: &Limits, account: Arc<Account>) -> Self {
        Self {
            account,
            elements: 0,
            max_elements: limits.max_table_elements,
            instances: limits.max_instances as usize,
            growth: 0,
        }
    }
}

impl Limiter {
    fn release(&mut self) {
        self.account.release(std::mem::take(&mut self.growth));
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        let added = self.account.add(growth, |total, limit| {
            format!("the component requests {total} bytes of memory; its limit `max-memory` is {limit}")
        });
        added?;
        self.growth = growth;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The growth fails at the memory's own maximum, and the component may retry any number of times.
            self.release();
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.release();
        // Otherwise the verdict would depend on the free memory of the machine.
        if error.chain().any(|cause| Shortage::of(cause).is_some()) { Err(error) } else { Ok(()) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.max_elements {
            let limit = self.max_elements;
            let what = format!(
                "the component requests {total} table elements; its limit `max-table-elements` is \
                                {limit}"
            );
            return Err(self.account.exceed(what).into());
        }
        // Beyond its own maximum the table does not grow. Slots of the pool are not smaller: see `Survey::fits_pool`.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.elements = total;
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.account.memories() as usize
    }

    fn tables(&self) -> usize {
        self.instances.saturating_mul(TABLES_PER_INSTANCE)
    }
}

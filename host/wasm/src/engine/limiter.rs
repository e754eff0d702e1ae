use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::account::Account;
use host_model::{Limits, Shortage};

/// Tables for each of the instances that a component may have.
const TABLES_PER_INSTANCE: usize = 10;

/// Counts memory and table elements over all of a component's memories and tables. Growing past the bound
/// traps at once: a component that only saw a failed grow could go on trying until its deadline.
pub struct Limiter {
    account: Arc<Account>,
    elements: u64,
    max_elements: u64,
    instances: usize,
    /// Bytes of the last growth of a memory.
    growth: u64,
}

impl Limiter {
    /// Keeps what `limits` say of tables and instances, and counts memory in `account`, which is told of the first step
    /// too far.
    #[must_use]
    pub fn new(limits: &Limits, account: Arc<Account>) -> Self {
        Self {
            account,
            elements: 0,
            max_elements: limits.table_elements,
            instances: limits.instances as usize,
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
            format!("the component wants {total} bytes of memory; its limit `memory` is {limit}")
        });
        added?;
        self.growth = growth;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // It will not grow beyond its own maximum, and the component may ask any number of times.
            self.release();
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.release();
        // A component that only saw a failed grow would judge by what the machine has to spare.
        if error.chain().any(|cause| Shortage::of(cause).is_some()) { Err(error) } else { Ok(()) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.max_elements {
            let limit = self.max_elements;
            let what = format!("the component wants {total} table elements; its limit `table-elements` is {limit}");
            return Err(self.account.exceed(what).into());
        }
        // Beyond its own maximum it does not grow. No slot of the pool is smaller than that: see `Survey::fits_pool`.
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

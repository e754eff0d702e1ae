use wasmtime::ResourceLimiter;

use crate::model::Limits;

/// Counts memory and table elements over all of a component's memories and tables. Growing past the bound
/// traps at once: a component that only saw a failed grow could go on trying until its deadline.
pub struct Limiter {
    memory: u64,
    memory_bound: u64,
    elements: u64,
    elements_bound: u64,
    instances: usize,
    table_may_grow: bool,
    breached: Box<dyn Fn(String) + Send>,
}

impl Limiter {
    /// Keeps what `limits` say of memory, tables and instances; `breached` is told of the first step too far.
    #[must_use]
    pub fn new(limits: &Limits, breached: impl Fn(String) + Send + 'static) -> Self {
        Self {
            memory: 0,
            memory_bound: limits.memory,
            elements: 0,
            elements_bound: limits.table_elements,
            instances: limits.instances as usize,
            table_may_grow: false,
            breached: Box::new(breached),
        }
    }

    fn refuse(&self, what: String) -> wasmtime::Error {
        (self.breached)(what.clone());
        wasmtime::Error::msg(what)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.memory_bound {
            let bound = self.memory_bound;
            return Err(
                self.refuse(format!("the component wants {total} bytes of memory; its limit `memory` is {bound}"))
            );
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.elements_bound {
            let bound = self.elements_bound;
            return Err(self
                .refuse(format!("the component wants {total} table elements; its limit `table-elements` is {bound}")));
        }
        self.elements = total;
        self.table_may_grow = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // The component's own maximum is its own affair; a slot of the pool that is too small is a bound.
        if std::mem::take(&mut self.table_may_grow) {
            return Err(self.refuse("the component's tables grow past what a slot of the engine's pool holds".into()));
        }
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }
}

//! Stacks for calls of components that are allocated on demand, counted toward the limits of the attempt.

use std::{ops::Range, ptr};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use wasmtime::{StackCreator, StackMemory};

use super::account::{Account, Reservation};

/// Creates stacks.
pub(super) struct Stacks;

/// A mapping whose lowest page is a guard.
struct Stack {
    base: usize,
    guard: usize,
    length: usize,
    /// Counts toward the limits of its attempt.
    _reservation: Option<Reservation>,
}

// SAFETY: each stack is a private mapping of its own, filled with zeros by the kernel, aligned to pages, and with a page
// at its bottom that cannot be accessed.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let reservation = Account::current().map(|account| account.stack()).transpose()?;
        let page = rustix::param::page_size();
        let length = size.next_multiple_of(page) + page;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base =
            unsafe { mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
        let stack = Stack { base: base as usize, guard: page, length, _reservation: reservation };
        // SAFETY: the page belongs to the new mapping, and nothing points to it.
        unsafe { mprotect(base, page, MprotectFlags::empty())? };
        Ok(Box::new(stack))
    }
}

// SAFETY: the ranges are those of the mapping, which lives as long as this value.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        (self.base + self.length) as *mut u8
    }

    fn range(&self) -> Range<usize> {
        self.base + self.guard..self.base + self.length
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.base as *mut u8..(self.base + self.guard) as *mut u8
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: it is the mapping that `new_stack` made, and wasmtime drops a stack only when nothing runs on it.
        // A failed unmap leaks the stack until the process ends.
        let _ = unsafe { munmap(self.base as *mut _, self.length) };
    }
}

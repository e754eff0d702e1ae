//! What a panic says on stderr.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
};

use super::terminal;
use host_core::runner::panic_is_expected;

/// From here on a panic tells its place alone: its words may quote anything that the host was working on, a key too.
/// An attempt tells them in its fault, without its secrets.
pub(super) fn tell_places() {
    panic::set_hook(Box::new(|panic| {
        if panic_is_expected() {
            return;
        }
        let place = panic.location().map(|it| format!(" at {}:{}", it.file(), it.line())).unwrap_or_default();
        let mut told = format!("error: something in host broke{place}; this is a bug of host\n");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            told.push_str(&format!("{trace}\n"));
        }
        terminal::print(&told);
    }));
}

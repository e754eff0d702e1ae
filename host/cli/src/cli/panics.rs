//! What a panic says on stderr.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
};

use super::terminal;
use host_core::runner::panic_is_expected;

/// From here on a panic reports only its place: its words may quote anything that the host was working on, a key too. The
/// fault of an attempt shows them without its secrets.
pub(super) fn report_places() {
    panic::set_hook(Box::new(|panic| {
        if panic_is_expected() {
            return;
        }
        let place = panic.location().map(|it| format!(" at {}:{}", it.file(), it.line())).unwrap_or_default();
        let mut text = format!("error: internal error{place}\nhelp: this is a bug in host; please report it\n");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("{trace}\n"));
        }
        terminal::print(&text);
    }));
}

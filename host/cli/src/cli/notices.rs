//! Warnings on stderr, and which plugins are compiled, where that takes long.

use std::{any::Any, time::Duration};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::{log, messages::rendered, terminal};
use host_core::app::{Message, Notices};
use host_model::shown;
use host_wasm::component::PluginFile;

/// A plugin with fewer bytes is compiled before anyone wonders.
const MIN_SHOWN_BYTES: usize = 1 << 20;
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Prints notices to stderr. On a terminal the line of a plugin disappears when it is compiled.
pub(super) struct TerminalNotices {
    lines: Option<MultiProgress>,
}

impl TerminalNotices {
    pub(super) fn new() -> Self {
        Self { lines: terminal::is_live(rustix::stdio::stderr()).then(MultiProgress::new) }
    }
}

impl Notices for TerminalNotices {
    fn warning(&self, message: Message) {
        terminal::print(&rendered("warning", &[message]));
    }

    fn note(&self, message: Message) {
        terminal::print(&rendered("note", &[message]));
    }

    fn secrets(&self, secrets: &[String]) {
        log::redact(secrets);
    }

    fn compiling(&self, file: &PluginFile, bytes: usize) -> Box<dyn Any> {
        if bytes < MIN_SHOWN_BYTES {
            return Box::new(());
        }
        let size = DecimalBytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        let text = format!("compiling {} ({size})", shown(&file.path));
        let Some(lines) = &self.lines else {
            terminal::line(text);
            return Box::new(());
        };
        let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
        let line = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let line = lines.add(line.with_message(text));
        line.enable_steady_tick(REDRAW_INTERVAL);
        Box::new(Line(line))
    }
}

/// A line that is removed when the compiler is done, or has panicked.
struct Line(ProgressBar);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

//! Says on stderr what is compiled, where that takes long enough to wonder.

use std::{any::Any, time::Duration};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::terminal;
use host_model::shown;
use host_wasm::component::{CompileObserver, PluginFile};

/// Below so many bytes a plugin is compiled before anyone asks.
const TOLD: usize = 1 << 20;
const REDRAWN: Duration = Duration::from_millis(100);

/// A line for each plugin: on a terminal while it is compiled, elsewhere for good.
pub(super) struct Compiling {
    lines: Option<MultiProgress>,
}

impl Compiling {
    pub(super) fn on_stderr() -> Self {
        Self { lines: terminal::is_live(rustix::stdio::stderr()).then(MultiProgress::new) }
    }
}

impl CompileObserver for Compiling {
    fn compiling(&self, file: &PluginFile, bytes: usize) -> Box<dyn Any> {
        if bytes < TOLD {
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
        line.enable_steady_tick(REDRAWN);
        Box::new(Line(line))
    }
}

/// A line that goes when the compiler is done, or has panicked.
struct Line(ProgressBar);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

use std::{io, path::Path};

use super::{error::Error, stop::Interrupts};
use crate::runner::EventSink;
use host_model::{Event, ReporterKind};
use host_report::{LogTail, Reporter};

/// What the caller of a run takes part in. Every method has a default; `()` uses them all.
pub trait RunHooks {
    /// Called once everything is loaded and planned, right before the run directory is made. From here on the run ends in
    /// order when the result says so.
    ///
    /// # Errors
    /// Signals cannot be received; nothing is run.
    fn interrupts(&mut self) -> io::Result<Interrupts> {
        Ok(Interrupts::never())
    }

    /// Adds reports to `events.jsonl`, which every run writes.
    ///
    /// # Errors
    /// A report cannot be made; nothing is run.
    fn add_reports(&mut self, reporter: &mut Reporter, context: &ReportContext<'_>) -> Result<(), Error> {
        let _ = (reporter, context);
        Ok(())
    }

    /// Receives each event before the reports do.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }
}

impl RunHooks for () {}

/// What reports are made from.
pub struct ReportContext<'a> {
    /// The run directory.
    pub directory: &'a Path,
    /// The end of the run's event log, for reports that are slower than the run.
    pub log: &'a LogTail,
    /// The kinds of reports that the suite and its overrides ask for.
    pub kinds: &'a [ReporterKind],
    /// The values that reports must not show.
    pub secrets: &'a [String],
}

/// Sends each event to the caller and to the reports.
pub(super) struct FanOut<'a> {
    hooks: &'a mut dyn RunHooks,
    watch: &'a mut dyn FnMut(&Event),
    reporter: &'a mut Reporter,
    /// While the event log is full, no time passes for attempts that cannot report.
    hold: Option<host_clock::Hold>,
    is_interrupted: Box<dyn Fn() -> bool>,
}

impl<'a> FanOut<'a> {
    pub(super) fn new(
        hooks: &'a mut dyn RunHooks,
        watch: &'a mut dyn FnMut(&Event),
        reporter: &'a mut Reporter,
    ) -> Self {
        Self { hooks, watch, reporter, hold: None, is_interrupted: Box::new(host_report::is_interrupted()) }
    }
}

impl EventSink for FanOut<'_> {
    fn event(&mut self, event: &Event) {
        (self.watch)(event);
        self.hooks.event(event);
        self.reporter.event(event);
    }

    fn flush(&mut self) {
        self.reporter.flush();
    }

    fn is_full(&mut self) -> bool {
        // A run that has to end does not wait for a disk.
        let is_full = !(self.is_interrupted)() && self.reporter.is_full();
        self.hold = is_full.then(|| self.hold.take().unwrap_or_else(host_clock::hold));
        is_full
    }
}

//! What a person reads: live lines on a terminal, plain lines elsewhere, and a summary.

mod activity;
mod board;
mod figures;
mod incidents;
mod rates;
mod screen;
mod story;
mod summary;
#[cfg(test)]
mod tests;
mod theme;
mod units;
mod verdict;

use std::io::{self, Write};

use self::{screen::Screen, story::Story, theme::Theme};
use super::Sink;
use crate::model::{Event, EventKind};

/// Bytes of text that may wait for [`Sink::flush`].
const PENDING: usize = 64 * 1024;

/// Whether there are colours. The caller knows of `--color`, `NO_COLOR` and terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Colours.
    Always,
    /// None.
    #[default]
    Never,
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures, alerts, warnings and the summary; each of them once.
    Quiet,
    /// Starts, results and the summary.
    #[default]
    Normal,
    /// What components and agents say, too.
    Verbose,
}

/// How a run is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HumanOptions {
    /// Whether there are colours.
    pub color: ColorChoice,
    /// How much is told.
    pub verbosity: Verbosity,
}

impl HumanOptions {
    fn theme(self) -> Theme {
        Theme { coloured: self.color == ColorChoice::Always }
    }
}

/// The reporter for people.
pub struct Human {
    story: Story,
    screen: Screen,
    pending: String,
}

impl Human {
    /// Plain lines without cursor movement, for a file, a pipe or a CI log.
    #[must_use]
    pub fn plain(writer: Box<dyn Write + Send>, options: HumanOptions) -> Self {
        Self { story: Story::new(options, true), screen: Screen::Plain(writer), pending: String::new() }
    }

    /// Results as they come above a live line for each running trial.
    #[must_use]
    pub fn live(terminal: console::Term, options: HumanOptions) -> Self {
        Self::on(Screen::live(terminal, options.theme()), options)
    }

    fn on(screen: Screen, options: HumanOptions) -> Self {
        Self { story: Story::new(options, false), screen, pending: String::new() }
    }

    fn print_pending(&mut self) -> io::Result<()> {
        let printed = self.screen.print(&self.pending);
        self.pending.clear();
        printed
    }
}

impl Sink for Human {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.story.tell(event, &mut self.pending);
        self.screen.follow(event);
        // The summary must not wait for live lines, nor stand above them.
        let is_last = matches!(event.kind, EventKind::RunFinished { .. });
        if is_last {
            self.screen.end_live();
        }
        if is_last || self.pending.len() >= PENDING { self.print_pending() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.print_pending()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.story.end(&mut self.pending);
        self.screen.end_live();
        self.print_pending()
    }
}

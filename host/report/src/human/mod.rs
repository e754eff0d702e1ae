//! The report for people: live lines on a terminal, plain lines elsewhere, and a summary.

mod activity;
mod frame;
mod heartbeat;
mod incidents;
mod live_view;
mod rates;
mod renderer;
mod screen;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;
mod theme;
mod trial;
mod units;

use std::{
    io::{self, Write},
    time::Instant,
};

pub use self::screen::LiveLines;
use self::{heartbeat::Heartbeat, renderer::Renderer, screen::Screen, theme::Theme};
use super::Sink;
use host_model::{Event, EventKind};

/// Bytes of text that may wait for [`Sink::flush`].
const MAX_PENDING_BYTES: usize = 64 * 1024;

/// Whether to use colors. The caller handles `--color`, `NO_COLOR` and terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Colors.
    Always,
    /// None.
    #[default]
    Never,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures, alerts, warnings and the summary; each of them once.
    Quiet,
    /// Starts, results and the summary.
    #[default]
    Normal,
    /// Messages of components and agents, too.
    Verbose,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HumanOptions {
    /// Whether to use colors.
    pub color: ColorChoice,
    /// How much is shown.
    pub verbosity: Verbosity,
}

impl HumanOptions {
    fn theme(self) -> Theme {
        Theme { colored: self.color == ColorChoice::Always }
    }
}

/// The reporter for people.
pub struct Human {
    renderer: Renderer,
    screen: Screen,
    pending: String,
    /// For plain output.
    heartbeat: Option<Heartbeat>,
}

impl Human {
    /// Plain lines without cursor movement, for a file, a pipe or a CI log.
    #[must_use]
    pub fn plain(writer: Box<dyn Write + Send>, options: HumanOptions) -> Self {
        let heartbeat = (options.verbosity > Verbosity::Quiet).then(|| Heartbeat::new(options.theme(), Instant::now()));
        let renderer = Renderer::new(options, true);
        Self { renderer, screen: Screen::Plain(writer), pending: String::new(), heartbeat }
    }

    /// Results as they come above a live line for each running trial.
    #[must_use]
    pub fn live(terminal: console::Term, writer: Box<dyn Write + Send>, options: HumanOptions) -> Self {
        Self::on(Screen::live(terminal, writer, options.theme()), options)
    }

    /// The live lines, if there are any.
    #[must_use]
    pub fn live_lines(&self) -> Option<LiveLines> {
        self.screen.live_lines()
    }

    fn on(screen: Screen, options: HumanOptions) -> Self {
        Self { renderer: Renderer::new(options, false), screen, pending: String::new(), heartbeat: None }
    }

    fn print_pending(&mut self) -> io::Result<()> {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.beat(&mut self.pending, Instant::now());
        }
        let printed = self.screen.print(&self.pending);
        self.pending.clear();
        printed
    }
}

impl Sink for Human {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.renderer.render(event, &mut self.pending);
        self.screen.follow(event);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.follow(event, Instant::now());
        }
        // The summary must not wait for live lines, nor stand above them.
        let is_last = matches!(event.kind, EventKind::RunFinished { .. });
        if is_last {
            self.screen.end_live()?;
        }
        if is_last || self.pending.len() >= MAX_PENDING_BYTES { self.print_pending() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.print_pending()
    }

    fn tick(&mut self) -> io::Result<()> {
        self.print_pending()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.renderer.end(&mut self.pending);
        self.screen.end_live()?;
        self.print_pending()
    }
}

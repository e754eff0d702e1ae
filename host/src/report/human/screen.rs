//! Where the text goes: a plain writer, or a terminal with live lines below the text.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{board::Board, theme::Theme};
use crate::model::{Event, EventKind};

/// How often elapsed times move.
const TICK: Duration = Duration::from_millis(100);
/// How long a terminal may take to clear the live lines.
const CLEAR_TIMEOUT: Duration = Duration::from_millis(500);

/// Height and width of a terminal, asked anew for each drawing since windows change.
type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

pub(super) enum Screen {
    Plain(Box<dyn Write + Send>),
    Live(Live),
}

impl Screen {
    pub(super) fn live(terminal: console::Term, writer: Box<dyn Write + Send>, theme: Theme) -> Self {
        let sized = terminal.clone();
        Self::Live(Live::new(ProgressDrawTarget::term(terminal, 20), writer, Arc::new(move || sized.size()), theme))
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match self {
            Self::Plain(writer) => write_through(writer, text),
            Self::Live(live) => live.bar.suspend(|| write_through(&mut live.writer, text)),
        }
    }

    /// Keeps the live lines up to date.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Self::Live(live) = self {
            live.board.lock().unwrap_or_else(PoisonError::into_inner).follow(event, Instant::now());
            if matches!(event.kind, EventKind::RunStarted { .. }) {
                live.bar.enable_steady_tick(TICK);
            }
        }
    }

    /// The live lines, if there are any.
    pub(super) fn live_lines(&self) -> Option<LiveLines> {
        match self {
            Self::Plain(_) => None,
            Self::Live(live) => Some(LiveLines(live.bar.clone())),
        }
    }

    /// Takes the live lines away for good.
    pub(super) fn end_live(&mut self) {
        if let Self::Live(live) = self {
            live.bar.finish_and_clear();
        }
    }
}

fn write_through(writer: &mut impl Write, text: &str) -> io::Result<()> {
    writer.write_all(text.as_bytes())?;
    writer.flush()
}

/// The live lines, for who wants them away for a while.
#[derive(Clone)]
pub struct LiveLines(ProgressBar);

impl LiveLines {
    /// Takes the lines away, calls `stop`, and draws them again. Where they cannot be taken away, since nothing can be
    /// written to the terminal, `stop` is called all the same.
    pub fn suspend(&self, stop: impl FnOnce()) {
        let (cleared, is_cleared) = channel();
        let (again, draw_again) = channel::<()>();
        let bar = self.0.clone();
        let clearing = thread::Builder::new().spawn(move || {
            bar.suspend(|| {
                // Both ends wait no longer than they have to.
                let _ = cleared.send(());
                let _ = draw_again.recv();
            });
        });
        if clearing.is_ok() {
            let _ = is_cleared.recv_timeout(CLEAR_TIMEOUT);
        }
        stop();
        drop(again);
    }
}

/// The live lines are one bar of several lines: one thread ticks and one drawing moves them all, however many run.
pub(super) struct Live {
    bar: ProgressBar,
    writer: Box<dyn Write + Send>,
    board: Arc<Mutex<Board>>,
}

impl Live {
    pub(super) fn new(target: ProgressDrawTarget, writer: Box<dyn Write + Send>, size: Size, theme: Theme) -> Self {
        let board = Arc::new(Mutex::new(Board::new(theme, Instant::now())));
        let shown = Arc::clone(&board);
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let (height, width) = size();
            let board = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = out.write_str(&board.draw(Instant::now(), height.into(), width.into()));
        };
        let style = ProgressStyle::with_template("{board}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style.with_key("board", draw));
        Self { bar, writer, board }
    }
}

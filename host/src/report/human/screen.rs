//! Where the text goes: a plain writer, or a terminal with live lines below the text.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{board::Board, theme::Theme};
use crate::model::{Event, EventKind};

/// How often elapsed times move.
const TICK: Duration = Duration::from_millis(100);

/// Height and width of a terminal, asked anew for each drawing since windows change.
type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

pub(super) enum Screen {
    Plain(Box<dyn Write + Send>),
    Live(Live),
}

impl Screen {
    pub(super) fn live(terminal: console::Term, theme: Theme) -> Self {
        let sized = terminal.clone();
        Self::Live(Live::new(
            ProgressDrawTarget::term(terminal.clone(), 20),
            Box::new(terminal),
            Arc::new(move || sized.size()),
            theme,
        ))
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

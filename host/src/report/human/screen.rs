//! Where the text goes: a plain writer, or a terminal with live lines below the text.

use std::{
    collections::VecDeque,
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
/// Lines that can be drawn again above the live ones.
const MAX_ABOVE: usize = 500;
/// To the upper left corner, and clear from there.
const CLEAR_SCREEN: &str = "\u{1b}[H\u{1b}[2J";
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
            Self::Live(live) => {
                live.keep(text);
                live.bar.suspend(|| write_through(&mut live.writer, text))
            }
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

    /// Draws all again in a window that has become smaller: whether the terminal has cut or wrapped the lines that were
    /// there cannot be known.
    pub(super) fn heed_resize(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Live(live) => live.heed_resize(),
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
    size: Size,
    /// The size when it was last looked at.
    last_size: (u16, u16),
    /// The last lines above the live ones.
    above: VecDeque<String>,
}

impl Live {
    pub(super) fn new(target: ProgressDrawTarget, writer: Box<dyn Write + Send>, size: Size, theme: Theme) -> Self {
        let board = Arc::new(Mutex::new(Board::new(theme, Instant::now())));
        let shown = Arc::clone(&board);
        let last_size = size();
        let asked = Arc::clone(&size);
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let (height, width) = asked();
            let board = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = out.write_str(&board.draw(Instant::now(), height.into(), width.into()));
        };
        let style = ProgressStyle::with_template("{board}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style.with_key("board", draw));
        Self { bar, writer, board, size, last_size, above: VecDeque::new() }
    }

    fn keep(&mut self, text: &str) {
        self.above.extend(text.lines().map(str::to_owned));
        let surplus = self.above.len().saturating_sub(MAX_ABOVE);
        self.above.drain(..surplus);
    }

    fn heed_resize(&mut self) -> io::Result<()> {
        let (height, width) = (self.size)();
        let before = std::mem::replace(&mut self.last_size, (height, width));
        if (height >= before.0 && width >= before.1) || self.bar.is_finished() {
            return Ok(());
        }
        let live =
            self.board.lock().unwrap_or_else(PoisonError::into_inner).draw(Instant::now(), height.into(), width.into());
        let text = screenful(&self.above, usize::from(height).saturating_sub(live.lines().count()), width.into());
        self.bar.suspend(|| write_through(&mut self.writer, &format!("{CLEAR_SCREEN}{text}")))
    }
}

/// The last of `lines` that take at most `rows` rows of `width` columns.
fn screenful(lines: &VecDeque<String>, rows: usize, width: usize) -> String {
    let mut left = rows;
    let fits = |line: &&String| {
        let rows = console::measure_text_width(line).div_ceil(width.max(1)).max(1);
        left.checked_sub(rows).inspect(|rest| left = *rest).is_some()
    };
    let count = lines.iter().rev().take_while(fits).count();
    lines.iter().skip(lines.len() - count).map(|line| format!("{line}\n")).collect()
}

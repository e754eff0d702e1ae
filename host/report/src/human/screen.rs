//! The output: a plain writer, or a terminal with live lines below the text.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{frame::Frame, live_view::LiveView, theme::Theme};
use host_model::{Event, EventKind};

/// How often elapsed times are updated.
const TICK: Duration = Duration::from_millis(100);
/// How long a terminal may take to clear the live lines.
const CLEAR_TIMEOUT: Duration = Duration::from_millis(500);

/// Height and width of a terminal, asked again for each drawing since windows change.
pub(super) type Size = Box<dyn Fn() -> (u16, u16) + Send>;

pub(super) enum Screen {
    Plain(Box<dyn Write + Send>),
    Live(Live),
}

impl Screen {
    pub(super) fn live(terminal: console::Term, writer: Box<dyn Write + Send>, theme: Theme) -> Self {
        Self::Live(Live::new(writer, Box::new(move || terminal.size()), theme))
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match self {
            Self::Plain(writer) => {
                writer.write_all(text.as_bytes())?;
                writer.flush()
            }
            Self::Live(live) => live.lock().print(text),
        }
    }

    /// Keeps the live lines up to date.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Self::Live(live) = self {
            live.lock().follow(event);
            if matches!(event.kind, EventKind::RunStarted { .. }) {
                live.tick();
            }
        }
    }

    /// The live lines, if there are any.
    pub(super) fn live_lines(&self) -> Option<LiveLines> {
        match self {
            Self::Plain(_) => None,
            Self::Live(live) => Some(LiveLines(Arc::downgrade(&live.0))),
        }
    }

    /// Clears the live lines permanently.
    pub(super) fn end_live(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Live(live) => live.lock().end(),
        }
    }
}

/// Draws the live lines again and again.
pub(super) struct Live(Arc<Mutex<Frame>>);

impl Live {
    pub(super) fn new(writer: Box<dyn Write + Send>, size: Size, theme: Theme) -> Self {
        Self(Arc::new(Mutex::new(Frame::new(writer, size, LiveView::new(theme, Instant::now())))))
    }

    fn lock(&self) -> MutexGuard<'_, Frame> {
        lock(&self.0)
    }

    fn tick(&self) {
        let frame = Arc::downgrade(&self.0);
        // Without a thread the lines are drawn below each text only.
        let _ = thread::Builder::new().name("live-lines".into()).spawn(move || {
            while let Some(frame) = frame.upgrade() {
                // An error is found again where a text is printed.
                if lock(&frame).draw().is_err() {
                    return;
                }
                drop(frame);
                thread::sleep(TICK);
            }
        });
    }
}

fn lock(frame: &Mutex<Frame>) -> MutexGuard<'_, Frame> {
    frame.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The live lines, which can be suspended.
#[derive(Clone)]
pub struct LiveLines(Weak<Mutex<Frame>>);

impl LiveLines {
    /// Takes the lines away, calls `stop`, and draws them again. Where they cannot be taken away, since nothing can be
    /// written to the terminal, `stop` is called all the same.
    pub fn suspend(&self, stop: impl FnOnce()) {
        let Some(frame) = self.0.upgrade() else { return stop() };
        let (cleared, is_cleared) = channel();
        let (again, draw_again) = sync_channel::<()>(0);
        let clearing = thread::Builder::new().spawn(move || {
            let mut frame = lock(&frame);
            // Errors recur when a text is printed.
            let _ = cleared.send(frame.clear());
            let _ = draw_again.recv();
            let _ = frame.draw();
        });
        if clearing.is_ok() {
            let _ = is_cleared.recv_timeout(CLEAR_TIMEOUT);
        }
        stop();
        drop(again);
    }
}

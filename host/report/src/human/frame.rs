//! The live lines as they are drawn on a terminal. They end in a line's end and are narrower than the window, so that
//! nothing depends on how a terminal wraps, and what it echoes of a key comes below them and is cleared with them.

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Instant,
};

use super::{live_view::LiveView, screen::Size};
use host_model::Event;

/// Lines that can be drawn again above the live ones.
const MAX_ABOVE: usize = 500;
/// To the upper left corner, and clear from there.
const CLEAR_SCREEN: &str = "\u{1b}[H\u{1b}[2J";

pub(super) struct Frame {
    writer: Box<dyn Write + Send>,
    size: Size,
    live_view: LiveView,
    /// Rows that are on the terminal.
    drawn: usize,
    /// The size for which they were drawn.
    last_size: (u16, u16),
    /// The last lines above the live ones.
    above: VecDeque<String>,
    is_over: bool,
}

impl Frame {
    pub(super) fn new(writer: Box<dyn Write + Send>, size: Size, live_view: LiveView) -> Self {
        let last_size = size();
        Self { writer, size, live_view, drawn: 0, last_size, above: VecDeque::new(), is_over: false }
    }

    pub(super) fn follow(&mut self, event: &Event) {
        self.live_view.follow(event, Instant::now());
    }

    /// Puts `text`, which is whole lines, above the live lines.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let mut out = self.cleared();
        out.push_str(text);
        self.above.extend(text.lines().map(str::to_owned));
        let surplus = self.above.len().saturating_sub(MAX_ABOVE);
        self.above.drain(..surplus);
        self.draw_after(out)
    }

    /// Draws the lines as they are now.
    pub(super) fn draw(&mut self) -> io::Result<()> {
        if self.is_over {
            return Ok(());
        }
        let out = self.cleared();
        self.draw_after(out)
    }

    /// Clears the lines.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let out = self.cleared();
        self.write(&out)
    }

    /// Clears the lines permanently.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.is_over = true;
        self.clear()
    }

    /// The terminal sequence that clears the lines.
    fn cleared(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            rows => format!("\u{1b}[{rows}A\r\u{1b}[J"),
        }
    }

    /// Writes `out`, and the lines below it. A window that has become smaller is drawn again as a whole: whether the
    /// terminal has cut or wrapped what was there cannot be known.
    fn draw_after(&mut self, mut out: String) -> io::Result<()> {
        if self.is_over {
            return self.write(&out);
        }
        let (height, width) = (self.size)();
        let before = std::mem::replace(&mut self.last_size, (height, width));
        let (rows, columns) = (usize::from(height), usize::from(width));
        let text = self.live_view.draw(Instant::now(), rows, columns);
        // The cursor needs a row.
        let lines: Vec<_> = text
            .lines()
            .take(rows.saturating_sub(1))
            .map(|line| console::truncate_str(line, columns.saturating_sub(1), ""))
            .collect();
        if height < before.0 || width < before.1 {
            out = format!("{CLEAR_SCREEN}{}", self.screenful(rows.saturating_sub(lines.len() + 1), columns));
        }
        for line in &lines {
            out.push_str(line);
            out.push('\n');
        }
        let drawn = lines.len();
        self.write(&out)?;
        self.drawn = drawn;
        Ok(())
    }

    /// The last lines above that take at most `rows` rows of `columns`.
    fn screenful(&self, rows: usize, columns: usize) -> String {
        let mut left = rows;
        let fits = |line: &&String| {
            let rows = console::measure_text_width(line).div_ceil(columns.max(1)).max(1);
            left.checked_sub(rows).inspect(|rest| left = *rest).is_some()
        };
        let count = self.above.iter().rev().take_while(fits).count();
        self.above.iter().skip(self.above.len() - count).map(|line| format!("{line}\n")).collect()
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        human::theme::Theme,
        sample::{Buffer, Stream, trial},
    };

    struct Shown {
        frame: Frame,
        buffer: Buffer,
        size: Arc<Mutex<(u16, u16)>>,
        position: usize,
    }

    impl Shown {
        fn new(running: usize) -> Self {
            let names: Vec<String> = (0..running).map(|number| format!("scenario-{number}")).collect();
            let mut stream = Stream::new(&["lane"], &names.iter().map(String::as_str).collect::<Vec<_>>());
            for name in &names {
                stream.starts(0, &trial("lane", name), 1);
            }
            let (buffer, size) = (Buffer::default(), Arc::new(Mutex::new((24, 80))));
            let requested_size = Arc::clone(&size);
            let live_view = LiveView::new(Theme { colored: false }, Instant::now());
            let mut frame =
                Frame::new(Box::new(buffer.clone()), Box::new(move || *requested_size.lock().unwrap()), live_view);
            stream.events.iter().for_each(|event| frame.follow(event));
            Self { frame, buffer, size, position: 0 }
        }

        /// The output since the last call.
        fn more(&mut self) -> String {
            let text = self.buffer.text();
            text[std::mem::replace(&mut self.position, text.len())..].to_owned()
        }
    }

    #[test]
    fn exactly_the_drawn_lines_are_cleared() {
        let mut shown = Shown::new(2);
        shown.frame.draw().unwrap();
        let first = shown.more();
        assert!(first.lines().count() == 3 && first.ends_with('\n') && !first.contains("\u{1b}["), "{first:?}");
        shown.frame.print("PASS one\n").unwrap();
        let text = shown.more();
        assert!(text.starts_with("\u{1b}[3A\r\u{1b}[JPASS one\n") && text.ends_with('\n'), "{text:?}");
        shown.frame.end().unwrap();
        assert_eq!(shown.more(), "\u{1b}[3A\r\u{1b}[J");
        shown.frame.draw().unwrap();
        shown.frame.print("Summary\n").unwrap();
        assert_eq!(shown.more(), "Summary\n");
    }

    #[test]
    fn drawings_stay_smaller_than_the_window() {
        for (height, width) in [(24, 80), (10, 40), (4, 12), (3, 5), (1, 1), (0, 0)] {
            let mut shown = Shown::new(30);
            *shown.size.lock().unwrap() = (height, width);
            shown.frame.last_size = (height, width);
            shown.frame.draw().unwrap();
            let text = shown.more();
            assert!(text.lines().count() <= usize::from(height.saturating_sub(1)), "{height}: {text}");
            let widest = text.lines().map(console::measure_text_width).max().unwrap_or(0);
            assert!(widest <= usize::from(width.saturating_sub(1)), "{width}: {text}");
        }
    }

    #[test]
    fn a_shrunken_window_is_redrawn() {
        let mut shown = Shown::new(2);
        for number in 0..50 {
            shown.frame.print(&format!("result {number}\n")).unwrap();
        }
        shown.more();
        *shown.size.lock().unwrap() = (30, 100);
        shown.frame.draw().unwrap();
        assert!(!shown.more().contains(CLEAR_SCREEN), "nothing wraps in a larger window");
        *shown.size.lock().unwrap() = (30, 60);
        shown.frame.draw().unwrap();
        let text = shown.more();
        let lines: Vec<&str> = text.strip_prefix(CLEAR_SCREEN).unwrap().lines().collect();
        assert_eq!((lines.len(), lines[0], lines[25]), (29, "result 24", "result 49"));
        // Each result takes two rows.
        *shown.size.lock().unwrap() = (30, 8);
        shown.frame.draw().unwrap();
        assert_eq!(shown.more().lines().count(), 13 + 3);
    }
}

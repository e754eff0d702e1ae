use std::io::{self, BufRead, Write};

use super::Sink;
use host_model::Event;

/// Bytes that may wait for [`Sink::flush`].
const MAX_PENDING_BYTES: usize = 256 * 1024;

/// Writes each event as one line of JSON.
///
/// Only whole lines are handed to the writer, so that the log of a killed run ends at a line's end unless the kill
/// fell into the middle of a write; [`read_events`] takes both.
pub struct JsonLines {
    writer: Box<dyn Write + Send>,
    pending: Vec<u8>,
}

impl JsonLines {
    /// Writes to `writer`, for example standard output.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Box::new(writer), pending: Vec::new() }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.pending);
        self.pending.clear();
        written
    }
}

impl Sink for JsonLines {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let start = self.pending.len();
        if let Err(error) = serde_json::to_writer(&mut self.pending, event) {
            self.pending.truncate(start);
            return Err(error.into());
        }
        self.pending.push(b'\n');
        if self.pending.len() >= MAX_PENDING_BYTES { self.write_pending() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_pending()?;
        self.writer.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Why a log of events cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be read.
    #[error("cannot read line {line}")]
    Io {
        /// From 1.
        line: usize,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A complete line is not an event.
    #[error("line {line} is not an event")]
    NoEvent {
        /// From 1.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// The events of a log, up to its last full line: a killed run may leave an incomplete one.
pub fn read_events(mut log: impl BufRead) -> impl Iterator<Item = Result<Event, ReadError>> {
    let mut number = 0;
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        line.clear();
        number += 1;
        match log.read_until(b'\n', &mut line) {
            Err(source) => Some(Err(ReadError::Io { line: number, source })),
            Ok(_) if line.last() != Some(&b'\n') => None,
            Ok(_) => Some(serde_json::from_slice(&line).map_err(|source| ReadError::NoEvent { line: number, source })),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::sample::{self, Buffer};

    fn written(events: &[Event]) -> String {
        let buffer = Buffer::default();
        let mut sink = JsonLines::new(buffer.clone());
        for event in events {
            sink.event(event).unwrap();
        }
        sink.finish().unwrap();
        buffer.text()
    }

    #[test]
    fn written_events_are_read_back() {
        for events in [sample::all_pass(), sample::every_kind(), sample::canary_fails()] {
            let text = written(&events);
            assert_eq!(text.lines().count(), events.len());
            let read: Vec<Event> = read_events(text.as_bytes()).collect::<Result<_, _>>().unwrap();
            assert_eq!(read, events);
        }
    }

    #[test]
    fn an_incomplete_last_line_is_skipped() {
        let text = written(&sample::all_pass());
        let cut = &text[..text.len() - 5];
        let read: Vec<Event> = read_events(cut.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read.len(), sample::all_pass().len() - 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut read = read_events(&b"{}\n"[..]);
        assert_eq!(read.next().unwrap().unwrap_err().to_string(), "line 1 is not an event");
    }

    #[test]
    fn events_wait_for_the_end_of_their_batch() {
        let buffer = Buffer::default();
        let mut sink = JsonLines::new(buffer.clone());
        sink.event(&sample::all_pass()[0]).unwrap();
        assert_eq!(buffer.text(), "");
        sink.flush().unwrap();
        assert_eq!(buffer.text().lines().count(), 1);
    }

    #[test]
    fn a_full_disk_fails_the_batch_immediately() {
        let mut sink = JsonLines::new(File::options().write(true).open("/dev/full").unwrap());
        sink.event(&sample::all_pass()[0]).unwrap();
        assert_eq!(sink.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

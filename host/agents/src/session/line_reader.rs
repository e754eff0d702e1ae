//! Reads the lines of a stream in bounded memory, whatever their length.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::json::{
    JsonLineSplitter,
    line::{LineContent, OutputLine},
    wanted_fields::WantedFields,
};
use host_model::Redactor;

/// Reads lines. `next` may be dropped at any await and called again.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    reader: BufReader<R>,
    splitter: Splitter,
}

#[derive(Debug)]
enum Splitter {
    Text(TextLines),
    Json(JsonLineSplitter),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads text lines: the first `max_preview` bytes of those longer than `max_line` bytes.
    pub(crate) fn of_text(reader: R, max_line: usize, max_preview: usize) -> Self {
        let lines = TextLines { max_line, max_preview: max_preview.min(max_line), buffer: Vec::new(), length: 0 };
        Self::new(reader, Splitter::Text(lines))
    }

    /// Reads JSON lines with the fields `wanted`, and keeps the first `max_preview` bytes of each as received.
    pub(crate) fn of_json(reader: R, wanted: &'static WantedFields, max_preview: usize, redactor: Redactor) -> Self {
        Self::new(reader, Splitter::Json(JsonLineSplitter::new(wanted, max_preview, redactor)))
    }

    fn new(reader: R, splitter: Splitter) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, reader), splitter }
    }

    /// The next line; the last one may lack its newline. `tee` receives every byte.
    pub(crate) async fn next(&mut self, mut tee: impl FnMut(&[u8])) -> io::Result<Option<OutputLine>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(self.take_rest());
            }
            let (used, line) = match &mut self.splitter {
                Splitter::Text(lines) => lines.feed(chunk),
                Splitter::Json(lines) => lines.feed(chunk),
            };
            tee(&chunk[..used]);
            self.reader.consume(used);
            if line.is_some() {
                return Ok(line);
            }
        }
    }

    pub(crate) fn take_rest(&mut self) -> Option<OutputLine> {
        match &mut self.splitter {
            Splitter::Text(lines) => lines.take_rest(),
            Splitter::Json(lines) => lines.take_rest(),
        }
    }
}

#[derive(Debug)]
struct TextLines {
    max_line: usize,
    max_preview: usize,
    buffer: Vec<u8>,
    length: u64,
}

impl TextLines {
    fn feed(&mut self, chunk: &[u8]) -> (usize, Option<OutputLine>) {
        let end = memchr::memchr(b'\n', chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        self.length += part.len() as u64;
        if self.length <= self.max_line as u64 {
            self.buffer.extend_from_slice(part);
        } else {
            // Only a preview of it can be shown: many such lines at once must not add up.
            let room = self.max_preview.saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&part[..part.len().min(room)]);
            self.buffer.truncate(self.max_preview);
            self.buffer.shrink_to_fit();
        }
        match end {
            Some(end) => (end + 1, Some(self.take_line())),
            None => (chunk.len(), None),
        }
    }

    fn take_rest(&mut self) -> Option<OutputLine> {
        (self.length > 0).then(|| self.take_line())
    }

    fn take_line(&mut self) -> OutputLine {
        let (bytes, length) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.length));
        OutputLine { bytes, length, content: LineContent::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], max_line: usize) -> Vec<OutputLine> {
        let mut lines = LineReader::of_text(input, max_line, max_line / 2);
        let mut seen = Vec::new();
        let mut found = Vec::new();
        while let Some(line) = lines.next(|bytes| seen.extend_from_slice(bytes)).await.unwrap() {
            found.push(line);
        }
        assert_eq!(seen, input, "every byte is passed on");
        found
    }

    fn line(text: &str, length: u64) -> OutputLine {
        OutputLine { bytes: text.into(), length, content: LineContent::Text }
    }

    #[tokio::test]
    async fn lines_are_split_and_the_last_may_be_partial() {
        let lines = read(b"one\n\nthree\nhalf", 100).await;
        let texts: Vec<_> = lines.iter().map(|line| line.lossy(100, &Redactor::default())).collect();
        assert_eq!(texts, ["one", "", "three", "half"]);
    }

    #[tokio::test]
    async fn long_lines_are_cut_with_their_length() {
        let mut input = vec![b'x'; 1 << 20];
        input.extend_from_slice(b"\nnext\n");
        let lines = read(&input, 10).await;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].bytes.len(), lines[0].length), (5, 1 << 20));
        assert_eq!(lines[0].lossy(4, &Redactor::default()), "xxxx … [cut: 1048576 bytes in all]");
        assert_eq!(lines[1], line("next", 4));
    }

    #[tokio::test]
    async fn invalid_utf8_is_replaced() {
        let lines = read(b"a\xff\xfeb\n", 100).await;
        assert_eq!(lines[0].lossy(100, &Redactor::default()), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn lines_are_redacted_before_cutting() {
        let redactor = Redactor::new(["s3cr3t-value".to_owned()]).unwrap();
        let line_of_secret = line("a s3cr3t-value", 14);
        assert_eq!(line_of_secret.lossy(100, &redactor), "a ***");
        assert_eq!(line("a s3cr3t", 100).lossy(100, &redactor), "a  … [cut: 100 bytes in all]");
        assert_eq!(line_of_secret.lossy(4, &redactor), "a ** … [cut: 5 bytes in all]");
    }
}

//! Lines of a stream in bounded memory: a line of 64 MiB costs no more than one of the longest kept.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// All of it; of one that is too long, its first bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its whole length.
    pub(crate) length: u64,
}

impl Line {
    /// The line as text, if all of it was kept and it is UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        (!self.is_cut()).then(|| std::str::from_utf8(&self.bytes).ok()).flatten()
    }

    fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }

    /// At most `bound` bytes of it as text; what was cut is said.
    pub(crate) fn lossy(&self, bound: usize) -> String {
        cut_text(&self.bytes, self.length, bound)
    }
}

/// `bytes` (of a text of `length` bytes) as text of at most about `bound` bytes, with a note on what is missing.
pub(crate) fn cut_text(bytes: &[u8], length: u64, bound: usize) -> String {
    let kept = &bytes[..bytes.len().min(bound)];
    let text = String::from_utf8_lossy(kept);
    if kept.len() as u64 == length {
        return text.into_owned();
    }
    // A character that the cut went through is no fault of the text.
    format!("{} … [cut: {length} bytes in all]", text.trim_end_matches('\u{fffd}'))
}

/// Reads lines. `next` may be dropped at any await and called again.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    longest: usize,
    shown: usize,
    kept: Vec<u8>,
    length: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Keeps lines of up to `longest` bytes, and of longer ones the first `shown`.
    pub(crate) fn new(reader: R, longest: usize, shown: usize) -> Self {
        let reader = BufReader::with_capacity(64 << 10, reader);
        Self { reader, longest, shown: shown.min(longest), kept: Vec::new(), length: 0 }
    }

    /// The next line; a last one without its end counts. `tee` gets every byte as received.
    pub(crate) async fn next(&mut self, mut tee: impl FnMut(&[u8])) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(self.take_rest());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            self.length += part.len() as u64;
            if self.length <= self.longest as u64 {
                self.kept.extend_from_slice(part);
            } else {
                // No more than a glimpse of it can be shown: many such lines at once must not add up.
                let room = self.shown.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&part[..part.len().min(room)]);
                self.kept.truncate(self.shown);
                self.kept.shrink_to_fit();
            }
            let used = part.len() + usize::from(end.is_some());
            tee(&chunk[..used]);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.take_line()));
            }
        }
    }

    /// What was received of a line whose end has not come.
    pub(crate) fn take_rest(&mut self) -> Option<Line> {
        (self.length > 0).then(|| self.take_line())
    }

    /// Whether the next line may have to be waited for.
    pub(crate) fn is_drained(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    fn take_line(&mut self) -> Line {
        Line { bytes: std::mem::take(&mut self.kept), length: std::mem::take(&mut self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], longest: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, longest, longest / 2);
        let mut seen = Vec::new();
        let mut found = Vec::new();
        while let Some(line) = lines.next(|bytes| seen.extend_from_slice(bytes)).await.unwrap() {
            found.push(line);
        }
        assert_eq!(seen, input, "every byte is passed on");
        found
    }

    #[tokio::test]
    async fn lines_are_parted_and_a_half_one_counts() {
        let lines = read(b"one\n\nthree\nhalf", 100).await;
        let texts: Vec<_> = lines.iter().map(|line| line.text().unwrap()).collect();
        assert_eq!(texts, ["one", "", "three", "half"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_its_length_said() {
        let mut input = vec![b'x'; 1 << 20];
        input.extend_from_slice(b"\nnext\n");
        let lines = read(&input, 10).await;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].bytes.len(), lines[0].length), (5, 1 << 20));
        assert_eq!(lines[0].text(), None);
        assert_eq!(lines[0].lossy(4), "xxxx … [cut: 1048576 bytes in all]");
        assert_eq!(lines[1].text(), Some("next"));
    }

    #[tokio::test]
    async fn what_is_no_utf8_is_kept_lossily() {
        let lines = read(b"a\xff\xfeb\n", 100).await;
        assert_eq!(lines[0].text(), None);
        assert_eq!(lines[0].lossy(100), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_character_is_not_halved() {
        assert_eq!(cut_text("aé".as_bytes(), 3, 2), "a … [cut: 3 bytes in all]");
        assert_eq!(cut_text("aé".as_bytes(), 3, 3), "aé");
    }
}

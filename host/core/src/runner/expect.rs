//! Compares the output of a command with what is expected, and shows the difference. An output may be large, so it is read
//! in pieces, and the evidence is a small part of it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::text::shortened;
use host_model::{Fault, Finding, TextMatch};
use host_wasm::sandbox::OutputFile;

/// Lines of evidence of one finding.
const LINES: usize = 40;
/// Bytes of each side of a difference. Escaped they are six times as many, and both sides are one text.
const SIDE: u64 = 5 << 10;
/// Bytes of an output that lacks a text. Where they are no UTF-8 they are three times as many.
const EXCERPT: u64 = 16 << 10;
/// How much of a long line is shown before the place where it differs.
const LEAD: usize = 200;
/// Bytes of an expected text in a message.
const MAX_EXPECTED_BYTES: usize = 1_000;

/// The finding of an output called `name` that is not as it is `wanted`.
///
/// # Errors
/// A fault when the output cannot be read back.
pub(super) fn compare(name: &str, output: &OutputFile, wanted: &TextMatch) -> Result<Option<Finding>, Fault> {
    let path = output.path();
    let found = match wanted {
        TextMatch::Equals(text) => differing(path.as_deref(), text),
        TextMatch::Contains(text) => lacking(path.as_deref(), text),
    };
    let evidence =
        found.map_err(|error| Fault::of_host(format_args!("cannot read back the command's {name}"), &error))?;
    let message = match wanted {
        TextMatch::Equals(_) => format!("{name} is not as expected"),
        TextMatch::Contains(text) => {
            format!("{name} does not contain {}", shortened(format!("{text:?}"), MAX_EXPECTED_BYTES))
        }
    };
    Ok(evidence.map(|evidence| Finding { code: name.to_owned(), message, evidence: Some(evidence) }))
}

/// How the content of `path` differs from `wanted`; `None` if it does not. Without a file nothing was written.
fn differing(path: Option<&Path>, wanted: &str) -> io::Result<Option<String>> {
    let Some(path) = path else {
        return Ok(Difference::new(wanted, 0).filter(|_| !wanted.is_empty()).map(|place| place.told(&[], 0, "")));
    };
    let mut file = File::open(path)?;
    let Some(at) = first_difference(&mut BufReader::new(&file), wanted.as_bytes())? else { return Ok(None) };
    let Some(place) = Difference::new(wanted, at) else { return Ok(None) };
    let (shown, more) = part_of(&mut file, place.begins as u64, SIDE)?;
    Ok(Some(place.told(&shown, more, &name_of(path))))
}

/// The beginning of the content of `path` if `wanted` is nowhere in it.
fn lacking(path: Option<&Path>, wanted: &str) -> io::Result<Option<String>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let Some(path) = path else { return Ok(Some("it is empty".into())) };
    let mut file = File::open(path)?;
    if holds(&mut BufReader::new(&file), wanted.as_bytes())? {
        return Ok(None);
    }
    let (shown, more) = part_of(&mut file, 0, EXCERPT)?;
    if shown.is_empty() {
        return Ok(Some("it is empty".into()));
    }
    let lines: Vec<&[u8]> = shown.split_inclusive(|byte| *byte == b'\n').take(LINES).collect();
    let taken: usize = lines.iter().map(|line| line.len()).sum();
    let mut text = String::from_utf8_lossy(&shown[..taken]).trim_end_matches('\n').to_owned();
    if let Some(note) = left_out(more + (shown.len() - taken) as u64, &name_of(path)) {
        text.push_str(&format!("\n{note}"));
    }
    Ok(Some(text))
}

/// The first byte in which two texts differ; `None` if they are the same.
fn first_difference(found: &mut impl BufRead, wanted: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let piece = found.fill_buf()?;
        if piece.is_empty() {
            return Ok((at < wanted.len()).then_some(at));
        }
        let rest = &wanted[at..];
        let same = piece.iter().zip(rest).take_while(|(found, wanted)| found == wanted).count();
        if same < piece.len() {
            return Ok(Some(at + same));
        }
        at += same;
        found.consume(same);
    }
}

/// Whether `wanted`, which is not empty, is somewhere in `found`. Takes time for the sum of both, whatever they hold
/// (Knuth, Morris and Pratt).
fn holds(found: &mut impl BufRead, wanted: &[u8]) -> io::Result<bool> {
    // For each beginning of `wanted`: how long the longest shorter one is that it ends with.
    let mut shorter = vec![0; wanted.len()];
    let step = |shorter: &[usize], mut matched: usize, byte: u8| {
        while matched > 0 && wanted[matched] != byte {
            matched = shorter[matched - 1];
        }
        matched + usize::from(wanted[matched] == byte)
    };
    for at in 1..wanted.len() {
        shorter[at] = step(&shorter, shorter[at - 1], wanted[at]);
    }
    let mut matched = 0;
    loop {
        let piece = found.fill_buf()?;
        if piece.is_empty() {
            return Ok(false);
        }
        for byte in piece {
            matched = step(&shorter, matched, *byte);
            if matched == wanted.len() {
                return Ok(true);
            }
        }
        let read = piece.len();
        found.consume(read);
    }
}

/// Up to `most` bytes from `begins` on, the last word whole, and how many come after them.
fn part_of(file: &mut File, begins: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    file.seek(SeekFrom::Start(begins))?;
    let mut shown = Vec::new();
    file.take(most).read_to_end(&mut shown)?;
    let whole = file.metadata()?.len();
    if begins + (shown.len() as u64) < whole {
        shown.truncate(whole_words(&shown).len());
    }
    let more = whole.saturating_sub(begins + shown.len() as u64);
    Ok((shown, more))
}

/// `bytes` up to the last line's end or blank, so that no half of a secret is left, which nobody would find; where there
/// is neither, without the beginning of a character at their end.
fn whole_words(bytes: &[u8]) -> &[u8] {
    let last =
        bytes.iter().rposition(|byte| *byte == b'\n').or_else(|| bytes.iter().rposition(u8::is_ascii_whitespace));
    last.map_or_else(|| whole_characters(bytes), |last| &bytes[..=last])
}

/// `bytes` without the beginning of a character at their end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    let broken = bytes.utf8_chunks().last().map_or(&[][..], |last| last.invalid());
    let begun = std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none());
    if begun { &bytes[..bytes.len() - broken.len()] } else { bytes }
}

/// The place where an output is not what is wanted.
struct Difference<'a> {
    wanted: &'a str,
    /// The first byte that is shown: that of the line, or one near the difference.
    begins: usize,
    /// The line, from 1, and within it the first byte that is shown, from 1.
    line: usize,
    byte: usize,
}

impl<'a> Difference<'a> {
    /// At the byte `at`, up to which `wanted` is what was found; `None` beyond its end.
    fn new(wanted: &'a str, at: usize) -> Option<Self> {
        let same = wanted.as_bytes().get(..at)?;
        let line_begins = same.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let begins = match at - line_begins {
            lead if lead > LEAD => wanted.floor_char_boundary(at - LEAD),
            _ => line_begins,
        };
        let line = same.iter().filter(|byte| **byte == b'\n').count() + 1;
        Some(Self { wanted, begins, line, byte: begins - line_begins + 1 })
    }

    /// Both sides; `found` is what was found from the same byte on, and `more` counts what comes after it in `file`.
    fn told(&self, found: &[u8], more: u64, file: &str) -> String {
        let rest = &self.wanted.as_bytes()[self.begins..];
        let wanted = whole_characters(&rest[..rest.len().min(SIDE as usize)]);
        let (wanted, unwanted) = (Side::of(wanted, rest.len() - wanted.len()), Side::of(found, 0));
        // Invisible characters, such as the end of a line, are shown escaped.
        let same = wanted.lines.first().map(|line| seen(line)) == unwanted.lines.first().map(|line| seen(line));
        let first = [&wanted, &unwanted].into_iter().filter_map(|side| side.lines.first());
        let escaped = same || first.into_iter().any(|line| hidden(line));
        let byte = if self.byte == 1 { String::new() } else { format!(", byte {}", self.byte) };
        let mut text = format!("from line {}{byte}:\n", self.line);
        wanted.tell(&mut text, '-', escaped, left_out(wanted.more as u64, "scenario.toml"));
        unwanted.tell(&mut text, '+', escaped, left_out(unwanted.more as u64 + more, file));
        text
    }
}

struct Side {
    lines: Vec<String>,
    /// Bytes after them.
    more: usize,
}

impl Side {
    fn of(bytes: &[u8], more: usize) -> Self {
        let shown: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').take(LINES / 2).collect();
        let taken: usize = shown.iter().map(|line| line.len()).sum();
        let lines = shown.into_iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        Self { lines, more: bytes.len() - taken + more }
    }

    fn tell(&self, text: &mut String, sign: char, escaped: bool, note: Option<String>) {
        for line in &self.lines {
            let shown = if escaped { format!("{line:?}") } else { seen(line).to_owned() };
            text.push_str(&format!("{sign} {shown}\n"));
        }
        if let Some(note) = note {
            text.push_str(&format!("{sign} {note}\n"));
        }
    }
}

fn left_out(bytes: u64, file: &str) -> Option<String> {
    (bytes > 0).then(|| format!("… ({bytes} more bytes in {file})"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A line as it is seen: without its end.
fn seen(line: &str) -> &str {
    line.strip_suffix('\n').unwrap_or(line)
}

/// Whether a line has characters that a terminal does not show as they are.
fn hidden(line: &str) -> bool {
    seen(line).contains(char::is_control) || seen(line).ends_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::text::TEXT;

    fn written(found: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.txt");
        std::fs::write(&path, found).unwrap();
        (folder, path)
    }

    fn difference(wanted: &str, found: impl AsRef<[u8]>) -> String {
        let (_folder, path) = written(found.as_ref());
        differing(Some(&path), wanted).unwrap().unwrap()
    }

    fn excerpt(wanted: &str, found: impl AsRef<[u8]>) -> Option<String> {
        let (_folder, path) = written(found.as_ref());
        lacking(Some(&path), wanted).unwrap()
    }

    #[test]
    fn invisible_differences_are_shown() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\n"), "from line 2:\n- b\n- c\n+ x\n");
        assert_eq!(difference("a\n", "a"), "from line 1:\n- \"a\\n\"\n+ \"a\"\n");
        assert_eq!(
            difference("a\r\nb\n", "a\nb\n"),
            "from line 1:\n- \"a\\r\\n\"\n- \"b\\n\"\n+ \"a\\n\"\n+ \"b\\n\"\n"
        );
        assert_eq!(difference("a\0\n", "a\n"), "from line 1:\n- \"a\\0\\n\"\n+ \"a\\n\"\n");
        assert_eq!(difference("a \n", "a\n"), "from line 1:\n- \"a \\n\"\n+ \"a\\n\"\n");
        assert_eq!(difference("a\tb\n", "a b\n"), "from line 1:\n- \"a\\tb\\n\"\n+ \"a b\\n\"\n");
        assert_eq!(difference("", "\n"), "from line 1:\n+ \n");
        assert_eq!(difference("a\n", ""), "from line 1:\n- a\n");
        assert_eq!(differing(None, "a\n").unwrap().unwrap(), "from line 1:\n- a\n");
        assert_eq!(differing(None, "").unwrap(), None);
        let (_folder, path) = written(b"a\n");
        assert_eq!(differing(Some(&path), "a\n").unwrap(), None);
    }

    #[test]
    fn a_difference_in_a_long_line_is_shown_where_it_is() {
        let line = |end: &str| format!("first\n{}{end}\nlast\n", "é".repeat(1 << 20));
        let told = difference(&line("x"), line("y"));
        assert!(told.starts_with("from line 2, byte 2096953:\n- éé"), "{told}");
        assert!(told.contains("éx\n- last\n+ ") && told.ends_with("éy\n+ last\n"), "{told}");
    }

    #[test]
    fn no_evidence_is_longer_than_a_text_may_be() {
        for byte in [0, 0x1b, b'\n', b'x', 0xc3, 0xff] {
            let found = vec![byte; 16 << 20];
            for told in [difference("x\ny", &found), excerpt("wanted", &found).unwrap()] {
                assert!(told.len() <= TEXT, "{byte}: {}", told.len());
                assert!(told.trim_end().ends_with(" more bytes in stdout.txt)"), "{byte}: {told}");
            }
            let told = difference(&"\u{1b}x".repeat(8 << 20), &found);
            assert!(told.len() <= TEXT && told.contains(" more bytes in scenario.toml)"), "{byte}: {}", told.len());
        }
    }

    #[test]
    fn omitted_bytes_are_counted() {
        let told = difference("", "x\n".repeat(25));
        assert_eq!(told, format!("from line 1:\n{}+ … (10 more bytes in stdout.txt)\n", "+ x\n".repeat(20)));
        let told = excerpt("y", "x\n".repeat(45)).unwrap();
        assert_eq!(told, format!("{}… (10 more bytes in stdout.txt)", "x\n".repeat(40)));
    }

    #[test]
    fn a_text_is_found_wherever_it_is() {
        let mut found = vec![b'a'; 3 << 20];
        let long = format!("{}b", "a".repeat(200_000));
        assert!(excerpt(&long, &found).unwrap().starts_with('a'));
        found.push(b'b');
        assert_eq!(excerpt(&long, &found), None);
        for (wanted, found) in [("aab", "aaab"), ("abab", "abacabab"), ("é", "xé"), ("x", "x")] {
            assert_eq!(excerpt(wanted, found), None, "{wanted}");
        }
        assert_eq!(excerpt("aab", "aababb".replace("aab", "ab")).unwrap(), "ababb");
        assert_eq!(excerpt("", ""), None);
        assert_eq!(excerpt("a", "").unwrap(), "it is empty");
        assert_eq!(lacking(None, "a").unwrap().unwrap(), "it is empty");
    }
}

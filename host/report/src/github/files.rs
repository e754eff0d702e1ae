//! The files that GitHub reads when the step is over.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// GitHub refuses a summary above 1 MiB altogether.
const MAX_SUMMARY_BYTES: usize = 1024 * 1024;

/// Bytes that the summary may still take.
pub(super) fn room(file: &Path) -> io::Result<usize> {
    let existing = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    // One for a missing line's end of what is there.
    let existing = usize::try_from(existing).unwrap_or(usize::MAX).saturating_add(1);
    Ok((MAX_SUMMARY_BYTES - 1).saturating_sub(existing))
}

/// Adds `text` behind what other commands of the step have written, on a line of its own.
pub(super) fn append(file: &Path, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(file)?;
    let mut whole = String::new();
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            whole.push('\n');
        }
    }
    whole.push_str(text);
    file.write_all(whole.as_bytes())
}

/// Lines for `$GITHUB_OUTPUT`: `key=value`, or a block with a delimiter of its own where the value has several lines.
pub(super) fn values(values: impl Iterator<Item = (&'static str, String)>) -> String {
    values.map(|(key, value)| line(key, &value)).collect()
}

fn line(key: &str, value: &str) -> String {
    if !value.contains(['\n', '\r']) {
        return format!("{key}={value}\n");
    }
    let mut delimiter = String::from("END");
    while value.contains(&delimiter) {
        delimiter.push('_');
    }
    format!("{key}<<{delimiter}\n{value}\n{delimiter}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_inject_another() {
        assert_eq!(line("run", "a=b<<c"), "run=a=b<<c\n");
        assert_eq!(line("run", "a\nEND\npassed=9"), "run<<END_\na\nEND\npassed=9\nEND_\n");
        assert_eq!(line("run", "a\r"), "run<<END\na\r\nEND\n");
    }

    #[test]
    fn a_missing_final_newline_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary");
        assert_eq!(room(&file).unwrap(), MAX_SUMMARY_BYTES - 2);
        append(&file, "no end").unwrap();
        let room = room(&file).unwrap();
        append(&file, &"y".repeat(room)).unwrap();
        assert_eq!(fs::metadata(file).unwrap().len(), MAX_SUMMARY_BYTES as u64 - 1);
    }

    #[test]
    fn existing_content_stays_and_gets_a_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        append(&file, "a=1\n").unwrap();
        append(&file, "b=2").unwrap();
        append(&file, "").unwrap();
        append(&file, "c=3\n").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "a=1\nb=2\nc=3\n");
    }
}

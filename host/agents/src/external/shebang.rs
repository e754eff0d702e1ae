//! Determines from the first bytes of a file how the kernel starts it.

use std::{
    ffi::OsString,
    fs,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::external::elf;

/// How many bytes the kernel reads to decide how to start a file.
const FIRST_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StartMethod {
    /// By the kernel itself or a `binfmt_misc` handler.
    Binary,
    Script {
        interpreter: PathBuf,
        /// The rest of the line, which the kernel does not split.
        argument: Option<OsString>,
    },
    /// Text without a `#!` line: the kernel refuses it, but shells and `execvp` run it with `/bin/sh`.
    ShellText,
}

/// Determines how `file` is started.
///
/// # Errors
/// This machine cannot start the file. The text names the file and a fix.
pub(super) fn start_method(file: &Path) -> Result<StartMethod, String> {
    let shown = file.display();
    let (mut opened, metadata) = match host_fs::open(file) {
        Ok(opened) => opened,
        // Programs need not be readable to run, but scripts must be, so this one has no interpreter.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(StartMethod::Binary),
        Err(error) => return Err(format!("cannot open {shown}: {error}")),
    };
    if metadata.len() == 0 {
        return Err(format!("{shown} is empty\nhelp: install the agent again"));
    }
    let mut first = Vec::with_capacity(FIRST_BYTES);
    opened
        .by_ref()
        .take(FIRST_BYTES as u64)
        .read_to_end(&mut first)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if let Some(line) = first.strip_prefix(b"#!") {
        return interpreter_in(file, line);
    }
    if first.starts_with(b"\x7fELF") {
        return elf::startup_problem(file, &opened).map_or(Ok(StartMethod::Binary), Err);
    }
    if other_formats() {
        return Ok(StartMethod::Binary);
    }
    if first.contains(&0) {
        return Err(format!(
            "{shown} is neither a program for Linux nor a script\nhelp: install the agent for this system again"
        ));
    }
    Ok(StartMethod::ShellText)
}

/// The interpreter that the kernel starts for the script `file`, from `line`, the rest of its first line.
fn interpreter_in(file: &Path, line: &[u8]) -> Result<StartMethod, String> {
    let shown = file.display();
    let is_whole = line.contains(&b'\n') || line.len() + 2 < FIRST_BYTES;
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        let line = String::from_utf8_lossy(line).trim().to_owned();
        return Err(format!(
            "the first line of {shown}, `#!{line}`, ends in a carriage return (CR), which the kernel treats as \
             part of the interpreter's name\nhelp: save the file with Unix line endings (`sed -i 's/\\r$//' {shown}`)"
        ));
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = trim(line);
    let (name, rest) = line.split_at(line.iter().position(is_space).unwrap_or(line.len()));
    let interpreter = PathBuf::from(OsString::from_vec(name.to_vec()));
    let argument = Some(trim(rest)).filter(|rest| !rest.is_empty()).map(|rest| OsString::from_vec(rest.to_vec()));
    if name.is_empty() {
        return Err(format!("the first line of {shown} is `#!` without an interpreter\nhelp: add one"));
    }
    if !is_whole {
        return Err(format!("the first line of {shown} is longer than the {FIRST_BYTES} bytes that the kernel reads"));
    }
    if !interpreter.is_absolute() {
        return Err(format!(
            "{shown} names the interpreter `{}` without an absolute path, so the scenario's root would determine \
             which program runs\nhelp: use its absolute path, or `#!/usr/bin/env NAME`",
            interpreter.display()
        ));
    }
    Ok(StartMethod::Script { interpreter, argument })
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether the kernel may support other formats through handlers (Wine, Java, qemu).
pub(super) fn other_formats() -> bool {
    let Ok(entries) = fs::read_dir("/proc/sys/fs/binfmt_misc") else { return false };
    entries.flatten().any(|entry| !matches!(entry.file_name().as_bytes(), b"register" | b"status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(content: &[u8]) -> Result<StartMethod, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent");
        fs::write(&file, content).unwrap();
        start_method(&file)
    }

    fn script(interpreter: &str, argument: Option<&str>) -> Result<StartMethod, String> {
        Ok(StartMethod::Script { interpreter: interpreter.into(), argument: argument.map(Into::into) })
    }

    #[test]
    fn first_lines_are_parsed_like_the_kernel_does() {
        assert_eq!(start(b"#!/bin/sh"), script("/bin/sh", None));
        assert_eq!(start(b"#! \t/bin/sh \t\nexit"), script("/bin/sh", None));
        assert_eq!(start(b"#!/usr/bin/env -S  node --x  \nx"), script("/usr/bin/env", Some("-S  node --x")));
        assert_eq!(start(b"echo hello\n"), Ok(StartMethod::ShellText));
    }

    #[test]
    fn files_that_cannot_start_are_explained() {
        let long = format!("#!/{}\n", "x".repeat(300));
        for (content, says) in [
            (&b""[..], "is empty"),
            (b"#!/usr/bin/node\r\nx", "`#!/usr/bin/node`, ends in a carriage return"),
            (b"#!/usr/bin/env node\r\n", "ends in a carriage return"),
            (b"#!\n", "without an interpreter"),
            (b"#!bin/node\n", "without an absolute path"),
            (long.as_bytes(), "is longer than the 256 bytes"),
        ] {
            let problem = start(content).unwrap_err();
            assert!(problem.contains(says) && problem.contains("/agent"), "{problem}");
        }
        if !other_formats() {
            assert!(start(b"MZ\0\0").unwrap_err().contains("neither a program for Linux nor a script"));
        }
    }
}

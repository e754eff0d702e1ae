//! Programs that tests make up.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Makes an executable file. Another process writes it: what is open for writing here is, for a moment, also open in
/// every child that another test starts, and the kernel runs nothing that is (`ETXTBSY`).
pub fn write_program(path: &Path, text: &str) -> PathBuf {
    let write = "cat > \"$1\" && chmod 755 \"$1\"";
    let mut writer = Command::new("sh").args(["-c", write, "sh"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success(), "{}", path.display());
    path.to_owned()
}

//! Adapts a core module in a process of its own.
//!
//! The encoder reads what the module says of its world. Such words can make it recurse until the stack ends, which
//! no handler catches: in the host's own process one bad file would take the whole run with it.

use std::{
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// The host's own program, even if its file was replaced or removed since it started.
const PROGRAM: &str = "/proc/self/exe";
/// What the child may take, in time and, by its own limits, on the processor.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest component that is taken from it.
const MAX_OUTPUT: u64 = 1 << 30;
/// How much of its words is kept.
const MAX_WORDS: u64 = 16 << 10;

/// The hidden mode of the host that reads a core module from stdin and writes the component to stdout.
pub const ADAPT_MODE: &str = "adapt";

/// [`super::adapt`], done by `host adapt`.
///
/// # Errors
/// What completes "`FILE` is a core module that …".
pub(super) fn adapt_apart(module: &[u8], command: bool) -> Result<Vec<u8>, String> {
    let kind = if command { "--command" } else { "--world" };
    run(Path::new(PROGRAM), &[ADAPT_MODE, kind], module, TIMEOUT)
}

fn run(program: &Path, args: &[&str], module: &[u8], timeout: Duration) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be adapted: no process can be started for it: {error}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let start = || {
            let builder = thread::Builder::new;
            // A child that ends early reads no more; how it ended says why.
            builder().spawn_scoped(scope, move || stdin.map(|mut stdin| stdin.write_all(module)))?;
            let words = builder().spawn_scoped(scope, move || all_of(stderr, MAX_WORDS).unwrap_or_default())?;
            let (sender, receiver) = mpsc::channel();
            builder().spawn_scoped(scope, move || sender.send(all_of(stdout, MAX_OUTPUT + 1)))?;
            Ok((words, receiver))
        };
        let (words, receiver) = match start() {
            Ok(started) => started,
            Err(error) => {
                let error: io::Error = error;
                // Else the threads that could be had would wait for it.
                let _ = end(&mut child, true);
                return Err(format!("cannot be adapted: no thread can be started for it: {error}"));
            }
        };
        let output = receiver.recv_timeout(timeout);
        let ended = end(&mut child, output.is_err());
        let words = words.join().unwrap_or_default();
        let ended = ended.map_err(|error| format!("cannot be adapted: {error}"))?;
        match output {
            Err(_) => Err(format!("keeps the encoder busy: it does not end within {timeout:?}")),
            Ok(Ok(component)) if ended.success() && component.len() as u64 <= MAX_OUTPUT => Ok(component),
            Ok(Ok(_)) if ended.success() => Err(format!("becomes a component of more than {MAX_OUTPUT} bytes")),
            Ok(Err(error)) if ended.success() => Err(format!("cannot be adapted: {error}")),
            Ok(_) => Err(told(ended, &words)),
        }
    })
}

/// Waits for the child's end, which it is brought to where it does not come by itself.
fn end(child: &mut Child, overdue: bool) -> io::Result<ExitStatus> {
    if overdue {
        child.kill()?;
    }
    child.wait()
}

fn all_of(stream: Option<impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What a child says that ended without a component. Its words count only where it ended by itself.
fn told(ended: ExitStatus, words: &[u8]) -> String {
    match ended.signal() {
        Some(signal) => format!("makes the encoder fail: it ended by {}", signal_name(signal)),
        None => format!("does not fit its world or WASI 0.1: {}", String::from_utf8_lossy(words).trim_end()),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGKILL => "SIGKILL",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in the host's place.
    fn shell(script: &str, module: &[u8]) -> Result<Vec<u8>, String> {
        run(Path::new("/bin/sh"), &["-c", script], module, Duration::from_secs(20))
    }

    #[test]
    fn what_the_child_writes_is_the_component() {
        let module = vec![7; 1 << 20];
        assert_eq!(shell("cat", &module).unwrap(), module);
    }

    #[test]
    fn words_of_a_child_that_ends_by_itself_are_told() {
        assert_eq!(shell("echo no >&2; exit 1", b"").unwrap_err(), "does not fit its world or WASI 0.1: no");
        let large = vec![7; 1 << 20];
        assert!(shell("echo unread >&2; exit 1", &large).unwrap_err().ends_with("unread"));
    }

    #[test]
    fn a_child_that_dies_or_hangs_is_told_by_how_it_ended() {
        assert_eq!(shell("kill -ABRT $$", b"").unwrap_err(), "makes the encoder fail: it ended by SIGABRT");
        // None that a test run under `nohup` ignores.
        assert_eq!(shell("kill -USR2 $$", b"").unwrap_err(), "makes the encoder fail: it ended by signal 12");
        let hangs = run(Path::new("/bin/sleep"), &["60"], b"", Duration::from_millis(50));
        assert_eq!(hangs.unwrap_err(), "keeps the encoder busy: it does not end within 50ms");
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let gone = run(Path::new("/nowhere/host"), &[], b"", TIMEOUT);
        assert!(gone.unwrap_err().contains("no process can be started"));
    }
}

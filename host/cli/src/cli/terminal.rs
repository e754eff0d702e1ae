//! The one way in which commands print. What is said on stderr can neither fail nor panic, and waits a bounded time for
//! its reader, so that it never changes how a command ends. A command whose purpose is its output reports that stdout
//! cannot be written.

use std::{
    fmt::Display,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    stdio,
};

use super::{log, messages::rendered};
use host_core::app::Error;
use host_model::ExitCode;
use host_report::{is_interrupted, visible};

/// A pipe or a terminal that can be written to takes this much without blocking.
const MAX_WRITE_BYTES: usize = 512;
/// How long stderr may accept nothing before its text is dropped.
const STDERR_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a wait for stdout's reader checks for signals.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Whether stderr accepted nothing for too long. Later text waits no more.
static IS_STDERR_STUCK: AtomicBool = AtomicBool::new(false);

/// Whether the process was started without a stdout. The standard library puts `/dev/null` there before `main`.
static WAS_STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn look_at_stdout() {
    // SAFETY: a system call that changes nothing.
    let is_closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    WAS_STDOUT_CLOSED.store(is_closed, Ordering::Relaxed);
}

// SAFETY: functions of this section run once, before anything of the standard library is set up; this one needs none of
// it.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_STDOUT: extern "C" fn() = look_at_stdout;

/// Prints `text` to stderr as it is.
pub(super) fn print(text: &str) {
    print_to(stdio::stderr(), text, STDERR_TIMEOUT, &IS_STDERR_STUCK);
}

/// Prints a line to stderr.
pub(super) fn line(text: impl Display) {
    print(&format!("{text}\n"));
}

/// Prints an error to stderr.
pub(super) fn error(text: impl Display) {
    line(format_args!("error: {text}"));
}

/// Prints a command's output to stdout. A reader that has closed its end has seen enough.
///
/// # Errors
/// Stdout cannot be written, or a signal arrived while its reader was waited for.
pub(super) fn output(text: &str) -> Result<(), Error> {
    if WAS_STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Err(Error::setup("cannot write to stdout: it is closed"));
    }
    output_to(stdio::stdout(), text)
}

fn output_to(fd: BorrowedFd<'_>, text: &str) -> Result<(), Error> {
    let is_interrupted = is_interrupted();
    match write(fd, text.as_bytes(), || if is_interrupted() { None } else { Some(CHECK_INTERVAL) }) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(Error::interrupted("interrupted by a signal before stdout was read"))
        }
        Err(error) => Err(Error::setup(format!("cannot write to stdout: {error}"))),
    }
}

/// Prints an error to stderr and gives the exit code.
pub(super) fn fail(error: &Error) -> ExitCode {
    print(&rendered("error", &error.messages));
    error.code
}

/// A JSON document as a command prints it.
pub(super) fn pretty(document: &serde_json::Value) -> String {
    format!("{document:#}\n")
}

/// Prints the result of a command that ends with `code`. If that fails, it is an error of its own, which does not hide a
/// worse one.
pub(super) fn result(text: &str, code: ExitCode) -> ExitCode {
    output(text).map_or_else(|error| fail(&error).max(code), |()| code)
}

/// Prints clap's help, version or error.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if error.use_stderr() {
        print(&styled(&text, stdio::stderr()));
        return ExitCode::Usage;
    }
    result(&styled(&text, stdio::stdout()), ExitCode::Ok)
}

fn styled(text: &clap::builder::StyledStr, fd: BorrowedFd<'_>) -> String {
    if is_colored(rustix::termios::isatty(fd)) { text.ansi().to_string() } else { text.to_string() }
}

/// Whether output is colored by default, by the variables that programs share.
pub(super) fn is_colored(is_terminal: bool) -> bool {
    colored(is_terminal, |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

fn colored(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal && set("CLICOLOR").is_none_or(|value| value != "0") && !dumb(set("TERM").as_deref())
}

/// Whether lines on this terminal can be drawn again: it knows how to move the cursor, and no CI system records it.
pub(super) fn is_live(terminal: impl AsFd) -> bool {
    let term = std::env::var_os("TERM").map(|term| term.to_string_lossy().into_owned());
    let is_drawn = rustix::termios::isatty(terminal) && std::env::var_os("CI").is_none() && !dumb(term.as_deref());
    is_drawn && !log::is_enabled()
}

fn dumb(term: Option<&str>) -> bool {
    matches!(term, None | Some("" | "dumb"))
}

/// Reports panics of the host's threads without a chance to panic again.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        line(visible(&format!("thread `{name}` panicked{place}: {message}{backtrace}")));
    }));
}

/// Stdout or stderr for a report on a thread of its own: waits for its reader, also where the descriptor does not block.
pub(super) struct Stream(pub(super) BorrowedFd<'static>);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(self.0, bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => drop(is_writable(self.0, Duration::MAX)?),
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stdout for data that was asked for: where there is none, that is an error.
pub(super) struct Data;

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if WAS_STDOUT_CLOSED.load(Ordering::Relaxed) {
            return Err(io::Error::other("stdout is closed"));
        }
        Stream(stdio::stdout()).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn print_to(fd: BorrowedFd<'_>, text: &str, timeout: Duration, is_stuck: &AtomicBool) {
    let until = Instant::now() + timeout;
    let left = || {
        let left = if is_stuck.load(Ordering::Relaxed) { Duration::ZERO } else { until - Instant::now() };
        (!left.is_zero()).then_some(left)
    };
    match write(fd, text.as_bytes(), left) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => is_stuck.store(true, Ordering::Relaxed),
        // Nobody reads it. There is no other place to report that.
        Err(_) => {}
        Ok(()) => is_stuck.store(false, Ordering::Relaxed),
    }
}

/// Writes all of `bytes`. Whenever `fd` accepts nothing, waits for as long as `patience` says, and asks again.
///
/// # Errors
/// Of kind `TimedOut` when `patience` has no time left.
fn write(fd: BorrowedFd<'_>, mut bytes: &[u8], patience: impl Fn() -> Option<Duration>) -> io::Result<()> {
    while !bytes.is_empty() {
        while !is_writable(fd, Duration::ZERO)? {
            let time = patience().ok_or(io::ErrorKind::TimedOut)?;
            is_writable(fd, time)?;
        }
        match rustix::io::write(fd, &bytes[..bytes.len().min(MAX_WRITE_BYTES)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until `fd` accepts a piece, or has an error that a write reports.
fn is_writable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    // A time that the kernel cannot express is for ever.
    let timeout = i64::try_from(timeout.as_secs())
        .ok()
        .map(|seconds| Timespec { tv_sec: seconds, tv_nsec: timeout.subsec_nanos().into() });
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use host_core::app::Message;
    use std::{fs::File, io::Read, os::fd::OwnedFd, thread};

    use super::*;

    fn full_pipe() -> (io::PipeReader, io::PipeWriter) {
        let (reader, mut writer) = io::pipe().unwrap();
        let room = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
        writer.write_all(&vec![b'x'; room]).unwrap();
        (reader, writer)
    }

    #[test]
    fn an_unread_stderr_delays_the_program_once() {
        let (_reader, writer) = full_pipe();
        let stuck = AtomicBool::new(false);
        print_to(writer.as_fd(), "lost", Duration::from_millis(50), &stuck);
        assert!(stuck.load(Ordering::Relaxed));
        // With a long patience: it is not waited for again.
        let began = Instant::now();
        print_to(writer.as_fd(), "lost too", Duration::from_secs(600), &stuck);
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn stderr_that_cannot_be_written_is_no_panic() {
        let stuck = AtomicBool::new(false);
        let full = File::options().write(true).open("/dev/full").unwrap();
        print_to(full.as_fd(), "lost", STDERR_TIMEOUT, &stuck);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        print_to(writer.as_fd(), "lost", STDERR_TIMEOUT, &stuck);
        let unwritable = File::open("/dev/null").unwrap();
        print_to(unwritable.as_fd(), "lost", STDERR_TIMEOUT, &stuck);
        assert!(!stuck.load(Ordering::Relaxed));
    }

    #[test]
    fn output_on_a_full_disk_is_an_error_and_on_a_closed_pipe_is_not() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = output_to(full.as_fd(), "lost").unwrap_err();
        let messages: Vec<&str> = error.messages.iter().map(Message::short).collect();
        assert_eq!(messages, ["cannot write to stdout: No space left on device (os error 28)"]);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        output_to(writer.as_fd(), "lost").unwrap();
    }

    #[test]
    fn a_descriptor_that_does_not_block_gets_all_of_a_text() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let text: String = (0..100_000).map(|number| format!("{number}\n")).collect();
        let expected = text.clone();
        let fd = OwnedFd::from(writer);
        let writing = thread::spawn(move || output_to(fd.as_fd(), &text));
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        writing.join().unwrap().unwrap();
        assert!(read == expected, "{} of {} bytes", read.len(), expected.len());
    }

    #[test]
    fn variables_decide_on_colors() {
        let colored = |is_terminal, variables: &[(&str, &str)]| {
            super::colored(is_terminal, |name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let term = ("TERM", "xterm");
        assert!(colored(true, &[term]));
        assert!(!colored(false, &[term]));
        assert!(!colored(true, &[]) && !colored(true, &[("TERM", "dumb")]) && !colored(true, &[("TERM", "")]));
        assert!(!colored(true, &[term, ("NO_COLOR", "1")]));
        assert!(colored(true, &[term, ("NO_COLOR", "")]));
        assert!(colored(false, &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]));
        assert!(!colored(false, &[term, ("CLICOLOR_FORCE", "0")]));
        assert!(!colored(true, &[term, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(!colored(true, &[term, ("CLICOLOR", "0")]));
    }
}

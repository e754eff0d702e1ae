//! Adapts and compiles in a subprocess.
//!
//! Reading a plugin can overflow the stack, which no handler catches, or exhaust memory or time: in the host's own process
//! one bad file would end the whole run.

use std::{
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::load::LoadProblem;
use host_model::CompileLimits;

/// The host's own program, even if its file was replaced or removed since it started.
const PROGRAM: &str = "/proc/self/exe";
/// How long adapting may take; the child limits its own processor time as well.
const ADAPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that is read from a child. Compiled code is a few times as large as the plugin.
const MAX_OUTPUT: u64 = 4 << 30;
/// How much of its stderr is kept.
const MAX_STDERR: u64 = 16 << 10;
/// Threads that compile one plugin. Each holds a function and its code in memory.
const MAX_THREADS: usize = 8;

/// The hidden mode of the host that reads a core module from stdin and writes the component to stdout.
pub const ADAPT_MODE: &str = "adapt";
/// The hidden mode of the host that reads a plugin from stdin and writes its compiled code to stdout.
pub const COMPILE_MODE: &str = "compile";
/// The child's message before it ends itself because it exceeds its memory limit.
pub const MEMORY_EXCEEDED: &str = "the memory limit was exceeded";
/// The standard library's message when memory is exhausted.
const OUT_OF_MEMORY: &str = "memory allocation of";
/// The exit code of a panic.
const PANIC_EXIT_CODE: i32 = 101;

/// [`super::adapt`], done by `host adapt`.
///
/// # Errors
/// What completes "`FILE` is a core module that …".
pub(super) fn adapt_in_subprocess(module: &[u8], command: bool) -> Result<Vec<u8>, String> {
    let kind = if command { "--command" } else { "--world" };
    adapt_with(program(Path::new(PROGRAM)).args([ADAPT_MODE, kind]), module, ADAPT_TIMEOUT)
}

fn adapt_with(program: &mut Command, module: &[u8], timeout: Duration) -> Result<Vec<u8>, String> {
    run(program, module, timeout).map_err(|failed| match failed {
        Failure::Start(error) => format!("cannot be adapted: cannot start a process for it: {error}"),
        Failure::Io(error) => format!("cannot be adapted: {error}"),
        Failure::Timeout => format!("cannot be adapted: the encoder did not end within {timeout:?}"),
        Failure::TooLarge => format!("becomes a component of more than {MAX_OUTPUT} bytes"),
        Failure::Exited(status, stderr_text) => match status.signal() {
            Some(signal) => format!("cannot be adapted: the encoder was ended by {}", signal_name(signal)),
            None => format!("does not fit its world or WASI 0.1: {stderr_text}"),
        },
    })
}

/// [`super::compile`], done by `host compile` within `limits`, for an engine of little address space where `small`.
///
/// # Errors
/// Why there is no code.
pub(super) fn compile_in_subprocess(
    plugin: &[u8],
    small: bool,
    limits: &CompileLimits,
) -> Result<Vec<u8>, LoadProblem> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let mut program = program(Path::new(PROGRAM));
    program.args([COMPILE_MODE, "--max-memory", &limits.max_memory.to_string()]);
    program.args(small.then_some("--small")).env("RAYON_NUM_THREADS", threads.to_string());
    compile_with(&mut program, plugin, limits)
}

fn compile_with(program: &mut Command, plugin: &[u8], limits: &CompileLimits) -> Result<Vec<u8>, LoadProblem> {
    run(program, plugin, limits.timeout).map_err(|failed| match failed {
        Failure::Start(error) => LoadProblem::Compile(format!("cannot start a process for it: {error}")),
        Failure::Io(error) => LoadProblem::Compile(error.to_string()),
        Failure::Timeout => LoadProblem::CompileTime(limits.timeout),
        Failure::TooLarge => LoadProblem::Compile(format!("its code has more than {MAX_OUTPUT} bytes")),
        Failure::Exited(_, stderr_text)
            if stderr_text.contains(MEMORY_EXCEEDED) || stderr_text.starts_with(OUT_OF_MEMORY) =>
        {
            LoadProblem::CompileMemory(limits.max_memory)
        }
        Failure::Exited(status, stderr_text) => match (status.code(), status.signal()) {
            (Some(PANIC_EXIT_CODE), _) => LoadProblem::Panic { reason: stderr_text },
            (_, Some(signal)) => LoadProblem::Compile(format!("the compiler was ended by {}", signal_name(signal))),
            (_, None) => LoadProblem::Refused(stderr_text),
        },
    })
}

/// The program with an empty environment and piped input and output.
fn program(path: &Path) -> Command {
    let mut program = Command::new(path);
    program.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// Why a child failed.
enum Failure {
    Start(io::Error),
    Io(io::Error),
    Timeout,
    TooLarge,
    /// How it exited, and its stderr.
    Exited(ExitStatus, String),
}

/// The output of the child for `input`.
fn run(program: &mut Command, input: &[u8], timeout: Duration) -> Result<Vec<u8>, Failure> {
    let mut child = program.spawn().map_err(Failure::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let start = || {
            let builder = thread::Builder::new;
            // A child that exits early reads no more; its status says why.
            builder().spawn_scoped(scope, move || stdin.map(|mut stdin| stdin.write_all(input)))?;
            let stderr_text =
                builder().spawn_scoped(scope, move || read_up_to(stderr, MAX_STDERR).unwrap_or_default())?;
            let (sender, receiver) = mpsc::channel();
            builder().spawn_scoped(scope, move || sender.send(read_up_to(stdout, MAX_OUTPUT + 1)))?;
            Ok((stderr_text, receiver))
        };
        let (stderr_text, receiver) = match start() {
            Ok(started) => started,
            Err(error) => {
                let error: io::Error = error;
                // Otherwise the threads that were started would wait for it.
                let _ = wait(&mut child, true);
                return Err(Failure::Start(error));
            }
        };
        let output = receiver.recv_timeout(timeout);
        let status = wait(&mut child, output.is_err());
        let stderr_text = String::from_utf8_lossy(&stderr_text.join().unwrap_or_default()).trim_end().to_owned();
        let status = status.map_err(Failure::Io)?;
        match output {
            Err(_) => Err(Failure::Timeout),
            Ok(_) if !status.success() => Err(Failure::Exited(status, stderr_text)),
            Ok(Err(error)) => Err(Failure::Io(error)),
            Ok(Ok(output)) if output.len() as u64 > MAX_OUTPUT => Err(Failure::TooLarge),
            Ok(Ok(output)) => Ok(output),
        }
    })
}

/// Waits for the child to exit, after killing it if `kill`.
fn wait(child: &mut Child, kill: bool) -> io::Result<ExitStatus> {
    if kill {
        child.kill()?;
    }
    child.wait()
}

fn read_up_to(stream: Option<impl Read>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
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

    /// A shell instead of the host.
    fn shell(script: &str, module: &[u8]) -> Result<Vec<u8>, String> {
        adapt_with(program(Path::new("/bin/sh")).args(["-c", script]), module, Duration::from_secs(20))
    }

    /// The same for compiling.
    fn compiled(script: &str, timeout: Duration) -> String {
        let limits = CompileLimits { max_memory: 3 << 30, timeout };
        compile_with(program(Path::new("/bin/sh")).args(["-c", script]), b"", &limits).unwrap_err().to_string()
    }

    #[test]
    fn the_output_of_the_subprocess_is_the_component() {
        let module = vec![7; 1 << 20];
        assert_eq!(shell("cat", &module).unwrap(), module);
    }

    #[test]
    fn the_stderr_of_a_failed_subprocess_is_reported() {
        assert_eq!(shell("echo no >&2; exit 1", b"").unwrap_err(), "does not fit its world or WASI 0.1: no");
        let large = vec![7; 1 << 20];
        assert!(shell("echo unread >&2; exit 1", &large).unwrap_err().ends_with("unread"));
    }

    #[test]
    fn a_killed_or_hanging_subprocess_is_reported() {
        assert_eq!(shell("kill -ABRT $$", b"").unwrap_err(), "cannot be adapted: the encoder was ended by SIGABRT");
        // A signal that `nohup` does not ignore.
        assert_eq!(shell("kill -USR2 $$", b"").unwrap_err(), "cannot be adapted: the encoder was ended by signal 12");
        let hangs = adapt_with(program(Path::new("/bin/sleep")).arg("60"), b"", Duration::from_millis(50));
        assert_eq!(hangs.unwrap_err(), "cannot be adapted: the encoder did not end within 50ms");
    }

    #[test]
    fn a_missing_program_is_reported() {
        let missing = adapt_with(&mut program(Path::new("/nowhere/host")), b"", ADAPT_TIMEOUT);
        assert!(missing.unwrap_err().contains("cannot start a process"));
    }

    #[test]
    fn an_exceeded_limit_names_its_setting() {
        let long = Duration::from_secs(20);
        let memory = "needs more than 3 GiB of memory to compile";
        for script in [
            "echo the memory limit was exceeded >&2; kill -KILL $$",
            "echo memory allocation of 7 bytes failed >&2; kill -ABRT $$",
        ] {
            let message = compiled(script, long);
            assert!(message.starts_with(memory) && message.contains("`max-memory` under `[compile]`"), "{message}");
        }
        let message = compiled("exec /bin/sleep 60", Duration::from_millis(50));
        assert!(
            message.starts_with("does not compile within 50ms") && message.contains("`timeout` under `[compile]`"),
            "{message}"
        );
    }

    #[test]
    fn the_message_of_a_failed_compiler_is_reported() {
        let long = Duration::from_secs(20);
        assert_eq!(compiled("echo is empty >&2; exit 1", long), "is empty");
        assert_eq!(compiled("kill -USR2 $$", long), "cannot be compiled: the compiler was ended by signal 12");
        assert!(compiled("echo at the end >&2; exit 101", long).ends_with("please report it: at the end"));
    }
}

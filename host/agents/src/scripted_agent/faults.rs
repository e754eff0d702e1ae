//! The scripted faults. Each is caused for real.

use std::{
    io::{self, BufWriter, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process, setsid};

use crate::scripted_agent::{Agent, StopCause};
use host_model::{ScriptedFault, SessionEventKind, Step};

/// Exit code of a scripted crash.
const CRASH_EXIT_CODE: u8 = 70;

impl Agent<'_> {
    pub(super) fn fault(&mut self, fault: &ScriptedFault) -> Result<(), StopCause> {
        match fault {
            ScriptedFault::Crash { text } => {
                if !text.is_empty() {
                    drop(writeln!(io::stderr(), "{text}"));
                }
                Err(StopCause::Exit(CRASH_EXIT_CODE))
            }
            ScriptedFault::Kill => {
                kill_process(getpid(), Signal::KILL).map_err(io::Error::from)?;
                sleep_forever()
            }
            ScriptedFault::Exit => Err(StopCause::Exit(0)),
            ScriptedFault::Stall | ScriptedFault::Mute => sleep_forever(),
            ScriptedFault::Unauthorized => {
                self.output.error("unauthorized", "401: the key is not valid")?;
                Err(StopCause::Exit(1))
            }
            ScriptedFault::Overloaded { delay } => loop {
                self.back_off("529: the provider is overloaded", *delay)?;
            },
            ScriptedFault::Garbage { count } => {
                Ok(print_many(*count, |out, number| writeln!(out, "}}] garbage, line {number} {{"))?)
            }
            ScriptedFault::HalfLine => {
                self.output.partial(br#"{"type":"message","text":"this is only ha"#)?;
                Err(StopCause::Exit(0))
            }
            ScriptedFault::InvalidUtf8 => {
                Ok(self.output.raw(b"{\"type\":\"message\",\"text\":\"\xff\xfe\xc3\x28\"}")?)
            }
            ScriptedFault::HugeLine { bytes } => Ok(huge_line(*bytes)?),
            ScriptedFault::Flood { count } => Ok(flood(*count)?),
            ScriptedFault::Loop { count, delay } => self.repeat_call(*count, *delay),
            ScriptedFault::IgnoreSigterm => {
                // SAFETY: sets a disposition; no handler is involved.
                unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
                Ok(())
            }
            ScriptedFault::Daemon => Ok(daemon()?),
        }
    }

    /// Repeats the same message and tool call.
    fn repeat_call(&mut self, count: Option<u64>, delay: Duration) -> Result<(), StopCause> {
        let call = Step::Tool {
            name: "look".into(),
            input: toml::Value::Table(toml::Table::from_iter([("at".into(), "the same".into())])),
            output: "nothing new".into(),
            is_error: false,
        };
        for round in 1.. {
            if count.is_some_and(|count| round > count) {
                break;
            }
            self.output.event(&SessionEventKind::Message { text: format!("I look once more, {round}") })?;
            self.tool(&call)?;
            thread::sleep(delay);
        }
        Ok(())
    }
}

pub(super) fn sleep_forever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Prints as fast as possible: buffered, and without a transcript.
fn print_many(count: u64, line: impl Fn(&mut dyn Write, u64) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    for number in 1..=count {
        line(&mut out, number)?;
    }
    out.flush()
}

fn flood(count: u64) -> io::Result<()> {
    print_many(count, |out, number| {
        let event = SessionEventKind::Message { text: format!("flood {number}") };
        serde_json::to_writer(&mut *out, &event)?;
        out.write_all(b"\n")
    })
}

/// Prints a message whose line has `bytes` bytes, without holding it in memory.
fn huge_line(bytes: u64) -> io::Result<()> {
    let (head, tail) = (r#"{"type":"message","text":""#, r#""}"#);
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    out.write_all(head.as_bytes())?;
    let filling = bytes.saturating_sub((head.len() + tail.len()) as u64);
    io::copy(&mut io::Read::take(io::repeat(b'x'), filling), &mut out)?;
    out.write_all(tail.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Forked twice, in its own session, and with the agent's streams still open, as real daemons are.
fn daemon() -> io::Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 &"]).stdin(Stdio::null());
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
    command.status().map(drop)
}

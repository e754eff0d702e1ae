//! Plain WASI commands: how one is called, and what its ending means.

use std::fs;

use wasmtime::{Store, component::InstancePre};
use wasmtime_wasi::{I32Exit, p2, p3};

use super::{failure::with_last_words, guest::Guest};
use crate::{
    component::WasiVersion,
    model::{Expectation, Fault, FaultClass, Finding, Outcome, TextMatch},
    sandbox::OutputFile,
};

/// The exit code of a command that does not apply here (as in Automake's test protocol).
const SKIP: i32 = 77;

/// A plain command, linked.
#[derive(Clone)]
pub(super) enum Command {
    P2(p2::bindings::CommandPre<Guest>),
    P3(InstancePre<Guest>),
}

impl Command {
    pub(super) fn link(pre: InstancePre<Guest>, version: WasiVersion) -> wasmtime::Result<Self> {
        match version {
            // A command of 0.1 has been adapted to 0.2.
            WasiVersion::P1 | WasiVersion::P2 => Ok(Self::P2(p2::bindings::CommandPre::new(pre)?)),
            WasiVersion::P3 => Ok(Self::P3(pre)),
        }
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::P2(pre) => pre.engine(),
            Self::P3(pre) => pre.engine(),
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// A trap.
    pub(super) async fn call(&self, store: &mut Store<Guest>) -> wasmtime::Result<i32> {
        let called = match self {
            Self::P2(pre) => match pre.instantiate_async(&mut *store).await {
                Ok(command) => command.wasi_cli_run().call_run(&mut *store).await,
                Err(error) => Err(error),
            },
            Self::P3(pre) => call_p3(pre, store).await,
        };
        match called {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => Ok(*code),
                None => Err(error),
            },
        }
    }
}

async fn call_p3(pre: &InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), ()>> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let command = p3::bindings::Command::new(&mut *store, &instance)?;
    store.run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await).await?
}

/// What an ending means. Without expectations: 0 pass, 77 skip, anything else fail.
///
/// # Errors
/// A fault when an output cannot be read back: it is neither right nor wrong.
pub(super) fn judge_command(
    code: i32,
    stdout: &OutputFile,
    stderr: &OutputFile,
    expect: Option<&Expectation>,
) -> Result<Outcome, Fault> {
    let Some(expect) = expect else {
        return Ok(match code {
            0 => Outcome::Pass,
            SKIP => Outcome::Skip { reason: skip_reason(stdout, stderr) },
            _ => Outcome::Fail { findings: vec![exit_code(code, 0, stderr)] },
        });
    };
    let mut findings = Vec::new();
    let wanted = expect.exit_code.unwrap_or(0);
    if code != wanted {
        findings.push(exit_code(code, wanted, stderr));
    }
    for (name, output, wanted) in [("stdout", stdout, &expect.stdout), ("stderr", stderr, &expect.stderr)] {
        if let Some(wanted) = wanted {
            findings.extend(compare(name, output, wanted)?);
        }
    }
    Ok(if findings.is_empty() { Outcome::Pass } else { Outcome::Fail { findings } })
}

fn exit_code(code: i32, wanted: i32, stderr: &OutputFile) -> Finding {
    Finding {
        code: "exit-code".into(),
        message: with_last_words(format!("the command exited with {code}, not {wanted}"), &stderr.tail()),
        evidence: None,
    }
}

fn skip_reason(stdout: &OutputFile, stderr: &OutputFile) -> String {
    let last_line = |text: String| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    last_line(stderr.tail())
        .or_else(|| last_line(stdout.tail()))
        .unwrap_or_else(|| format!("the command exited with {SKIP}"))
}

fn compare(name: &str, output: &OutputFile, wanted: &TextMatch) -> Result<Option<Finding>, Fault> {
    let found = output.path().map(fs::read).transpose().map_err(|error| {
        Fault::new(FaultClass::Internal, format!("the command's {name} cannot be read back: {error}"))
    })?;
    let found = found.unwrap_or_default();
    let (holds, message) = match wanted {
        TextMatch::Equals(text) => (found == text.as_bytes(), format!("{name} is not what is expected")),
        TextMatch::Contains(text) => (contains(&found, text.as_bytes()), format!("{name} does not contain {text:?}")),
    };
    if holds {
        return Ok(None);
    }
    let evidence = match wanted {
        TextMatch::Equals(text) => difference(text, &String::from_utf8_lossy(&found)),
        TextMatch::Contains(_) => excerpt(&String::from_utf8_lossy(&found)),
    };
    Ok(Some(Finding { code: name.to_owned(), message, evidence: Some(evidence) }))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// Lines of evidence of one finding.
const LINES: usize = 40;

fn difference(wanted: &str, found: &str) -> String {
    let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
    let (wanted, found) = (lines(wanted), lines(found));
    let first = wanted.iter().zip(&found).take_while(|(wanted, found)| wanted == found).count();
    let seen = |line: &String| line.strip_suffix('\n').unwrap_or(line).to_owned();
    // What nobody sees, such as the end of a line, is shown escaped.
    let escaped = wanted.get(first).map(seen) == found.get(first).map(seen)
        || [&wanted, &found].iter().any(|lines| lines.get(first).is_some_and(|line| hidden(line)));
    let side = |lines: &[String], sign: char| -> String {
        let shown = |line: &String| if escaped { format!("{line:?}") } else { seen(line) };
        lines.iter().skip(first).take(LINES / 2).map(|line| format!("{sign} {}\n", shown(line))).collect()
    };
    format!("from line {}:\n{}{}", first + 1, side(&wanted, '-'), side(&found, '+'))
}

/// Whether a line holds what a terminal does not show as it is.
fn hidden(line: &str) -> bool {
    line.strip_suffix('\n').unwrap_or(line).contains(|c: char| c.is_control() && c != '\t')
}

fn excerpt(found: &str) -> String {
    let lines: Vec<&str> = found.lines().take(LINES).collect();
    if lines.is_empty() { "it is empty".into() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_even_where_nobody_would_see_it() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\n"), "from line 2:\n- b\n- c\n+ x\n");
        assert_eq!(difference("a\n", "a"), "from line 1:\n- \"a\\n\"\n+ \"a\"\n");
        assert_eq!(
            difference("a\r\nb\n", "a\nb\n"),
            "from line 1:\n- \"a\\r\\n\"\n- \"b\\n\"\n+ \"a\\n\"\n+ \"b\\n\"\n"
        );
        assert_eq!(difference("a\0\n", "a\n"), "from line 1:\n- \"a\\0\\n\"\n+ \"a\\n\"\n");
        assert_eq!(difference("", "\n"), "from line 1:\n+ \n");
        assert_eq!(difference("a\n", ""), "from line 1:\n- a\n");
    }
}

//! What the exit code and the output of a plain WASI command mean.

use super::expect::compare;
use host_model::{Expectation, Fault, Finding, Outcome};
use host_wasm::{guest::with_last_words, sandbox::OutputFile};

/// The exit code of a command that does not apply here (as in Automake's test protocol).
const SKIP: i32 = 77;

/// The outcome for an exit code. Without expectations: 0 passes, 77 skips, anything else fails.
///
/// # Errors
/// A fault if an output cannot be read back.
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

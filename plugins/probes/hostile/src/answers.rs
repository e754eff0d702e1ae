//! Answers that break the contract, or try to fool who reads them.

use scenario_sdk::{Clause, Finding, Grader, Outcome, Verdict};

pub(crate) static GRADER: Grader<()> = Grader(&[Clause { code: "declared", requires: "Nothing.", check: |()| Ok(()) }]);

fn finding(code: &str, message: &str) -> Finding {
    Finding { code: code.to_owned(), message: message.to_owned(), evidence: None }
}

pub(crate) fn empty_fail() -> Outcome {
    Ok(Verdict::Fail(Vec::new()))
}

pub(crate) fn undeclared() -> Outcome {
    Ok(Verdict::Fail(vec![finding("declared", "fine"), finding("made-up", "not fine")]))
}

pub(crate) fn bad_code() -> Outcome {
    Ok(Verdict::Fail(vec![finding("../\u{1b}[31mcode\n", "text")]))
}

pub(crate) fn hostile_text() -> Outcome {
    let text = "\u{1b}[2J\u{1b}[1;1H\u{9b}31mred\u{1b}]0;title\u{7}\r5 passed\n5 passed\n\u{202e}dessap 5\u{2028}\u{0}";
    Ok(Verdict::Fail(vec![Finding {
        code: "hostile".to_owned(),
        message: text.to_owned(),
        evidence: Some(text.to_owned()),
    }]))
}

pub(crate) fn many_findings() -> Outcome {
    Ok(Verdict::Fail((0..100_000).map(|number| finding("one-of-many", &number.to_string())).collect()))
}

pub(crate) fn long_finding() -> Outcome {
    Ok(Verdict::Fail(vec![finding("long", &"é".repeat(2 << 20))]))
}

#[expect(clippy::exit, reason = "what a scenario must not do")]
pub(crate) fn exit_zero() -> Outcome {
    std::process::exit(0)
}

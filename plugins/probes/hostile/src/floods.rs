//! Telling without an end.

use std::io::{self, Write};

use scenario_sdk::{Outcome, Verdict, report};

const LINE: &[u8; 1024] = &[b'x'; 1024];

pub(crate) fn stdout() -> Outcome {
    let mut stdout = io::stdout().lock();
    loop {
        // What the host refuses, it may tell as an error first.
        let _ = stdout.write_all(LINE);
    }
}

pub(crate) fn stderr() -> Outcome {
    let mut stderr = io::stderr().lock();
    loop {
        let _ = stderr.write_all(LINE);
    }
}

pub(crate) fn reports() -> Outcome {
    for number in 0..20_000 {
        report::note(&number.to_string());
    }
    Ok(Verdict::Pass)
}

pub(crate) fn long_note() -> Outcome {
    report::note(&"é".repeat(16 << 20));
    Ok(Verdict::Pass)
}

pub(crate) fn oversized_note() -> Outcome {
    report::note(&"x".repeat(100 << 20));
    Ok(Verdict::Pass)
}

pub(crate) fn attachments() -> Outcome {
    for number in 0..5_000 {
        report::attach(&format!("{number}.txt"), "text/plain", b"");
    }
    Ok(Verdict::Pass)
}

pub(crate) fn large_attachment() -> Outcome {
    report::attach("small.bin", "application/octet-stream", &[1; 1000]);
    report::attach("large.bin", "application/octet-stream", &vec![1; 1 << 20]);
    Ok(Verdict::Pass)
}

pub(crate) fn bad_attachments() -> Outcome {
    for name in ["../planted", "/tmp/planted", "..", "", "a/b", "a\0b", ".hidden", "\u{1b}[31m", &"n".repeat(5000)] {
        report::attach(name, "text/plain\u{1b}[2J\n9 passed", b"planted");
    }
    report::attach("twice", "text/plain", b"first");
    report::attach("twice", "text/plain", b"second");
    Ok(Verdict::Pass)
}

//! Guests that do not end as they should. What the host makes of each is in host/cli/tests/it/hostile.rs.

mod answers;
mod floods;
mod hoards;
mod sessions;

use std::{hint::black_box, thread, time::Duration};

use scenario_sdk::{Outcome, Scenario, Verdict};

scenario_sdk::plugin![
    Scenario::new("harmless", "Passes, whatever the others do.", harmless),
    Scenario::new("endless-loop", "Computes for ever.", endless_loop),
    Scenario::new("endless-sleep", "Waits in a host call for ever.", endless_sleep),
    Scenario::new("abort", "Executes an unreachable instruction.", abort),
    Scenario::new("panic", "Panics with a message.", panic),
    Scenario::new("deep-recursion", "Recurses without an end.", deep_recursion),
    Scenario::new("memory-bomb", "Allocates without an end.", hoards::memory),
    Scenario::new("handle-bomb", "Opens files without an end.", hoards::handles),
    Scenario::new("disk-filler", "Writes files until it is stopped.", hoards::disk),
    Scenario::new("buried-file", "Fills a file below a path that is longer than paths may be.", hoards::buried),
    Scenario::new("empty-files", "Makes 4,000 empty files and waits.", hoards::empty_files),
    Scenario::new("deep-folders", "Makes folders in folders, 30,000 deep.", hoards::deep_folders),
    Scenario::new("stdout-flood", "Writes to stdout without an end.", floods::stdout),
    Scenario::new("stderr-flood", "Writes to stderr without an end.", floods::stderr),
    Scenario::new("report-flood", "Reports 20,000 notes, then passes.", floods::reports),
    Scenario::new("long-note", "Reports a note of 32 MiB, then passes.", floods::long_note),
    Scenario::new("oversized-note", "Reports a note of 100 MiB.", floods::oversized_note),
    Scenario::new("attachment-flood", "Attaches 5,000 empty files, then passes.", floods::attachments),
    Scenario::new("large-attachment", "Attaches more than it may, then passes.", floods::large_attachment),
    Scenario::new(
        "bad-attachments",
        "Attaches files by names that lead elsewhere, then passes.",
        floods::bad_attachments
    ),
    Scenario::new("empty-fail", "Fails without a finding.", answers::empty_fail),
    Scenario::new("undeclared-finding", "Fails with a code that it does not list.", answers::undeclared)
        .graded_by(&answers::GRADER),
    Scenario::new("bad-code", "Fails with a code that is no name.", answers::bad_code),
    Scenario::new("hostile-text", "Fails with text that plays tricks on a terminal.", answers::hostile_text),
    Scenario::new("many-findings", "Fails with 100,000 findings.", answers::many_findings),
    Scenario::new("long-finding", "Fails with a finding of 4 MiB.", answers::long_finding),
    Scenario::new("exit-zero", "Exits with status 0 in place of a verdict.", answers::exit_zero),
    Scenario::new("ungranted-session", "Starts a session without the grant.", sessions::once),
    Scenario::new("abandoned-session", "Panics while its agent works.", sessions::abandoned),
    Scenario::new("forgotten-session", "Passes while its agent works.", sessions::forgotten),
    Scenario::new("awaited-session", "Waits for its agent for ever.", sessions::once),
    Scenario::new("ignored-fault", "Passes whatever its session does.", sessions::faults_ignored),
    Scenario::new("many-sessions", "Starts sessions without an end.", sessions::many),
    Scenario::new("used-up-session", "Uses a session that is concluded.", sessions::used_up),
];

#[expect(clippy::unnecessary_wraps, reason = "a scenario's function")]
fn harmless() -> Outcome {
    Ok(Verdict::Pass)
}

fn endless_loop() -> Outcome {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn endless_sleep() -> Outcome {
    loop {
        thread::sleep(Duration::from_secs(1 << 30));
    }
}

fn abort() -> Outcome {
    std::process::abort()
}

fn panic() -> Outcome {
    panic!("the probe gives up")
}

#[expect(clippy::unnecessary_wraps, reason = "a scenario's function")]
fn deep_recursion() -> Outcome {
    black_box(recurse(1));
    Ok(Verdict::Pass)
}

fn recurse(depth: u64) -> u64 {
    // Two calls, so that no compiler makes it a loop.
    if black_box(depth) == 0 { 1 } else { recurse(depth + 1).wrapping_mul(recurse(depth + 2)) }
}

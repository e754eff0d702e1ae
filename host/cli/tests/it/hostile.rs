//! Guests that do not end as they should: each is ended as the right class within its bound, and a harmless trial of
//! the same run does not notice.

use std::fs;

use host_model::{FaultClass, Report, Verdict};

use host_testing::{Finished, Listed, Suite, plain_module, probe, typed_module};

mod bounds;

/// Runs the scenario of the hostile guest together with the harmless one.
fn run(suite: &Suite, scenario: &str, toml: &str) -> Finished {
    suite.scenario(scenario, toml);
    let plugin = probe("probe-hostile");
    let finished = suite.host(["run", plugin.to_str().unwrap(), "--", "harmless", scenario]);
    finished.passes("harmless");
    assert_eq!(finished.records().len(), 2, "{}", finished.told());
    assert_eq!(suite.leftovers(), [""; 0]);
    finished
}

/// It is ended with a fault of `class` whose message has `words` in it.
#[track_caller]
fn faults(scenario: &str, toml: &str, class: FaultClass, words: &str) -> Finished {
    let finished = run(&Suite::new(), scenario, toml);
    finished.exits(110);
    is_fault(&finished, scenario, class, words);
    finished
}

#[track_caller]
fn is_fault(finished: &Finished, scenario: &str, class: FaultClass, words: &str) {
    let fault = finished.fault(scenario);
    assert_eq!(fault.class, class, "{fault}");
    assert!(fault.message.contains(words), "{fault}");
}

/// It passes, whatever it did.
#[track_caller]
fn passes(scenario: &str, toml: &str) -> (Suite, Finished) {
    let suite = Suite::new();
    let finished = run(&suite, scenario, toml);
    finished.exits(0).passes(scenario);
    (suite, finished)
}

/// Runs a handmade plugin, which has the one scenario `handmade`, together with the harmless one.
#[track_caller]
fn handmade(plugin: &[u8], toml: &str) -> Finished {
    let suite = Suite::new();
    suite.file("handmade.wasm", plugin).scenario("handmade", toml);
    let finished =
        suite.host(["run", "handmade.wasm", probe("probe-hostile").to_str().unwrap(), "--", "harmless", "handmade"]);
    finished.passes("harmless");
    assert_eq!(suite.leftovers(), [""; 0]);
    finished
}

fn handmade_typed(run: &str, fields: &str) -> Vec<u8> {
    typed_module(&[Listed { name: "handmade", ..Listed::default() }], "", run, fields)
}

#[test]
fn an_endless_loop_times_out() {
    faults("endless-loop", "timeout = \"300ms\"", FaultClass::Timeout, "its limit is `timeout`");
}

#[test]
fn an_endless_host_call_times_out() {
    faults("endless-sleep", "timeout = \"300ms\"", FaultClass::Timeout, "its limit is `timeout`");
}

#[test]
fn a_loop_in_a_start_function_times_out() {
    let module = plain_module("", "(func $spin (loop (br 0))) (start $spin)");
    let finished = handmade(&module, "timeout = \"300ms\"");
    is_fault(finished.exits(110), "handmade", FaultClass::Timeout, "its limit is `timeout`");
}

#[test]
fn an_unreachable_instruction_is_a_trap() {
    faults("abort", "", FaultClass::Trap, "unreachable");
}

#[test]
fn a_panic_is_a_trap_with_its_message() {
    faults("panic", "", FaultClass::Trap, "the probe gives up");
}

#[test]
fn deep_recursion_is_a_trap() {
    faults("deep-recursion", "", FaultClass::Trap, "stack overflow");
}

#[test]
fn a_memory_bomb_runs_into_its_limit() {
    faults("memory-bomb", "max-memory = \"32MiB\"", FaultClass::Limit, "its limit `max-memory` is 33554432");
}

#[test]
fn a_memory_bomb_runs_into_the_default_limit_too() {
    faults("memory-bomb", "", FaultClass::Limit, "its limit `max-memory` is 536870912");
}

#[test]
fn memories_are_counted_together() {
    let memories: String = (0..20).map(|_| "(memory 16)").collect();
    let finished = handmade(&handmade_typed("", &memories), "max-memory = \"16MiB\"");
    is_fault(finished.exits(110), "handmade", FaultClass::Limit, "its limit `max-memory` is 16777216");
}

const GROW_FOR_EVER: &str = "(loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))";

#[test]
fn a_table_bomb_runs_into_its_limit() {
    let module = handmade_typed(GROW_FOR_EVER, "(table 1 funcref)");
    let finished = handmade(&module, "max-table-elements = 10000");
    is_fault(finished.exits(110), "handmade", FaultClass::Limit, "its limit `max-table-elements` is 10000");
}

#[test]
fn a_table_bomb_runs_into_the_default_limit_too() {
    for table in ["(table 1 funcref)", "(table 30000 funcref)"] {
        let finished = handmade(&handmade_typed(GROW_FOR_EVER, table), "");
        is_fault(finished.exits(110), "handmade", FaultClass::Limit, "its limit `max-table-elements` is 1000000");
    }
}

#[test]
fn a_component_of_too_many_instances_runs_into_its_limit() {
    faults("abort", "max-instances = 1", FaultClass::Limit, "limit");
}

#[test]
fn too_many_handles_run_into_their_limit() {
    faults("handle-bomb", "max-handles = 50", FaultClass::Limit, "its limit is `max-handles`");
}

#[test]
fn a_disk_filler_runs_into_its_limit() {
    faults(
        "disk-filler",
        "max-disk = \"8MiB\"\ntimeout = \"60s\"",
        FaultClass::Limit,
        "its limit `max-disk` is 8388608",
    );
}

#[test]
fn a_disk_filler_below_paths_too_long_for_the_system_runs_into_its_limit() {
    let toml = "max-disk = \"16MiB\"\ntimeout = \"60s\"";
    faults("buried-file", toml, FaultClass::Limit, "the limit `max-disk`");
}

#[test]
fn folders_too_deep_to_be_looked_into_do_not_hide_what_they_hold() {
    // A file of the same size at the top would pass.
    let toml = "max-disk = \"1GiB\"\ntimeout = \"60s\"";
    faults("buried-file", toml, FaultClass::Limit, "the limit `max-disk`");
}

#[test]
fn empty_files_fill_a_disk_too() {
    let toml = "max-disk = \"2MiB\"\ntimeout = \"60s\"";
    faults("empty-files", toml, FaultClass::Limit, "its limit `max-disk` is 2097152");
}

#[test]
fn folders_of_any_depth_are_removed() {
    let finished = run(&Suite::new(), "deep-folders", "timeout = \"60s\"");
    // On a fast machine it is done before the disk is looked at.
    let verdict = finished.verdict("deep-folders");
    assert!(*verdict == Verdict::Pass || verdict.fault_class() == Some(FaultClass::Limit), "{verdict:?}");
}

#[test]
fn a_flood_on_stdout_runs_into_its_limit() {
    faults(
        "stdout-flood",
        "max-output = \"1MiB\"",
        FaultClass::Limit,
        "1048576 bytes to stdout; its limit is `max-output`",
    );
}

#[test]
fn a_flood_on_stderr_runs_into_its_limit() {
    let finished = faults(
        "stderr-flood",
        "max-output = \"1MiB\"",
        FaultClass::Limit,
        "1048576 bytes to stderr; its limit is `max-output`",
    );
    assert!(finished.stdout.len() < 100_000, "{} bytes", finished.stdout.len());
}

#[test]
fn excess_reports_are_cut_with_a_note() {
    let (_, finished) = passes("report-flood", "");
    let reports = finished.reports("report-flood");
    assert_eq!(reports.len(), 1001);
    assert!(
        matches!(reports[1000], Report::Cut { what } if what == "19000 reports after the first 1000"),
        "{reports:?}"
    );
}

#[test]
fn a_long_note_is_cut_with_a_mark() {
    let (_, finished) = passes("long-note", "");
    let reports = finished.reports("long-note");
    assert!(matches!(reports[..], [Report::Note { text }] if text.len() < 5000 && text.ends_with("bytes cut)")));
}

#[test]
fn more_than_a_call_may_hand_over_runs_into_a_limit() {
    faults("oversized-note", "", FaultClass::Limit, "passes more data to the host in one call than is allowed");
}

#[test]
fn excess_attachments_are_cut_with_a_note() {
    let (suite, finished) = passes("attachment-flood", "");
    let reports = finished.reports("attachment-flood");
    assert!(matches!(reports.last(), Some(Report::Cut { what }) if what.contains("4000 reports")), "{reports:?}");
    let kept = suite.last_run().unwrap().join("scripted/attachment-flood/attempt-1/attachments");
    assert_eq!(fs::read_dir(kept).unwrap().count(), 1000);
}

#[test]
fn an_attachment_over_the_limit_is_omitted_with_a_note() {
    let (suite, finished) = passes("large-attachment", "max-output = \"64KiB\"");
    let reports = finished.reports("large-attachment");
    assert!(
        matches!(reports[..], [Report::Attachment { bytes: 1000, .. }, Report::Cut { what }] if what.contains("large.bin")),
        "{reports:?}"
    );
    let kept = suite.last_run().unwrap().join("scripted/large-attachment/attempt-1/attachments");
    assert_eq!(fs::read_dir(kept).unwrap().count(), 1);
}

#[test]
fn attachments_with_escaping_names_are_omitted() {
    let (suite, finished) = passes("bad-attachments", "");
    let reports = finished.reports("bad-attachments");
    let cut = reports.iter().filter(|report| matches!(report, Report::Cut { .. })).count();
    assert_eq!((reports.len(), cut), (11, 10), "{reports:?}");
    let attempt = suite.last_run().unwrap().join("scripted/bad-attachments/attempt-1");
    assert_eq!(fs::read_to_string(attempt.join("attachments/twice")).unwrap(), "first");
    assert_eq!(fs::read_dir(attempt.join("attachments")).unwrap().count(), 1);
    assert!(!attempt.join("planted").exists());
    assert_harmless(&finished.stdout);
}

#[test]
fn failing_without_a_finding_breaks_the_contract() {
    faults("empty-fail", "", FaultClass::Protocol, "without a finding");
}

#[test]
fn a_finding_that_is_not_declared_breaks_the_contract() {
    faults("undeclared-finding", "", FaultClass::Protocol, "`made-up`");
}

#[test]
fn a_code_that_is_no_name_breaks_the_contract() {
    let finished = faults("bad-code", "", FaultClass::Protocol, "invalid code");
    assert_harmless(&finished.stdout);
}

#[test]
fn exiting_in_place_of_a_verdict_breaks_the_contract() {
    faults("exit-zero", "", FaultClass::Protocol, "exited with status 0");
}

#[test]
fn a_session_without_the_grant_is_denied() {
    faults("ungranted-session", "", FaultClass::Denied, "not granted `session`");
}

#[test]
fn a_missing_grant_is_reported_before_the_run() {
    let suite = Suite::new();
    suite.file(
        "needy.wasm",
        typed_module(&[Listed { name: "needy", needs: &["session"], ..Listed::default() }], "", "", ""),
    );
    let finished = suite.host(["run", "needy.wasm"]);
    finished.exits(96);
    assert!(finished.stderr.contains("needs the grant `session`"), "{}", finished.told());
    assert_eq!(finished.events.len(), 0);
}

#[test]
fn text_of_a_finding_plays_no_tricks_on_a_terminal() {
    let finished = run(&Suite::new(), "hostile-text", "");
    finished.exits(100);
    assert_eq!(finished.findings("hostile-text").len(), 1);
    assert_harmless(&finished.stdout);
}

/// Nothing that a terminal obeys, and no line that the guest made look like the host's.
#[track_caller]
fn assert_harmless(output: &str) {
    let obeyed =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!output.contains(obeyed), "{output:?}");
    assert!(!output.lines().any(|line| line.starts_with("5 passed") || line.starts_with("9 passed")), "{output}");
}

#[test]
fn any_number_of_findings_is_bounded() {
    let finished = run(&Suite::new(), "many-findings", "");
    finished.exits(100);
    let findings = finished.findings("many-findings");
    assert_eq!(findings.len(), 200);
    assert!(findings[199].message.ends_with(" more findings cut)"), "{}", findings[199].message);
    assert!(finished.stdout.len() < 1 << 20, "{} bytes", finished.stdout.len());
}

#[test]
fn a_long_finding_is_cut_with_a_mark() {
    let finished = run(&Suite::new(), "long-finding", "");
    finished.exits(100);
    let [finding] = finished.findings("long-finding") else { panic!("{}", finished.told()) };
    assert!(finding.message.len() < 1 << 20 && finding.message.contains("bytes cut"));
    assert!(finished.stdout.len() < 1 << 20, "{} bytes", finished.stdout.len());
}

#[test]
fn a_component_cannot_make_a_pass_of_its_agents_crash() {
    let suite = Suite::new();
    suite.agent("ignored-fault", "[[step]]\nfault = \"crash\"\n");
    let finished = run(&suite, "ignored-fault", "[grants]\nsession = true");
    is_fault(finished.exits(110), "ignored-fault", FaultClass::Crash, "");
}

#[test]
fn a_session_that_is_concluded_gives_the_same_answer_again() {
    let suite = Suite::new();
    suite.agent("used-up-session", "[[step]]\nsay = \"done\"\n");
    let finished = run(&suite, "used-up-session", "[grants]\nsession = true");
    assert_ne!(finished.verdict("used-up-session").word(), "skip");
}

//! Plain WASI commands: what they are given, and what their ending means.

use host_model::{FaultClass, Finding, Verdict};

use host_testing::{Finished, Suite, plain_module, probe};

/// Runs the command of the probes as the scenario `command` with this `scenario.toml` beside `plugin`.
fn run(toml: &str) -> Finished {
    run_in(&Suite::new(), toml)
}

fn run_in(suite: &Suite, toml: &str) -> Finished {
    let plugin = probe("probe-command");
    suite.scenario("command", &format!("plugin = {:?}\n{toml}", plugin.to_str().unwrap()));
    let finished = suite.host(["run", plugin.to_str().unwrap()]);
    assert_eq!(suite.leftovers(), [""; 0]);
    finished
}

/// Runs a core module for WASI 0.1 as the scenario `core`.
fn run_core(module: &[u8], toml: &str) -> Finished {
    let suite = Suite::new();
    suite.file("core.wasm", module).scenario("core", toml);
    suite.host(["run", "core.wasm"])
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn exit_code_zero_passes() {
    run("").exits(0).passes("command");
}

#[test]
fn exit_code_77_skips_with_a_reason() {
    let finished = run("args = [\"exit\", \"77\", \"no\", \"database\"]");
    finished.exits(0);
    assert_eq!(finished.verdict("command"), &Verdict::Skip { reason: "no database".into() });
}

#[test]
fn any_other_exit_code_fails_with_the_end_of_stderr() {
    for args in ["\"exit\", \"3\", \"went\", \"wrong\"", "\"fail\", \"went wrong\""] {
        let finished = run(&format!("args = [{args}]"));
        finished.exits(100);
        let [finding] = finished.findings("command") else { panic!("{}", finished.told()) };
        assert_eq!(finding.code, "exit-code");
        assert!(finding.message.contains("went wrong"), "{}", finding.message);
    }
}

#[test]
fn a_panic_is_a_trap() {
    let finished = run("args = [\"panic\", \"at once\"]");
    let fault = finished.exits(110).fault("command");
    assert_eq!(fault.class, FaultClass::Trap);
    assert!(fault.message.contains("at once"), "{fault}");
}

#[test]
fn a_command_gets_exactly_what_its_file_grants() {
    let finished = run("args = [\"show\"]\nstdin = \"line\\n\"\nenv = { B = \"2\", A = \"1\" }\n\
         [expect]\nstdout = \"args: probe-command.wasm|show\\nenv: A=1|B=2\\nstdin: \\\"line\\\\n\\\"\\n\"\nstderr = \"told on stderr\\n\"\n");
    finished.exits(0).passes("command");
}

#[test]
fn a_command_is_given_nothing_by_default() {
    let expect = "[expect]\nstdout = \"args: probe-command.wasm|show\\nenv: \\nstdin: \\\"\\\"\\n\"\n";
    run(&format!("args = [\"show\"]\n{expect}")).exits(0).passes("command");
}

#[test]
fn every_failed_expectation_is_reported() {
    let finished = run("args = [\"show\"]\n\
         [expect]\nexit-code = 5\nstdout = { contains = \"nowhere\" }\nstderr = \"something else\\n\"\n");
    finished.exits(100);
    let findings = finished.findings("command");
    assert_eq!(codes(findings), ["exit-code", "stdout", "stderr"]);
    assert!(findings[0].message.contains("exited with 0, not 5"), "{}", findings[0].message);
    assert!(findings[1].evidence.as_deref().unwrap().contains("args: probe-command.wasm|show"));
    assert_eq!(findings[2].evidence.as_deref(), Some("from line 1:\n- something else\n+ told on stderr\n"));
}

#[test]
fn an_expected_exit_code_passes_and_77_then_skips_no_more() {
    run("args = [\"exit\", \"5\"]\nexpect = { exit-code = 5 }").exits(0).passes("command");
    let finished = run("args = [\"exit\", \"77\"]\nexpect = { exit-code = 0 }");
    assert_eq!(codes(finished.exits(100).findings("command")), ["exit-code"]);
}

#[test]
fn the_host_drives_a_session_and_the_command_judges_its_record() {
    let suite = Suite::new();
    suite.agent("command", "[[step]]\nwrite = \"greeting.txt\"\ntext = \"hello\"\n[[step]]\nsay = \"I wrote it.\"\n");
    let finished = run_in(
        &suite,
        "args = [\"session\"]\n[session]\nprompt = \"Write a greeting.\"\n[grants]\nsession = true\n[expect]\n\
         stdout = \"record: events.jsonl final-message.txt session.json\\nfinal message: I wrote it.\\n\
         what the agent wrote: \\\"hello\\\"\\n\"\n",
    );
    finished.exits(0).passes("command");
}

#[test]
fn a_session_needs_its_grant() {
    let finished = run("[session]\nprompt = \"hello\"\n");
    finished.exits(96);
    assert!(finished.stderr.contains("`[session]` needs the grant `session`"), "{}", finished.told());
}

#[test]
fn an_agent_that_breaks_is_a_fault_and_the_command_never_starts() {
    let suite = Suite::new();
    suite.agent("command", "[[step]]\nfault = \"crash\"\n");
    let finished =
        run_in(&suite, "args = [\"fail\", \"it started\"]\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
    let fault = finished.exits(110).fault("command");
    assert_eq!(fault.class, FaultClass::Crash, "{fault}");
}

#[test]
fn nothing_that_an_agent_puts_in_place_of_its_record_is_followed_or_waited_for() {
    let suite = Suite::new();
    let victim = suite.path("victim");
    suite.file("victim", "untouched").agent(
        "command",
        &format!(
            "[[step]]\nshell = \"mkfifo ../session-1/events.jsonl && ln -s {} ../session-1/session.json\"\n\
             [[step]]\nwrite = \"greeting.txt\"\ntext = \"hello\"\n[[step]]\nsay = \"done\"\n",
            victim.display()
        ),
    );
    let finished = run_in(
        &suite,
        "args = [\"session\"]\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n[expect]\n\
         stdout = { contains = \"final message: done\" }\n",
    );
    finished.exits(0).passes("command");
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "untouched");
}

#[test]
fn an_agent_cannot_put_another_folder_under_the_command() {
    let suite = Suite::new();
    suite.file("outside/secret", "s").agent(
        "command",
        &format!("[[step]]\nshell = \"cd .. && rm -r root && ln -s {} root\"\n", suite.path("outside").display()),
    );
    let finished = run_in(
        &suite,
        "args = [\"list\", \"/\"]\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n\
         [expect]\nstdout = \"/: \\n\"\n",
    );
    finished.exits(0).passes("command");
    assert!(suite.path("outside/secret").exists());
}

#[test]
fn one_command_can_be_several_scenarios() {
    let suite = Suite::new();
    let plugin = probe("probe-command");
    let name = plugin.to_str().unwrap();
    suite.scenario("passes", &format!("plugin = {name:?}"));
    suite.scenario("skips", &format!("plugin = {name:?}\nargs = [\"exit\", \"77\"]"));
    let finished = suite.host(["run", name]);
    finished.exits(0).passes("passes");
    assert!(matches!(finished.verdict("skips"), Verdict::Skip { .. }));
}

const GREET: &str = "(drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20)))";
const GREETING: &str = "(data (i32.const 8) \"\\20\\00\\00\\00\\03\\00\\00\\00\") (data (i32.const 32) \"hi\\n\")";

#[test]
fn a_core_module_of_wasi_0_1_runs() {
    let finished = run_core(&plain_module(GREET, GREETING), "expect = { stdout = \"hi\\n\" }");
    finished.exits(0).passes("core");
}

#[test]
fn a_core_module_that_exits_with_zero_passes() {
    let module = plain_module(&format!("{GREET} (call $proc_exit (i32.const 0)) unreachable"), GREETING);
    run_core(&module, "expect = { stdout = \"hi\\n\" }").exits(0).passes("core");
}

#[test]
fn a_core_module_that_exits_with_77_skips() {
    let finished = run_core(&plain_module("(call $proc_exit (i32.const 77))", ""), "");
    finished.exits(0);
    assert!(matches!(finished.verdict("core"), Verdict::Skip { .. }), "{}", finished.told());
}

#[test]
fn the_exit_code_of_a_core_module_is_reported_unchanged() {
    let finished = run_core(&plain_module("(call $proc_exit (i32.const 3))", ""), "");
    let findings = finished.exits(100).findings("core");
    assert!(findings[0].message.contains("exited with 3, not 0"), "{}", findings[0].message);
}

#[test]
fn a_core_module_that_traps_is_a_trap() {
    let finished = run_core(&plain_module("unreachable", ""), "");
    assert_eq!(finished.exits(110).fault("core").class, FaultClass::Trap);
}

#[test]
fn exit_codes_are_the_low_byte_that_an_operating_system_keeps() {
    let suite = Suite::new();
    for (code, kept) in [(0_u32, 0), (1, 1), (77, 77), (126, 126), (134, 134), (255, 255), (256, 0), (u32::MAX, 255)] {
        let name = format!("core-{code}");
        suite.file(&format!("{name}.wasm"), plain_module(&format!("(call $proc_exit (i32.const {code}))"), ""));
        suite.scenario(&name, &format!("expect = {{ exit-code = {kept} }}"));
    }
    suite.host(["run", "*.wasm"]).exits(0);
}

#[test]
fn a_code_that_no_program_exits_with_is_an_error() {
    for code in ["256", "-1", "99999999999"] {
        let finished = run(&format!("args = [\"exit\", \"5\"]\nexpect = {{ exit-code = {code} }}"));
        let told = format!("scenario.toml:3:24: `{code}` is not an exit code; exit codes are 0 to 255");
        assert!(finished.exits(96).stderr.contains(&told), "{}", finished.told());
    }
}

#[test]
fn a_trap_is_a_fault_whatever_is_expected() {
    for expect in ["exit-code = 134", "exit-code = 1", "stdout = \"\""] {
        let finished = run_core(&plain_module("unreachable", ""), &format!("expect = {{ {expect} }}"));
        assert_eq!(finished.exits(110).fault("core").class, FaultClass::Trap, "{expect}");
    }
}

#[test]
fn invalid_arguments_and_variables_are_errors_with_a_position() {
    for (toml, told) in [
        ("args = [\"a\", \"b\\u0000\"]", "scenario.toml:2:8: `args` contains the character NUL"),
        ("env = { A = \"\\u0000\" }", "scenario.toml:2:7: `env` contains the character NUL"),
        ("env = { \"A=B\" = \"c\" }", "scenario.toml:2:7: \"A=B\" is not a variable name"),
        ("env = { \"\" = \"c\" }", "scenario.toml:2:7: \"\" is not a variable name"),
    ] {
        let finished = run(toml);
        assert!(finished.exits(96).stderr.contains(told), "{told}: {}", finished.told());
    }
}

#[test]
fn texts_are_compared_byte_for_byte() {
    let data =
        "(data (i32.const 8) \"\\20\\00\\00\\00\\07\\00\\00\\00\") (data (i32.const 32) \"a\\r\\n\\00\\c3\\a4\\n\")";
    let module = plain_module(GREET, data);
    run_core(&module, "expect = { stdout = \"a\\r\\n\\u0000ä\\n\", stderr = \"\" }").exits(0).passes("core");
    run_core(&module, "expect = { stdout = { contains = \"\\n\\u0000\" } }").exits(0).passes("core");
    for other in ["a\\n\\u0000ä\\n", "a\\r\\n\\u0000ä", "a\\r\\n\\u0000ä\\n\\n", ""] {
        let finished = run_core(&module, &format!("expect = {{ stdout = \"{other}\" }}"));
        assert_eq!(codes(finished.exits(100).findings("core")), ["stdout"], "{other}");
    }
}

/// A program that writes `count` times 64 KiB of `byte` to stdout, and some to stderr.
fn flood(byte: u8, count: u32) -> Vec<u8> {
    let start = format!(
        "(local $left i32) (local.set $left (i32.const {count}))
         (drop (memory.grow (i32.const 1)))
         (memory.fill (i32.const 65536) (i32.const {byte}) (i32.const 65536))
         (loop (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if 0 (local.get $left)))
         (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 20)))"
    );
    plain_module(&start, "(data (i32.const 8) \"\\00\\00\\01\\00\\00\\00\\01\\00\")")
}

#[test]
fn evidence_of_large_output_is_cut_and_names_the_file() {
    for (byte, expect) in [
        (0, "stdout = \"x\""),
        (b'x', "stdout = \"\""),
        (b'\n', "stdout = { contains = \"x\" }"),
        (b'x', "stdout = { contains = \"xy\" }, exit-code = 3"),
    ] {
        let suite = Suite::new();
        let toml = format!("max-output = \"100MiB\"\nexpect = {{ {expect}, stderr = \"\" }}");
        suite.file("core.wasm", flood(byte, 1024)).scenario("core", &toml);
        let finished = suite.host(["run", "core.wasm"]);
        let findings = finished.exits(100).findings("core");
        for finding in findings {
            let texts = [Some(&finding.message), finding.evidence.as_ref()];
            assert!(texts.iter().flatten().all(|text| text.len() <= 64 << 10), "{byte}: {expect}");
        }
        let stdout = findings.iter().find(|finding| finding.code == "stdout").unwrap().evidence.as_ref().unwrap();
        assert!(stdout.trim_end().ends_with(" more bytes in stdout.txt)"), "{byte}: {expect}");
        let run = suite.last_run().unwrap();
        let kept = run.join("scripted/core/attempt-1/stdout.txt");
        assert_eq!(std::fs::metadata(kept).unwrap().len(), 64 << 20);
        // In JSON a control character takes six bytes, and two events have it all.
        assert!(std::fs::metadata(run.join("events.jsonl")).unwrap().len() < 2 << 20);
        assert!(finished.peak_memory < 160 << 20, "{} bytes", finished.peak_memory);
    }
}

#[test]
fn a_large_stdin_comes_whole() {
    let line = "x".repeat(1 << 20);
    let finished = run(&format!(
        "args = [\"show\"]\nstdin = \"{line}\"\n[expect]\nstdout = {{ contains = \"stdin: \\\"{line}\\\"\\n\" }}"
    ));
    finished.exits(0).passes("command");
}

#[test]
fn a_raised_signal_is_reported_with_its_number() {
    let module = "(module
        (import \"wasi_snapshot_preview1\" \"proc_raise\" (func $raise (param i32) (result i32)))
        (memory (export \"memory\") 1)
        (func (export \"_start\") (drop (call $raise (i32.const 6)))))";
    let finished = run_core(&wat::parse_str(module).unwrap(), "");
    let fault = finished.exits(110).fault("core");
    assert_eq!(fault.class, FaultClass::Trap);
    assert!(fault.message.contains("raised a signal (`proc_raise` of WASI 0.1)"), "{fault}");
    assert!(!fault.message.contains("adapter"), "{fault}");
}

/// A command of WASI 0.3 that makes 1,000 handles, by a function `$new` of `result` that takes `arguments`.
fn making_handles(new: &str, result: &str, arguments: &str) -> Vec<u8> {
    let takes = if arguments.is_empty() { "" } else { "(param i32)" };
    let text = format!(
        "(component
            {new}
            (core module $m
                (import \"\" \"new\" (func $new {takes} (result {result})))
                (func (export \"run\") (result i32) (local $left i32)
                    (local.set $left (i32.const 1000))
                    (loop (drop (call $new {arguments}))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if 0 (local.get $left)))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with \"\" (instance (export \"new\" (func $new))))))
            (type $run (func async (result (result))))
            (func $lifted (type $run) (canon lift (core func $i \"run\")))
            (instance $e (export \"run\" (func $lifted)))
            (export \"wasi:cli/run@0.3.0\" (instance $e)))"
    );
    wat::parse_str(&text).unwrap()
}

#[test]
fn handles_of_every_kind_run_into_the_limit_of_handles() {
    for (new, result, arguments) in [
        ("(type $f (future)) (core func $new (canon future.new $f))", "i64", ""),
        ("(type $s (stream u8)) (core func $new (canon stream.new $s))", "i64", ""),
        ("(core func $new (canon waitable-set.new))", "i32", ""),
        ("(type $r (resource (rep i32))) (core func $new (canon resource.new $r))", "i32", "(i32.const 1)"),
    ] {
        let module = making_handles(new, result, arguments);
        run_core(&module, "max-handles = 1000").exits(0).passes("core");
        let finished = run_core(&module, "max-handles = 50");
        let fault = finished.exits(110).fault("core");
        assert_eq!(fault.class, FaultClass::Limit, "{new}: {fault}");
        assert!(fault.message.contains("its limit is `max-handles`"), "{new}: {fault}");
    }
}

//! Lanes of programs of the user's, from `suite.toml` to the report, with programs made up for each test.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use host_model::{Event, EventKind, FaultClass, Outcome, Report, Verdict};
use host_testing::{Suite, events_of, host_binary, kernel, plain_module, wait_until, write_program};

const SECRET: &str = "sk-planted-0123456789-abcdefghij";

/// A suite with one scenario and a lane `mine`, whose agent is this shell script.
fn suite(script: &str, lane: &str) -> Suite {
    let suite = Suite::new();
    suite.file("work.wasm", plain_module("", ""));
    suite.scenario("work", "plugin = \"work.wasm\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n");
    write_program(&suite.path("agent.sh"), &format!("#!/bin/sh\n{script}\n"));
    suite.file(
        "scenarios/suite.toml",
        format!(
            "plugins = [\"work.wasm\"]\nlanes = [\"mine\"]\n[defaults]\nretries = 0\n\
             [lane.mine]\nkind = \"command\"\ncommand = \"./agent.sh\"\n{lane}\n"
        ),
    );
    suite
}

#[test]
fn a_lane_without_a_credential_is_skipped_or_cannot_start() {
    let optional = suite("echo done", "credentials = [\"NO_SUCH_KEY\"]\nrequired = false");
    let run = optional.host(["run"]);
    let Verdict::Skip { reason } = run.verdict("work") else { panic!("{}", run.told()) };
    assert!(reason.contains("`NO_SUCH_KEY`"), "{reason}");
    run.exits(0);
    let check = optional.host(["check"]);
    check.exits(0);
    assert!(check.stdout.contains("NO_SUCH_KEY is missing") && check.stdout.contains("skipped"), "{}", check.told());
    assert!(optional.host(["list"]).stdout.contains("skipped: a credential is missing"));

    let required = suite("echo done", "credentials = [\"NO_SUCH_KEY\"]");
    let run = required.host(["run"]);
    let fault = run.fault("work");
    assert!(fault.class == FaultClass::Launch && fault.message.contains("`NO_SUCH_KEY`"), "{fault}");
    run.exits(110);
    let check = required.host(["check"]);
    check.exits(96);
    assert!(check.stderr.contains("the lane `mine`: a credential is missing"), "{}", check.told());
}

#[test]
fn an_agent_cannot_record_a_secret_in_any_form() {
    let script = "echo $PLANTED; echo \"$PLANTED\" > leaked; printf '%.10s' $PLANTED; sleep 0.1; \
                  echo $PLANTED | cut -c11-; echo \"{\\\"a\\\":\\\"\\\\\\\"$PLANTED\\\\n\\\"}\"; echo $PLANTED >&2";
    let suite = suite(script, "credentials = [\"PLANTED\"]");
    let mut command = suite.host_command(
        &suite.path(""),
        ["run", "--reporter", "human", "--reporter", "junit", "--reporter", "github", "-v"],
    );
    command.env("PLANTED", SECRET);
    let run = suite.start_command(command).finish();
    run.exits(0);
    assert!(!run.told().contains(SECRET), "{}", run.told());
    let run = suite.last_run().unwrap();
    let kept = walk(&run);
    assert!(kept.len() > 6 && kept.iter().any(|(name, text)| name.ends_with("leaked") && text.contains("***")));
    for (name, text) in kept {
        let text = text.replace('\n', "");
        assert!(!text.contains(SECRET) && !text.contains(&SECRET[10..]), "{name}");
    }
}

#[test]
fn diagnostics_name_each_attempt_and_session_and_no_secret() {
    let suite = suite("echo done", &format!("credentials = [\"PLANTED\"]\nargs = [\"--key={SECRET}\"]"));
    let host = |log: &str, args: &[&str]| {
        let mut command = suite.host_command(&suite.path(""), args.iter().copied());
        command.env("PLANTED", SECRET).env("HOST_LOG", log);
        suite.start_command(command).finish()
    };
    let run = |log: &str| host(log, &["run"]);
    let checked = host("debug", &["check", "--live"]);
    assert!(checked.exits(0).stderr.contains("--key=***"), "{}", checked.told());
    assert!(!checked.told().contains(SECRET), "{}", checked.told());
    let logged = run("debug");
    logged.exits(0);
    for part in [
        "run{id=",
        "attempt{trial=mine/work number=1}",
        "session{number=1}",
        "starting the agent's process",
        "--key=***",
    ] {
        assert!(logged.stderr.contains(part), "{part}: {}", logged.told());
    }
    assert!(!logged.told().contains(SECRET), "{}", logged.told());
    assert!(!run("").exits(0).stderr.contains("DEBUG"));
    assert!(!run("host_wasm=debug").exits(0).stderr.contains("attempt{"));
    let refused = run("host=loud");
    refused.exits(2);
    assert!(refused.stderr.starts_with("error: invalid value 'host=loud' for HOST_LOG: "), "{}", refused.told());
}

/// A call from one part of a composed component to another goes through an adapter, whose globals wasmtime knows no
/// place for in a core dump: it panics.
#[test]
fn a_trap_in_a_composed_component_is_a_trap_and_leaves_no_secret() {
    let composed = r#"(component
        (component $inner
            (core module $m (func (export "run") unreachable))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))
        (instance $inner (instantiate $inner))
        (core func $run (canon lower (func $inner "run")))
        (core module $m
            (import "inner" "run" (func $run))
            (func (export "run") (result i32) (call $run) (i32.const 0)))
        (core instance $i (instantiate $m (with "inner" (instance (export "run" (func $run))))))
        (func $outer (result (result)) (canon lift (core func $i "run")))
        (instance $outer (export "run" (func $outer)))
        (export "wasi:cli/run@0.2.0" (instance $outer)))"#;
    let suite = suite("echo $PLANTED > leaked; echo done", "credentials = [\"PLANTED\"]");
    suite.file("work.wasm", wat::parse_str(composed).unwrap());
    let mut command = suite.host_command(&suite.path(""), ["run"]);
    command.env("PLANTED", SECRET);
    let run = suite.start_command(command).finish();
    let fault = run.fault("work");
    assert_eq!(fault.class, FaultClass::Trap, "{fault}");
    assert!(!run.exits(110).told().contains("panicked"), "{}", run.told());
    let told = |report: &&Report| matches!(report, Report::Cut { what } if what.contains("core.wasm was not saved"));
    assert!(run.reports("work").iter().any(told), "{:?}", run.reports("work"));
    let kept = walk(&suite.last_run().unwrap());
    assert!(kept.iter().any(|(name, text)| name.ends_with("leaked") && text.contains("***")), "{kept:?}");
    assert!(kept.iter().any(|(name, _)| name.ends_with("trap.txt")));
    assert!(kept.iter().all(|(_, text)| !text.contains(SECRET)));
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn recorded_output_does_not_count_toward_the_disk_limit() {
    let says = suite("head -c 3000000 /dev/zero | tr '\\0' x | fold -w 1000; echo done", "");
    let limited = |disk: &str| {
        says.scenario(
            "work",
            &format!(
                "plugin = \"work.wasm\"\nmax-disk = \"{disk}\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n"
            ),
        );
        says.host(["run"])
    };
    limited("1MiB").exits(0).passes("work");
    write_program(&says.path("agent.sh"), "#!/bin/sh\nhead -c 3000000 /dev/zero > file; echo done\n");
    assert_eq!(limited("1MiB").exits(110).fault("work").class, FaultClass::Limit, "what it writes does");
}

/// Twenty trials at once need some two hundred descriptors.
#[test]
fn few_descriptors_make_fewer_run_and_lose_no_trial() {
    let suite = suite("echo done; sleep 0.2", "");
    let mut command = suite.command("sh");
    let run = "ulimit -n 60; exec \"$0\" run --repeat-each 20 --jobs 20 --reporter human --reporter junit";
    command.args(["-c", run, host_binary()]).current_dir(suite.path(""));
    let run = suite.start_command(command).finish();
    run.exits(0);
    let lowered = |event: &&Event| matches!(&event.kind, EventKind::JobsLowered { reason, .. } if !reason.is_empty());
    let directory = suite.last_run().unwrap();
    let events = events_of(&directory);
    assert!(events.iter().any(|event| lowered(&event)), "{}", run.told());
    let short = events.iter().filter_map(|event| match &event.kind {
        EventKind::AttemptFinished { record, .. } => Some(&record.outcome),
        _ => None,
    });
    for outcome in short {
        let is_shortage = matches!(outcome, Outcome::Fault(fault) if fault.class == FaultClass::Resources);
        assert!(*outcome == Outcome::Pass || is_shortage, "{outcome:?}");
    }
    assert!(fs::read_to_string(directory.join("junit.xml")).unwrap().contains("tests=\"20\""));
    assert_eq!(suite.leftovers(), [""; 0]);
}

#[test]
fn the_github_report_does_not_contain_the_secret() {
    let suite = suite("echo $PLANTED", "credentials = [\"PLANTED\"]");
    let mut command = suite.host_command(&suite.path(""), ["run", "--reporter", "github"]);
    command.env("PLANTED", SECRET).env("GITHUB_ACTIONS", "true");
    let run = suite.start_command(command).finish();
    run.exits(0);
    assert!(!run.told().contains(SECRET), "{}", run.told());
}

fn walk(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found
                .push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned())),
        }
    }
    found
}

/// What each kind of agent prints when its model ends the turn with nothing.
const WITHOUT_A_WORD: [(&str, &str); 5] = [
    (
        "claude",
        r#"echo '{"type":"system","subtype":"init","session_id":"s"}'
           echo '{"type":"result","subtype":"success","is_error":false,"result":""}'"#,
    ),
    (
        "codex",
        r#"echo '{"type":"thread.started","thread_id":"t"}'
           echo '{"type":"item.completed","item":{"id":"1","type":"agent_message","text":""}}'
           echo '{"type":"turn.completed","usage":{}}'"#,
    ),
    (
        "pi",
        r#"echo '{"type":"session","id":"s"}'
           echo '{"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"stop"}}'
           echo '{"type":"agent_settled"}'"#,
    ),
    (
        "acp",
        r#"while read -r line; do case $line in
           *'"initialize"'*) echo '{"id":0,"result":{"protocolVersion":1}}' ;;
           *'"session/new"'*) echo '{"id":1,"result":{"sessionId":"s"}}' ;;
           *'"session/prompt"'*) echo '{"id":2,"result":{"stopReason":"end_turn"}}' ;;
           esac; done"#,
    ),
    ("command", "true"),
];

#[test]
fn an_empty_turn_is_reported_the_same_for_all_kinds() {
    for (kind, script) in WITHOUT_A_WORD {
        let suite = suite(script, "");
        let toml = fs::read_to_string(suite.path("scenarios/suite.toml")).unwrap();
        suite.file("scenarios/suite.toml", toml.replace("kind = \"command\"", &format!("kind = \"{kind}\"")));
        for name in ["work", "again", "more", "last"] {
            let toml = "plugin = \"work.wasm\"\n[session]\nprompt = \"go\"\n[grants]\nsession = true\n";
            suite.scenario(name, toml);
        }
        let run = suite.host(["run"]);
        for name in ["work", "again", "more", "last"] {
            assert_eq!(*run.verdict(name), Verdict::Pass, "{kind}: {}", run.told());
        }
        let events = fs::read_to_string(suite.last_run().unwrap().join("events.jsonl")).unwrap();
        let note = "session 1, turn 1: the agent ended its turn without a message or a tool call";
        assert_eq!(events.matches(note).count(), 4, "{kind}");
    }
}

#[test]
fn a_scenarios_programs_come_first_on_the_path() {
    let script = "tool; cat \"$SEEN\" && echo was read";
    for (lane, reads) in [("", false), ("allow-read = [\"shared\"]", true), ("confinement = \"none\"", true)] {
        let suite = suite(script, lane);
        suite.file("shared/seen", "words\n");
        let toml = fs::read_to_string(suite.path("scenarios/suite.toml")).unwrap();
        let seen = suite.path("shared/seen");
        suite.file("scenarios/suite.toml", format!("{toml}env = {{ SEEN = {:?} }}\n", seen.display().to_string()));
        fs::create_dir(suite.path("scenarios/work/bin")).unwrap();
        write_program(&suite.path("scenarios/work/bin/tool"), "#!/bin/sh\necho the tool of the scenario\n");
        let run = suite.host(["run"]);
        let stream = fs::read_to_string(suite.last_run().unwrap().join("mine/work/attempt-1/session-1/stream.jsonl"));
        let stream = stream.unwrap_or_else(|error| panic!("{error}: {}", run.told()));
        assert!(stream.starts_with("the tool of the scenario\n"), "{stream}");
        let reads = reads || kernel::lacks(kernel::FILES);
        assert_eq!(stream.contains("was read"), reads, "{lane}: {stream}");
        assert_eq!(suite.leftovers(), [""; 0]);
    }
}

/// The shim of the author's guide, for `cat`.
const SHIM: &str = "#!/bin/sh\nprintf 'cat %s\\n' \"$*\" >>\"$HOST_AGENT_CONFIG_DIR/commands.log\"\n\
                    PATH=${PATH#*:} exec cat \"$@\"\n";

#[test]
fn a_shim_logs_outside_of_the_root_and_passes_the_call_on() {
    let suite = suite("echo words >file; cat file; cat nowhere; exit 0", "");
    fs::create_dir(suite.path("scenarios/work/bin")).unwrap();
    write_program(&suite.path("scenarios/work/bin/cat"), SHIM);
    let run = suite.host(["run"]);
    run.exits(0);
    let attempt = suite.last_run().unwrap().join("mine/work/attempt-1");
    let read = |file: &str| fs::read_to_string(attempt.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(read("config/commands.log"), "cat file\ncat nowhere\n");
    assert_eq!(read("session-1/stream.jsonl"), "words\n");
    assert!(!read("root.diff").contains("commands.log"));
}

#[test]
fn a_check_finds_what_a_lane_lacks() {
    for (lane, told) in [
        ("version = \">=2\"", "has the version 1.2.3, but the lane requires `>=2`"),
        ("allow-read = [\"nowhere\"]", "nowhere (`allow-read`) does not exist"),
        ("config = \"nowhere\"", "the folder nowhere (`config` of the lane) does not exist"),
        ("credentials = [\"SHORT\"]", "the value of `SHORT` has fewer than 8 characters"),
        ("env = { MY_API_KEY = \"x\" }", "`env` sets `MY_API_KEY`, which looks like a secret"),
    ] {
        let suite = suite("[ \"$1\" = --version ] && echo agent 1.2.3", lane);
        let mut command = suite.host_command(&suite.path(""), ["check"]);
        command.env("SHORT", "abc");
        let check = suite.start_command(command).finish();
        assert!(check.stderr.contains("the lane `mine`: ") && check.stderr.contains(told), "{}", check.told());
    }
    let suite = suite("echo ok", "version = \"*\"");
    fs::remove_file(suite.path("agent.sh")).unwrap();
    let check = suite.host(["check"]);
    check.exits(96);
    let says = "agent.sh does not exist\nhelp: install the agent there";
    assert!(check.stderr.contains(says), "{}", check.told());
}

#[test]
fn a_live_check_tries_a_turn() {
    let answers = suite("cat; echo ok", "");
    let check = answers.host(["check", "--live"]);
    check.exits(0);
    assert!(check.stdout.contains("answered in "), "{}", check.told());
    let breaks = suite("exit 3", "");
    let check = breaks.host(["check", "--live"]);
    check.exits(96);
    assert!(
        check.stderr.contains("a test turn failed after") && check.stderr.contains("exit code 3"),
        "{}",
        check.told()
    );
    assert_eq!(breaks.leftovers(), [""; 0]);
}

#[test]
fn a_live_check_that_is_interrupted_leaves_neither_the_agent_nor_its_login() {
    let hangs = suite("echo up >&2; sleep 600", "credentials = [{ file = \"login\", to = \"login\" }]");
    hangs.file("login", "a login of the user\n");
    let command = hangs.host_command(&hangs.path(""), ["check", "--live", "--lane", "mine"]);
    let check = hangs.start_command(command);
    assert!(wait_until(|| hangs.living().iter().any(|process| process.contains("sleep 600"))), "it has started");
    check.signal(rustix::process::Signal::INT);
    let check = check.finish();
    check.exits(130);
    assert_eq!(hangs.leftovers(), [""; 0], "{}", check.told());
}

#[test]
fn a_provider_whose_port_is_not_listed_is_warned_of() {
    let claude = "[lane.claude]\nkind = \"claude\"\ncommand = \"./agent.sh\"\nbase-url = \"http://127.0.0.1:18080\"\n";
    for (ports, warns) in [("allow-connect = [443]", true), ("allow-connect = \"any\"", false), ("", false)] {
        let suite = suite("echo 1.2.3", &format!("{claude}{ports}"));
        let check = suite.host(["check", "--lane", "claude"]);
        assert_eq!(check.stderr.contains("`allow-connect` does not include 18080"), warns, "{ports}: {}", check.told());
    }
}

#[test]
fn a_check_can_be_limited_to_lanes() {
    let suite = suite("echo ok", "allow-connect = [1]\n[lane.other]\nkind = \"claude\"\ncommand = \"/nowhere/claude\"");
    suite.host(["check"]).exits(96);
    let check = suite.host(["check", "--lane", "mine"]);
    check.exits(0);
    assert!(!check.told().contains("/nowhere"), "{}", check.told());
}

#[test]
fn a_timeout_mentions_a_waiting_provider() {
    let suite = Suite::new();
    suite.file("work.wasm", plain_module("", ""));
    let limits = "timeout = \"2s\"\nidle-timeout = \"1m\"\nbackoff-timeout = \"1m\"\nretries = 0\n";
    let session = "[session]\nprompt = \"go\"\n[grants]\nsession = true\n";
    suite.scenario("work", &format!("plugin = \"work.wasm\"\n{limits}{session}"));
    let steps = "[[step]]\nback-off = \"401: no such key\"\ndelay = \"1s\"\n[[step]]\nfault = \"stall\"\n";
    suite.file(
        "scenarios/work/agents/right.toml",
        format!("summary = \"s\"\nexpect = {{ verdict = \"pass\" }}\n{steps}"),
    );
    let run = suite.host(["run"]);
    let fault = run.fault("work");
    assert_eq!(fault.class, FaultClass::Timeout, "{fault}");
    assert!(fault.message.contains("waiting for its provider: 401: no such key"), "{fault}");
}

#[test]
fn the_shown_configuration_can_be_used_as_a_suite() {
    let lane =
        "model = \"m\"\ncredentials = [\"KEY\", { file = \"auth.json\", to = \"auth.json\" }]\nallow-connect = [443]";
    let suite = suite("echo", lane);
    let shown = suite.host(["run", "--show-config"]);
    shown.exits(0);
    for row in
        ["model = \"m\"", "credentials = [\"KEY\", { file = ", "allow-connect = [443]", "confinement = \"landlock\""]
    {
        assert!(shown.stdout.contains(row), "{row}: {}", shown.told());
    }
    suite.file("scenarios/suite.toml", &shown.stdout);
    let again = suite.host(["run", "--show-config"]);
    let rows = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split("  # ").next().unwrap().to_owned())
            .filter(|it| !it.starts_with('#'))
            .collect()
    };
    assert_eq!(rows(&again.stdout), rows(&shown.stdout));
}

/// Gives the scenario a program of its own.
fn add_stub(suite: &Suite, name: &str) {
    fs::create_dir_all(suite.path("scenarios/work/bin")).unwrap();
    let text = "#!/bin/sh\necho \"stub has a key of ${#PLANTED} bytes\"\n";
    write_program(&suite.path("scenarios/work/bin").join(name), text);
}

fn with_secret(suite: &Suite, command: &str) -> host_testing::Finished {
    let mut command = suite.host_command(&suite.path(""), [command]);
    command.env("PLANTED", SECRET);
    suite.start_command(command).finish()
}

#[test]
fn no_stub_runs_as_the_interpreter_of_an_agent() {
    let suite = suite("", "credentials = [\"PLANTED\"]");
    add_stub(&suite, "sh");
    add_stub(&suite, "env");
    std::os::unix::fs::symlink("/usr/bin/env", suite.path("other-env")).unwrap();
    let other = format!("{} -Ssh", suite.path("other-env").display());
    for first in [
        "/usr/bin/env sh",
        "/usr/bin/env -S sh -e",
        "/bin/env -iS A=1 sh",
        "/usr/bin/env -S PATH=/usr/bin:/bin sh",
        &other,
    ] {
        write_program(&suite.path("agent.sh"), &format!("#!{first}\necho agent ran\n"));
        with_secret(&suite, "run").exits(0);
        let path = suite.last_run().unwrap().join("mine/work/attempt-1/session-1/final-message.txt");
        assert_eq!(fs::read_to_string(path).unwrap(), "agent ran", "{first}");
    }
}

#[test]
fn a_stub_that_a_wrapper_would_take_for_the_agent_is_refused() {
    let suite = suite("exec node agent.js", "credentials = [\"PLANTED\"]");
    add_stub(&suite, "node");
    for command in ["run", "check"] {
        let refused = with_secret(&suite, command);
        refused.exits(96);
        let place = suite.path("scenarios/work/bin/node");
        let says = format!("the lane `mine`: {} could run instead of the agent", place.display());
        assert!(refused.stderr.contains(&says) && refused.stderr.contains("help: "), "{}", refused.told());
    }
    assert!(suite.last_run().is_none(), "nothing was started");
}

#[test]
fn a_check_names_an_interpreter_that_is_missing_or_misspelled() {
    for (content, says) in [
        ("#!/usr/bin/no-such-node\n", "agent.sh needs `/usr/bin/no-such-node`"),
        ("#!/usr/bin/env no-such-node\n", "agent.sh needs `no-such-node`"),
        ("#!/bin/sh\r\n", "ends in a carriage return"),
        ("#!/usr/bin/env sh\r\n", "ends in a carriage return"),
        ("#!bin/sh\n", "without an absolute path"),
        ("", "agent.sh is empty"),
    ] {
        let suite = suite("", "");
        fs::write(suite.path("agent.sh"), content).unwrap();
        let check = suite.host(["check"]);
        check.exits(96);
        assert!(check.stderr.contains(says), "{content:?}: {}", check.told());
        let run = suite.host(["run"]);
        let fault = run.fault("work");
        assert!(fault.class == FaultClass::Launch && fault.message.contains(says), "{fault}");
    }
}

#[test]
fn a_version_by_the_calendar_is_compared() {
    let script = "[ \"$1\" = --version ] && echo 2025.09.18-7ae6800 >&2; echo done";
    let meets = suite(script, "version = \">=2025.09.01\"");
    let check = meets.host(["check"]);
    check.exits(0);
    assert!(check.stdout.contains("version 2025.09.18-7ae6800"), "{}", check.told());
    let fails = suite(script, "version = \">=2025.10\"");
    let check = fails.host(["check"]);
    check.exits(96);
    let says = "has the version 2025.09.18-7ae6800, but the lane requires `>=2025.10`";
    assert!(check.stderr.contains(says), "{}", check.told());
}

#[test]
fn an_agent_does_not_see_the_directories_of_other_attempts() {
    if !kernel::runs("unshare --mount sh -c 'mount --make-rslave / && mount -t tmpfs none /mnt'") {
        return;
    }
    let script = "touch begun; until [ -e go ]; do sleep 0.02; done; \
                  for other in $(cat go); do stat $other >/dev/null && echo seen; chmod 700 $other && echo changed; done; \
                  stat -c 'workspace %i' ../../..; pwd; touch ../tmp/file";
    let suite = suite(script, "");
    suite.file("scenarios/work/root/file", "x");
    let host = suite.start(["run"]);
    let within = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let root =
        || within(suite.tmp()).flat_map(within).map(|slot| slot.join("a0/root")).find(|it| it.join("begun").exists());
    assert!(wait_until(|| root().is_some()));
    let root = root().unwrap();
    let slot = root.ancestors().nth(2).unwrap();
    let workspace = slot.parent().unwrap().to_owned();
    let others: Vec<String> =
        within(workspace.clone()).filter(|path| path != slot).map(|path| path.display().to_string()).collect();
    assert!(others.len() > 1, "the claim and the snapshots: {others:?}");
    let inode = fs::metadata(&workspace).unwrap().ino();
    fs::write(root.join("go.new"), others.join("\n")).unwrap();
    fs::rename(root.join("go.new"), root.join("go")).unwrap();
    host.finish().exits(0).passes("work");
    let stream = suite.last_run().unwrap().join("mine/work/attempt-1/session-1/stream.jsonl");
    let stream = fs::read_to_string(stream).unwrap();
    assert!(!stream.contains("seen") && !stream.contains("changed"), "{stream}");
    assert!(stream.contains("workspace ") && !stream.contains(&format!("workspace {inode}\n")), "{stream}");
    assert!(stream.contains(&root.display().to_string()), "{stream}");
    assert_eq!(suite.leftovers(), [""; 0]);
}

//! Lanes of agents that are programs of their own, with programs made up for each test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use host_agents::{HostProgram, LaneKind, Protection, Session, SessionSpec, VersionProblem, create_lane, version};
use host_model::{AgentSettings, Confinement, ConfinementMode, Credential, Fault, FaultClass, SessionEventKind};
use host_testing::{
    fixture, has_test_to_itself, host_binary,
    session::{Attempt, NO_GRACE, all_events, kernel, within, write_program},
};

fn host_program() -> HostProgram {
    HostProgram::at(host_binary())
}

/// A lane that runs `script` as the program of an agent of `kind`.
fn settings(attempt: &Attempt, kind: LaneKind, script: &str) -> AgentSettings {
    let mut settings = AgentSettings::new(kind);
    settings.command = Some(program(&attempt.path("agent"), script).display().to_string());
    settings
}

fn program(path: &Path, script: &str) -> PathBuf {
    write_program(path, &format!("#!/bin/sh\n{script}\n"))
}

/// Confined as by default; the recorded streams can be read too.
async fn start(settings: &AgentSettings, spec: SessionSpec) -> Result<Box<dyn Session>, Fault> {
    let streams = fixture("streams");
    let guard = Protection { confinement: Confinement::default().and([], [streams]), ..Protection::default() };
    within(30, create_lane(settings, host_program(), guard).start(spec)).await
}

fn recorded(path: &str) -> String {
    let file = fixture("streams").join(path);
    assert!(file.is_file(), "{}", file.display());
    file.display().to_string()
}

#[tokio::test]
async fn a_command_gets_its_prompt_on_stdin_and_its_output_is_the_message() {
    let attempt = Attempt::new("");
    let settings = settings(&attempt, LaneKind::Command, "cat; echo; echo done; pwd > where; echo noise >&2");
    let mut session = start(&settings, attempt.spec()).await.unwrap();
    let (events, fault) = within(30, all_events(&mut *session)).await;
    assert_eq!(fault, None);
    let raw = |line: &str| SessionEventKind::Raw { line: line.into() };
    let message = SessionEventKind::Message { text: "do it\ndone".into() };
    assert_eq!(events, [raw("do it"), raw("done"), message]);
    let conclusion = within(30, session.conclude()).await.unwrap();
    assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("do it\ndone", 1));
    assert!(conclusion.usage.is_unknown(), "nothing is known, which is not zero");
    assert_eq!(attempt.read("root/where").trim(), attempt.path("root").display().to_string());
    assert_eq!(attempt.read("record/stderr.txt"), "noise\n");
}

#[tokio::test]
async fn a_command_that_fails_or_is_sent_more_is_a_fault() {
    let attempt = Attempt::new("");
    let mut lane = settings(&attempt, LaneKind::Command, "echo begun; echo why >&2; exit 3");
    let mut session = start(&lane, attempt.spec()).await.unwrap();
    let fault = within(30, session.conclude()).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Crash);
    assert!(fault.message.contains("exit code 3") && fault.message.contains("why"), "{fault}");

    let attempt = Attempt::new("");
    lane.command = Some(program(&attempt.path("agent"), "cat \"$1\"").display().to_string());
    lane.args = vec!["{prompt-file}".into()];
    let mut session = start(&lane, attempt.spec()).await.unwrap();
    let fault = within(30, session.send("more".into())).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Protocol);
    assert!(fault.message.contains("one turn per session"), "{fault}");
    assert_eq!(attempt.read("record/final-message.txt"), "do it");
    within(30, session.end(NO_GRACE)).await.unwrap();
}

/// Runs this very test again, within an outer agent and CI.
#[tokio::test]
async fn no_marker_of_an_outer_agent_or_ci_reaches_an_agent() {
    const MARKERS: [&str; 12] = [
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "CODEX_SANDBOX",
        "PI_CODING_AGENT",
        "AI_AGENT",
        "GITHUB_ACTIONS",
        "GITHUB_TOKEN",
        "RUNNER_TEMP",
        "CI",
        "SSH_AUTH_SOCK",
    ];
    let leak = |command: &mut Command| {
        command.envs(MARKERS.map(|marker| (marker, "leaked")));
    };
    if !has_test_to_itself(module_path!(), "no_marker_of_an_outer_agent_or_ci_reaches_an_agent", leak) {
        return;
    }
    assert_eq!(std::env::var("GITHUB_TOKEN").as_deref(), Ok("leaked"));
    for kind in [LaneKind::Claude, LaneKind::Codex, LaneKind::Pi, LaneKind::Command] {
        let attempt = Attempt::new("");
        let mut session = start(&settings(&attempt, kind, "env > environment"), attempt.spec()).await.unwrap();
        // All but `command` are in want of a stream.
        drop(within(30, session.conclude()).await);
        let environment = attempt.read("root/environment");
        assert!(!environment.contains("leaked"), "{kind}: {environment}");
        assert!(environment.contains(&format!("HOME={}\n", attempt.path("home").display())), "{kind}: {environment}");
    }
}

#[tokio::test]
async fn a_second_turn_goes_on_with_the_agents_own_session() {
    let id = "42c117b9-bb54-4e5b-8a83-6fd3e29e52ec";
    let codex = "01a2063d-36ee-7251-bb73-8cbca70c4ae3";
    let pi = "01a2063d-62db-7577-9044-dc28f4ffd7fb";
    for (kind, folder, resumed) in [
        (LaneKind::Claude, "claude/2.1.330", format!("--resume {id}")),
        (LaneKind::Codex, "codex/0.169.0", format!("features.plugins=false {codex}")),
        (LaneKind::Pi, "pi/0.87.1", format!("--session {pi}")),
    ] {
        let attempt = Attempt::new("");
        let (first, second) = (recorded(&format!("{folder}/turn.jsonl")), recorded(&format!("{folder}/turn-2.jsonl")));
        let script =
            format!("echo \"$*\" >> asked\nif [ -e again ]; then cat {second}; else cat {first}; fi\ntouch again");
        let mut session = start(&settings(&attempt, kind, &script), attempt.spec()).await.unwrap();
        within(30, session.send("go on".into())).await.unwrap();
        let (events, fault) = within(30, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{kind}");
        assert!(events.contains(&SessionEventKind::Message { text: "second".into() }), "{kind}: {events:?}");
        let conclusion = within(30, session.conclude()).await.unwrap();
        assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("second", 2), "{kind}");
        assert_eq!(conclusion.usage.input_tokens, Some(400), "{kind}: of both turns");
        let asked = attempt.read("root/asked");
        let lines: Vec<&str> = asked.lines().collect();
        let mark = if kind == LaneKind::Pi { "" } else { "-- " };
        assert!(lines[0].ends_with(&format!("{mark}do it")) && !lines[0].contains(&resumed), "{kind}: {asked}");
        assert!(lines[1].ends_with(&format!("{mark}go on")) && lines[1].contains(&resumed), "{kind}: {asked}");
        let every_line = fs::read(&first).unwrap().into_iter().chain(fs::read(&second).unwrap());
        assert_eq!(attempt.read("record/stream.jsonl").into_bytes(), every_line.collect::<Vec<_>>(), "nothing is lost");
    }
}

#[tokio::test]
async fn how_an_agent_breaks_decides_the_class() {
    let stream = recorded("claude/2.1.330/turn.jsonl");
    for (script, class, says) in [
        ("echo 'unknown option' >&2; exit 1".to_owned(), FaultClass::Launch, "unknown option"),
        (format!("head -1 {stream}; exit 1"), FaultClass::Launch, "exit code 1"),
        (format!("head -2 {stream}; exit 1"), FaultClass::Crash, "exit code 1"),
        (format!("head -1 {stream}; kill -9 $$"), FaultClass::Crash, "SIGKILL"),
        (format!("head -2 {stream}"), FaultClass::Crash, "without finishing its turn"),
        (format!("head -c -9 {stream}"), FaultClass::Crash, "without finishing its turn"),
        (
            format!("cat {stream}; echo why >&2; exit 3"),
            FaultClass::Crash,
            "after it had finished its turn: exit code 3",
        ),
        (format!("cat {stream}; kill -9 $$"), FaultClass::Crash, "after it had finished its turn: killed by signal 9"),
        (format!("cat {}; exit 1", recorded("claude/2.1.330/http-401.jsonl")), FaultClass::Launch, "401"),
        (format!("cat {}; exit 1", recorded("claude/2.1.330/http-529.jsonl")), FaultClass::Overload, "529"),
    ] {
        let attempt = Attempt::new("");
        let mut session = start(&settings(&attempt, LaneKind::Claude, &script), attempt.spec()).await.unwrap();
        let fault = within(30, session.conclude()).await.unwrap_err();
        assert_eq!(fault.class, class, "{script}: {fault}");
        assert!(fault.message.contains(says), "{script}: {fault}");
    }
}

#[tokio::test]
async fn unknown_lines_are_harmless_and_hangs_are_ended() {
    for (kind, stream) in [
        (LaneKind::Claude, "claude/2.1.330/turn.jsonl"),
        (LaneKind::Codex, "codex/0.169.0/turn.jsonl"),
        (LaneKind::Pi, "pi/0.87.1/turn.jsonl"),
    ] {
        let stream = recorded(stream);
        let future = r#"{"type":"a_type_of_the_future","subtype":"x"}"#;
        let script = format!(
            "echo '}} garbage {{'; echo; echo 7; echo '{future}'; cat {stream} | sed 's/$/\r/'\n\
             echo '{future}'; printf '{{\"type\":\"half'; exec sleep 1000"
        );
        let attempt = Attempt::new("");
        let mut spec = attempt.spec();
        spec.limits.exit_grace = Duration::from_millis(200);
        let mut session = start(&settings(&attempt, kind, &script), spec).await.unwrap();
        let (events, fault) = within(30, all_events(&mut *session)).await;
        assert_eq!(fault, None, "{kind}: {events:?}");
        for raw in ["} garbage {", "7", future] {
            assert!(events.contains(&SessionEventKind::Raw { line: raw.into() }), "{kind}: {raw}: {events:?}");
        }
        let conclusion = within(30, session.conclude()).await.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        assert!(!conclusion.final_message.is_empty(), "{kind}");
        assert!(attempt.read("record/stream.jsonl").ends_with("{\"type\":\"half"), "{kind}: nothing is lost");
    }
}

#[tokio::test]
async fn no_line_loses_a_session() {
    let xs = "head -c 3000000 /dev/zero | tr '\\0' x";
    let nest = "head -c 100000 /dev/zero | tr '\\0' '['";
    for (kind, stream, end) in [
        (
            LaneKind::Claude,
            "claude/2.1.330/turn.jsonl",
            r#""type":"result","subtype":"success","is_error":false,"result":"late"}"#,
        ),
        (LaneKind::Codex, "codex/0.169.0/turn.jsonl", r#""type":"turn.completed","usage":{"input_tokens":9}}"#),
        (LaneKind::Pi, "pi/0.87.1/turn.jsonl", r#""type":"agent_settled"}"#),
    ] {
        for odd in [
            format!("printf '{{\"permission_denials\":[\"'; {xs}; printf '\"],'"),
            format!("printf '\\357\\273\\277\\033]0;title\\007{{\"deep\":'; {nest}; {nest} | tr '[' ']'; printf ','"),
            r#"printf '%s' '{"half":"\ud83d","many":1e999,"many":[NaN,-0,],"type":"first",'"#.to_owned(),
            "printf '{\"bytes\":\"\\377\\376\\000\",'".to_owned(),
        ] {
            // All but the end of the turn, and then the end in an odd line.
            let marks = "subtype\":\"success\\|turn.completed\\|agent_settled";
            let script = format!("grep -v '{marks}' {}; {odd}; printf '%s' '{end}'; sleep 0.1", recorded(stream));
            let attempt = Attempt::new("");
            let mut session = start(&settings(&attempt, kind, &script), attempt.spec()).await.unwrap();
            let conclusion =
                within(60, session.conclude()).await.unwrap_or_else(|fault| panic!("{kind} {odd}: {fault}"));
            assert!(!conclusion.final_message.is_empty(), "{kind} {odd}");
        }
    }
}

#[tokio::test]
async fn a_lanes_missing_requirements_are_reported_before_the_run() {
    let attempt = Attempt::new("");
    let fine = settings(&attempt, LaneKind::Claude, "touch ran; echo 1.0.0");
    let with = |change: fn(&mut AgentSettings)| {
        let mut settings = fine.clone();
        change(&mut settings);
        settings
    };
    for (settings, says) in [
        (with(|it| it.command = Some("no-such-agent".into())), "install the agent"),
        (with(|it| it.credentials = vec![Credential::Variable("NO_SUCH_KEY".into())]), "`NO_SUCH_KEY`"),
        (with(|it| drop(it.env.insert("HOME".into(), "/root".into()))), "`HOME` is set by the host"),
        (with(|it| it.config_seed = Some("/nowhere/seeds".into())), "/nowhere/seeds"),
        (with(|it| it.version = Some(">=2".into())), "has the version 1.0.0, but the lane requires `>=2`"),
    ] {
        let fault = start(&settings, attempt.spec()).await.err().unwrap();
        assert_eq!(fault.class, FaultClass::Launch, "{fault}");
        assert!(fault.message.contains(says), "{fault}");
    }
    assert!(!attempt.path("root/ran").exists());
}

#[tokio::test]
async fn the_agents_version_is_compared() {
    let attempt = Attempt::new("");
    let mut settings =
        settings(&attempt, LaneKind::Codex, "[ $# = 1 ] && [ \"$1\" = --version ] && echo codex-cli 0.169.0");
    settings.version = Some(">=0.160, <0.170".into());
    let found = within(30, version(&settings, host_program(), &Confinement::default())).await.unwrap();
    assert_eq!(found.version, "0.169.0");
    settings.version = Some(">=0.170".into());
    let problem = within(30, version(&settings, host_program(), &Confinement::default())).await.unwrap_err();
    assert!(matches!(problem, VersionProblem::NotMet { .. }), "{problem}");
    for (script, says) in
        [("echo hello", "printed no version: `hello`"), ("echo boom >&2; exit 4", "exit code 4; boom")]
    {
        program(&attempt.path("agent"), script);
        let problem =
            within(30, version(&settings, host_program(), &Confinement::default())).await.unwrap_err().to_string();
        assert!(problem.contains(says), "{problem}");
    }
}

#[tokio::test]
async fn a_scenarios_programs_come_first_but_never_in_the_agents_place() {
    let attempt = Attempt::new("");
    for folder in ["bin", "path"] {
        fs::create_dir(attempt.path(folder)).unwrap();
        program(&attempt.path(&format!("{folder}/tool")), &format!("echo the tool of {folder}"));
    }
    program(&attempt.path("bin/agent-of-mine"), "echo hijacked");
    program(&attempt.path("path/agent-of-mine"), "tool");
    let mut settings = AgentSettings::new(LaneKind::Command);
    settings.command = Some("agent-of-mine".into());
    settings.path = vec![attempt.path("path")];
    let mut spec = attempt.spec();
    spec.bin = Some(attempt.path("bin"));
    let mut session = start(&settings, spec).await.unwrap();
    assert_eq!(within(30, session.conclude()).await.unwrap().final_message, "the tool of bin");
}

/// Another agent of the attempt may swap the file between the host's writing and the supervisor's opening it.
#[tokio::test]
async fn a_prompt_replaced_by_a_link_is_not_followed() {
    if kernel::lacks(kernel::FILES) {
        return;
    }
    let away = tempfile::tempdir().unwrap();
    fs::write(away.path().join("key"), "a key of the user").unwrap();
    for mode in [ConfinementMode::None, ConfinementMode::Landlock] {
        let attempt = Attempt::new("");
        let swap = format!(
            "#!/bin/sh\nfor file in {}/prompt-*; do ln -sf {}/key $file; done\nexec {} \"$@\"\n",
            attempt.path("tmp").display(),
            away.path().display(),
            host_binary()
        );
        let host = HostProgram::at(write_program(&attempt.path("host"), &swap));
        let guard = Protection { confinement: Confinement { mode, ..Confinement::default() }, ..Protection::default() };
        let lane = create_lane(&settings(&attempt, LaneKind::Command, "cat"), host, guard);
        match (within(30, lane.start(attempt.spec())).await, mode) {
            (Ok(mut session), ConfinementMode::None) => {
                assert_eq!(within(30, session.conclude()).await.unwrap().final_message, "a key of the user");
            }
            (started, _) => {
                let fault = started.err().unwrap();
                assert!(fault.class == FaultClass::Launch && fault.message.contains("ermission denied"), "{fault}");
            }
        }
    }
}

/// An agent that speaks ACP in a shell: it answers each prompt with its number, and asks for a permission first.
const ACP_AGENT: &str = r#"
update() { echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'"$1"'}}'; }
n=0
while read -r line; do
  echo "$line" >> asked
  id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case $line in
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":1}}' ;;
    *'"session/new"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"sessionId":"s"}}' ;;
    *'"session/prompt"'*)
      n=$((n + 1)); prompt=$id
      echo '{"jsonrpc":"2.0","id":"p","method":"session/request_permission","params":{"options":[{"optionId":"yes","kind":"allow_once"}]}}' ;;
    *'"optionId":"yes"'*)
      update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"answer "}}'
      update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'$n'"}}'
      echo '{"jsonrpc":"2.0","id":'$prompt',"result":{"stopReason":"end_turn","usage":{"totalTokens":12,"outputTokens":2}}}'
      [ $n = 3 ] && exit 0 ;;
  esac
done
echo closed > closed
"#;

#[tokio::test]
async fn one_process_takes_all_messages_of_an_acp_session() {
    let attempt = Attempt::new("");
    let mut spec = attempt.spec();
    // So that nobody asks it to leave before it does so, however busy the machine is.
    spec.limits.exit_grace = Duration::from_secs(80);
    let mut session = start(&settings(&attempt, LaneKind::Acp, ACP_AGENT), spec).await.unwrap();
    let (events, fault) = within(30, all_events(&mut *session)).await;
    assert_eq!(fault, None);
    assert!(matches!(&events[0], SessionEventKind::Started { session_id, .. } if session_id == "s"), "{events:?}");
    assert!(events.contains(&SessionEventKind::Message { text: "answer 1".into() }), "{events:?}");
    within(30, session.send("go \"on\"".into())).await.unwrap();
    let conclusion = within(30, session.conclude()).await.unwrap();
    assert_eq!((conclusion.final_message.as_str(), conclusion.turns), ("answer 2", 2));
    assert_eq!((conclusion.usage.input_tokens, conclusion.usage.output_tokens), (Some(20), Some(4)));
    assert_eq!(attempt.read("root/closed"), "closed\n", "it left when its standard input was closed");
    let asked = attempt.read("root/asked");
    assert!(asked.contains(&format!("\"cwd\":\"{}\"", attempt.path("root").display())), "{asked}");
    assert!(asked.contains(r#""text":"go \"on\"""#), "{asked}");
    let summary: serde_json::Value = serde_json::from_str(&attempt.read("record/session.json")).unwrap();
    assert_eq!(summary["turns"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_acp_agent_that_ends_or_is_killed_is_a_crash() {
    let attempt = Attempt::new("");
    let mut session = start(&settings(&attempt, LaneKind::Acp, ACP_AGENT), attempt.spec()).await.unwrap();
    for _ in 0..2 {
        within(30, session.send("more".into())).await.unwrap();
    }
    // It leaves after its third answer.
    let fault = match within(30, session.send("even more".into())).await {
        Err(fault) => fault,
        Ok(()) => within(30, session.conclude()).await.unwrap_err(),
    };
    assert_eq!(fault.class, FaultClass::Crash, "{fault}");

    let attempt = Attempt::new("");
    let mut session =
        start(&settings(&attempt, LaneKind::Acp, "read -r line; kill -9 $$"), attempt.spec()).await.unwrap();
    let fault = within(30, session.conclude()).await.unwrap_err();
    assert!(fault.class == FaultClass::Crash && fault.message.contains("SIGKILL"), "{fault}");

    let attempt = Attempt::new("");
    let refuses = r#"read -r line; echo '{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"log in"}}'; cat"#;
    let mut session = start(&settings(&attempt, LaneKind::Acp, refuses), attempt.spec()).await.unwrap();
    let fault = within(30, session.conclude()).await.unwrap_err();
    assert!(fault.class == FaultClass::Launch && fault.message.contains("log in"), "{fault}");
    assert_eq!(within(30, session.end(NO_GRACE)).await, Ok(Some(fault)));
}

use std::{ffi::OsString, fs, path::Path};

use super::*;

fn invocation(args: &[&str], message: &str, tmp: &Path) -> Invocation {
    let mut settings = AgentSettings::new(LaneKind::Command);
    settings.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    settings.model = Some("m".into());
    let request =
        TurnRequest { settings: &settings, turn: 1, message, conversation_id: None, tmp_dir: tmp, session_id: "s" };
    CommandProgram.invocation(&request).unwrap()
}

#[test]
fn the_prompt_is_an_argument_file_or_stdin() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("prompt-s.txt");
    let args = |given: &[&str]| -> Vec<OsString> { given.iter().map(OsString::from).collect() };

    let made = invocation(&["-m", "{model}", "--ask={prompt}!"], "do {prompt-file} {model}", tmp.path());
    assert_eq!(made, Invocation { args: args(&["-m", "m", "--ask=do {prompt-file} {model}!"]), stdin: None });
    assert!(!file.exists());

    let made = invocation(&["{prompt-file}", "{other}", "{"], "do it", tmp.path());
    assert_eq!(made, Invocation { args: args(&[file.to_str().unwrap(), "{other}", "{"]), stdin: None });
    assert_eq!(fs::read_to_string(&file).unwrap(), "do it");
    fs::remove_file(&file).unwrap();

    let made = invocation(&["run"], "do that", tmp.path());
    assert_eq!(made, Invocation { args: args(&["run"]), stdin: Some(file.clone()) });
    assert_eq!(fs::read_to_string(&file).unwrap(), "do that");
}

#[test]
fn the_prompt_file_does_not_follow_links() {
    let tmp = tempfile::tempdir().unwrap();
    let elsewhere = tmp.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, tmp.path().join("prompt-s.txt")).unwrap();
    let settings = AgentSettings::new(LaneKind::Command);
    let request = TurnRequest {
        settings: &settings,
        turn: 1,
        message: "x",
        conversation_id: None,
        tmp_dir: tmp.path(),
        session_id: "s",
    };
    let fault = CommandProgram.invocation(&request).unwrap_err();
    assert!(fault.class == FaultClass::Internal && fault.message.contains("prompt-s.txt"), "{fault}");
    assert!(!elsewhere.exists());
}

#[test]
fn a_second_message_is_a_fault() {
    let settings = AgentSettings::new(LaneKind::Command);
    let request = TurnRequest {
        settings: &settings,
        turn: 2,
        message: "more",
        conversation_id: None,
        tmp_dir: Path::new("/"),
        session_id: "s",
    };
    let fault = CommandProgram.invocation(&request).unwrap_err();
    assert_eq!(fault.class, FaultClass::Protocol);
    assert!(fault.message.contains("one turn"), "{fault}");
}

fn ended(lines: &[&str], exit: &AgentExit) -> Vec<ParsedLine> {
    let mut dialect = CommandDialect::default();
    for line in lines {
        assert_eq!(dialect.parse(line), [], "every line is raw");
    }
    dialect.process_exited(exit, "")
}

#[test]
fn stdout_is_the_final_message() {
    let finished = ParsedLine::Finished { stop_reason: "exit code 0".into() };
    let message = |text: &str| ParsedLine::Event(SessionEventKind::Message { text: text.into() });
    assert_eq!(ended(&["one", "", "two", ""], &AgentExit::Code(0)), [message("one\n\ntwo"), finished.clone()]);
    assert_eq!(ended(&[], &AgentExit::Code(0)), std::slice::from_ref(&finished));
    assert_eq!(ended(&["one"], &AgentExit::Code(1)), []);
    let long = "x".repeat(MAX_FINAL_MESSAGE / 2);
    assert_eq!(ended(&["first", &long, &long], &AgentExit::Code(0)), [message(&long), finished]);
}

//! A secret that a lane's agent was given, and gives away in every way it can.

use std::{fs, path::Path, sync::Arc};

use host_agents::{Observer, Protection};
use host_model::{Conclusion, Fault, Redactor, SessionEventKind};
use host_testing::{host_binary, session::*};
use tokio::sync::mpsc;

const KEY: &str = "sk-live-0123456789abcdefghijklmnopqrstuv";
const PHRASE: &str = "a \"pass\\phrase\"/with é";

/// What a session says that ends well or not, and what its observer was told.
async fn run(attempt: &Attempt) -> (Vec<SessionEventKind>, Vec<SessionEventKind>, Result<Conclusion, Fault>) {
    let redactor = Redactor::new([KEY.to_owned(), PHRASE.to_owned()]).unwrap();
    let (observer, mut observed) = mpsc::channel(256);
    let mut spec = attempt.spec();
    spec.observer = Some(Observer::new(observer, Arc::default()));
    let guard = Protection { redactor, ..Protection::default() };
    let mut session = start_guarded(host_binary(), spec, guard).await.unwrap();
    let (events, _) = within(10, all_events(&mut *session)).await;
    let concluded = session.conclude().await;
    drop(session.end(NO_GRACE).await);
    drop(session);
    let mut told = Vec::new();
    while let Some(event) = observed.recv().await {
        told.push(event.kind);
    }
    (events, told, concluded)
}

/// Neither of the secrets, nor twelve characters of the key in a row.
#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    let phrase = serde_json::to_string(PHRASE).unwrap();
    let phrases = [PHRASE.as_bytes(), phrase.trim_matches('"').as_bytes()];
    for part in KEY.as_bytes().windows(12).chain(phrases) {
        let found = bytes.windows(part.len()).any(|window| window == part);
        assert!(!found, "{what} has {}:\n{}", String::from_utf8_lossy(part), String::from_utf8_lossy(bytes));
    }
}

#[track_caller]
fn assert_record_is_clean(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
    }
}

#[tokio::test]
async fn a_printed_secret_is_in_no_event_or_record() {
    let message = |text: &str| format!("{{\"type\":\"message\",\"text\":{}}}", serde_json::to_string(text).unwrap());
    let raw = |line: &str| format!("[[step]]\nraw = '''{line}'''\n");
    let steps = [
        raw(&format!("whole: {KEY} {PHRASE}")),
        raw(&format!("wrapped: {}\n{}", &KEY[..7], &KEY[7..])),
        raw(&message(&format!("split: {}", &KEY[..20]))),
        raw(&message(&KEY[20..])),
        raw(&format!("{{\"a\":\"p\\u0061ss a \\\"pass\\\\\\\\phrase\\\"\\/with \\u00e9 {KEY}\"}}")),
        shell(&format!("echo {KEY}; echo {KEY} >&2; echo {KEY} > file")),
        raw(&message(&format!("the last: {KEY}, {PHRASE}"))),
        format!("[[step]]\nraw = '''{{\"type\":\"finished\",\"stop-reason\":\"{KEY}\"}}'''\n"),
    ];
    let attempt = Attempt::new(&steps.concat());
    let (events, told, concluded) = run(&attempt).await;
    assert_eq!(events, told);
    assert_clean("an event", serde_json::to_string(&events).unwrap().as_bytes());
    let concluded = concluded.unwrap();
    assert_eq!((concluded.final_message.as_str(), concluded.stop_reason.as_str()), ("the last: ***, ***", "***"));
    assert_record_is_clean(&attempt.path("record"));
    let stream = attempt.read("record/stream.jsonl");
    assert!(stream.contains("whole: *** ***\nwrapped: ***\n") && stream.contains("\"split: ***\""), "{stream}");
    assert!(stream.lines().last().unwrap().contains("\"finished\""), "nothing is held back for ever: {stream}");
    assert!(attempt.read("root/file").contains(KEY), "its own files are its own");
}

#[tokio::test]
async fn a_secret_is_in_no_fault() {
    for (fault, class) in [
        (format!("[[step]]\nfault = \"crash\"\ntext = \"{KEY}\"\n"), "crash"),
        (
            format!("[[step]]\nraw = '''{{\"type\":\"error\",\"class\":\"unauthorized\",\"message\":\"{KEY}\"}}'''\n"),
            "launch",
        ),
    ] {
        let attempt = Attempt::new(&fault);
        let fault = run(&attempt).await.2.unwrap_err();
        assert!(fault.class.as_str() == class && fault.message.contains("***"), "{fault}");
        assert_clean("the fault", fault.message.as_bytes());
        assert_record_is_clean(&attempt.path("record"));
    }
}

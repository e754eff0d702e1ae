use std::fs;

use tokio::sync::mpsc;

use super::*;
use crate::{Observer, lane::SessionLimits};
use host_model::{REPLAY_SCHEMA, SessionEventKind, Usage};

/// The record of an attempt, and the trees that were restored.
struct Recorded {
    dir: tempfile::TempDir,
    restored: Arc<Mutex<Vec<String>>>,
}

fn tree(number: u32) -> RecordedTree {
    RecordedTree::Kept { number, bytes: 10 }
}

fn event(text: &str) -> ReplayStep {
    ReplayStep::Event(SessionEvent { at_ms: 5, kind: SessionEventKind::Message { text: text.into() } })
}

fn start() -> ReplayStep {
    ReplayStep::Start { schema: REPLAY_SCHEMA, prompt: "go".into() }
}

fn turn_end(number: u32) -> ReplayStep {
    ReplayStep::TurnEnd { tree: tree(number) }
}

fn send(message: &str) -> ReplayStep {
    ReplayStep::Send { message: message.into() }
}

fn conclusion() -> Conclusion {
    Conclusion {
        final_message: "bye".into(),
        stop_reason: "end-turn".into(),
        turns: 1,
        usage: Usage::default(),
        duration: Duration::from_millis(77),
    }
}

fn concluded(number: u32) -> ReplayStep {
    ReplayStep::concluded(&conclusion(), tree(number))
}

fn broke(call: &str) -> ReplayStep {
    ReplayStep::Fault { call: call.into(), fault: Fault::new(FaultClass::Idle, "silent") }
}

impl Recorded {
    fn new(sessions: &[&[ReplayStep]]) -> Self {
        let recorded = Self { dir: tempfile::tempdir().unwrap(), restored: Arc::default() };
        for (index, steps) in sessions.iter().enumerate() {
            let lines: String = steps.iter().map(|step| serde_json::to_string(step).unwrap() + "\n").collect();
            recorded.write(index + 1, lines);
        }
        recorded
    }

    fn write(&self, number: usize, lines: impl AsRef<[u8]>) {
        let dir = self.dir.path().join(format!("session-{number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(REPLAY_FILE), lines).unwrap();
    }

    fn lane(&self) -> Replay {
        let restored = Arc::clone(&self.restored);
        let restore: Restore = Arc::new(move |image, bytes, _| {
            let name = image.file_name().unwrap().to_string_lossy().into_owned();
            restored.lock().unwrap().push(format!("{name} {bytes}"));
            Ok(())
        });
        Replay::new(LaneKind::Scripted, self.dir.path().to_owned(), restore)
    }

    fn restored(&self) -> Vec<String> {
        self.restored.lock().unwrap().clone()
    }

    fn replayable(&self) -> String {
        replayable(self.dir.path()).map_or_else(|reason| reason, |()| "yes".into())
    }
}

fn spec(prompt: &str) -> SessionSpec {
    SessionSpec {
        root: "/r".into(),
        config_dir: "/c".into(),
        home: "/h".into(),
        tmp: "/t".into(),
        bin: None,
        view: None,
        prompt: prompt.into(),
        script: None,
        record_dir: None,
        limits: SessionLimits::default(),
        observer: None,
    }
}

#[tokio::test]
async fn a_conversation_is_replayed() {
    let steps =
        [start(), event("one"), event("two"), turn_end(1), send("more"), event("three"), turn_end(2), concluded(2)];
    let recorded = Recorded::new(&[&steps]);
    assert_eq!(recorded.replayable(), "yes");
    let lane = recorded.lane();
    let (observer, mut observed) = mpsc::channel(10);
    let mut session = lane
        .start(SessionSpec { observer: Some(Observer::new(observer, Arc::default())), ..spec("go") })
        .await
        .unwrap();
    let ReplayStep::Event(first) = event("one") else { unreachable!() };
    assert_eq!(session.next_event().await.unwrap(), Some(first.clone()));
    assert_eq!(recorded.restored(), [""; 0], "the turn is not over");
    // Discards the other event for the component, as a live session does.
    session.send("more".into()).await.unwrap();
    assert!(session.next_event().await.unwrap().is_some());
    assert_eq!(session.next_event().await.unwrap(), None);
    assert_eq!(session.next_event().await.unwrap(), None);
    assert_eq!(recorded.restored(), ["tree-1.tar 10", "tree-2.tar 10"]);
    for _ in 0..2 {
        assert_eq!(session.conclude().await.unwrap(), conclusion());
    }
    assert_eq!(session.next_event().await.unwrap(), None);
    assert_eq!(session.end(Duration::ZERO).await, Ok(None));
    assert_eq!(recorded.restored().len(), 3);
    assert_eq!(observed.recv().await, Some(first));
    assert_eq!(observed.len(), 2, "the observer receives every event");
    assert_eq!(lane.diverged(), None);
    assert_eq!(session.send("late".into()).await.unwrap_err().class, FaultClass::Protocol);
    assert_eq!(lane.diverged(), None, "a live session breaks in the same way");
}

#[tokio::test]
async fn faults_are_replayed() {
    let start_fault = Recorded::new(&[&[start(), broke("start")]]);
    let lane = start_fault.lane();
    for _ in 0..2 {
        assert_eq!(lane.start(spec("go")).await.err().unwrap().class, FaultClass::Idle);
    }
    assert_eq!(lane.diverged(), None);
    for steps in [
        &[start(), event("one"), broke("next-event")][..],
        &[start(), event("one"), turn_end(1), broke("conclude")],
        &[start(), event("one"), turn_end(1), broke("send")],
        &[start(), event("one"), broke("end")],
    ] {
        let recorded = Recorded::new(&[steps]);
        assert_eq!(recorded.replayable(), "yes");
        let mut session = recorded.lane().start(spec("go")).await.unwrap();
        assert!(session.next_event().await.unwrap().is_some());
        assert_eq!(session.conclude().await.unwrap_err().class, FaultClass::Idle);
        assert_eq!(session.next_event().await.unwrap_err().class, FaultClass::Idle, "faults are final");
        let mut session = recorded.lane().start(spec("go")).await.unwrap();
        let ended = session.end(Duration::ZERO).await.unwrap();
        assert_eq!(ended.unwrap().class, FaultClass::Idle, "even if the component never asked");
    }
}

#[tokio::test]
async fn unrecorded_calls_diverge() {
    let recorded = Recorded::new(&[&[start(), turn_end(1), send("more"), turn_end(2), concluded(2)]]);
    let diverged = |lane: &Replay, fault: Fault, words: &str| {
        assert_eq!(fault.class, FaultClass::Protocol, "{fault}");
        assert!(fault.message.contains(words) && fault.message.contains("host run"), "{fault}");
        assert!(lane.diverged().unwrap().contains(words));
    };
    let lane = recorded.lane();
    diverged(&lane, lane.start(spec("go!")).await.err().unwrap(), "it says `go!`, not `go`");
    let lane = recorded.lane();
    lane.start(spec("go")).await.map(drop).unwrap();
    diverged(&lane, lane.start(spec("go")).await.err().unwrap(), "the recorded attempt had 1");

    let lane = recorded.lane();
    let mut session = lane.start(spec("go")).await.unwrap();
    diverged(&lane, session.send("less".into()).await.unwrap_err(), "it says `less`, not `more`");
    let ended = session.end(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(ended.class, FaultClass::Protocol, "a component cannot hide it behind a verdict");

    let lane = recorded.lane();
    let mut session = lane.start(spec("go")).await.unwrap();
    diverged(&lane, session.conclude().await.unwrap_err(), "then sent `more`");

    let lane = recorded.lane();
    let mut session = lane.start(spec("go")).await.unwrap();
    session.send("more".into()).await.unwrap();
    diverged(&lane, session.send("again".into()).await.unwrap_err(), "then concluded the session");

    let none = Recorded::new(&[]);
    let lane = none.lane();
    assert_eq!(none.replayable(), "yes");
    diverged(&lane, lane.start(spec("go")).await.err().unwrap(), "had none");
}

#[tokio::test]
async fn trees_are_never_restored_backwards() {
    let recorded = Recorded::new(&[&[start(), turn_end(1), concluded(3)], &[start(), turn_end(2), concluded(4)]]);
    let lane = recorded.lane();
    let mut first = lane.start(spec("go")).await.unwrap();
    let mut second = lane.start(spec("go")).await.unwrap();
    assert!(first.next_event().await.unwrap().is_none());
    second.conclude().await.unwrap();
    assert!(first.conclude().await.unwrap_err().message.contains("in another order"));
    assert_eq!(recorded.restored(), ["tree-1.tar 10", "tree-2.tar 10", "tree-4.tar 10"]);
}

#[test]
fn incomplete_records_are_not_replayable() {
    let lost = || RecordedTree::Lost { reason: "a socket".into() };
    let said = |steps: &[ReplayStep]| Recorded::new(&[&[start(), turn_end(1), concluded(1)], steps]).replayable();
    assert_eq!(said(&[start(), event("one")]), "session 2 is incomplete: its record has no end");
    let incomplete = "session 2 has no complete record of root and config dir: a socket";
    assert_eq!(said(&[start(), ReplayStep::TurnEnd { tree: lost() }, concluded(1)]), incomplete);
    assert_eq!(said(&[start(), turn_end(1), ReplayStep::concluded(&conclusion(), lost())]), incomplete);
    let other = ReplayStep::Start { schema: REPLAY_SCHEMA + 1, prompt: String::new() };
    assert!(said(&[other]).contains("was recorded in version 2, but this host replays version 1"));
    assert!(said(&[event("x")]).contains("without a start step"));
    assert!(said(&[]).contains("without a start step"));

    let recorded = Recorded::new(&[]);
    recorded.write(1, serde_json::to_string(&start()).unwrap() + "\n{\"step\":\"event\"");
    assert!(recorded.replayable().contains("is incomplete"));
    recorded.write(1, serde_json::to_string(&start()).unwrap() + "\n{\"step\":\"later\"}\n");
    assert!(recorded.replayable().contains("line 2 cannot be read"));
    let file = recorded.dir.path().join("session-1").join(REPLAY_FILE);
    fs::remove_file(&file).unwrap();
    assert!(recorded.replayable().contains("has no replay"), "a record of a host that kept none");
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert!(recorded.replayable().contains("has no replay"));

    let linked = Recorded::new(&[]);
    std::os::unix::fs::symlink("/", linked.dir.path().join("session-1")).unwrap();
    assert_eq!(linked.replayable(), "session 1 has no directory in the record");
}

#[tokio::test]
async fn copying_a_record_does_not_follow_links() {
    let recorded = Recorded::new(&[&[start(), turn_end(1), concluded(1)]]);
    let from = recorded.dir.path().join("session-1");
    fs::write(from.join("final-message.txt"), "bye").unwrap();
    let to = recorded.dir.path().join("new/session-1");
    let taken = || recorded.lane();
    taken().start(SessionSpec { record_dir: Some(to.clone()), ..spec("go") }).await.map(drop).unwrap();
    assert_eq!(fs::read_to_string(to.join("final-message.txt")).unwrap(), "bye");
    fs::remove_dir_all(&to).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", from.join("session.json")).unwrap();
    let refused = taken().start(SessionSpec { record_dir: Some(to.clone()), ..spec("go") }).await;
    assert_eq!(refused.err().unwrap().class, FaultClass::Internal);
    assert!(!to.join("session.json").exists());
}

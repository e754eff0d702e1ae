//! Records an attempt's sessions so that `host regrade` can replay them: the component's calls with their results, and root
//! and config dir whenever the component can read them while the agent rests.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::block_in_place;

use host_model::{Conclusion, Fault, REPLAY_FILE, REPLAY_SCHEMA, RecordedTree, ReplayStep, SessionEvent, tree_file};
use host_wasm::sandbox::{AttemptDirs, Captured, ImageError, ImageLimits, Part};

/// Bytes of one session's replay.
const MAX_TRANSCRIPT_BYTES: u64 = 64 << 20;
/// Bytes of all trees of an attempt.
const MAX_TREE_BYTES: u64 = 256 << 20;

/// Saves the trees of an attempt, numbered in their order.
pub(super) struct TreeRecorder {
    dirs: Arc<AttemptDirs>,
    folder: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    number: u32,
    total: u64,
    last: Option<(Captured, RecordedTree)>,
}

impl TreeRecorder {
    /// Saves trees of `dirs` in the attempt's artifact folder.
    pub(super) fn new(dirs: Arc<AttemptDirs>, folder: PathBuf) -> Self {
        Self { dirs, folder, kept: Mutex::default() }
    }

    /// Saves root and config dir as they are now, unless they have not changed since the last time.
    fn keep(&self) -> RecordedTree {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.try_keep(&mut kept).unwrap_or_else(|error| RecordedTree::Lost { reason: describe(&error) })
    }

    fn try_keep(&self, kept: &mut Kept) -> Result<RecordedTree, ImageError> {
        let parts =
            [Part { name: "root", folder: &self.dirs.root }, Part { name: "config", folder: &self.dirs.config }];
        let seen = Captured::scan(&parts, ImageLimits::default())?;
        if let Some((last, tree)) = &kept.last
            && seen.is_unchanged_since(last)
        {
            return Ok(tree.clone());
        }
        if kept.total > MAX_TREE_BYTES {
            return Err(ImageError::Unfit(format!("the attempt's trees have more than {MAX_TREE_BYTES} bytes")));
        }
        let number = kept.number + 1;
        let bytes = seen.write(&parts, &self.folder.join(tree_file(number)))?;
        kept.number = number;
        kept.total += bytes;
        let tree = RecordedTree::Kept { number, bytes };
        kept.last = Some((seen, tree.clone()));
        Ok(tree)
    }
}

/// The transcript of one session, written while it happens. A session without a last line was cut short.
pub(super) struct Transcript {
    file: Option<BufWriter<File>>,
    written: u64,
    stage: Stage,
    trees: Arc<TreeRecorder>,
    lost: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Turn,
    /// The turn is over, and the agent waits for the component.
    Rest,
    Over,
}

impl Transcript {
    /// Begins the transcript of a session whose record is in `folder`, which is made if it does not exist.
    pub(super) fn begin(folder: &Path, prompt: &str, trees: Arc<TreeRecorder>) -> Self {
        let file = fs::create_dir_all(folder).and_then(|()| File::create_new(folder.join(REPLAY_FILE)));
        let (file, lost) = match file {
            Ok(file) => (Some(BufWriter::new(file)), None),
            Err(error) => (None, Some(format!("cannot write {REPLAY_FILE}: {error}"))),
        };
        let mut transcript = Self { file, written: 0, stage: Stage::Turn, trees, lost };
        transcript.put(&ReplayStep::Start { schema: REPLAY_SCHEMA, prompt: prompt.to_owned() });
        transcript.flush();
        transcript
    }

    pub(super) fn next_event(&mut self, answer: &Result<Option<SessionEvent>, Fault>) {
        match (self.stage, answer) {
            (Stage::Turn, Ok(Some(event))) => self.put(&ReplayStep::Event(event.clone())),
            (Stage::Turn, Ok(None)) => {
                self.stage = Stage::Rest;
                let tree = self.tree();
                self.put(&ReplayStep::TurnEnd { tree });
                self.flush();
            }
            (_, Err(fault)) => self.broke("next-event", fault),
            (_, Ok(_)) => {}
        }
    }

    pub(super) fn sent(&mut self, message: &str, answer: &Result<(), Fault>) {
        match answer {
            Ok(()) if self.stage == Stage::Rest => {
                self.stage = Stage::Turn;
                self.put(&ReplayStep::Send { message: message.to_owned() });
                self.flush();
            }
            Ok(()) => {}
            Err(fault) => self.broke("send", fault),
        }
    }

    pub(super) fn concluded(&mut self, answer: &Result<Conclusion, Fault>) {
        match answer {
            Ok(conclusion) if self.stage != Stage::Over => {
                let tree = self.tree();
                self.put(&ReplayStep::concluded(conclusion, tree));
                self.close();
            }
            Ok(_) => {}
            Err(fault) => self.broke("conclude", fault),
        }
    }

    pub(super) fn broke(&mut self, call: &str, fault: &Fault) {
        if self.stage != Stage::Over {
            self.put(&ReplayStep::Fault { call: call.to_owned(), fault: fault.clone() });
            self.close();
        }
    }

    /// Why the session cannot be replayed, if it cannot; returned once.
    pub(super) fn take_loss(&mut self) -> Option<String> {
        self.flush();
        self.lost.take()
    }

    fn tree(&mut self) -> RecordedTree {
        if self.file.is_none() {
            return RecordedTree::Lost { reason: "the replay is not saved".into() };
        }
        // TreeRecorder may be large: the other attempts go on meanwhile.
        let tree = block_in_place(|| self.trees.keep());
        if let RecordedTree::Lost { reason } = &tree {
            self.lost.get_or_insert_with(|| reason.clone());
        }
        tree
    }

    fn put(&mut self, step: &ReplayStep) {
        let Some(file) = &mut self.file else { return };
        let mut line = serde_json::to_vec(step).unwrap_or_default();
        line.push(b'\n');
        self.written += line.len() as u64;
        if self.written > MAX_TRANSCRIPT_BYTES {
            self.lose(format!("it has more than {MAX_TRANSCRIPT_BYTES} bytes"));
        } else if let Err(error) = file.write_all(&line) {
            self.lose(format!("cannot write {REPLAY_FILE}: {error}"));
        }
    }

    fn flush(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(BufWriter::flush) {
            self.lose(format!("cannot write {REPLAY_FILE}: {error}"));
        }
    }

    fn close(&mut self) {
        self.flush();
        self.stage = Stage::Over;
    }

    /// Stops recording. What is written so far stays, without a last line.
    fn lose(&mut self, reason: String) {
        self.lost.get_or_insert(reason);
        if let Some(file) = self.file.take() {
            // What is buffered would end in the middle of a line.
            drop(file.into_parts());
        }
    }
}

fn describe(error: &ImageError) -> String {
    match error {
        ImageError::Unfit(reason) => reason.clone(),
        ImageError::Write { source, .. } => format!("{error}: {source}"),
    }
}

/// Writes a small file of a run.
///
/// # Errors
/// The file system refuses.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    fs::write(path, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_model::{FaultClass, SessionEventKind};

    struct Attempt {
        folder: tempfile::TempDir,
        trees: Arc<TreeRecorder>,
    }

    fn attempt() -> Attempt {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        let named = |name: &str| base.join(name);
        let dirs = AttemptDirs {
            root: named("root"),
            config: named("config"),
            folders: named("folders"),
            home: named("home"),
            tmp: named("tmp"),
            own: Default::default(),
            base: base.clone(),
        };
        fs::create_dir_all(&dirs.root).unwrap();
        fs::create_dir(&dirs.config).unwrap();
        let trees = Arc::new(TreeRecorder::new(Arc::new(dirs), folder.path().to_owned()));
        Attempt { folder, trees }
    }

    impl Attempt {
        fn begin(&self) -> Transcript {
            Transcript::begin(&self.folder.path().join("session-1"), "go", Arc::clone(&self.trees))
        }

        fn steps(&self) -> Vec<ReplayStep> {
            let text = fs::read_to_string(self.folder.path().join("session-1").join(REPLAY_FILE)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    fn event() -> Result<Option<SessionEvent>, Fault> {
        Ok(Some(SessionEvent { at_ms: 1, kind: SessionEventKind::Message { text: "hi".into() } }))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_turn_ends_once_and_nothing_follows_the_end() {
        let attempt = attempt();
        let mut transcript = attempt.begin();
        for answer in [event(), Ok(None), Ok(None)] {
            transcript.next_event(&answer);
        }
        transcript.sent("more", &Ok(()));
        let fault = Fault::new(FaultClass::Idle, "silent");
        transcript.next_event(&Err(fault.clone()));
        transcript.next_event(&event());
        transcript.broke("end", &fault);
        let steps = attempt.steps();
        let [ReplayStep::Start { prompt, .. }, ReplayStep::Event(_), ReplayStep::TurnEnd { tree }, rest @ ..] =
            &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!(prompt, "go");
        assert!(
            matches!(tree, RecordedTree::Kept { number: 1, .. }) && attempt.folder.path().join("tree-1.tar").is_file()
        );
        let send = ReplayStep::Send { message: "more".into() };
        assert_eq!(rest, [send, ReplayStep::Fault { call: "next-event".into(), fault }]);
        assert_eq!(transcript.take_loss(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_oversized_transcript_has_whole_lines_and_no_end() {
        let attempt = attempt();
        let mut transcript = attempt.begin();
        transcript.next_event(&event());
        transcript.flush();
        transcript.written = MAX_TRANSCRIPT_BYTES;
        transcript.next_event(&event());
        transcript.next_event(&Ok(None));
        assert_eq!(attempt.steps().len(), 2);
        assert!(transcript.take_loss().unwrap().contains("more than"));
        assert_eq!(transcript.take_loss(), None, "it is told once");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_tree_that_cannot_be_saved_is_reported() {
        let attempt = attempt();
        let _listening = std::os::unix::net::UnixListener::bind(attempt.trees.dirs.root.join("s")).unwrap();
        let mut transcript = attempt.begin();
        transcript.next_event(&Ok(None));
        let lost = RecordedTree::Lost { reason: "root/s: a socket".into() };
        assert_eq!(attempt.steps()[1], ReplayStep::TurnEnd { tree: lost });
        assert_eq!(transcript.take_loss().unwrap(), "root/s: a socket");
    }
}

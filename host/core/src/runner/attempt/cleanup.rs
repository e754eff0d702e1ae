//! Removes what an attempt must not leave: secrets in its artifacts, and its directories.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::block_in_place;

use super::{ArtifactStore, AttemptExecutor};
use host_fs::remove_tree;
use host_model::{Fault, FaultClass, Redactor};
use host_wasm::sandbox::{AttemptDirs, Workspace};
use host_wasm::unwind::{catch_panic_now, panicked};

/// The delays before a step is retried when the machine is short of something: attempts that end release what they
/// hold.
pub(super) const RETRY_DELAYS: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// The artifacts and directories of one attempt, until the tear-down has cleaned them up. If this is dropped before, because
/// the attempt's task was aborted or something panicked, the drop cleans them up.
pub(super) struct Cleanup<'a> {
    artifacts: &'a dyn ArtifactStore,
    workspace: &'a Workspace,
    unredacted: &'a UnredactedFolders,
    dirs: Arc<AttemptDirs>,
    folder: PathBuf,
    redactor: Redactor,
    scrubbed: bool,
    released: bool,
}

impl<'a> Cleanup<'a> {
    pub(super) fn new(
        executor: &'a AttemptExecutor,
        dirs: Arc<AttemptDirs>,
        folder: PathBuf,
        redactor: Redactor,
    ) -> Self {
        let AttemptExecutor { artifacts, workspace, unredacted, .. } = executor;
        Self {
            artifacts: &**artifacts,
            workspace,
            unredacted,
            dirs,
            folder,
            redactor,
            scrubbed: false,
            released: false,
        }
    }

    /// Removes the secrets from the artifacts.
    ///
    /// # Errors
    /// Some may be left.
    pub(super) async fn redact(&mut self) -> Result<(), Fault> {
        let scrubbed =
            with_retries("redacting secrets in the artifacts", || self.artifacts.redact(&self.folder, &self.redactor));
        let scrubbed = scrubbed.await;
        self.scrubbed(scrubbed)
    }

    fn scrubbed(&mut self, scrubbed: Result<(), Fault>) -> Result<(), Fault> {
        self.scrubbed = true;
        scrubbed.inspect_err(|_| self.unredacted.note(&self.folder, &self.redactor))
    }

    /// Removes the directories, or returns where they are if the run keeps them. `unwatched` means that no process of the
    /// attempt is left.
    ///
    /// # Errors
    /// Some of them are left.
    pub(super) async fn release(&mut self, unwatched: bool) -> Result<Option<PathBuf>, Fault> {
        let release = || release(self.workspace, &self.dirs, unwatched);
        let released = with_retries("removing the attempt's directories", release).await;
        self.released = true;
        released
    }
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        if !self.scrubbed {
            let scrubbed = catch_panic_now(|| self.artifacts.redact(&self.folder, &self.redactor));
            let scrubbed = scrubbed.unwrap_or_else(|words| Err(Fault::new(FaultClass::Internal, words)));
            // It is noted for the end of the run.
            let _ = self.scrubbed(scrubbed);
        }
        if !self.released {
            // What is left is removed with the run's folder.
            let _ = catch_panic_now(|| release(self.workspace, &self.dirs, false));
        }
    }
}

fn release(workspace: &Workspace, dirs: &AttemptDirs, unwatched: bool) -> Result<Option<PathBuf>, Fault> {
    workspace.release(dirs, unwatched).map_err(|error| {
        Fault::of_host(format_args!("cannot remove {}; remove it by hand", dirs.base.display()), &error)
    })
}

/// Does `step`, and retries it when the machine is short of something. A panic in it is a fault like others.
async fn with_retries<T>(what: impl fmt::Display, mut step: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut waits = RETRY_DELAYS.into_iter();
    loop {
        let done = catch_panic_now(|| block_in_place(&mut step)).unwrap_or_else(|words| Err(panicked(&what, &words)));
        match (done, waits.next()) {
            (Err(fault), Some(wait)) if fault.is_shortage() => tokio::time::sleep(wait).await,
            (done, _) => return done,
        }
    }
}

/// Folders of artifacts that may still hold secrets.
#[derive(Default)]
pub(super) struct UnredactedFolders(Mutex<Vec<(PathBuf, Redactor)>>);

impl UnredactedFolders {
    fn note(&self, folder: &Path, redactor: &Redactor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((folder.to_owned(), redactor.clone()));
    }

    /// Redacts them once more. A folder that cannot be redacted is removed: a lost artifact is better than a key in it.
    ///
    /// # Errors
    /// Those that can neither be read nor removed.
    pub(super) fn close(&self, artifacts: &dyn ArtifactStore) -> Result<(), String> {
        let folders = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = Vec::new();
        for (folder, redactor) in folders {
            if matches!(catch_panic_now(|| artifacts.redact(&folder, &redactor)), Ok(Ok(()))) {
                continue;
            }
            if let Err(error) = remove_tree(&folder) {
                left.push(format!("{} ({error})", folder.display()));
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("these files may still contain secrets, remove them by hand: {}", left.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use host_model::TrialId;

    /// Fails as often as it is said to: by a panic, or by a shortage.
    struct Failing {
        left: AtomicU32,
        panics: bool,
    }

    impl ArtifactStore for Failing {
        fn folder(&self, _trial: &TrialId, _attempt: u32) -> PathBuf {
            PathBuf::new()
        }

        fn fixtures(&self) -> PathBuf {
            PathBuf::new()
        }

        fn named(&self, folder: &Path) -> PathBuf {
            folder.to_owned()
        }

        fn save_tree(&self, _from: &Path, _to: &Path) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }

        fn save_changes(&self, _before: Option<&Path>, _after: &Path, _to: &Path) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }

        fn redact(&self, folder: &Path, _redactor: &Redactor) -> Result<(), Fault> {
            let fails =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            assert!(!(fails && self.panics), "it fell over");
            if fails {
                return Err(Fault::of_host("cannot open it", &std::io::Error::from_raw_os_error(libc::EMFILE)));
            }
            fs::write(folder.join("key"), "***").unwrap();
            Ok(())
        }
    }

    struct Case {
        _here: tempfile::TempDir,
        store: Failing,
        workspace: Workspace,
        unredacted: UnredactedFolders,
        artifacts: PathBuf,
    }

    impl Case {
        fn new(failures: u32, panics: bool) -> Self {
            let here = tempfile::tempdir().unwrap();
            let artifacts = here.path().join("artifacts");
            fs::create_dir(&artifacts).unwrap();
            fs::write(artifacts.join("key"), "s3cr3t").unwrap();
            let workspace = Workspace::for_check(here.path(), here.path()).unwrap();
            let store = Failing { left: failures.into(), panics };
            Self { _here: here, store, workspace, unredacted: UnredactedFolders::default(), artifacts }
        }

        fn cleanup(&self) -> Cleanup<'_> {
            let dirs = Arc::new(self.workspace.attempt(None, false, &|| false).unwrap());
            Cleanup {
                artifacts: &self.store,
                workspace: &self.workspace,
                unredacted: &self.unredacted,
                dirs,
                folder: self.artifacts.clone(),
                redactor: Redactor::default(),
                scrubbed: false,
                released: false,
            }
        }

        fn key(&self) -> Option<String> {
            fs::read_to_string(self.artifacts.join("key")).ok()
        }

        /// How many attempts have directories. The slots that they are made in stay.
        fn directories(&self) -> usize {
            let slots = fs::read_dir(self.workspace.folder()).unwrap().flatten().map(|it| it.path());
            slots.filter(|it| it.is_dir()).flat_map(|slot| fs::read_dir(slot).unwrap()).count()
        }
    }

    #[test]
    fn a_dropped_attempt_leaves_neither_secrets_nor_directories() {
        let case = Case::new(0, false);
        drop(case.cleanup());
        assert_eq!((case.key().as_deref(), case.directories()), (Some("***"), 0));
    }

    #[tokio::test]
    async fn an_aborted_task_leaves_neither_secrets_nor_directories() {
        let case = Arc::new(Case::new(0, false));
        let (held, began) = (Arc::clone(&case), Arc::new(tokio::sync::Notify::new()));
        let beginning = Arc::clone(&began);
        let task = tokio::spawn(async move {
            let _cleanup = held.cleanup();
            beginning.notify_one();
            std::future::pending::<()>().await;
        });
        began.notified().await;
        assert_eq!(case.directories(), 1);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((case.key().as_deref(), case.directories()), (Some("***"), 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_one_step_does_not_prevent_the_other() {
        let case = Case::new(1, true);
        let mut cleanup = case.cleanup();
        let fault = cleanup.redact().await.unwrap_err();
        assert!(fault.message.contains("it fell over"), "{fault}");
        assert_eq!(cleanup.release(true).await, Ok(None));
        drop(cleanup);
        assert_eq!((case.key().as_deref(), case.directories()), (Some("s3cr3t"), 0));
        case.unredacted.close(&case.store).unwrap();
        assert_eq!(case.key().as_deref(), Some("***"), "it is tried again at the end of the run");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_short_shortage_is_retried() {
        let case = Case::new(2, false);
        let mut cleanup = case.cleanup();
        cleanup.redact().await.unwrap();
        assert_eq!(case.key().as_deref(), Some("***"));
    }

    #[test]
    fn artifacts_that_cannot_be_redacted_are_removed() {
        let case = Case::new(u32::MAX, true);
        drop(case.cleanup());
        case.unredacted.close(&case.store).unwrap();
        assert!(!case.artifacts.exists());
    }
}

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;

/// When the parts of an attempt began and ended, written to `timings.json` in its artifact folder while it runs.
pub(super) struct Timings {
    began: Instant,
    folder: PathBuf,
    known: Mutex<Known>,
}

/// `timings.json`. Milliseconds since the beginning of the attempt; what has not happened is absent.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Known {
    /// How long making the directories took.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_up_ms: Option<u64>,
    /// How long the component ran, the time of its sessions included.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_ms: Option<u64>,
    /// How long it took to end the sessions, save artifacts and remove the directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    clean_up_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ms: Option<u64>,
    sessions: Vec<SessionTimes>,
}

/// Moments of a session.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct SessionTimes {
    /// From 1.
    session: usize,
    /// When it was requested.
    start_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concluded_ms: Option<u64>,
}

impl Timings {
    /// Of an attempt that began at `began`, for its artifact `folder`, which need not exist.
    pub(super) fn new(began: Instant, folder: PathBuf) -> Self {
        Self { began, folder, known: Mutex::default() }
    }

    /// The directories are there; the component's call begins.
    pub(super) fn set_up(&self) {
        self.note(|known, now| known.set_up_ms = Some(now));
    }

    /// Session `number`, from 1, is requested.
    pub(super) fn session_asked(&self, number: usize) {
        self.note(|known, now| {
            known.sessions.push(SessionTimes { session: number, start_ms: now, ..SessionTimes::default() });
        });
    }

    /// Session `number` has sent its first event.
    pub(super) fn session_spoke(&self, number: usize) {
        self.note_session(number, |session, now| _ = session.first_event_ms.get_or_insert(now));
    }

    pub(super) fn session_concluded(&self, number: usize) {
        self.note_session(number, |session, now| _ = session.concluded_ms.get_or_insert(now));
    }

    pub(super) fn called(&self) {
        self.note(|known, now| known.call_ms = Some(now.saturating_sub(known.set_up_ms.unwrap_or(0))));
    }

    /// Nothing of the attempt is left.
    pub(super) fn finished(&self) {
        self.note(|known, now| {
            let before = known.set_up_ms.unwrap_or(0) + known.call_ms.unwrap_or(0);
            known.clean_up_ms = Some(now.saturating_sub(before));
            known.total_ms = Some(now);
        });
    }

    fn note_session(&self, number: usize, change: impl FnOnce(&mut SessionTimes, u64)) {
        self.note(|known, now| {
            if let Some(session) = known.sessions.iter_mut().find(|session| session.session == number) {
                change(session, now);
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Known, u64)) {
        // Locked while it is written, so that the later version is written last.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        change(&mut known, now);
        let json = serde_json::to_vec_pretty(&*known).unwrap_or_default();
        // An attempt without artifacts has no folder, and no verdict depends on this file.
        let _ = host_fs::write_atomic(&self.folder.join("timings.json"), &json, host_fs::SHARED);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn known_timings_are_written_once_a_folder_exists() {
        let here = tempfile::tempdir().unwrap();
        let folder = here.path().join("attempt-1");
        let read = || -> serde_json::Value {
            serde_json::from_slice(&fs::read(folder.join("timings.json")).unwrap()).unwrap()
        };
        let timings = Timings::new(Instant::now(), folder.clone());
        timings.set_up();
        assert!(!folder.exists());
        timings.session_asked(1);
        fs::create_dir(&folder).unwrap();
        timings.session_spoke(1);
        let known = read();
        assert!(known["set-up-ms"].is_u64() && known["sessions"][0]["first-event-ms"].is_u64(), "{known}");
        assert!(known.get("call-ms").is_none() && known["sessions"][0].get("concluded-ms").is_none(), "{known}");
        timings.session_concluded(1);
        timings.session_spoke(2);
        timings.called();
        timings.finished();
        let known = read();
        let sum: u64 = ["set-up-ms", "call-ms", "clean-up-ms"].iter().map(|key| known[key].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), known["total-ms"].as_u64(), "{known}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}

use std::{fs, io, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use rustix::fs::{AtFlags, CWD};

use host_model::Fault;
use host_wasm::sandbox::AttemptDirs;

/// The files of a session's record that mean the same in every lane.
const SHOWN_FILES: &[&str] = &["events.jsonl", "final-message.txt", "session.json"];

/// The folder that a component sees at `/host/session`. It is made and opened before the agent runs and filled
/// after it has ended, so nothing that the agent put in its place is followed or waited for.
pub(in crate::runner) struct SessionView {
    pub(in crate::runner) folder: PathBuf,
    opened: OwnedFd,
    record: PathBuf,
    dirs: Arc<AttemptDirs>,
}

impl SessionView {
    pub(super) fn create(dirs: &Arc<AttemptDirs>, number: usize, record: PathBuf) -> Result<Self, Fault> {
        let folder = dirs.base.join(format!("session-{number}"));
        let opened = fs::create_dir(&folder).and_then(|()| {
            dirs.exclude_from_disk_use(&fs::symlink_metadata(&folder)?);
            Ok(host_fs::open_directory(CWD, &folder)?)
        });
        opened.map(|opened| Self { folder, opened, record, dirs: Arc::clone(dirs) }).map_err(not_shown)
    }

    /// Copies what a component may see. The streams as received are left out: they tell which agent it was.
    pub(in crate::runner) fn fill(&self) -> Result<(), Fault> {
        SHOWN_FILES.iter().try_for_each(|name| self.copy(name)).map_err(not_shown)
    }

    fn copy(&self, name: &str) -> io::Result<()> {
        let (from, _) = host_fs::open_regular(CWD, &self.record.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no longer a regular file"))
            }
            _ => error,
        })?;
        match rustix::fs::unlinkat(&self.opened, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        let to = host_fs::copy(&from, &self.opened, name)?;
        // The host's record of a session: its size is the agent's talk, not what the attempt stores.
        self.dirs.exclude_from_disk_use(&to.metadata()?);
        Ok(())
    }
}

fn not_shown(error: io::Error) -> Fault {
    Fault::of_host("cannot show the session's record to the component", &error)
}

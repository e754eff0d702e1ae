use std::{
    fs::{self, DirBuilder},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    error::ArtifactError,
    folder_name::{folder_name, lane_folder_name},
};
use host_model::{RunId, TrialId};

/// Names tried for a new run before giving up; two runs of one second rarely share their four letters even once.
const MAX_TRIES: usize = 16;

/// `<output>/runs/<run>/`, which one run owns.
///
/// Transcripts may hold what only the user may read, so it and everything below it is closed to others.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    run: RunId,
    path: PathBuf,
}

impl RunDirectory {
    /// Makes the directory of `run`.
    ///
    /// # Errors
    /// The run exists already, or the file system refuses.
    pub fn create(output: &Path, run: &RunId) -> Result<Self, ArtifactError> {
        let runs = prepare(output)?;
        let folder = folder_name(&run.0);
        let path = runs.join(&folder);
        DirBuilder::new().mode(0o700).create(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ArtifactError::RunExists { run: run.clone(), path: path.clone() },
            _ => ArtifactError::CreateDirectory { path: path.clone(), source },
        })?;
        Ok(Self { run: run.clone(), path })
    }

    /// Points `<output>/latest` at this run.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn point_latest(&self) -> Result<(), ArtifactError> {
        let output = self.path.ancestors().nth(2).unwrap_or(&self.path);
        point_latest(output, &folder_name(&self.run.0))
    }

    /// Removes the link `<output>/latest`: a run was asked for and did not begin, and the report of an earlier one must not
    /// pass for its own. Anything but a link stays.
    pub fn forget_latest(output: &Path) {
        let latest = output.join("latest");
        if fs::symlink_metadata(&latest).is_ok_and(|metadata| metadata.is_symlink()) {
            // Who may not change the folder cannot have made a run there either.
            let _ = fs::remove_file(latest);
        }
    }

    /// Removes the link that the run of the directory `path` was making when it was killed, if it had come that far.
    /// Of the directory itself nothing is touched. Whoever calls this knows that the run is dead.
    pub fn remove_unfinished_link(path: &Path) {
        let (Some(run), Some(runs)) = (path.file_name().and_then(|run| run.to_str()), path.parent()) else { return };
        let Some(output) = runs.parent().filter(|_| runs.ends_with("runs")) else { return };
        let link = output.join(new_link(run));
        if fs::read_link(&link).is_ok_and(|target| target == Path::new("runs").join(run)) {
            // It does no harm.
            let _ = fs::remove_file(&link);
        }
    }

    /// Removes the directory of a run that never began.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }

    /// Makes a directory for a run with a new name.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn create_new(output: &Path) -> Result<Self, ArtifactError> {
        let mut tries = MAX_TRIES;
        loop {
            tries -= 1;
            match Self::create(output, &new_run_id()) {
                Err(ArtifactError::RunExists { .. }) if tries > 0 => {}
                made => return made,
            }
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The directory, absolute or relative like `output`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The artifact folder of an attempt, relative to the run directory; it need not exist.
    #[must_use]
    pub fn attempt_folder(trial: &TrialId, attempt: u32) -> PathBuf {
        let mut folder = PathBuf::from(lane_folder_name(&trial.lane.0));
        folder.push(folder_name(&trial.scenario.0));
        folder.push(format!("attempt-{attempt}"));
        folder
    }

    /// The artifact folder of an attempt, made if it is not there yet.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn attempt_dir(&self, trial: &TrialId, attempt: u32) -> Result<PathBuf, ArtifactError> {
        let path = self.path.join(Self::attempt_folder(trial, attempt));
        create_all(&path, 0o700)?;
        Ok(path)
    }
}

/// Replaces a file as a whole, for the user alone.
pub(super) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    host_fs::write_atomic(path, bytes, 0o600).map_err(|source| ArtifactError::Write { path: path.into(), source })
}

/// A name that sorts by time: `20261122-231500-qkzr`, in UTC.
fn new_run_id() -> RunId {
    // Seeded by the system; unpredictable enough to tell two runs apart, and used for nothing else.
    let mut random = RandomState::new().hash_one(std::process::id());
    let mut letters = String::new();
    for _ in 0..4 {
        letters.extend(u8::try_from(random % 26).map(|letter| char::from(b'a' + letter)));
        random /= 26;
    }
    RunId(format!("{}-{letters}", host_clock::wall().strftime("%Y%m%d-%H%M%S")))
}

/// Makes `output` and the folder of the runs in it.
fn prepare(output: &Path) -> Result<PathBuf, ArtifactError> {
    if let Some(parent) = output.parent() {
        create_all(parent, 0o777)?;
    }
    match fs::create_dir(output) {
        // Results are not sources. In a folder that was there before, that is not for us to say. Two bytes are
        // written as one: a kill leaves no temporary file.
        Ok(()) => {
            let path = output.join(".gitignore");
            fs::write(&path, b"*\n").map_err(|source| ArtifactError::Write { path, source })?;
        }
        // The next step fails if it is not a directory.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(ArtifactError::CreateDirectory { path: output.into(), source }),
    }
    let runs = output.join("runs");
    create_all(&runs, 0o777)?;
    Ok(runs)
}

fn create_all(path: &Path, mode: u32) -> Result<(), ArtifactError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| ArtifactError::CreateDirectory { path: path.into(), source })
}

/// Renames a new link over the old one, so that `latest` always exists. Of two concurrent runs the later one wins.
fn point_latest(output: &Path, folder: &str) -> Result<(), ArtifactError> {
    let latest = output.join("latest");
    let new = output.join(new_link(folder));
    symlink(Path::new("runs").join(folder), &new)
        .and_then(|()| fs::rename(&new, &latest).inspect_err(|_| drop(fs::remove_file(&new))))
        .map_err(|source| ArtifactError::PointLatest { path: latest, source })
}

/// The link that becomes `latest`. It has the run's own name: no other run makes this link.
fn new_link(folder: &str) -> String {
    format!(".latest-{folder}")
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, os::unix::fs::PermissionsExt, sync::Mutex};

    use super::*;
    use host_model::{LaneName, ScenarioId};

    fn run(name: &str) -> RunId {
        RunId(name.into())
    }

    fn trial(lane: &str, scenario: &str) -> TrialId {
        TrialId { lane: LaneName(lane.into()), scenario: ScenarioId(scenario.into()) }
    }

    #[test]
    fn an_unfinished_link_of_a_killed_run_is_removed() {
        let here = tempfile::tempdir().unwrap();
        let output = here.path().join(".host");
        let directory = RunDirectory::create(&output, &run("r1")).unwrap();
        directory.point_latest().unwrap();
        symlink("runs/r1", output.join(".latest-r1")).unwrap();
        symlink("elsewhere", output.join(".latest-r2")).unwrap();
        for run in ["r1", "r2", "r3"] {
            RunDirectory::remove_unfinished_link(&output.join("runs").join(run));
        }
        assert!(fs::symlink_metadata(output.join(".latest-r1")).is_err());
        assert!(fs::symlink_metadata(output.join(".latest-r2")).is_ok());
        assert!(output.join("latest").is_dir() && directory.path().is_dir());
    }

    #[test]
    fn a_run_gets_its_own_directory_and_becomes_latest() {
        let here = tempfile::tempdir().unwrap();
        let output = here.path().join("deep/.host");
        let first = RunDirectory::create(&output, &run("one")).unwrap();
        assert_eq!(first.path(), output.join("runs/one"));
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(output.join(".gitignore")).unwrap(), "*\n");
        assert!(!output.join("latest").exists(), "it has not begun");
        first.point_latest().unwrap();
        assert_eq!(fs::read_link(output.join("latest")).unwrap(), Path::new("runs/one"));

        let second = RunDirectory::create(&output, &run("two")).unwrap();
        second.point_latest().unwrap();
        assert_eq!(
            fs::canonicalize(output.join("latest")).unwrap(),
            fs::canonicalize(output.join("runs/two")).unwrap()
        );

        let again = RunDirectory::create(&output, &run("one")).unwrap_err();
        assert!(matches!(again, ArtifactError::RunExists { .. }), "{again}");
        first.discard().unwrap();
        assert!(!output.join("runs/one").exists());
    }

    #[test]
    fn latest_is_removed_only_if_it_is_a_link() {
        let here = tempfile::tempdir().unwrap();
        RunDirectory::forget_latest(&here.path().join("none"));
        let directory = RunDirectory::create(here.path(), &run("one")).unwrap();
        directory.point_latest().unwrap();
        RunDirectory::forget_latest(here.path());
        assert!(fs::symlink_metadata(here.path().join("latest")).is_err() && directory.path().is_dir());
        symlink("runs/gone", here.path().join("latest")).unwrap();
        RunDirectory::forget_latest(here.path());
        assert!(fs::symlink_metadata(here.path().join("latest")).is_err(), "a dangling one, too");
        fs::create_dir(here.path().join("latest")).unwrap();
        RunDirectory::forget_latest(here.path());
        assert!(here.path().join("latest").is_dir());
    }

    #[test]
    fn an_existing_directory_gets_no_gitignore() {
        let here = tempfile::tempdir().unwrap();
        RunDirectory::create(here.path(), &run("one")).unwrap();
        assert!(!here.path().join(".gitignore").exists());
    }

    #[test]
    fn many_runs_at_once_share_nothing() {
        let here = tempfile::tempdir().unwrap();
        let output = here.path().join(".host");
        let made = Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let directory = RunDirectory::create_new(&output).unwrap();
                        directory.point_latest().unwrap();
                        assert!(made.lock().unwrap().insert(directory.path().to_owned()));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(output.join("runs")).unwrap().count(), 128);
        assert!(output.join("latest").is_dir());
        let names = fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.collect::<HashSet<_>>(), [".gitignore", "latest", "runs"].map(String::from).into());
    }

    #[test]
    fn the_obstructing_file_is_named() {
        let here = tempfile::tempdir().unwrap();
        fs::create_dir(here.path().join("latest")).unwrap();
        let error = RunDirectory::create(here.path(), &run("one")).unwrap().point_latest().unwrap_err();
        assert!(matches!(error, ArtifactError::PointLatest { .. }), "{error}");
        let file = here.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunDirectory::create(&file, &run("one")).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot create the directory {}", file.join("runs").display()));
    }

    #[test]
    fn names_of_runs_sort_by_time() {
        let RunId(name) = new_run_id();
        let parts: Vec<_> = name.split('-').map(|part| (part.len(), part.to_owned())).collect();
        assert_eq!(parts.iter().map(|(length, _)| *length).collect::<Vec<_>>(), [8, 6, 4], "{name}");
        assert!(parts[..2].iter().all(|(_, part)| part.bytes().all(|b| b.is_ascii_digit())), "{name}");
        assert!(parts[2].1.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
    }

    #[test]
    fn an_attempt_directory_is_created_on_demand() {
        let here = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(here.path(), &run("one")).unwrap();
        let trial = trial("claude", "../demo::gate");
        assert_eq!(RunDirectory::attempt_folder(&trial, 2), Path::new("claude/%2E.%2Fdemo+gate/attempt-2"));
        assert!(!directory.path().join("claude").exists());
        let path = directory.attempt_dir(&trial, 2).unwrap();
        assert_eq!(path, directory.attempt_dir(&trial, 2).unwrap());
        assert!(path.is_dir() && path.starts_with(directory.path()));
    }

    #[test]
    fn a_file_is_replaced_atomically() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("junit.xml");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1);
        let error = write_atomic(&here.path().join("none/x"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }
}

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::sandbox::{Snapshot, Workspace, workspace_lock::LOCK_FILE};

const RUN: &str = "20261122-231500-qkzr";
/// Nothing is at work in the folders of most tests.
const NO_PATIENCE: Duration = Duration::ZERO;

fn parent() -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o700)).unwrap();
    parent
}

fn workspace(parent: &Path, keep: bool) -> Workspace {
    Workspace::create(parent, RUN, Path::new("/o/runs/r"), keep).unwrap()
}

/// A workspace as a killed run leaves it.
fn dead(parent: &Path) -> PathBuf {
    // The kernel has let go of the lock.
    let folder = parent.join(format!("host-{RUN}-aaaaaa"));
    fs::create_dir_all(folder.join("a0/root")).unwrap();
    private(&folder, 0o700);
    fs::write(folder.join(LOCK_FILE), format!("{{\"run\":\"{RUN}\",\"directory\":\"/o/runs/r\",\"keep\":false}}"))
        .unwrap();
    private(&folder.join(LOCK_FILE), 0o600);
    folder
}

fn private(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(parent: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_workspace_of_a_dead_run_is_removed_and_reported_once() {
    let parent = parent();
    let folder = dead(parent.path());
    fs::create_dir_all(folder.join("a1/root/locked")).unwrap();
    fs::write(folder.join("a1/root/file"), "x").unwrap();
    private(&folder.join("a1/root/locked"), 0o000);
    let message = sweep(parent.path(), NO_PATIENCE);
    assert_eq!(message.dead, [DeadRun { run: RUN.into(), directory: Some("/o/runs/r".into()) }]);
    assert_eq!(message.problems, []);
    assert_eq!(names(parent.path()), [""; 0]);
    assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default());
}

#[test]
fn a_folder_of_a_check_is_known_by_its_name() {
    for (name, run) in [
        ("host-check-a1B2c3", Some("check")),
        ("host-20261122-231500-qkzr-a1B2c3", Some(RUN)),
        ("host-check-a1B2c", None),
        ("host-checks-a1B2c3", None),
        ("host-check-check-a1B2c3", None),
        ("host-20261122-231500-qkzr-x-a1B2c3", None),
        ("check-a1B2c3", None),
    ] {
        assert_eq!(run_of(name), run, "{name}");
    }
    let parent = parent();
    let living = Workspace::for_check(parent.path(), parent.path()).unwrap();
    assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default());
    drop(living);
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn an_interrupted_attempt_does_not_finish_its_copy() {
    let parent = parent();
    let workspace = workspace(parent.path(), false);
    let root = parent.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    let fixture = host_model::Fixture { root: Some(root), ..Default::default() };
    let snapshot = Snapshot::take(&fixture, &workspace.folder().join("f"), 1 << 20, &|| false).unwrap();
    assert!(workspace.attempt(Some(&snapshot), true, &|| true).is_err());
    assert!(workspace.attempt(Some(&snapshot), true, &|| false).unwrap().root.join("file").is_file());
}

#[test]
fn live_and_kept_workspaces_stay() {
    let parent = parent();
    let living = workspace(parent.path(), false);
    let root = living.attempt(None, false, &|| false).unwrap().root;
    drop(workspace(parent.path(), true));
    let before = names(parent.path());
    assert_eq!(before.len(), 2);
    assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default());
    assert_eq!(names(parent.path()), before);
    assert!(root.is_dir());
    living.close().unwrap();
    assert_eq!(names(parent.path()).len(), 1);
}

#[test]
fn a_run_killed_during_startup_leaves_nothing() {
    let parent = parent();
    // Before its claim, before its lock, and before it had written whose it is.
    fs::create_dir(parent.path().join(format!("host-{RUN}-bbbbbb"))).unwrap();
    private(&parent.path().join(format!("host-{RUN}-bbbbbb")), 0o700);
    fs::write(dead(parent.path()).join(LOCK_FILE), "").unwrap();
    // Nothing is reported: these may also be runs that have just begun, and make another folder.
    assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default());
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn directories_of_others_stay() {
    type Change = fn(&Path, &Path);
    let changes: &[(&str, Change)] = &[
        ("another name", |folder, parent| fs::rename(folder, parent.join(format!("host-test-{RUN}"))).unwrap()),
        ("another run's claim", |folder, parent| {
            fs::rename(folder, parent.join("host-20261122-231500-abcd-aaaaaa")).unwrap();
        }),
        ("no claim", |folder, _| fs::remove_file(folder.join(LOCK_FILE)).unwrap()),
        ("a claim that says something else", |folder, _| fs::write(folder.join(LOCK_FILE), "{}").unwrap()),
        ("a claim that others may write", |folder, _| private(&folder.join(LOCK_FILE), 0o620)),
        ("a folder that others may read", |folder, _| private(folder, 0o755)),
        ("a link as claim", |folder, parent| {
            fs::rename(folder.join(LOCK_FILE), parent.join("claim")).unwrap();
            symlink(parent.join("claim"), folder.join(LOCK_FILE)).unwrap();
        }),
        ("a pipe as claim", |folder, _| {
            fs::remove_file(folder.join(LOCK_FILE)).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                folder.join(LOCK_FILE),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap();
        }),
        ("a link", |folder, parent| {
            fs::rename(folder, parent.join("elsewhere")).unwrap();
            symlink(parent.join("elsewhere"), folder).unwrap();
        }),
        ("a parent in which others could replace it", |_, parent| private(parent, 0o777)),
    ];
    for (what, change) in changes {
        let parent = parent();
        change(&dead(parent.path()), parent.path());
        let before = names(parent.path());
        assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default(), "{what}");
        assert_eq!(names(parent.path()), before, "{what}");
    }
    // As /tmp is.
    let parent = parent();
    dead(parent.path());
    private(parent.path(), 0o1777);
    assert_eq!(sweep(parent.path(), NO_PATIENCE).dead.len(), 1);
}

#[test]
fn only_names_of_runs_are_recognized() {
    assert_eq!(run_of("host-20261122-231500-qkzr-a1B2c3"), Some(RUN));
    for other in [
        "host-20261122-231500-qkzr",
        "host-20261122-231500-qkzr-a1B2c",
        "host-20261122-231500-qkzr-x-a1B2c3",
        "host-20261122-231500-QKZR-a1B2c3",
        "host-20261122-23150x-qkzr-a1B2c3",
        "host-r-a1B2c3",
        "host-",
        "ghost-20261122-231500-qkzr-a1B2c3",
    ] {
        assert_eq!(run_of(other), None, "{other}");
    }
}

#[test]
fn the_rest_of_an_interrupted_removal_is_removed() {
    let parent = parent();
    let folder = dead(parent.path());
    fs::remove_dir_all(folder.join("a0")).unwrap();
    assert_eq!(sweep(parent.path(), NO_PATIENCE).dead.len(), 1);
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn sweep_waits_for_directories_still_being_written() {
    let parent = parent();
    let root = dead(parent.path()).join("a0/root");
    let writing = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + Duration::from_millis(300);
            // As an agent that its supervisor has not killed yet.
            for number in 0.. {
                let _ = fs::write(root.join(number.to_string()), "x");
                writing.store(true, Ordering::Relaxed);
                if Instant::now() > until {
                    return;
                }
            }
        });
        while !writing.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let hasty = sweep(parent.path(), NO_PATIENCE);
        if let [problem] = &hasty.problems[..] {
            assert!(problem.to_string().contains(&format!("left behind by the dead run {RUN}: ")), "{problem}");
            assert!(problem.folder.join(LOCK_FILE).exists(), "the claim goes last");
        }
        let patient = sweep(parent.path(), Duration::from_secs(60));
        assert_eq!((hasty.dead.len() + patient.dead.len(), patient.problems), (1, Vec::new()));
    });
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn a_directory_removed_by_another_sweep_is_no_problem() {
    let parent = parent();
    let folder = dead(parent.path());
    let lock = fs::File::open(folder.join(LOCK_FILE)).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(sweep(parent.path(), NO_PATIENCE), Sweep::default());
    drop(lock);
    assert_eq!(sweep(parent.path(), NO_PATIENCE).dead.len(), 1);
}

#[test]
fn new_runs_keep_their_workspaces_during_sweeps() {
    let parent = parent();
    let over = AtomicBool::new(false);
    let message = std::thread::scope(|scope| {
        let sweepers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut dead = 0;
                    while !over.load(Ordering::Relaxed) {
                        let message = sweep(parent.path(), NO_PATIENCE);
                        assert_eq!(message.problems, []);
                        dead += message.dead.len();
                    }
                    dead
                })
            })
            .collect();
        let runs: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let workspace = workspace(parent.path(), false);
                        let dirs = workspace.attempt(None, false, &|| false).unwrap();
                        fs::write(dirs.root.join("file"), "x").unwrap();
                        assert!(workspace.folder().join(LOCK_FILE).exists());
                        workspace.release(&dirs, true).unwrap();
                        workspace.close().unwrap();
                    }
                })
            })
            .collect();
        let ended: Vec<_> = runs.into_iter().map(|run| run.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
        sweepers.into_iter().map(|sweeper| sweeper.join().unwrap()).sum::<usize>()
    });
    assert_eq!(message, 0, "no living run is told to be dead");
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn slots_get_no_new_names_while_agents_run() {
    let parent = parent();
    let workspace = workspace(parent.path(), false);
    workspace.reserve(2).unwrap();
    let before = names(workspace.folder());
    let first = workspace.attempt(None, false, &|| false).unwrap();
    let second = workspace.attempt(None, false, &|| false).unwrap();
    assert_eq!(names(workspace.folder()), before);
    let slot = |dirs: &crate::sandbox::AttemptDirs| dirs.base.parent().unwrap().to_owned();
    assert_ne!(slot(&first), slot(&second));
    assert!(before.iter().all(|name| name == LOCK_FILE || name.len() == 12), "{before:?}");
    workspace.release(&first, true).unwrap();
    assert_eq!(slot(&workspace.attempt(None, false, &|| false).unwrap()), slot(&first), "its agents are gone");
    // One more than was expected has room all the same.
    assert_ne!(slot(&workspace.attempt(None, false, &|| false).unwrap()), slot(&second));
    workspace.close().unwrap();
    assert_eq!(names(parent.path()), [""; 0]);
}

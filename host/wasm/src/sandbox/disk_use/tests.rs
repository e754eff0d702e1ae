use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::{Duration, SystemTime},
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

const MIB: usize = 1 << 20;

fn attempt() -> (tempfile::TempDir, AttemptDirs) {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("a0");
    let shown = |name: &str| {
        fs::create_dir_all(base.join(name)).unwrap();
        base.join(name)
    };
    let dirs = AttemptDirs {
        root: shown("root"),
        config: shown("config"),
        folders: shown("folders"),
        home: shown("home"),
        tmp: shown("tmp"),
        own: Default::default(),
        base,
    };
    (folder, dirs)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Runs `test` as a user who is not above permissions. Capabilities are a thread's own.
fn unprivileged<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let unprivileged = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
        set_capabilities(None, sets).unwrap();
        test()
    });
    unprivileged.join().unwrap()
}

#[test]
fn files_of_the_host_do_not_count() {
    let (_folder, dirs) = attempt();
    let before = dirs.disk_use(&[]).unwrap();
    let shown = dirs.base.join("session-1");
    fs::create_dir(&shown).unwrap();
    dirs.exclude_from_disk_use(&fs::symlink_metadata(&shown).unwrap());
    fs::write(shown.join("events.jsonl"), vec![1; 4 * MIB]).unwrap();
    dirs.exclude_from_disk_use(&fs::symlink_metadata(shown.join("events.jsonl")).unwrap());
    assert_eq!(dirs.disk_use(&[]).unwrap(), before);
    fs::write(dirs.root.join("file"), vec![1; MIB]).unwrap();
    assert!(dirs.disk_use(&[]).unwrap().bytes >= before.bytes + MIB as u64, "the attempt's own still does");
}

#[test]
fn locked_directories_are_counted_and_stay_locked() {
    let (_folder, dirs) = attempt();
    for (name, closed) in [("none", 0o000), ("unsearchable", 0o600), ("unreadable", 0o300)] {
        let outer = dirs.root.join(name);
        fs::create_dir_all(outer.join("inner")).unwrap();
        fs::write(outer.join("inner/file"), vec![1; 4 * MIB]).unwrap();
        set_permissions(outer.join("inner"), Permissions::from_mode(closed)).unwrap();
        set_permissions(&outer, Permissions::from_mode(closed)).unwrap();
    }
    let root = dirs.root.clone();
    let used = unprivileged(move || {
        assert!(fs::read_dir(dirs.root.join("none")).is_err(), "the test needs a user who is not above permissions");
        dirs.disk_use(&[]).unwrap()
    });
    assert!(used.bytes >= 12 * MIB as u64, "{used:?}");
    for (name, closed) in [("none", 0o000), ("unsearchable", 0o600), ("unreadable", 0o300)] {
        assert_eq!(mode(&root.join(name)), closed, "{name}");
        // To be removed, and to be looked at.
        set_permissions(root.join(name), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(mode(&root.join(name).join("inner")), closed, "{name}/inner");
        set_permissions(root.join(name).join("inner"), Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_file_counts_once_by_its_blocks() {
    let (_folder, dirs) = attempt();
    let empty = dirs.disk_use(&[]).unwrap().bytes;
    assert_eq!(empty, 5 * ENTRY_BYTES, "the directories themselves");
    File::create(dirs.root.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    fs::write(dirs.home.join("one"), vec![1; 4 * MIB]).unwrap();
    fs::hard_link(dirs.home.join("one"), dirs.tmp.join("two")).unwrap();
    std::os::unix::fs::symlink("/usr", dirs.root.join("link")).unwrap();
    let used = dirs.disk_use(&[]).unwrap().bytes;
    let file = fs::metadata(dirs.home.join("one")).unwrap().blocks() * 512;
    assert!((empty + file..empty + file + (1 << 20)).contains(&used), "{used}");
}

#[test]
fn unlinked_files_are_counted_while_they_are_open() {
    let (_folder, dirs) = attempt();
    let own = [i32::try_from(std::process::id()).unwrap()];
    let before = dirs.disk_use(&own).unwrap();
    assert_eq!(before.unlinked_bytes, 0);
    let removed = dirs.root.join("removed");
    let mut file = File::create(&removed).unwrap();
    file.write_all(&vec![1; 4 * MIB]).unwrap();
    file.sync_all().unwrap();
    let allocated_bytes = file.metadata().unwrap().blocks() * 512;
    fs::remove_file(&removed).unwrap();
    let again = file.try_clone().unwrap();
    let used = dirs.disk_use(&own).unwrap();
    assert_eq!(
        (used.unlinked_bytes, used.bytes),
        (allocated_bytes, before.bytes + allocated_bytes),
        "twice open, counted once"
    );
    assert_eq!(dirs.disk_use(&[]).unwrap(), before, "nobody holds it");
    drop((file, again));
    assert_eq!(dirs.disk_use(&own).unwrap(), before);
    // Not every file system has such files.
    if let Ok(mut never) = File::options().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(&dirs.tmp) {
        never.write_all(&vec![1; 2 * MIB]).unwrap();
        never.sync_all().unwrap();
        assert!(dirs.disk_use(&own).unwrap().unlinked_bytes >= 2 * MIB as u64);
    }
}

#[test]
fn counting_does_not_change_access_times() {
    let (_folder, dirs) = attempt();
    fs::write(dirs.root.join("file"), "text").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    let folders = [dirs.root.clone(), dirs.config.clone(), dirs.home.clone()];
    for folder in &folders {
        // One that was changed since it was read last gets a new time with the next reading on every file system.
        File::open(folder).unwrap().set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    }
    dirs.disk_use(&[]).unwrap();
    let _ = dirs.fingerprint();
    for folder in &folders {
        assert_eq!(fs::metadata(folder).unwrap().accessed().unwrap(), long_ago, "{}", folder.display());
    }
}

#[test]
fn too_deep_a_tree_cannot_be_counted() {
    let (_folder, dirs) = attempt();
    let mut folder = rustix::fs::open(&dirs.root, OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..200 {
        rustix::fs::mkdirat(&folder, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        folder = rustix::fs::openat(&folder, name.as_str(), OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    assert!(matches!(dirs.disk_use(&[]), Err(DiskUseError::TooDeep)));
    crate::sandbox::remove_tree(&dirs.root).unwrap();
}

#[test]
fn locked_directories_use_few_descriptors() {
    let (_folder, dirs) = attempt();
    let mut path = dirs.root.clone();
    for _ in 0..=MAX_UNLOCKED {
        path.push("d");
        fs::create_dir(&path).unwrap();
    }
    let closed: Vec<_> = path.ancestors().take(MAX_UNLOCKED + 1).map(Path::to_owned).collect();
    let set = |mode| move |folder: &PathBuf| fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    closed.iter().for_each(set(0o000));
    let (dirs, counted) = unprivileged(move || {
        let counted = dirs.disk_use(&[]);
        (dirs, counted)
    });
    assert!(matches!(counted, Err(DiskUseError::TooDeep)), "{counted:?}");
    closed.iter().rev().for_each(set(0o700));
    assert!(dirs.disk_use(&[]).is_ok());
}

//! Notices whether an agent makes progress by changing files.

use std::{
    ffi::OsStr,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, statat};

use super::AttemptDirs;
use host_fs::{list_quietly, open_quietly};

/// Entries that are inspected; changes beyond them are not noticed.
const MAX_ENTRIES: usize = 100_000;

impl AttemptDirs {
    /// Changes when the agent durably changes something: any entry of the root, and the size or time of its files; in the
    /// config directory only new and removed entries, since transcripts grow with every message.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut remaining = MAX_ENTRIES;
        let root = sum(&self.root, &mut remaining, true);
        let config = sum(&self.config, &mut remaining, false);
        root ^ config.rotate_left(1)
    }
}

/// The sum over all entries, so that their order does not matter.
fn sum(folder: &Path, remaining: &mut usize, contents: bool) -> u64 {
    let mut sum = 0_u64;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // Directories that vanished or cannot be read count as unchanged.
        let opened = open_quietly(CWD, folder.as_os_str(), OFlags::RDONLY | OFlags::DIRECTORY);
        let Ok((entries, directory)) = opened.and_then(|directory| Ok((list_quietly(&directory)?, directory))) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if *remaining == 0 {
                return sum;
            }
            *remaining -= 1;
            let mut hasher = DefaultHasher::new();
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            path.hash(&mut hasher);
            stat.st_mode.hash(&mut hasher);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                folders.push(path);
            } else if contents {
                (stat.st_size, stat.st_mtime, stat.st_mtime_nsec).hash(&mut hasher);
            }
            sum = sum.wrapping_add(hasher.finish());
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    #[test]
    fn durable_changes_count_and_growing_transcripts_do_not() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: &str| -> PathBuf {
            let folder = base.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let dirs = AttemptDirs {
            base: base.path().to_owned(),
            root: folder("root"),
            config: folder("config"),
            folders: folder("folders"),
            home: folder("home"),
            tmp: folder("tmp"),
            own: Default::default(),
        };
        let mut last = dirs.fingerprint();
        let mut changes = |what: &str, changed: bool| {
            let now = dirs.fingerprint();
            assert_eq!(now != last, changed, "{what}");
            last = now;
        };
        changes("nothing", false);
        fs::write(folder("root/sub").join("file"), "text").unwrap();
        changes("a new file", true);
        fs::write(dirs.root.join("sub/file"), "more text").unwrap();
        changes("a file's content", true);
        fs::write(dirs.config.join("transcript"), "one").unwrap();
        changes("a new file of the config dir", true);
        fs::write(dirs.config.join("transcript"), "one, two").unwrap();
        changes("a transcript that grows", false);
        fs::write(dirs.home.join("cache"), "").unwrap();
        changes("what is in neither", false);
        fs::remove_file(dirs.root.join("sub/file")).unwrap();
        changes("a file that goes", true);
        fs::write(dirs.root.join("passing"), "").unwrap();
        fs::remove_file(dirs.root.join("passing")).unwrap();
        changes("what came and went", false);
    }
}

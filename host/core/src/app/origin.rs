//! The digest of a suite, by which a run can be traced back to it.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::paths::as_text;
use host_fs::{Location, locate};
use host_model::{SuiteInfo, shown};
use host_suite::config::Settings;
use host_wasm::sandbox::Halt;

/// The most bytes of a suite that are read for its digest.
const MAX_BYTES: u64 = 4 << 30;
/// Bytes of a file that are read between two checks of [`Halt`].
const CHUNK_BYTES: u64 = 4 << 20;

/// The suite as the event log names it; `None` without one.
///
/// # Errors
/// A file of it cannot be read, it is too large, or `halt` asks for the end.
pub(super) fn suite_info(settings: &Settings, cwd: &Path, halt: Halt<'_>) -> io::Result<Option<SuiteInfo>> {
    let Some(suite) = &settings.suite else { return Ok(None) };
    let mut sum = Sum { digest: Sha256::new(), suite: suite.parent().unwrap_or(cwd), left: MAX_BYTES, halt };
    sum.add(suite, Path::new(suite.file_name().unwrap_or_default()), Depth::Folder)?;
    for scenario in settings.scenarios.values() {
        sum.add(&scenario.folder, Path::new(&scenario.name), Depth::Folder)?;
    }
    let path = as_text(suite.strip_prefix(cwd).unwrap_or(suite));
    Ok(Some(SuiteInfo { path, digest: format!("sha256:{:x}", sum.digest.finalize()) }))
}

/// How deep in a suite a path is: a run follows links to the files that it reads, but copies those of a fixture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The suite's file, or a scenario's folder.
    Folder,
    /// An entry of that folder.
    Entry,
    /// An entry of its `agents`.
    Agent,
    /// An entry of a fixture, or of anything else.
    Inside,
}

impl Depth {
    fn follows_link(self, name: &OsStr) -> bool {
        match self {
            Self::Folder | Self::Agent => true,
            Self::Entry => ["scenario.toml", "root", "config", "agents", "bin"].iter().any(|known| name == *known),
            Self::Inside => false,
        }
    }

    /// The depth of the entries of a folder `name` of this depth.
    fn below(self, name: &OsStr) -> Self {
        match self {
            Self::Folder => Self::Entry,
            Self::Entry if name == "agents" => Self::Agent,
            _ => Self::Inside,
        }
    }
}

/// A digest that is being computed.
struct Sum<'a> {
    digest: Sha256,
    /// The suite's folder.
    suite: &'a Path,
    /// How many bytes may still be read.
    left: u64,
    halt: Halt<'a>,
}

impl Sum<'_> {
    /// Adds `path` under the name `name`, with everything below it in the order of names. Each length follows its data, so
    /// that, read from the end, no two trees give the same bytes. A link that a run would not follow counts by its target.
    fn add(&mut self, path: &Path, name: &Path, depth: Depth) -> io::Result<()> {
        if (self.halt)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let own = name.file_name().unwrap_or_default();
        let followed =
            (depth.follows_link(own) && locate(path, self.suite)? == Location::Within).then(|| path.metadata().ok());
        let metadata = followed.flatten().map_or_else(|| path.symlink_metadata(), Ok)?;
        let (kind, length) = if metadata.is_dir() {
            let mut entries: Vec<PathBuf> =
                fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
            entries.sort();
            for entry in &entries {
                self.add(entry, &name.join(entry.file_name().unwrap_or_default()), depth.below(own))?;
            }
            (b'd', 0)
        } else if metadata.is_file() {
            (b'f', self.content(path)?)
        } else if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            self.digest.update(target.as_os_str().as_bytes());
            (b'l', target.as_os_str().len() as u64)
        } else {
            // A pipe or a device: opening it could block.
            (b'o', 0)
        };
        let name = name.as_os_str().as_bytes();
        self.digest.update(length.to_le_bytes());
        self.digest.update(name);
        self.digest.update((name.len() as u64).to_le_bytes());
        self.digest.update([kind]);
        Ok(())
    }

    /// Adds the content of a file; returns its bytes.
    fn content(&mut self, path: &Path) -> io::Result<u64> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", shown(path)));
        let (mut file, metadata) = host_fs::open(path).map_err(told)?;
        let mut length = 0;
        loop {
            // Checked by its length, so that a large sparse file is not read.
            if metadata.len().saturating_sub(length) > self.left {
                return Err(io::Error::other(format!("it exceeds {MAX_BYTES} bytes")));
            }
            if (self.halt)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let read = io::copy(&mut file.by_ref().take(CHUNK_BYTES), &mut self.digest).map_err(told)?;
            self.left = self.left.saturating_sub(read);
            length += read;
            if read < CHUNK_BYTES {
                return Ok(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use host_suite::config::Overrides;

    fn file(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The digest of a suite whose files are written in this order.
    fn digest(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            file(folder.path(), name, text);
        }
        let settings = Settings::resolve(folder.path(), &Overrides::default()).unwrap();
        let info = suite_info(&settings, folder.path(), &|| false).unwrap().unwrap();
        assert_eq!(info.path, Path::new("scenarios/suite.toml"));
        info.digest
    }

    #[test]
    fn only_names_and_contents_change_the_digest() {
        let files = [("scenarios/suite.toml", "jobs = 2"), ("scenarios/a/root/x", "1"), ("scenarios/a/root/y", "2")];
        let same = digest(&files);
        assert!(same.starts_with("sha256:") && same.len() == 71, "{same}");
        let mut turned = files;
        turned.reverse();
        assert_eq!(digest(&turned), same);
        for (index, other) in [
            (0, ("scenarios/suite.toml", "jobs = 3")),
            (1, ("scenarios/a/root/x", "12")),
            (1, ("scenarios/a/root/z", "1")),
            (1, ("scenarios/b/root/x", "1")),
        ] {
            let mut changed = files;
            changed[index] = other;
            assert_ne!(digest(&changed), same, "{other:?}");
        }
        assert_eq!(digest(&[&files[..], &[("scenarios/notes.md", "not read")]].concat()), same);
    }

    #[test]
    fn links_count_by_their_target_and_pipes_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "scenarios/suite.toml", "");
        let root = folder.path().join("scenarios/a/root");
        fs::create_dir_all(&root).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let of = |target: &str| {
            symlink(target, root.join("link")).unwrap();
            let settings = Settings::resolve(folder.path(), &Overrides::default()).unwrap();
            let digest = suite_info(&settings, folder.path(), &|| false).unwrap().unwrap().digest;
            fs::remove_file(root.join("link")).unwrap();
            digest
        };
        assert_ne!(of("/nowhere"), of("/elsewhere"));
        assert_ne!(of("../../../outside"), of("/elsewhere"), "a fixture's links are copied as they are");
        assert_eq!(of(".."), of(".."), "what leads in a circle is not followed");
    }

    #[test]
    fn a_linked_folder_counts_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "scenarios/suite.toml", "");
        file(folder.path(), "scenarios/.shared/x", "1");
        fs::create_dir(folder.path().join("scenarios/a")).unwrap();
        symlink("../.shared", folder.path().join("scenarios/a/root")).unwrap();
        let of = || {
            let settings = Settings::resolve(folder.path(), &Overrides::default()).unwrap();
            suite_info(&settings, folder.path(), &|| false).unwrap().unwrap().digest
        };
        let before = of();
        file(folder.path(), "scenarios/.shared/x", "2");
        assert_ne!(of(), before);
    }

    #[test]
    fn a_suite_that_is_too_large_has_no_digest() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "scenarios/suite.toml", "");
        file(folder.path(), "scenarios/a/notes", "");
        // What is behind a link that nobody follows counts by the link.
        fs::create_dir(folder.path().join("scenarios/a/agents")).unwrap();
        symlink("/", folder.path().join("scenarios/a/agents/.machine")).unwrap();
        let settings = Settings::resolve(folder.path(), &Overrides::default()).unwrap();
        let of = |halt: Halt<'_>| suite_info(&settings, folder.path(), halt);
        of(&|| false).unwrap().unwrap();
        assert_eq!(of(&|| true).unwrap_err().kind(), io::ErrorKind::Interrupted);
        fs::File::create(folder.path().join("scenarios/a/notes")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let error = of(&|| false).unwrap_err().to_string();
        assert_eq!(error, "it exceeds 4294967296 bytes");
    }
}

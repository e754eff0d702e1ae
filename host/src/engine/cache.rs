use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

/// What the names of files begin with that are not written to their end yet.
const UNFINISHED: &str = ".new-";

/// Compiled artefacts on disk, mapped again on the next run.
///
/// Whoever can write an artefact can make the host run any machine code, so the folder must belong to this
/// user and be closed to everyone else, and no guest or agent is ever given a path to it. A checksum beside
/// each artefact finds damage; it is no defence against the folder's owner.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Why a folder cannot serve as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It could not be made or read.
    #[error("cannot use the compile cache {}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Somebody else could put artefacts there.
    #[error("the compile cache {} is not private: it must belong to you and have mode 0700", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
}

impl Cache {
    /// Opens the cache in `folder`, which is made if need be.
    ///
    /// # Errors
    /// [`CacheError`]; the caller may go on without a cache.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { folder: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = fs::symlink_metadata(folder).map_err(io)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !own || metadata.mode() & 0o077 != 0 || !metadata.is_dir() {
            return Err(CacheError::NotPrivate { folder: folder.to_owned() });
        }
        remove_unfinished(folder);
        Ok(Self { folder: folder.to_owned() })
    }

    /// The artefact of the component whose source has `digest`, if a sound one for this engine is there.
    pub(super) fn find(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Artefact> {
        let artefact = self.artefact(engine, digest);
        let expected = fs::read_to_string(checksum_file(&artefact)).ok()?;
        let actual = checksum(&fs::read(&artefact).ok()?);
        (expected == actual).then_some(Artefact(artefact))
    }

    /// Keeps an artefact. Failing to (a full disk, a read-only home) only costs the next run's time.
    pub(super) fn keep(&self, engine: &wasmtime::Engine, digest: &str, bytes: &[u8]) -> Option<Artefact> {
        let artefact = self.artefact(engine, digest);
        write_atomic(&artefact, bytes).ok()?;
        write_atomic(&checksum_file(&artefact), checksum(bytes).as_bytes()).ok()?;
        Some(Artefact(artefact))
    }

    fn artefact(&self, engine: &wasmtime::Engine, digest: &str) -> PathBuf {
        // Covers wasmtime's version, its settings and the processor.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }
}

/// An artefact in a private folder, whose checksum held a moment ago.
pub(super) struct Artefact(PathBuf);

impl Artefact {
    /// Maps it into `engine`; `None` when the engine does not take it.
    pub(super) fn map(&self, engine: &wasmtime::Engine) -> Option<Component> {
        // SAFETY: the folder is private to this user (checked in `Cache::open`), the artefact was written by
        // `Cache::keep`, and its checksum holds. wasmtime itself refuses other versions and settings.
        unsafe { Component::deserialize_file(engine, &self.0) }.ok()
    }
}

fn checksum_file(artefact: &Path) -> PathBuf {
    artefact.with_extension("sha256")
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file is locked while it is written, so that it can be told from what a killed process left. Should another
/// process remove it before it is locked, it is not kept.
fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    // Where there are no locks, nothing is ever removed.
    let _ = file.as_file().try_lock();
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes what processes that are dead were writing. What will not go costs nothing but its place.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn engine() -> wasmtime::Engine {
        wasmtime::Engine::default()
    }

    fn stored(cache: &Cache, engine: &wasmtime::Engine) -> PathBuf {
        let component = wat::parse_str("(component)").unwrap();
        cache.keep(engine, "abc", &engine.precompile_component(&component).unwrap()).unwrap().0
    }

    #[test]
    fn an_artefact_is_found_again_by_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        stored(&cache, &engine);
        assert!(cache.find(&engine, "abc").unwrap().map(&engine).is_some());
        assert!(cache.find(&engine, "abd").is_none());
    }

    #[test]
    fn a_damaged_artefact_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        let artefact = stored(&cache, &engine);
        let mut bytes = fs::read(&artefact).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&artefact, &bytes).unwrap();
        assert!(cache.find(&engine, "abc").is_none());
        fs::write(&artefact, b"").unwrap();
        assert!(cache.find(&engine, "abc").is_none());
    }

    #[test]
    fn an_artefact_of_other_settings_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        stored(&cache, &engine());
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        assert!(cache.find(&wasmtime::Engine::new(&config).unwrap(), "abc").is_none());
    }

    #[test]
    fn what_a_killed_process_was_writing_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("c");
        let cache = Cache::open(&folder).unwrap();
        let artefact = stored(&cache, &engine());
        let (dead, living) = (folder.join(".new-dead"), folder.join(".new-living"));
        fs::write(&dead, "half").unwrap();
        let lock = File::create(&living).unwrap();
        lock.try_lock().unwrap();
        Cache::open(&folder).unwrap();
        assert!(!dead.exists() && living.exists() && artefact.exists());
        drop(lock);
        Cache::open(&folder).unwrap();
        assert!(!living.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the artefact and its checksum");
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Cache::open(folder.path()), Err(CacheError::NotPrivate { .. })));
    }
}

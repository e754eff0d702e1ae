use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::code::{Code, CodeKind};

/// The prefix of unfinished files.
const UNFINISHED: &str = ".new-";
/// The size above which the least recently used entries are removed: a hundred large plugins.
const MAX_CACHE_BYTES: u64 = 4 << 30;

/// More than a note can have.
const MAX_NOTE_BYTES: u64 = 1 << 10;

/// Compiled artifacts on disk, which later runs map again.
///
/// Anyone who can write an artifact can make the host run any machine code, so the directory must belong to this user and
/// be closed to everyone else, and no guest or agent gets a path to it. A checksum next to each artifact detects damage;
/// it is no defense against the directory's owner.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Why a directory cannot be used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It could not be created or read.
    #[error("cannot use the compile cache {}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Other users could write artifacts there.
    #[error("the compile cache {} is not private: it must belong to you and have mode 0700", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
}

impl Cache {
    /// Opens the cache in `folder`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`CacheError`]; the caller may continue without a cache.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { folder: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = fs::symlink_metadata(folder).map_err(io)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !own || metadata.mode() & 0o077 != 0 || !metadata.is_dir() {
            return Err(CacheError::NotPrivate { folder: folder.to_owned() });
        }
        remove_unfinished(folder);
        remove_unused(folder, MAX_CACHE_BYTES);
        Ok(Self { folder: folder.to_owned() })
    }

    /// The artifact for `key`, if there is a valid one for this engine, and the digest of its source.
    pub(super) fn find(&self, engine: &wasmtime::Engine, key: &ContentKey) -> Option<(Artifact, String)> {
        let artifact = self.artifact(engine, key);
        let note = Note::read(&artifact)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(open_regular(&artifact).ok()?).ok()?;
        if hasher.finalize().to_hex().as_str() != note.artifact {
            return None;
        }
        // The time of the note says when the entry was last used. If it cannot be set, the entry is removed earlier.
        let _ = open_regular(&Note::file(&artifact)).map(|note| note.set_modified(SystemTime::now()));
        Some((Artifact(artifact), note.source))
    }

    /// Stores an artifact, whose source has the SHA-256 `source`. A failure (a full disk, a read-only home) only costs time
    /// in the next run.
    pub(super) fn store(
        &self,
        engine: &wasmtime::Engine,
        key: &ContentKey,
        source: &str,
        bytes: &[u8],
    ) -> Option<Artifact> {
        let artifact = self.artifact(engine, key);
        let note = Note { source: source.to_owned(), artifact: blake3::hash(bytes).to_hex().to_string() };
        write_atomic(&artifact, bytes).ok()?;
        write_atomic(&Note::file(&artifact), note.to_text().as_bytes()).ok()?;
        Some(Artifact(artifact))
    }

    fn artifact(&self, engine: &wasmtime::Engine, key: &ContentKey) -> PathBuf {
        // Covers wasmtime's version, its settings and the processor.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{}-{:016x}.cwasm", key.0, hasher.finish()))
    }
}

/// Identifies what a component was compiled from: its source, and the recipe by which it was adapted, if it was. BLAKE3
/// takes a sixth of the time of SHA-256 in a warm start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentKey(String);

impl ContentKey {
    /// The key of a source.
    #[must_use]
    pub fn of(source: &[u8]) -> Self {
        Self(blake3::hash(source).to_hex().to_string())
    }

    /// The key of what `recipe` makes of this source.
    #[must_use]
    pub fn derived(&self, recipe: &str) -> Self {
        Self::of(format!("{} {recipe}", self.0).as_bytes())
    }
}

/// The file next to an artifact: SHA-256 of its source, BLAKE3 of the artifact, BLAKE3 of both.
struct Note {
    source: String,
    artifact: String,
}

impl Note {
    fn file(artifact: &Path) -> PathBuf {
        artifact.with_extension("note")
    }

    fn read(artifact: &Path) -> Option<Self> {
        let mut text = String::new();
        open_regular(&Self::file(artifact)).ok()?.take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
        let mut parts = text.split(' ').map(str::to_owned);
        let note = Self { source: parts.next()?, artifact: parts.next()? };
        (note.to_text() == text).then_some(note)
    }

    fn to_text(&self) -> String {
        let both = format!("{} {}", self.source, self.artifact);
        format!("{both} {}", blake3::hash(both.as_bytes()).to_hex())
    }
}

/// An artifact in a private directory, whose checksum was just verified.
pub(super) struct Artifact(PathBuf);

impl Artifact {
    /// Maps it into `engine`; `None` if the engine refuses it.
    pub(super) fn map(&self, engine: &wasmtime::Engine) -> Option<Code> {
        // SAFETY: the folder is private to this user (checked in `Cache::open`), the artefact was written by
        // `Cache::store`, and its checksum holds. wasmtime itself refuses other versions and settings.
        unsafe { CodeKind::map(engine, &self.0) }.ok()
    }
}

/// Locks the file while it is written, to distinguish it from what a killed process left. If another process removes it
/// before it is locked, it is not stored.
fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    // Without locks, unfinished files are never removed.
    let _ = file.as_file().try_lock();
    file.write_all(bytes)?;
    match file.persist(path) {
        Err(error) if fs::symlink_metadata(path).is_ok_and(|there| there.is_dir()) => {
            // Only the cache writes here, and with a directory in the way every start would compile again.
            fs::remove_dir_all(path)?;
            error.file.persist(path).map_err(|error| error.error)?;
        }
        persisted => drop(persisted.map_err(|error| error.error)?),
    }
    Ok(())
}

/// Opens a file of the cache. Anything but a regular file is refused: a link leads elsewhere, a named pipe blocks, a
/// device never ends.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Removes unfinished files of dead processes. A failure only costs space.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && open_regular(&entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes the least recently used entries until the rest takes at most `limit` bytes. What another process has mapped
/// stays mapped; what it is about to map, it compiles again.
fn remove_unused(folder: &Path, limit: u64) {
    struct Entry {
        files: Vec<PathBuf>,
        bytes: u64,
        used: SystemTime,
    }
    let Ok(files) = fs::read_dir(folder) else { return };
    let mut entries: HashMap<OsString, Entry> = HashMap::new();
    for file in files.flatten() {
        let (path, Ok(metadata)) = (file.path(), file.metadata()) else { continue };
        let Some(stem) = path.file_stem().filter(|_| metadata.is_file()) else { continue };
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let entry = entries.entry(stem.to_owned()).or_insert(Entry { files: Vec::new(), bytes: 0, used });
        entry.bytes += metadata.len();
        entry.used = entry.used.max(used);
        entry.files.push(path);
    }
    let mut total: u64 = entries.values().map(|entry| entry.bytes).sum();
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by_key(|entry| entry.used);
    for entry in entries {
        if total <= limit {
            break;
        }
        total -= entry.bytes;
        for file in entry.files {
            let _ = fs::remove_file(file);
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

    fn key() -> ContentKey {
        ContentKey::of(b"abc")
    }

    fn stored(cache: &Cache, engine: &wasmtime::Engine) -> PathBuf {
        let component = wat::parse_str("(component)").unwrap();
        cache.store(engine, &key(), "5ba", &engine.precompile_component(&component).unwrap()).unwrap().0
    }

    #[test]
    fn an_artifact_is_found_by_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        stored(&cache, &engine);
        let (artifact, source) = cache.find(&engine, &key()).unwrap();
        assert!(artifact.map(&engine).is_some());
        assert_eq!(source, "5ba");
        assert!(cache.find(&engine, &key().derived("another way")).is_none());
        assert!(cache.find(&engine, &ContentKey::of(b"abd")).is_none());
    }

    #[test]
    fn a_damaged_artifact_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        let artifact = stored(&cache, &engine);
        let mut bytes = fs::read(&artifact).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&artifact, &bytes).unwrap();
        assert!(cache.find(&engine, &key()).is_none());
        fs::write(&artifact, b"").unwrap();
        assert!(cache.find(&engine, &key()).is_none());
    }

    #[test]
    fn an_artifact_with_a_damaged_note_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        let note = Note::file(&stored(&cache, &engine));
        let text = fs::read_to_string(&note).unwrap();
        // Another digest of the source would let a policy take one plugin for another.
        for damaged in [text.replacen("5ba", "5bb", 1), text[..text.len() - 1].to_owned(), String::new()] {
            fs::write(&note, damaged).unwrap();
            assert!(cache.find(&engine, &key()).is_none());
        }
        fs::write(&note, text).unwrap();
        assert!(cache.find(&engine, &key()).is_some());
    }

    #[test]
    fn anything_but_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        let engine = engine();
        let artifact = stored(&cache, &engine);
        let elsewhere = folder.path().join("elsewhere");
        for file in [artifact.clone(), Note::file(&artifact)] {
            fs::copy(&file, &elsewhere).unwrap();
            let put: [&dyn Fn(); 4] = [
                &|| rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
                &|| std::os::unix::fs::symlink("/dev/zero", &file).unwrap(),
                // What it leads to is sound.
                &|| std::os::unix::fs::symlink(&elsewhere, &file).unwrap(),
                &|| fs::create_dir_all(file.join("within")).unwrap(),
            ];
            for put in put {
                fs::remove_file(&file).unwrap();
                put();
                assert!(cache.find(&engine, &key()).is_none());
                Cache::open(&folder.path().join("c")).unwrap();
                stored(&cache, &engine);
                assert!(cache.find(&engine, &key()).is_some());
                assert!(fs::symlink_metadata(&file).unwrap().is_file());
            }
            assert!(elsewhere.exists(), "what a link leads to stays");
        }
    }

    #[test]
    fn an_artifact_of_other_settings_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        stored(&cache, &engine());
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        assert!(cache.find(&wasmtime::Engine::new(&config).unwrap(), &key()).is_none());
    }

    #[test]
    fn unfinished_files_of_dead_processes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("c");
        let cache = Cache::open(&folder).unwrap();
        let artifact = stored(&cache, &engine());
        let (dead, living) = (folder.join(".new-dead"), folder.join(".new-living"));
        fs::write(&dead, "half").unwrap();
        let lock = File::create(&living).unwrap();
        lock.try_lock().unwrap();
        Cache::open(&folder).unwrap();
        assert!(!dead.exists() && living.exists() && artifact.exists());
        drop(lock);
        Cache::open(&folder).unwrap();
        assert!(!living.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the artefact and its note");
    }

    #[test]
    fn the_least_recently_used_entries_are_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("c");
        let cache = Cache::open(&folder).unwrap();
        let engine = engine();
        let bytes = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        let keys = ["old", "used", "new"].map(|name| ContentKey::of(name.as_bytes()));
        for (age, key) in [3, 2, 1].into_iter().zip(&keys) {
            let Artifact(artifact) = cache.store(&engine, key, "5ba", &bytes).unwrap();
            for file in [&artifact, &Note::file(&artifact)] {
                let time = SystemTime::now() - std::time::Duration::from_secs(age * 3600);
                File::options().append(true).open(file).unwrap().set_modified(time).unwrap();
            }
        }
        let there = |key| cache.artifact(&engine, key).exists() && Note::file(&cache.artifact(&engine, key)).exists();
        let limit = |entries: u64| remove_unused(&folder, entries * (bytes.len() as u64 + 200));
        limit(3);
        assert!(keys.iter().all(there));
        limit(2);
        assert!(!there(&keys[0]) && there(&keys[1]) && there(&keys[2]));
        assert!(cache.find(&engine, &keys[1]).is_some());
        limit(1);
        assert!(there(&keys[1]) && !there(&keys[2]), "the one used last stays");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn a_directory_writable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Cache::open(folder.path()), Err(CacheError::NotPrivate { .. })));
    }
}

use std::{
    any::Any,
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Contents, IdentifyError, PluginFile,
    compile::{is_command, kind},
    identify::{identify_start, identify_valid},
    subprocess::compile_in_subprocess,
};
use crate::engine::{Cache, Code, ContentKey, Engine, Survey};
use host_model::{CompileLimits, shown};
use host_wasip1::recipe;
use sha2::{Digest, Sha256};

/// The largest plugin that is read; a JavaScript or Python one has 10 to 20 MB.
const MAX_BYTES: u64 = 1 << 30;

/// A plugin, compiled.
#[derive(Clone)]
pub struct Plugin {
    /// The file.
    pub file: PluginFile,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// What the file holds.
    pub contents: Contents,
    /// Its compiled code.
    pub code: Code,
    /// What its instances need.
    pub survey: Survey,
    /// Keeps the engine alive: without it no epoch ends, and a looping guest would loop forever.
    pub engine: Engine,
}

/// A plugin's file cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: LoadProblem,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            LoadProblem::Read(_) => write!(f, "{} the plugin `{}`", self.problem, shown(&self.path)),
            problem => write!(f, "`{}` {problem}", shown(&self.path)),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

/// What is wrong with a plugin's file. Completes "`FILE` …", but for [`LoadProblem::Read`].
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// It cannot be read.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// It is not a plugin.
    #[error("{0}")]
    Identify(#[source] IdentifyError),
    /// It is not a plugin, does not fit its world, or cannot be compiled: the message of the subprocess.
    #[error("{0}")]
    Refused(String),
    /// The process that compiles it failed.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// Compiling it exceeds the memory limit.
    #[error(
        "needs more than {} of memory to compile; if you trust it, raise `max-memory` under `[compile]` in \
         suite.toml, or `--compile-max-memory`", binary_size(*.0)
    )]
    CompileMemory(u64),
    /// Compiling it exceeds the time limit.
    #[error(
        "does not compile within {}; if you trust it, raise `timeout` under `[compile]` in suite.toml, or \
         `--compile-timeout`", humantime::format_duration(*.0)
    )]
    CompileTime(Duration),
    /// The host panicked over it.
    #[error("cannot be loaded because of a bug in `host`; please report it: {}", reason.escape_debug())]
    Panic {
        /// The panic's message.
        reason: String,
    },
}

/// Observes compilations, which take long for large plugins. Called from several threads.
pub trait CompileObserver: Sync {
    /// The plugin in `file`, of `bytes` bytes, is being compiled until the result is dropped.
    fn compiling(&self, file: &PluginFile, bytes: usize) -> Box<dyn Any>;
}

/// A plugin's file, read.
pub(super) struct Source {
    bytes: Vec<u8>,
    pub(super) key: ContentKey,
}

impl Source {
    pub(super) fn read(path: &Path) -> Result<Self, LoadProblem> {
        let bytes = read_regular(path).map_err(LoadProblem::Read)?;
        Ok(Self { key: ContentKey::of(&bytes), bytes })
    }
}

/// Reads the file of a plugin.
///
/// # Errors
/// [`LoadProblem::Read`]; anything but a regular file is refused, since reading it might never end.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    read_regular(path).map_err(|error| LoadError { path: path.to_owned(), problem: LoadProblem::Read(error) })
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    // Checked before it is opened, since opening a named pipe waits for a writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_BYTES} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads plugins.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a Engine,
    pub(super) cache: Option<&'a Cache>,
    pub(super) limits: &'a CompileLimits,
    pub(super) watch: &'a dyn CompileObserver,
}

impl Loader<'_> {
    /// Compiles the plugin in `source`, or loads it from the cache.
    pub(super) fn load(&self, file: &PluginFile, source: &Source) -> Result<Plugin, LoadProblem> {
        // As a component, a core module has the same tables, and little more of anything else.
        let survey = Survey::of(&source.bytes);
        let pooled = survey.fits_pool();
        let plugin = |contents, code, digest| Plugin {
            file: file.clone(),
            digest,
            contents,
            code,
            survey,
            engine: self.engine.clone(),
        };
        identify_start(&source.bytes).map_err(LoadProblem::Identify)?;
        // A cached plugin was valid when it was compiled; validating it again would be most of a large plugin's start.
        let contents = identify_valid(&source.bytes);
        if let Ok(contents) = &contents
            && let Some(cached) = self.engine.cached(&cache_key(source, contents), pooled, self.cache)
        {
            tracing::debug!(plugin = file.label, "loaded from the cache");
            return Ok(plugin(contents.clone(), cached.code, cached.source_digest));
        }
        let artifact = {
            let _permit = CompilePermit::take();
            tracing::debug!(plugin = file.label, bytes = source.bytes.len(), "compiling");
            let _compiling = self.watch.compiling(file, source.bytes.len());
            compile_in_subprocess(&source.bytes, self.engine.shortage().is_some(), self.limits)?
        };
        // A compiled plugin can be identified.
        let contents = contents.map_err(LoadProblem::Identify)?;
        let digest = sha256(&source.bytes);
        let code = self
            .engine
            .load_compiled(kind(&contents), &artifact, &cache_key(source, &contents), &digest, pooled, self.cache)
            .map_err(|error| LoadProblem::Compile(format!("{error:#}")))?;
        Ok(plugin(contents, code, digest))
    }
}

/// Plugins that are compiled in parallel. Each uses every core, and memory up to the limit.
const MAX_COMPILATIONS: usize = 2;

/// Permission to compile a plugin, until it is dropped.
struct CompilePermit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl CompilePermit {
    fn take() -> Self {
        let (running, freed) = &RUNNING;
        let guard = running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard =
            freed.wait_while(guard, |running| *running >= MAX_COMPILATIONS).unwrap_or_else(PoisonError::into_inner);
        *guard += 1;
        Self
    }
}

impl Drop for CompilePermit {
    fn drop(&mut self) {
        let (running, freed) = &RUNNING;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}

/// Bytes as text: `4 GiB`.
fn binary_size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, power)| bytes >= 1 << power && bytes.trailing_zeros() >= *power);
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, power)| format!("{} {unit}", bytes >> power))
}

/// The cache key, by which an adapted module needs no subprocess again.
fn cache_key(source: &Source, contents: &Contents) -> ContentKey {
    if contents.adapted { source.key.derived(&recipe(is_command(contents))) } else { source.key.clone() }
}

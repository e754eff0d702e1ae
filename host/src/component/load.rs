use std::{
    any::Any,
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::{
    Contents, IdentifyError, PluginFile, Shape, WasiVersion,
    adapt::adaptation,
    apart::adapt_apart,
    identify::{identify, identify_valid},
};
use crate::{
    engine::{Cache, ContentKey, Engine, Survey},
    model::shown,
};

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
    /// The compiled component.
    pub component: Component,
    /// What its instances take.
    pub survey: Survey,
    /// Whoever holds the plugin holds its engine: without it no epoch ends, and a guest that loops loops for ever.
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
    /// It is no plugin.
    #[error("{0}")]
    Identify(#[source] IdentifyError),
    /// The core module cannot be made a component: the encoder's words, or how its process ended.
    #[error("is a core module that {0}")]
    Adapt(String),
    /// The component cannot be compiled: the compiler's words.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// The host panicked over it.
    #[error("makes the host fail, which is a bug of the host; please report it: {}", reason.escape_debug())]
    Panic {
        /// The panic's words.
        reason: String,
    },
}

/// Is told what is compiled, which takes long for a big plugin. Called from several threads.
pub trait WatchCompile: Sync {
    /// The plugin in `file`, of so many bytes, is being adapted or compiled until what is returned is dropped.
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

/// Reads a file that is to be made a plugin.
///
/// # Errors
/// [`LoadProblem::Read`]; what is no regular file is refused, since reading it might never end.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    read_regular(path).map_err(|error| LoadError { path: path.to_owned(), problem: LoadProblem::Read(error) })
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened, since opening a named pipe waits for a writer.
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

/// Identifies, adapts and compiles the plugin in `source`, or takes it from `cache`.
pub(super) fn load(
    file: &PluginFile,
    source: &Source,
    engine: &Engine,
    cache: Option<&Cache>,
    watch: &dyn WatchCompile,
) -> Result<Plugin, LoadProblem> {
    // Made a component, a core module has the same tables, and little more of anything else.
    let survey = Survey::of(&source.bytes);
    let pooled = survey.fits_pool();
    let plugin = |contents, component, digest| Plugin {
        file: file.clone(),
        digest,
        contents,
        component,
        survey,
        engine: engine.clone(),
    };
    // What the cache has was valid when it was compiled; to find that again would be most of a big plugin's start.
    if let Ok(contents) = identify_valid(&source.bytes)
        && let Some(kept) = engine.kept(&made(source, &contents), pooled, cache)
    {
        return Ok(plugin(contents, kept.component, kept.source_digest));
    }
    let contents = identify(&source.bytes).map_err(LoadProblem::Identify)?;
    let _compiling = watch.compiling(file, source.bytes.len());
    let adapted = match contents.core_module {
        true => Some(adapt_apart(&source.bytes, is_command(&contents)).map_err(LoadProblem::Adapt)?),
        false => None,
    };
    let digest = sha256(&source.bytes);
    let component = engine
        .compile(adapted.as_deref().unwrap_or(&source.bytes), &made(source, &contents), &digest, pooled, cache)
        .map_err(|error| LoadProblem::Compile(format!("{error:#}")))?;
    Ok(plugin(contents, component, digest))
}

/// What the component is made from. What has been adapted once needs no process again.
fn made(source: &Source, contents: &Contents) -> ContentKey {
    if contents.core_module { source.key.made(&adaptation(is_command(contents))) } else { source.key.clone() }
}

fn is_command(contents: &Contents) -> bool {
    contents.shape == Shape::Command(WasiVersion::P1)
}

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::{Contents, IdentifyError, PluginFile, Shape, WasiVersion, adapt::adaptation, apart::adapt_apart, identify};
use crate::{
    engine::{Cache, Engine},
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
    /// Whoever holds the plugin holds its engine: without it no epoch ends, and a guest that loops loops for ever.
    pub engine: Engine,
}

/// A plugin's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the plugin `{}`", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is no plugin.
    #[error("`{}` {source}", shown(path))]
    Identify {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        source: IdentifyError,
    },
    /// The core module cannot be made a component.
    #[error("`{}` is a core module that {reason}", shown(path))]
    Adapt {
        /// The file.
        path: PathBuf,
        /// The encoder's words, or how its process ended.
        reason: String,
    },
    /// The component cannot be compiled.
    #[error("`{}` cannot be compiled: {reason}", shown(path))]
    Compile {
        /// The file.
        path: PathBuf,
        /// The compiler's words.
        reason: String,
    },
    /// The host panicked over it.
    #[error("`{}` makes the host fail, which is a bug of the host; please report it: {reason}", shown(path))]
    Panic {
        /// The file.
        path: PathBuf,
        /// The panic's words.
        reason: String,
    },
}

/// Reads a plugin's file.
///
/// # Errors
/// [`LoadError::Read`]; what is no regular file is refused, since reading it might never end.
pub fn read(file: &PluginFile) -> Result<Vec<u8>, LoadError> {
    read_path(&file.path)
}

/// [`read`], of a file that need not be a plugin yet.
///
/// # Errors
/// As [`read`].
pub fn read_path(path: &Path) -> Result<Vec<u8>, LoadError> {
    read_regular(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
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

/// SHA-256 of a plugin's file, in hexadecimal digits.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Identifies, adapts and compiles a plugin whose file holds `bytes`.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    file: &PluginFile,
    bytes: &[u8],
    digest: &str,
    engine: &Engine,
    cache: Option<&Cache>,
) -> Result<Plugin, LoadError> {
    let path = || file.path.clone();
    let contents = identify(bytes).map_err(|source| LoadError::Identify { path: path(), source })?;
    let compile_error = |error: wasmtime::Error| LoadError::Compile { path: path(), reason: format!("{error:#}") };
    let component = if contents.core_module {
        let command = contents.shape == Shape::Command(WasiVersion::P1);
        // Kept by the module and how it is adapted: what has been adapted once needs no process again.
        let digest = digest_of(format!("{digest} {}", adaptation(command)).as_bytes());
        match engine.kept(&digest, cache) {
            Some(component) => component,
            None => {
                let adapted =
                    adapt_apart(bytes, command).map_err(|reason| LoadError::Adapt { path: path(), reason })?;
                engine.component(&adapted, &digest, cache).map_err(compile_error)?
            }
        }
    } else {
        engine.component(bytes, digest, cache).map_err(compile_error)?
    };
    Ok(Plugin { file: file.clone(), digest: digest.to_owned(), contents, component, engine: engine.clone() })
}

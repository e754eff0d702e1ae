//! Why a file is not a plugin.

use host_wasip1::SCENARIOS;

/// The module that commands of 2019 import.
pub(super) const SNAPSHOT_0: &str = "wasi_unstable";
/// The version of `scenario:host` that this host speaks: same major and, before 1.0, same minor.
pub(super) const CONTRACT_VERSION: &str = "0.1";

/// Why a file is not a plugin, and what to do. Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The file is empty.
    #[error("is empty; build it again")]
    Empty,
    /// Not WebAssembly.
    #[error("is not WebAssembly but {what}; give a `.wasm` component or core module")]
    NotWasm {
        /// What it looks like.
        what: &'static str,
    },
    /// WebAssembly in the text format.
    #[error("is WebAssembly text; convert it to binary first, for example with `wasm-tools parse`")]
    Text,
    /// It does not validate.
    #[error("is damaged, or uses WebAssembly features that this host does not know: {source}")]
    Invalid {
        /// The validator's error.
        #[source]
        source: wasmparser::BinaryReaderError,
    },
    /// It needs WebAssembly proposals that the engine does not run.
    #[error("uses {proposals} of WebAssembly, which this host does not support; build it without")]
    Proposals {
        /// The proposals, as text.
        proposals: String,
    },
    /// Its `_start` has the wrong type.
    #[error(
        "is a core module whose `_start` {problem}; a command's `_start` is a function without parameters and results"
    )]
    Start {
        /// What is wrong with it.
        problem: String,
    },
    /// Its calls cannot reach its memory.
    #[error("is a core module that {problem}")]
    Memory {
        /// What is wrong.
        problem: String,
    },
    /// It is for the WASI version before 0.1.
    #[error(
        "is a core module that imports `{SNAPSHOT_0}`, the version of WASI before 0.1, which this host does not have; \
         build it with a current toolchain (wasm32-wasip1)"
    )]
    Snapshot0,
    /// Neither `_start` nor a component.
    #[error(
        "is a core module without `_start`, a library; build it as a command (with `main`), or as a component \
         of the world `scenario:host/plugin`"
    )]
    Library,
    /// It has imports from somewhere else.
    #[error(
        "is a core module that imports `{}`, which is not part of WASI 0.1; {}",
        module.escape_debug(),
        if module.contains([':', '/']) {
            "name the WIT that defines it: `host componentize FILE --world WIT -o OUT`"
        } else {
            "build it for wasm32-wasip1 or wasm32-wasip2"
        }
    )]
    ForeignCoreImport {
        /// The module's name.
        module: String,
    },
    /// A core module whose embedded world is neither a plugin's nor a command's.
    #[error(
        "is a core module of another world: it exports {exports}, but a plugin exports `{SCENARIOS}@0.1.0#list` and \
         `#run`, and a command exports `_start`; build it against the world `plugin` of `wit/`, or as a command (with \
         `main`)"
    )]
    OtherCoreWorld {
        /// Its exports, as text.
        exports: String,
    },
    /// A component of another world.
    #[error(
        "is a component of another world: it exports {exports}, but a plugin exports `{SCENARIOS}` or `wasi:cli/run`"
    )]
    OtherWorld {
        /// Its exports, as text.
        exports: String,
    },
    /// It is an HTTP server.
    #[error(
        "is a {form} of another world, an HTTP server: it exports `{}`, which needs a server program such as \
         `wasmtime serve`; `host` runs only plugins, which export `{SCENARIOS}` or `wasi:cli/run`. To test the \
         server, serve it, and write a plugin that sends it requests with the grant `http`",
        export.escape_debug()
    )]
    HttpServer {
        /// The export by which it was recognized.
        export: String,
        /// A component or a core module.
        form: &'static str,
    },
    /// It is for another version of the contract.
    #[error(
        "is a plugin for {}, but this host supports `{CONTRACT_VERSION}.x`; {}",
        versioned("scenario:host", version),
        if *newer { "update `host`" } else { "build the plugin against the current `wit/`" }
    )]
    OtherVersion {
        /// Its version.
        version: String,
        /// Whether it is newer than this host.
        newer: bool,
    },
    /// A command of a WASI version that the host does not have.
    #[error(
        "is a command for {}, but this host runs 0.2 and 0.3; build it for one of them",
        versioned("wasi:cli", version)
    )]
    OtherWasi {
        /// Its version.
        version: String,
    },
}

/// A package and its version, as text.
fn versioned(package: &str, version: &str) -> String {
    match version {
        "" => format!("`{package}` without a version"),
        version => format!("`{package}@{}`", version.escape_debug()),
    }
}

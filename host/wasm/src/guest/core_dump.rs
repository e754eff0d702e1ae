//! Saves a trap for debuggers: its backtrace as text, and the component's state as a core dump in the
//! [standard format](https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md).

use std::{
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use wasmtime::{Store, WasmCoreDump};

use super::state::Guest;
use crate::{sandbox::causes, unwind::catch_expected_panic};

/// Bytes of linear memory, and of globals, that a core dump may hold: it is made in memory, where it takes up to twice
/// as much.
const MEMORY: u64 = 32 << 20;
/// About how many bytes a global takes in it.
const GLOBAL: u64 = 16;

/// One at a time, so that many traps take no more memory than one.
static MAKING: Mutex<()> = Mutex::new(());

/// Writes `trap.txt` into `folder`: what happened, and the component's frames, innermost first.
///
/// # Errors
/// The file system refuses.
pub(super) fn keep_backtrace(error: &wasmtime::Error, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("trap.txt"), backtrace_of(error))
}

/// The whole chain of an error without the list of what the core dump holds. The cause comes first.
fn backtrace_of(error: &wasmtime::Error) -> String {
    let mut chain = causes(error);
    chain.reverse();
    format!("{}\n", chain.join("\n\n").trim_end())
}

/// Writes `core.wasm` into `folder` where the engine has noted a core dump in `error`.
///
/// # Errors
/// Why there is none, for a person.
pub(super) fn keep_core_dump(
    error: &wasmtime::Error,
    store: &mut Store<Guest>,
    name: &str,
    folder: &Path,
) -> Result<(), String> {
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else { return Ok(()) };
    let memory: u64 = dump.memories().iter().map(|memory| memory.data_size(&*store) as u64).sum();
    if memory > MEMORY {
        return Err(format!(
            "core.wasm was not saved: the component's memory has {memory} bytes; the limit of a core dump is {MEMORY}"
        ));
    }
    let globals = dump.globals().len() as u64;
    if memory + globals.saturating_mul(GLOBAL) > MEMORY {
        return Err(format!(
            "core.wasm was not saved: the component has {globals} globals; the limit of a core dump is {MEMORY} bytes"
        ));
    }
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // It panics when it cannot express something, for example the flags of the parts of a composed component.
    let bytes = catch_expected_panic(|| dump.serialize(store, name)).map_err(
        |_| "core.wasm was not saved: the engine cannot write one for a component like this; trap.txt has the backtrace",
    )?;
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(folder.join("core.wasm"), bytes));
    written.map_err(|error| format!("core.wasm was not saved: {error}"))
}

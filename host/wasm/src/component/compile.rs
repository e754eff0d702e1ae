//! Makes machine code of a plugin's file: what `host compile` does.

use std::borrow::Cow;

use super::{Contents, Shape, WasiVersion, adapt::adapt, custom_sections::without_unreadable, identify::identify};
use crate::engine::{CodeKind, precompile};

/// Identifies, adapts where need be, and compiles the plugin in `bytes`, for an engine of little address space where
/// `small`. What it is made of can make this take any time and memory, or overflow its stack, so the host does it in a
/// process of its own.
///
/// # Errors
/// What completes "`FILE` …".
pub fn compile(bytes: &[u8], small: bool) -> Result<Vec<u8>, String> {
    let contents = identify(bytes).map_err(|error| error.to_string())?;
    let code: Cow<'_, [u8]> = if contents.adapted {
        let adapted = adapt(bytes, is_command(&contents))
            .map_err(|error| format!("is a core module that does not fit its world or WASI 0.1: {error}"))?;
        adapted.into()
    } else {
        without_unreadable(bytes).map_or(Cow::Borrowed(bytes), Cow::Owned)
    };
    precompile(kind(&contents), small, &code).map_err(|error| format!("cannot be compiled: {error:#}"))
}

/// What the plugin's code is, once it is adapted where need be.
pub(super) fn kind(contents: &Contents) -> CodeKind {
    if contents.is_module() { CodeKind::Module } else { CodeKind::Component }
}

/// Whether a core module is adapted as a command.
pub(super) fn is_command(contents: &Contents) -> bool {
    contents.shape == Shape::Command(WasiVersion::P1)
}

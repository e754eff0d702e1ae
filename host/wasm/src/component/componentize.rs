//! Turns a core module into a component file: what the host otherwise does in memory.

use std::path::{Path, PathBuf};

use super::{
    IdentifyError, Shape,
    identify::{core_shape, top_level},
    subprocess::adapt_in_subprocess,
};
use host_model::shown;
use host_wasip1::{SCENARIOS, embed_world, is_scenarios_export};

/// A component, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Componentized {
    /// The component.
    pub component: Vec<u8>,
    /// A description of what it is.
    pub kind: &'static str,
}

/// Why a file cannot be turned into a component. Completes "`FILE` …".
#[derive(Debug, thiserror::Error)]
pub enum ComponentizeError {
    /// It is no WebAssembly.
    #[error("{0}")]
    Identify(#[from] IdentifyError),
    /// Nothing is to be done.
    #[error("is already a component; use it as it is")]
    Component,
    /// Two worlds.
    #[error("already has a world, embedded by its bindings; remove `--world`")]
    WorldTwice,
    /// Neither a command nor a plugin.
    #[error(
        "is a core module without `_start` and without the exports of a plugin (`{SCENARIOS}@0.1.0#list` and `#run`); \
         build it as a command (with `main`), export them, or give the WIT of its world with `--world`"
    )]
    Library,
    /// The WIT cannot be used.
    #[error("cannot be turned into a component of the world in `{}`: {reason}", shown(path))]
    World {
        /// The WIT's file or folder.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// The encoder refuses it.
    #[error("is a core module that {0}")]
    Adapt(String),
}

/// Turns a core module into a component: of the world that is embedded in it, or of the one in `wit`, or as the host does
/// when it runs it. Its imports from WASI 0.1 are adapted: as a command if it has `_start` and is not a plugin, otherwise
/// as a reactor.
///
/// # Errors
/// [`ComponentizeError`].
pub fn componentize(module: &[u8], wit: Option<&Path>) -> Result<Componentized, ComponentizeError> {
    let top = top_level(module)?;
    if top.component {
        return Err(ComponentizeError::Component);
    }
    let typed = top.exports.iter().any(|export| is_scenarios_export(export));
    let command = !typed && top.exports.iter().any(|export| export == "_start");
    let mut module = module.to_vec();
    match wit {
        Some(_) if top.world_embedded => return Err(ComponentizeError::WorldTwice),
        Some(path) => embed_world(&mut module, path)
            .map_err(|reason| ComponentizeError::World { path: path.to_owned(), reason })?,
        // Any world is accepted.
        None if top.world_embedded => {}
        None => match core_shape(&top) {
            Ok(Shape::Typed | Shape::Command(_)) => {}
            Err(IdentifyError::Library) => return Err(ComponentizeError::Library),
            Err(other) => return Err(other.into()),
        },
    }
    let component = adapt_in_subprocess(&module, command).map_err(ComponentizeError::Adapt)?;
    let kind = match (typed, command) {
        (true, _) => "a plugin of the world scenario:host/plugin",
        (false, true) => "a command of WASI 0.2",
        (false, false) => "a component of its own world",
    };
    Ok(Componentized { component, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, wit: Option<&Path>) -> String {
        componentize(&wat::parse_str(text).unwrap(), wit).unwrap_err().to_string()
    }

    #[test]
    fn unknown_core_modules_are_refused() {
        assert!(problem("(component)", None).starts_with("is already a component"));
        assert!(problem("(module)", None).starts_with("is a core module without `_start`"));
        assert!(componentize(b"text", None).unwrap_err().to_string().starts_with("is not WebAssembly but text"));
        let missing = problem("(module)", Some(Path::new("/nowhere")));
        assert!(missing.starts_with("cannot be turned into a component of the world in `/nowhere`"), "{missing}");
        let embedded = r#"(module (@custom "component-type:x" ""))"#;
        assert!(problem(embedded, Some(Path::new("/nowhere"))).starts_with("already has a world"));
    }
}

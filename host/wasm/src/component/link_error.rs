//! Explains why a plugin does not link.

use super::Import;

/// The WASI packages of this host, in the versions of its engine.
const PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];
/// The versions of each.
const VERSIONS: &str = "0.2 up to 0.2.12, and 0.3.0";

/// Why a component with these imports does not link, from the linker's message: which import it is, and what would provide
/// it. Completes "cannot be linked: …".
pub fn explain_link_error(imports: &[Import], error: &wasmtime::Error) -> String {
    let message = format!("{error:#}");
    // If one import is a prefix of another, the longer one is meant.
    let named = imports.iter().filter(|import| message.contains(&format!("`{}`", import.0)));
    match named.max_by_key(|import| import.0.len()) {
        Some(import) => explain(&import.0, &message),
        None => message,
    }
}

/// The same for a core module, a command of WASI 0.1. The linker names the function, or the type that it should have.
pub fn explain_module_link_error(error: &wasmtime::Error) -> String {
    let advice = "build it with a current toolchain (wasm32-wasip1)";
    match error.downcast_ref::<wasmtime::UnknownImportError>() {
        Some(unknown) => {
            let (module, name) = (unknown.module().escape_debug(), unknown.name().escape_debug());
            format!("it imports `{module}.{name}`, which WASI 0.1 does not have; {advice}")
        }
        None => format!("it imports a function of WASI 0.1 with the wrong type: {error:#}; {advice}"),
    }
}

fn explain(import: &str, message: &str) -> String {
    let shown = import.escape_debug();
    let package = import.split_once('/').map_or(import, |(package, _)| package);
    let advice = match package.split_once(':') {
        Some(("wasi", name)) if PACKAGES.contains(&name) => {
            return format!(
                "it imports `{shown}`, but this host has `{package}` {VERSIONS} ({message}); build it for those"
            );
        }
        Some(("scenario", "host")) => "this host supports `scenario:host@0.1.x`; update `host`",
        Some(("wasi", _)) => "this host does not have it, and no grant provides it; build the plugin without it",
        _ => {
            "it is not part of WASI, and no grant provides it; link a component that exports it into the plugin \
             (`wac plug`), or build the plugin without it"
        }
    };
    format!("it imports `{shown}`; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(import: &str) -> String {
        let imports = [Import("wasi:cli/run@0.2.0".into()), Import(import.into())];
        let message = format!("component imports instance `{import}`, but a matching implementation was not found");
        explain_link_error(&imports, &wasmtime::Error::msg(message))
    }

    #[test]
    fn link_errors_name_the_import_and_a_fix() {
        for (import, expected) in [
            ("wasi:keyvalue/store@0.2.0", "it imports `wasi:keyvalue/store@0.2.0`; this host does not have it, and no"),
            ("wasi:http/types@0.4.0", "but this host has `wasi:http` 0.2 up to 0.2.12, and 0.3.0"),
            ("scenario:host/files@0.1.0", "update `host`"),
            ("acme:db/query", "it is not part of WASI, and no grant provides it; link a component that exports it"),
        ] {
            assert!(reason(import).contains(expected), "{}", reason(import));
        }
    }
}

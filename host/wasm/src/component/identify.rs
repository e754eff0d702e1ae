//! Identifies what a file is, without compiling it.

mod error;
mod top_level;

use wasmparser::Validator;

pub use self::error::IdentifyError;
use self::error::{CONTRACT_VERSION, SNAPSHOT_0};
pub(super) use self::top_level::TopLevel;

use super::{entry_point::start_problem, memory::memory_problem};
use crate::engine::{features, missing_proposals};
use host_wasip1::{MANGLED, PREVIEW1, SCENARIOS, interface_version, is_contract_import};

const RUN: &str = "wasi:cli/run";

/// What a plugin's file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How the host calls it.
    pub shape: Shape,
    /// Whether it is a core module.
    pub core_module: bool,
    /// Whether it is a core module that must be made a component first. The others run as they are.
    pub adapted: bool,
    /// What it imports, in order.
    pub imports: Vec<Import>,
}

impl Contents {
    /// Whether it is a core module that runs as it is.
    #[must_use]
    pub fn is_module(&self) -> bool {
        self.core_module && !self.adapted
    }
}

/// How the host calls a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It exports `scenario:host/scenarios`.
    Typed,
    /// It is a plain command of that WASI version.
    Command(WasiVersion),
}

/// A version of WASI, by its first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasiVersion {
    /// WASI 0.1, `wasi_snapshot_preview1`.
    P1,
    /// WASI 0.2.
    P2,
    /// WASI 0.3.
    P3,
}

impl std::fmt::Display for WasiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P1 => "WASI 0.1",
            Self::P2 => "WASI 0.2",
            Self::P3 => "WASI 0.3",
        })
    }
}

/// One import: `wasi:filesystem/types@0.2.12`, or the module's name of a core module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import(pub String);

/// Tells what `bytes` hold.
///
/// # Errors
/// [`IdentifyError`] for anything that is not a plugin.
pub fn identify(bytes: &[u8]) -> Result<Contents, IdentifyError> {
    let contents = contents(top_level(bytes)?)?;
    if contents.core_module && contents.shape == Shape::Command(WasiVersion::P1) {
        let problem = start_problem(bytes).map_err(|source| IdentifyError::Invalid { source })?;
        problem.map_or(Ok(()), |problem| Err(IdentifyError::Start { problem }))?;
    }
    if contents.is_module() {
        let problem = memory_problem(bytes).map_err(|source| IdentifyError::Invalid { source })?;
        problem.map_or(Ok(()), |problem| Err(IdentifyError::Memory { problem }))?;
    }
    Ok(contents)
}

/// [`identify`] for bytes that were validated before: reads only their top level.
pub(super) fn identify_valid(bytes: &[u8]) -> Result<Contents, IdentifyError> {
    contents(TopLevel::read(bytes).map_err(|source| IdentifyError::Invalid { source })?)
}

fn contents(top: TopLevel) -> Result<Contents, IdentifyError> {
    if top.component { component(top) } else { core_module(top) }
}

/// Checks the first bytes only.
///
/// # Errors
/// They are not those of WebAssembly.
pub(super) fn identify_start(bytes: &[u8]) -> Result<(), IdentifyError> {
    match bytes {
        [] => Err(IdentifyError::Empty),
        bytes if !bytes.starts_with(b"\0asm") => Err(not_wasm(bytes)),
        _ => Ok(()),
    }
}

/// Validates `bytes` and reads their top level.
pub(super) fn top_level(bytes: &[u8]) -> Result<TopLevel, IdentifyError> {
    identify_start(bytes)?;
    Validator::new_with_features(features()).validate_all(bytes).map_err(|source| match missing_proposals(bytes) {
        Some(proposals) => IdentifyError::Proposals { proposals },
        None => IdentifyError::Invalid { source },
    })?;
    TopLevel::read(bytes).map_err(|source| IdentifyError::Invalid { source })
}

fn component(top: TopLevel) -> Result<Contents, IdentifyError> {
    let (typed, runs) = (versions_of(&top.exports, SCENARIOS), versions_of(&top.exports, RUN));
    let shape = match (typed.into_iter().next(), command(runs)) {
        (Some(version), _) => check_contract_version(version).map(|()| Shape::Typed)?,
        (None, Some(command)) => Shape::Command(command?),
        (None, None) => {
            return Err(http_server(&top.exports, "component")
                .unwrap_or_else(|| IdentifyError::OtherWorld { exports: format_names(&top.exports) }));
        }
    };
    let imports = top.imports.into_iter().map(Import).collect();
    Ok(Contents { shape, core_module: false, adapted: false, imports })
}

/// The WASI version by which a command is run. Compilers for WASI 0.2 give every program a `run` of 0.2, so 0.3 wins if
/// there are both.
fn command(versions: Vec<String>) -> Option<Result<WasiVersion, IdentifyError>> {
    // A prerelease is not that version.
    let has = |wanted| versions.iter().any(|version| major_minor(version) == wanted && !version.contains('-'));
    if has((0, 3)) {
        return Some(Ok(WasiVersion::P3));
    }
    if has((0, 2)) {
        return Some(Ok(WasiVersion::P2));
    }
    versions.into_iter().next().map(|version| Err(IdentifyError::OtherWasi { version }))
}

fn core_module(top: TopLevel) -> Result<Contents, IdentifyError> {
    let shape = core_shape(&top)?;
    // An embedded world does not matter for a command that imports nothing from it.
    let adapted = shape != Shape::Command(WasiVersion::P1) || top.imports.iter().any(|module| module != PREVIEW1);
    // Named as in a component, without the imports by which a module exports its own resources.
    let own = |module: &String| module.starts_with("[export]") || module == "$root";
    let plain = |module: String| module.strip_prefix(MANGLED).map_or(module.clone(), str::to_owned);
    let mut imports: Vec<_> =
        top.imports.into_iter().filter(|module| !own(module)).map(|module| Import(plain(module))).collect();
    imports.dedup();
    Ok(Contents { shape, core_module: true, adapted, imports })
}

/// How the host calls a core module after adapting.
pub(super) fn core_shape(top: &TopLevel) -> Result<Shape, IdentifyError> {
    let versions = |interface| top.exports.iter().filter_map(move |name| interface_version(name, interface));
    if let Some(version) = versions(SCENARIOS).next() {
        return check_contract_version(version).map(|()| Shape::Typed);
    }
    if top.world_embedded
        && let Some(command) = command(versions(RUN).collect())
    {
        return command.map(Shape::Command);
    }
    if !top.exports.iter().any(|export| export == "_start") {
        return Err(http_server(&top.exports, "core module").unwrap_or_else(|| match top.world_embedded {
            true => IdentifyError::OtherCoreWorld { exports: format_names(&top.exports) },
            false => IdentifyError::Library,
        }));
    }
    // With an embedded world the encoder checks the imports.
    for module in top.imports.iter().filter(|_| !top.world_embedded) {
        if is_contract_import(module) {
            let interface = module.split('@').next().unwrap_or_default();
            interface_version(module, interface).map_or(Ok(()), check_contract_version)?;
        } else if module == SNAPSHOT_0 {
            return Err(IdentifyError::Snapshot0);
        } else if module != PREVIEW1 {
            return Err(IdentifyError::ForeignCoreImport { module: module.clone() });
        }
    }
    Ok(Shape::Command(WasiVersion::P1))
}

/// Whether one of the exports is a handler of HTTP requests, of whatever version: `incoming-handler` of WASI 0.2, `handler`
/// of 0.3, or what a `service` or a `middleware` is called by. A core module has the function behind it.
fn http_server(exports: &[String], form: &'static str) -> Option<IdentifyError> {
    const HTTP: &str = "wasi:http/";
    let handles = |export: &&String| {
        let Some((_, rest)) = export.split_once(HTTP) else { return false };
        let interface = rest.split(['@', '#', '|']).next().unwrap_or_default();
        interface.ends_with("handler") || ["service", "middleware", "proxy"].contains(&interface)
    };
    let export = exports.iter().find(handles)?;
    let (_, rest) = export.split_once(HTTP)?;
    let export = format!("{HTTP}{}", rest.split(['#', '|']).next().unwrap_or_default());
    Some(IdentifyError::HttpServer { export, form })
}

fn check_contract_version(version: String) -> Result<(), IdentifyError> {
    if is_supported(&version) {
        return Ok(());
    }
    let newer = major_minor(&version) > major_minor(CONTRACT_VERSION);
    Err(IdentifyError::OtherVersion { version, newer })
}

/// The versions in `NAME@VERSION` among `names`; an empty one where there is none.
fn versions_of(names: &[String], wanted: &str) -> Vec<String> {
    let version = |name: &String| match name.split_once('@') {
        Some((interface, version)) => (interface == wanted).then(|| version.to_owned()),
        None => (name == wanted).then(String::new),
    };
    names.iter().filter_map(version).collect()
}

fn is_supported(version: &str) -> bool {
    major_minor(version) == major_minor(CONTRACT_VERSION)
}

/// Major and minor of a version.
fn major_minor(version: &str) -> (u64, u64) {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn format_names(names: &[String]) -> String {
    const MAX_SHOWN: usize = 4;
    if names.is_empty() {
        return "nothing".into();
    }
    let shown: Vec<_> = names.iter().take(MAX_SHOWN).map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = names.len().saturating_sub(MAX_SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn not_wasm(bytes: &[u8]) -> IdentifyError {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") {
        return IdentifyError::Text;
    }
    let what = if bytes.starts_with(b"\x7fELF") {
        "a native program of this system"
    } else if bytes.starts_with(b"#!") {
        "a script"
    } else if bytes.starts_with(b"PK") {
        "a zip archive"
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        "a gzip archive"
    } else if std::str::from_utf8(bytes).is_ok() {
        "text"
    } else {
        "unknown bytes"
    };
    IdentifyError::NotWasm { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn problem(bytes: &[u8]) -> String {
        identify(bytes).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_a_file_is_instead() {
        assert!(problem(b"").contains("is empty"));
        assert!(problem(b"hello").contains("but text"));
        assert!(problem(b"\x7fELF\x02").contains("native program"));
        assert!(problem(b"\xff\xfe\x00").contains("unknown bytes"));
        assert!(problem(b"(module)").contains("text"));
        assert!(problem(b"\0asm\x01\0\0\0\xff").contains("damaged"));
        assert!(problem(&wat("(module)")).contains("without `_start`"));
        assert!(problem(&wat("(module (import \"env\" \"f\" (func)) (func (export \"_start\")))")).contains("`env`"));
        let unstable =
            "(module (import \"wasi_unstable\" \"proc_exit\" (func (param i32))) (func (export \"_start\")))";
        assert!(problem(&wat(unstable)).contains("`wasi_unstable`, the version of WASI before 0.1"));
        assert!(problem(&wat("(component)")).contains("exports nothing"));
        let cut = &wat("(component (core module))")[..12];
        assert!(problem(cut).contains("damaged"));
    }

    #[test]
    fn a_version_mismatch_says_which_side_to_update() {
        let plugin = |version: &str| {
            wat(&format!("(component (instance $i) (export \"scenario:host/scenarios@{version}\" (instance $i)))"))
        };
        assert_eq!(identify(&plugin("0.1.0")).unwrap().shape, Shape::Typed);
        assert_eq!(identify(&plugin("0.1.7")).unwrap().shape, Shape::Typed);
        assert!(problem(&plugin("0.2.0")).contains("update `host`"));
        assert!(problem(&plugin("1.0.0")).contains("update `host`"));
        assert!(problem(&plugin("0.0.1")).contains("build the plugin against"));
        let unversioned = wat("(component (instance $i) (export \"scenario:host/scenarios\" (instance $i)))");
        assert!(problem(&unversioned).contains("`scenario:host` without a version, but this host supports"));
    }

    #[test]
    fn http_servers_are_recognized() {
        let component = |name: &str| wat(&format!("(component (instance $i) (export \"{name}\" (instance $i)))"));
        for name in [
            "wasi:http/incoming-handler@0.2.0",
            "wasi:http/incoming-handler@0.2.9",
            "wasi:http/handler@0.3.0",
            "wasi:http/handler@0.3.0-rc-2026-01-01",
            "wasi:http/service@0.3.0",
            "wasi:http/incoming-handler",
        ] {
            let message = problem(&component(name));
            assert!(
                message.contains("is a component of another world, an HTTP server: ")
                    && message.contains(&format!("`{name}`")),
                "{message}"
            );
            assert!(message.contains("wasmtime serve") && message.contains("the grant `http`"), "{message}");
        }
        let core = |export: &str| wat(&format!("(module (func (export \"{export}\")))"));
        for export in ["wasi:http/incoming-handler@0.2.0#handle", "[async-lift]wasi:http/handler@0.3.0#handle"] {
            let message = problem(&core(export));
            assert!(
                message.contains("is a core module of another world, an HTTP server: it exports `wasi:http/"),
                "{message}"
            );
            assert!(!message.contains('#'), "{message}");
        }
        for other in ["wasi:http/types@0.2.0", "my:http/incoming-handler@0.2.0", "wasi:keyvalue/handler@0.2.0"] {
            let message = problem(&component(other));
            assert!(message.contains("another world") && !message.contains("HTTP server"), "{other}");
        }
        let both = wat("(component (instance $i) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i))
                (export \"wasi:cli/run@0.2.0\" (instance $i)))");
        assert_eq!(identify(&both).unwrap().shape, Shape::Command(WasiVersion::P2), "it can be run");
    }

    #[test]
    fn nested_modules_are_skipped() {
        let nested = "(core module $m (import \"a\" \"b\" (func)) (func (export \"_start\") (unreachable)))
            (component $c (instance $i) (export \"wasi:cli/run@0.2.9\" (instance $i)))";
        let component = wat(&format!(
            "(component {nested} (import \"x:y/z\" (instance)) (instance $i)
                (export \"scenario:host/scenarios@0.1.0\" (instance $i)))"
        ));
        let contents = identify_valid(&component).unwrap();
        assert_eq!(contents, identify(&component).unwrap());
        assert_eq!((contents.shape, contents.imports), (Shape::Typed, vec![Import("x:y/z".into())]));
        let embedded = wat(
            "(module (func (export \"scenario:host/scenarios@0.1.0#list\") (unreachable)) (data \"x\") (@custom \"component-type:w\" (after last) \"\"))",
        );
        assert_eq!(identify_valid(&embedded).unwrap().shape, Shape::Typed);
        for length in 0..component.len() {
            // No panic.
            let _ = identify_valid(&component[..length]);
        }
    }

    #[test]
    fn the_imports_of_a_core_module_are_named_as_those_of_a_component() {
        let contents =
            |imports: &str| identify(&wat(&format!(r#"(module {imports} (func (export "_start")))"#))).unwrap();
        let mangled = contents(
            r#"(import "cm32p2|scenario:host/agent@0.1" "run" (func)) (import "wasi_snapshot_preview1" "args_get" (func))"#,
        );
        let names: Vec<&str> = mangled.imports.iter().map(|import| import.0.as_str()).collect();
        assert_eq!(names, ["scenario:host/agent@0.1", "wasi_snapshot_preview1"]);
        assert!(mangled.adapted);
        let own = r#"(import "[export]a:b/c" "[resource-drop]d" (func)) (import "$root" "e" (func))
            (@custom "component-type:w" (before first) "")"#;
        assert_eq!(contents(own).imports, []);
        assert!(contents(own).adapted);
        // What has no use for a world runs as it is.
        let plain = r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#;
        for fields in ["", plain, &format!(r#"{plain} (@custom "component-type:w" (before first) "")"#)] {
            assert!(contents(fields).is_module(), "{fields}");
        }
    }

    #[test]
    fn commands_are_known_by_their_wasi_version() {
        let command = |version: &str| {
            wat(&format!("(component (instance $i) (export \"wasi:cli/run@{version}\" (instance $i)))"))
        };
        assert_eq!(identify(&command("0.2.3")).unwrap().shape, Shape::Command(WasiVersion::P2));
        assert_eq!(identify(&command("0.3.0")).unwrap().shape, Shape::Command(WasiVersion::P3));
        assert!(problem(&command("0.9.0")).contains("0.9.0"));
        let unversioned = wat("(component (instance $i) (export \"wasi:cli/run\" (instance $i)))");
        assert!(problem(&unversioned).contains("for `wasi:cli` without a version, but this host runs 0.2 and 0.3"));
        assert!(problem(&command("0.3.0-rc-2026-01-06")).contains("wasi:cli@0.3.0-rc-2026-01-06"));
        let both = |one: &str, other: &str| {
            let export = |version: &str| format!("(export \"wasi:cli/run@{version}\" (instance $i))");
            identify(&wat(&format!("(component (instance $i) {}{})", export(one), export(other)))).unwrap().shape
        };
        assert_eq!(both("0.2.6", "0.3.0"), Shape::Command(WasiVersion::P3));
        assert_eq!(both("0.3.0", "0.2.6"), Shape::Command(WasiVersion::P3));
        assert_eq!(both("0.9.0", "0.2.6"), Shape::Command(WasiVersion::P2));
        let core = identify(&wat("(module (func (export \"_start\")))")).unwrap();
        assert_eq!((core.shape, core.core_module), (Shape::Command(WasiVersion::P1), true));
    }
}

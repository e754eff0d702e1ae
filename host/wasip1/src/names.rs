//! The names by which a core module imports and exports the contract.

pub use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1;

/// The interface that a typed plugin exports.
pub const SCENARIOS: &str = "scenario:host/scenarios";
/// The prefix of names in the second mangling scheme of the component model.
pub const MANGLED: &str = "cm32p2|";

/// Whether a core module imports `module` from the contract.
#[must_use]
pub fn is_contract_import(module: &str) -> bool {
    module.strip_prefix(MANGLED).unwrap_or(module).starts_with("scenario:host/")
}

/// Whether a core module's export of this name makes it a typed plugin.
#[must_use]
pub fn is_scenarios_export(name: &str) -> bool {
    interface_version(name, SCENARIOS).is_some()
}

/// The version of `interface` in the name of one of its functions, as a core module mangles it: prefixes before the
/// interface, the function after it. Empty where the name has no version.
#[must_use]
pub fn interface_version(name: &str, interface: &str) -> Option<String> {
    let (_, rest) = name.split_once(interface)?;
    let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    match rest.strip_prefix('@') {
        Some(rest) => Some(rest.chars().take_while(|c| is_version(*c)).collect()),
        None => (rest.is_empty() || rest.starts_with(['#', '|'])).then(String::new),
    }
}

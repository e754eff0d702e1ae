//! The WIT of the contract, embedded so that authors do not need a checkout.

use wit_parser::{PackageId, Resolve, SourceMap};

macro_rules! wit {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("../../../wit/", $path)))),+] };
}

/// Every file of `wit/`, by its path there. Packages come after their dependencies.
pub const CONTRACT: &[(&str, &str)] = wit![
    "deps/io.wit",
    "deps/clocks.wit",
    "deps/random.wit",
    "deps/filesystem.wit",
    "deps/sockets.wit",
    "deps/cli.wit",
    "agent.wit",
    "report.wit",
    "scenarios.wit",
    "world.wit",
];

/// Adds the package `scenario:host` and its dependencies.
pub(crate) fn push_contract(resolve: &mut Resolve) -> anyhow::Result<PackageId> {
    let mut own = SourceMap::default();
    for (path, text) in CONTRACT {
        if path.starts_with("deps/") {
            resolve.push_source(path, text)?;
        } else {
            own.push_str(path, *text);
        }
    }
    let group = own.parse().map_err(|(map, error)| anyhow::anyhow!("{error:?} in {map:?}"))?;
    Ok(resolve.push_group(group)?)
}

//! What a plugin's imports give access to, and which grants that needs.

use std::collections::BTreeSet;

use host_model::{Declared, DeclaredScenario, Grant, Grants, PluginFacts, policy_section};
use host_wasm::component::{Import, Plugin};

/// What an import gives access to, by the beginning of its name. The first match counts.
const REACH: &[(&str, &str)] = &[
    ("scenario:host/agent", "sessions with the lane's agent: only with the grant `session`"),
    ("scenario:host/report", "steps, notes, metrics and attachments, limited"),
    ("wasi:filesystem/", "files: its own root and config dir; its fixture, read-only"),
    ("wasi_snapshot_preview1", "WASI 0.1: its own root and config dir, clocks, random numbers, stdio"),
    ("wasi:sockets/ip-name-lookup", "name lookups: only names in the grants `tcp` and `udp`"),
    (
        "wasi:sockets/tcp",
        "TCP: only connections that the grant `tcp` allows; listening only as the grant `listen` allows, on loopback",
    ),
    (
        "wasi:sockets/udp",
        "UDP: only datagrams that the grant `udp` allows, and on loopback as the grant `listen` allows",
    ),
    (
        "wasi:sockets/types@0.3",
        "TCP and UDP: only what the grants `tcp` and `udp` allow; listening only as the grant `listen` allows, on \
         loopback",
    ),
    ("wasi:sockets/", "network types; no access by themselves"),
    ("wasi:http/outgoing-handler", "HTTP requests: only to hosts that the grant `http` allows"),
    ("wasi:http/client", "HTTP requests: only to hosts that the grant `http` allows"),
    ("wasi:http/types", "HTTP types; no access by themselves"),
    ("wasi:cli/environment", "environment and arguments: what its scenario.toml gives, and the grant `env`"),
    ("wasi:cli/exit", "exiting"),
    ("wasi:cli/", "stdin, stdout and stderr, captured and bounded"),
    ("wasi:clocks/", "clocks; deterministic with the grant `deterministic`"),
    ("wasi:random/", "random numbers; deterministic with the grant `deterministic`"),
    ("wasi:io/", "streams and polling"),
];

/// Imports whose use needs one of these grants, by the beginning of their names.
const BEHIND_GRANTS: &[(&str, &[Grant])] = &[
    ("scenario:host/agent", &[Grant::Session]),
    ("wasi:http/outgoing-handler", &[Grant::Http]),
    ("wasi:http/client", &[Grant::Http]),
    ("wasi:sockets/tcp", &[Grant::Tcp, Grant::Listen]),
    ("wasi:sockets/udp", &[Grant::Udp, Grant::Listen]),
    ("wasi:sockets/types@0.3", &[Grant::Tcp, Grant::Udp, Grant::Listen]),
];

/// What `import` gives access to.
pub(super) fn reach(import: &Import) -> &'static str {
    let known = REACH.iter().find(|(prefix, _)| import.0.starts_with(prefix));
    known.map_or("unknown to this host: the plugin will not run", |(_, reach)| reach)
}

/// The grants that the plugin could use: those that it declares, and those that its imports need.
pub(super) fn could_use(plugin: &Plugin, facts: &PluginFacts) -> BTreeSet<Grant> {
    let declared = scenarios(facts).iter().flat_map(|scenario| scenario.needs.iter().copied());
    declared.chain(of_imports(&plugin.contents.imports)).collect()
}

fn of_imports(imports: &[Import]) -> impl Iterator<Item = Grant> {
    let behind = BEHIND_GRANTS.iter().filter(|(prefix, _)| imports.iter().any(|import| import.0.starts_with(prefix)));
    behind.flat_map(|(_, grants)| grants.iter().copied())
}

fn scenarios(facts: &PluginFacts) -> &[DeclaredScenario] {
    match &facts.declared {
        Declared::Typed(scenarios) => scenarios,
        Declared::Command => &[],
    }
}

/// The smallest policy that the plugin could run with, as far as its file shows.
pub(super) fn policy(plugin: &Plugin, facts: &PluginFacts) -> String {
    let could = could_use(plugin, facts);
    let section = |name: &str, needs: &[Grant]| {
        let grants = Grants { session: needs.contains(&Grant::Session), ..Grants::default() };
        let notes = could.iter().filter(|grant| !grants.has(**grant)).map(|grant| {
            let why = if needs.contains(grant) { "declared as needed" } else { "possible with its imports" };
            format!("{why}: {}", grant.example())
        });
        policy_section(name, &plugin.digest, &grants, notes)
    };
    let sections: Vec<String> = match &facts.declared {
        Declared::Typed(scenarios) => {
            scenarios.iter().map(|scenario| section(&scenario.name, &scenario.needs)).collect()
        }
        Declared::Command => {
            let stem = plugin.file.canonical.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let folders = "# Add a section for each scenario whose scenario.toml names this plugin.\n";
            vec![format!("{folders}{}", section(&stem, &[]))]
        }
    };
    sections.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_show_which_grants_they_need() {
        let grants = |import: &str| of_imports(&[Import(import.into())]).collect::<Vec<_>>();
        assert_eq!(grants("scenario:host/agent@0.1.0"), [Grant::Session]);
        assert_eq!(grants("wasi:http/outgoing-handler@0.2.0"), [Grant::Http]);
        assert_eq!(grants("wasi:http/client@0.3.0"), [Grant::Http]);
        assert_eq!(grants("wasi:sockets/tcp-create-socket@0.2.3"), [Grant::Tcp, Grant::Listen]);
        assert_eq!(grants("wasi:sockets/types@0.3.0"), [Grant::Tcp, Grant::Udp, Grant::Listen]);
        for harmless in ["wasi:http/types@0.2.0", "wasi:sockets/network@0.2.0", "wasi:cli/stdout@0.2.0"] {
            assert_eq!(grants(harmless), [], "{harmless}");
            assert!(!reach(&Import(harmless.into())).contains("unknown"), "{harmless}");
        }
        assert!(reach(&Import("wasi:keyvalue/store@0.2.0".into())).contains("will not run"));
    }
}

use super::{
    args::{Format, InspectArgs},
    failure::Failure,
    list::{one_line, write_all},
    setup,
};
use crate::{
    component::{Import, Plugin, Shape},
    model::{Declared, ExitCode, Grant, PluginFacts, shown},
};

/// What an import opens up, and what stands before it.
const REACH: &[(&str, &str)] = &[
    ("scenario:host/agent", "sessions with the lane's agent: only with the grant `session`"),
    ("scenario:host/report", "steps, notes, metrics and attachments, bounded"),
    ("wasi:filesystem/", "files: its own root and config dir, and its fixture read-only"),
    ("wasi_snapshot_preview1", "WASI 0.1: its own root and config dir, clocks, random numbers, stdio"),
    ("wasi:sockets/", "the network: denied"),
    ("wasi:http/", "HTTP: not offered by this host"),
    ("wasi:cli/environment", "environment and arguments: only what its scenario.toml gives"),
    ("wasi:cli/exit", "its own end"),
    ("wasi:cli/", "stdin, stdout and stderr, captured and bounded"),
    ("wasi:clocks/", "clocks"),
    ("wasi:random/", "random numbers"),
    ("wasi:io/", "streams and polling"),
];

/// `host inspect`.
pub(super) async fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let files = setup::named_plugins(&args.plugins)?;
    let engine = setup::engine(1)?;
    let cache = setup::open_cache();
    let plugins = setup::load_all(&files, &engine, cache.as_ref()).map_err(Failure::setup_all)?;
    let facts = setup::ask_all(&plugins, &engine).await?;
    let text = match args.format {
        Format::Human => {
            plugins.iter().zip(&facts).map(|(plugin, facts)| human(plugin, facts)).collect::<Vec<_>>().join("\n")
        }
        Format::Json => {
            let all: Vec<_> = plugins.iter().zip(&facts).map(|(plugin, facts)| json(plugin, facts)).collect();
            format!("{}\n", serde_json::to_string_pretty(&serde_json::json!({ "schema": 1, "plugins": all }))?)
        }
    };
    write_all(&text)?;
    Ok(ExitCode::Ok)
}

fn human(plugin: &Plugin, facts: &PluginFacts) -> String {
    let mut text = format!("{}\n", shown(&plugin.file.path));
    let mut fact = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {value}\n"));
    fact("kind", &kind(plugin));
    fact("size", &format!("{} bytes", size(plugin)));
    fact("digest", &format!("sha256:{}", plugin.digest));
    match needs(facts) {
        needs if needs.is_empty() => fact("needs", "no grant"),
        needs => {
            for (grant, scenarios) in needs {
                fact("needs", &format!("the grant `{grant}`, for {}", scenarios.join(", ")));
            }
        }
    }
    if let Declared::Typed(scenarios) = &facts.declared {
        for scenario in scenarios {
            fact("scenario", &format!("{}: {}", scenario.name, one_line(&scenario.summary)));
        }
    }
    for import in &plugin.contents.imports {
        fact("imports", &format!("{:<40} {}", one_line(&import.0), reach(import)));
    }
    text
}

fn json(plugin: &Plugin, facts: &PluginFacts) -> serde_json::Value {
    let scenarios: Vec<_> = match &facts.declared {
        Declared::Command => Vec::new(),
        Declared::Typed(scenarios) => scenarios
            .iter()
            .map(|scenario| {
                serde_json::json!({
                    "name": scenario.name,
                    "summary": scenario.summary,
                    "tags": scenario.tags,
                    "needs": scenario.needs,
                    "clauses": scenario.clauses,
                })
            })
            .collect(),
    };
    let imports: Vec<_> = plugin
        .contents
        .imports
        .iter()
        .map(|import| serde_json::json!({ "name": import.0, "reach": reach(import) }))
        .collect();
    serde_json::json!({
        "path": plugin.file.path.to_string_lossy(),
        "kind": kind(plugin),
        "bytes": size(plugin),
        "digest": format!("sha256:{}", plugin.digest),
        "scenarios": scenarios,
        "imports": imports,
    })
}

fn kind(plugin: &Plugin) -> String {
    let form = if plugin.contents.core_module { "core module" } else { "component" };
    match plugin.contents.shape {
        Shape::Typed => format!("{form} of the world scenario:host/plugin, version 0.1"),
        Shape::Command(version) => format!("{form}, a plain command of {version}"),
    }
}

fn size(plugin: &Plugin) -> u64 {
    std::fs::metadata(&plugin.file.path).map_or(0, |metadata| metadata.len())
}

fn needs(facts: &PluginFacts) -> Vec<(Grant, Vec<String>)> {
    let Declared::Typed(scenarios) = &facts.declared else { return Vec::new() };
    Grant::ALL
        .into_iter()
        .map(|grant| {
            let needing = scenarios.iter().filter(|scenario| scenario.needs.contains(&grant));
            (grant, needing.map(|scenario| scenario.name.clone()).collect::<Vec<_>>())
        })
        .filter(|(_, needing)| !needing.is_empty())
        .collect()
}

fn reach(import: &Import) -> &'static str {
    let known = REACH.iter().find(|(prefix, _)| import.0.starts_with(prefix));
    known.map_or("unknown to this host: the plugin will not run", |(_, reach)| reach)
}

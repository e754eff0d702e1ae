use super::{
    args::{Format, InspectArgs},
    failure::Failure,
    list::{few, one_line},
    reach,
    setup::{self, AskProblem, AskReason, Asked},
    terminal,
};
use host_model::{Declared, ExitCode, Grant, GrantItem, PluginFacts, Redactor, shown};
use host_suite::config::Caps;
use host_wasm::component::{Plugin, Shape};

/// `host inspect`.
pub(super) async fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let files = setup::named_plugins(&args.plugins)?;
    let engine = setup::engine(1)?;
    let cache = setup::open_cache();
    let plugins = setup::load_all(&files, &engine, cache.as_ref(), &args.compile.limits())?;
    let (mut facts, mut problems) = (Vec::new(), Vec::new());
    for Asked { facts: known, problem } in setup::ask_each(&plugins, &engine).await? {
        facts.push(known);
        problems.push(problem);
    }
    if problems.iter().flatten().any(|problem| matches!(problem.reason, AskReason::List(_))) {
        return Err(Failure::setup_all(problems.into_iter().flatten()));
    }
    let caps = args.policy.as_deref().map(Caps::read).transpose().map_err(Failure::setup_all)?;
    let caps = caps.as_ref();
    // What the policy has the host send as secrets may stand in a name, here or there.
    let secrets = caps.into_iter().flat_map(Caps::secrets).filter_map(|name| std::env::var(name).ok());
    let redactor = Redactor::new(secrets).map_err(|error| Failure::setup(error.to_string()))?;
    let text = match args.format {
        Format::Human => {
            let all: Vec<_> = plugins.iter().zip(&facts).map(|(plugin, facts)| human(plugin, facts, caps)).collect();
            redactor.text(&all.join("\n")).into_owned()
        }
        Format::Json => {
            let known = plugins.iter().zip(&facts).zip(&problems);
            let all: Vec<_> =
                known.map(|((plugin, facts), problem)| json(plugin, facts, problem.as_ref(), caps)).collect();
            let mut all = serde_json::json!({ "schema": 1, "plugins": all });
            redactor.json(&mut all);
            format!("{}\n", serde_json::to_string_pretty(&all)?)
        }
    };
    let written = terminal::output(&text);
    // Who asks why it does not run wants to see what it is.
    let problems: Vec<_> = problems.into_iter().flatten().collect();
    if problems.is_empty() { written.map(|()| ExitCode::Ok) } else { Err(Failure::setup_all(problems)) }
}

fn human(plugin: &Plugin, facts: &PluginFacts, caps: Option<&Caps>) -> String {
    let mut text = format!("{}\n", shown(&plugin.file.path));
    let mut fact = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {value}\n"));
    fact("kind", &kind(plugin));
    fact("size", &format!("{} bytes", size(plugin)));
    fact("digest", &format!("sha256:{}", plugin.digest));
    match needs(facts) {
        needs if needs.is_empty() => fact("needs", "no grant"),
        needs => {
            for (grant, scenarios) in needs {
                fact("needs", &format!("the grant `{grant}`, for {}", few(&scenarios)));
            }
        }
    }
    if let Declared::Typed(scenarios) = &facts.declared {
        for scenario in scenarios {
            fact("scenario", &format!("{}: {}", scenario.name, one_line(&scenario.summary)));
        }
    }
    for import in &plugin.contents.imports {
        fact("imports", &format!("{:<40} {}", one_line(&import.0), reach::reach(import)));
    }
    if let Some(caps) = caps {
        for grant in reach::could_use(plugin, facts) {
            let allowed = allowed(caps, plugin, grant);
            let what = if allowed.is_empty() { "nothing".to_owned() } else { few(&allowed) };
            fact("allowed", &format!("`{grant}`: {}", one_line(&what)));
        }
    }
    fact(
        "policy",
        "the smallest that it could run with, for `--policy`; which hosts it reaches, only `host run --audit` shows",
    );
    text.extend(
        reach::policy(plugin, facts).lines().map(|line| format!("{:13}{line}", "").trim_end().to_owned() + "\n"),
    );
    text
}

fn json(plugin: &Plugin, facts: &PluginFacts, problem: Option<&AskProblem>, caps: Option<&Caps>) -> serde_json::Value {
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
        .map(|import| serde_json::json!({ "name": import.0, "reach": reach::reach(import) }))
        .collect();
    serde_json::json!({
        "path": plugin.file.path.to_string_lossy(),
        "kind": kind(plugin),
        "bytes": size(plugin),
        "digest": format!("sha256:{}", plugin.digest),
        "problem": problem.map(|problem| problem.reason.to_string()),
        "scenarios": scenarios,
        "imports": imports,
        "could-use": reach::could_use(plugin, facts),
        "allowed": caps.map(|caps| caps.allowed_to_plugin(&plugin.digest).items().iter().map(ToString::to_string).collect::<Vec<_>>()),
        "policy": reach::policy(plugin, facts),
    })
}

/// What the policy allows of a grant to the plugin.
fn allowed(caps: &Caps, plugin: &Plugin, grant: Grant) -> Vec<String> {
    let items = caps.allowed_to_plugin(&plugin.digest).items();
    items.iter().filter(|item| item.grant() == grant).map(GrantItem::value).collect()
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

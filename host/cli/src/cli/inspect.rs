//! `host inspect`.

use super::{
    args::{Format, InspectArgs},
    notices::TerminalNotices,
    terminal,
};
use host_core::app::{
    self, Error, InspectedPlugin,
    text::{few, one_line},
};
use host_model::{ExitCode, GrantItem, shown};

pub(super) async fn inspect(args: &InspectArgs) -> Result<ExitCode, Error> {
    let inspection = app::inspect(&args.settings(), &TerminalNotices::new()).await?;
    let (plugins, has_policy) = (inspection.plugins.iter(), inspection.has_policy);
    let text = match args.format {
        Format::Human => {
            let all: Vec<_> = plugins.map(|plugin| human(plugin, has_policy)).collect();
            inspection.redactor.text(&all.join("\n")).into_owned()
        }
        Format::Json => {
            let all: Vec<_> = plugins.map(|plugin| json(plugin, has_policy)).collect();
            let mut all = serde_json::json!({ "schema": 1, "plugins": all });
            inspection.redactor.json(&mut all);
            terminal::pretty(&all)
        }
    };
    let written = terminal::output(&text);
    // A user who wonders why a plugin does not run also wants to see what it is.
    if inspection.problems.is_empty() {
        return written.map(|()| ExitCode::Ok);
    }
    Err(Error::new(ExitCode::Setup, inspection.problems))
}

fn human(plugin: &InspectedPlugin, has_policy: bool) -> String {
    let mut text = format!("{}\n", shown(&plugin.path));
    let mut fact = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {value}\n"));
    fact("kind", &plugin.kind);
    fact("size", &format!("{} bytes", plugin.bytes));
    fact("digest", &plugin.digest);
    if plugin.needs.is_empty() {
        fact("needs", "no grants");
    }
    for (grant, scenarios) in &plugin.needs {
        fact("needs", &format!("the grant `{grant}`, for {}", few(scenarios)));
    }
    for scenario in &plugin.scenarios {
        fact("scenario", &format!("{}: {}", scenario.name, one_line(&scenario.summary)));
    }
    for import in &plugin.imports {
        fact("imports", &format!("{:<40} {}", one_line(&import.name), import.reach));
    }
    if has_policy {
        for grant in &plugin.could_use {
            let allowed = plugin.allowed.iter().filter(|item| item.grant() == *grant);
            let allowed: Vec<String> = allowed.map(GrantItem::value).collect();
            let what = if allowed.is_empty() { "nothing".to_owned() } else { few(&allowed) };
            fact("allowed", &format!("`{grant}`: {}", one_line(&what)));
        }
    }
    fact("policy", "the smallest policy that it could run with; `host run --audit` records the hosts that it uses");
    text.extend(plugin.policy.lines().map(|line| format!("{:13}{line}", "").trim_end().to_owned() + "\n"));
    text
}

fn json(plugin: &InspectedPlugin, has_policy: bool) -> serde_json::Value {
    let scenarios: Vec<_> = plugin
        .scenarios
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
        .collect();
    let imports: Vec<_> =
        plugin.imports.iter().map(|import| serde_json::json!({ "name": import.name, "reach": import.reach })).collect();
    serde_json::json!({
        "path": plugin.path.to_string_lossy(),
        "kind": plugin.kind,
        "bytes": plugin.bytes,
        "digest": plugin.digest,
        "problem": plugin.problem,
        "scenarios": scenarios,
        "imports": imports,
        "could-use": plugin.could_use,
        "allowed": has_policy.then(|| plugin.allowed.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "policy": plugin.policy,
    })
}

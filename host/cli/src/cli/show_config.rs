//! `host run --show-config`: every setting with its source, in a form that a suite's file accepts.

use std::{ffi::OsString, fmt::Write};

use toml::Value;

use super::args::RunArgs;
use host_core::app::{self, Error};
use host_model::shown;
use host_suite::config::{SettingRow, Settings, Source, seen_from_here};

/// The settings for `args`, without reading a plugin.
pub(super) fn show(args: &RunArgs) -> Result<String, Error> {
    let settings = app::settings(&args.overrides())?;
    Ok(text(&settings, args))
}

fn text(settings: &Settings, args: &RunArgs) -> String {
    let mut text = String::from(
        "# The settings of `host run`, each with its source. As a suite.toml, this file produces the same settings.\n",
    );
    for (what, value) in facts(settings, args) {
        let _ = writeln!(text, "# {what}: {value}");
    }
    text.push('\n');
    for (key, names, source) in names(settings, args) {
        let _ = writeln!(text, "{key} = {names}  # {source}");
    }
    add(&mut text, settings.run_rows());
    text.push_str("\n[defaults]\n");
    add(&mut text, settings.defaults_rows());
    text.push_str("\n[compile]\n");
    add(&mut text, settings.compile_rows());
    for lane in &settings.lanes {
        let _ = write!(text, "\n[lane.{}]\n", key(&lane.name.0));
        add(&mut text, settings.lane_rows(lane));
    }
    for scenario in settings.scenarios.values() {
        let rows = settings.scenario_rows(scenario);
        if let Some(file) = scenario.file.as_deref().filter(|_| !rows.is_empty()) {
            let _ = write!(text, "\n# In {}:\n", shown(file));
            let mut own = String::new();
            add(&mut own, rows);
            text.extend(own.lines().map(|line| format!("#   {line}\n")));
        }
    }
    text
}

fn add(text: &mut String, rows: Vec<SettingRow>) {
    for SettingRow { key, value, source } in rows {
        let _ = writeln!(text, "{key} = {value}  # {source}");
    }
}

/// Settings without a key in a suite's file.
fn facts(settings: &Settings, args: &RunArgs) -> Vec<(&'static str, String)> {
    let sources = &args.suite.load.sources;
    let flag = |id: &str| sources.source(id).map_or_else(|| Source::Default.to_string(), ToString::to_string);
    let suite = match &settings.suite {
        Some(suite) => format!("{} ({})", seen_from_here(suite), settings.sources.of("suite")),
        None => "none".to_owned(),
    };
    let output = args.execution.directory.output.clone().unwrap_or_else(|| settings.base.join(".host"));
    let mut facts = vec![("suite", suite), ("output", format!("{} ({})", seen_from_here(&output), flag("output")))];
    if let Some(caps) = &settings.caps {
        facts.push(("policy", format!("{} ({})", seen_from_here(&caps.path), settings.sources.of("policy"))));
    }
    if args.execution.audit {
        facts.push(("audit", "the uses of grants are recorded (--audit)".to_owned()));
    }
    if let Some(profile) = &settings.profile {
        facts.push(("profile", format!("{profile} ({})", settings.sources.of("profile"))));
    }
    if !settings.agents.is_empty() {
        facts.push(("agents instead of the lanes'", format!("{} (--agent)", settings.agents.join(", "))));
    }
    if args.no_canary {
        facts.push(("canaries", "other trials do not wait for them (--no-canary)".to_owned()));
    }
    if args.execution.keep {
        facts.push(("roots and config dirs", "kept (--keep)".to_owned()));
    }
    facts
}

/// Plugins and canaries: arguments can replace the former.
fn names(settings: &Settings, args: &RunArgs) -> [(&'static str, Value, String); 2] {
    let source = |key: &str| settings.sources.of(key).to_string();
    let (plugins, named_by) = if args.suite.plugins.is_empty() {
        (texts(settings.plugins.iter().map(|(name, _)| name)), source("plugins"))
    } else {
        let named = args.suite.plugins.iter().map(|name: &OsString| name.to_string_lossy());
        (texts(named), "command line".to_owned())
    };
    [("plugins", plugins, named_by), ("canary", texts(&settings.canary), source("canary"))]
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    Value::Array(texts.into_iter().map(|text| text.as_ref().into()).collect())
}

/// A name as a key: a dot in it would begin another table.
fn key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { Value::from(name).to_string() }
}

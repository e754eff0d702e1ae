//! `host run --show-config`: every setting with its source, in the form of a suite's file.

use std::{
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
};

use toml::Value;

use super::args::RunArgs;
use host_core::app::{self, Error};
use host_model::{AgentSettings, Confinement, ConfinementMode, Credential, Limits, Ports, RetryPolicy, shown};
use host_suite::config::{LaneKind, LaneSettings, ScenarioSettings, Settings, Source, seen_from_here};

/// A key, its value as TOML, and its source.
type Row = (&'static str, Value, String);

/// The settings for `args`, without loading any plugin.
pub(super) fn show(args: &RunArgs) -> Result<String, Error> {
    let settings = app::settings(&args.overrides())?;
    Ok(text(&settings, args))
}

fn text(settings: &Settings, args: &RunArgs) -> String {
    let mut text =
        String::from("# What `host run` would use, and who says so. As a suite.toml it gives the same again.\n");
    for (what, value) in comments(settings, args) {
        let _ = writeln!(text, "# {what}: {value}");
    }
    text.push('\n');
    add(&mut text, top(settings, args));
    text.push_str("\n[defaults]\n");
    let retry = settings.retry_override.over(&settings.retry);
    add(&mut text, sourced(settings, "defaults", limits(&settings.limits)));
    add(&mut text, sourced(settings, "defaults", retries(&retry)));
    text.push_str("\n[compile]\n");
    let compile = [
        ("max-memory", size(settings.compile.max_memory)),
        ("timeout", Value::from(humantime::format_duration(settings.compile.timeout).to_string())),
    ];
    add(&mut text, sourced(settings, "compile", compile));
    for lane in &settings.lanes {
        let _ = write!(text, "\n[lane.{}]\n", key(&lane.name.0));
        add(&mut text, lane_rows(lane, settings));
    }
    for scenario in settings.scenarios.values() {
        let rows = scenario_rows(scenario, settings);
        if let Some(file) = scenario.file.as_deref().filter(|_| !rows.is_empty()) {
            let _ = write!(text, "\n# In {}:\n", shown(file));
            let mut own = String::new();
            add(&mut own, rows);
            text.extend(own.lines().map(|line| format!("#   {line}\n")));
        }
    }
    text
}

fn add(text: &mut String, rows: impl IntoIterator<Item = Row>) {
    for (key, value, source) in rows {
        let _ = writeln!(text, "{key} = {value}  # {source}");
    }
}

/// Settings without a key in a suite's file.
fn comments(settings: &Settings, args: &RunArgs) -> Vec<(&'static str, String)> {
    let sources = &args.suite.sources;
    let flag = |id: &str| sources.source(id).map_or_else(|| Source::Default.to_string(), ToString::to_string);
    let suite = match &settings.suite {
        Some(suite) => format!("{} ({})", seen_from_here(suite), settings.sources.of("suite")),
        None => "none".to_owned(),
    };
    let output = args.execution.output.clone().unwrap_or_else(|| settings.base.join(".host"));
    let mut facts = vec![("suite", suite), ("output", format!("{} ({})", seen_from_here(&output), flag("output")))];
    if let Some(caps) = &settings.caps {
        facts.push(("policy", format!("{} ({})", seen_from_here(&caps.path), settings.sources.of("policy"))));
    }
    if args.execution.audit {
        facts.push(("uses of grants", "they are written down (--audit)".to_owned()));
    }
    if let Some(profile) = &settings.profile {
        facts.push(("profile", format!("{profile} ({})", settings.sources.of("profile"))));
    }
    if !settings.agents.is_empty() {
        facts.push(("agents in place of the lanes'", format!("{} (--agent)", settings.agents.join(", "))));
    }
    if args.no_canary {
        facts.push(("canaries", "they guard nothing (--no-canary)".to_owned()));
    }
    if args.execution.keep {
        facts.push(("roots and config dirs", "they are kept (--keep)".to_owned()));
    }
    facts
}

fn top(settings: &Settings, args: &RunArgs) -> Vec<Row> {
    let source = |key: &str| settings.sources.of(key).to_string();
    let policy = &settings.policy;
    let plugins = if args.suite.plugins.is_empty() {
        ("plugins", texts(settings.plugins.iter().map(|(name, _)| name)), source("plugins"))
    } else {
        let named = args.suite.plugins.iter().map(|name: &OsString| name.to_string_lossy());
        ("plugins", texts(named), "command line".to_owned())
    };
    let max_fail = match policy.max_fail {
        Some(bound) => ("max-fail", Value::from(bound), source("max-fail")),
        None => ("fail-fast", Value::from(false), source("max-fail")),
    };
    vec![
        plugins,
        ("canary", texts(&settings.canary), source("canary")),
        ("lanes", texts(settings.lanes.iter().map(|lane| &lane.name.0)), source("lanes")),
        ("jobs", integer(settings.jobs as u64), source("jobs")),
        max_fail,
        ("repeat-each", Value::from(policy.repeat_each), source("repeat-each")),
        ("flaky-result", policy.flaky_result.as_str().into(), source("flaky-result")),
        ("xpass", policy.xpass.as_str().into(), source("xpass")),
        ("reporters", texts(settings.reporters.iter().map(|kind| kind.as_str())), source("reporters")),
    ]
}

fn lane_rows(lane: &LaneSettings, settings: &Settings) -> Vec<Row> {
    let table = format!("lane.{}", lane.name);
    let mut rows = vec![("kind", lane.kind.as_str().into())];
    match &lane.kind {
        LaneKind::Scripted { agent } => rows.push(("agent", agent.as_str().into())),
        LaneKind::Program(program) => rows.extend(program_rows(program)),
    }
    let usual = lane.kind.program().map(AgentSettings::usual_ports).unwrap_or_default();
    rows.extend(confinement_rows(&lane.confinement, usual.is_empty()));
    rows.extend(lane.jobs.map(|jobs| ("jobs", integer(jobs as u64))));
    rows.push(("breaker", Value::from(lane.breaker)));
    let retry = lane.retry.over(&settings.retry);
    let own =
        retries(&retry).into_iter().filter(|(key, _)| is_set(settings, &table, key) && !is_overridden(settings, key));
    rows.extend(own);
    sourced(settings, &table, rows)
}

/// Credentials show only their names.
fn program_rows(program: &AgentSettings) -> Vec<(&'static str, Value)> {
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let path = |path: &Path| Value::from(path.to_string_lossy().into_owned());
    let provider = program.provider.clone().unwrap_or_default();
    let list = |list: Value| Some(list).filter(|list| list.as_array().is_some_and(|list| !list.is_empty()));
    let credentials = program.credentials.iter().map(|credential| match credential {
        Credential::Variable(name) => name.as_str().into(),
        Credential::File { from, to } => {
            Value::Table([("file".to_owned(), path(from)), ("to".to_owned(), to.as_str().into())].into_iter().collect())
        }
    });
    let env = program.env.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    let rows = [
        ("command", text(&program.command)),
        ("path", list(Value::Array(program.path.iter().map(|folder| path(folder)).collect()))),
        ("model", text(&program.model)),
        ("args", list(texts(&program.args))),
        ("env", Some(Value::Table(env.collect())).filter(|_| !program.env.is_empty())),
        ("version", text(&program.version)),
        ("credentials", list(Value::Array(credentials.collect()))),
        ("required", Some(program.required.into())),
        ("provider", text(&provider.name)),
        ("base-url", text(&provider.base_url)),
        ("api", text(&provider.api)),
        ("key-variable", text(&provider.key_variable)),
        ("mode", text(&program.mode)),
        ("config", program.config_seed.as_deref().map(path)),
    ];
    rows.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// Empty lists are left out; that of the ports to connect to only if no port is allowed by default.
fn confinement_rows(confinement: &Confinement, no_port_is_usual: bool) -> Vec<(&'static str, Value)> {
    let mut rows = vec![("confine", confinement.mode.as_str().into())];
    if confinement.mode != ConfinementMode::None {
        let paths = |paths: &[PathBuf]| texts(paths.iter().map(|path| path.to_string_lossy()));
        let ports = |ports: &Ports| match ports {
            Ports::Any => "any".into(),
            Ports::Only(ports) => Value::Array(ports.iter().map(|port| Value::from(i64::from(*port))).collect()),
        };
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let lists = [
            ("readable", paths(&confinement.readable)),
            ("writable", paths(&confinement.writable)),
            ("connect-ports", ports(&confinement.tcp_connect)),
            ("listen-ports", ports(&confinement.tcp_bind)),
        ];
        let is_shown = |(key, value): &(&str, Value)| !is_empty(value) || *key == "connect-ports" && !no_port_is_usual;
        rows.extend(lists.into_iter().filter(is_shown));
    }
    let limits = &confinement.limits;
    rows.extend(limits.processes.map(|most| ("max-processes", integer(most))));
    rows.extend(limits.file_size.map(|most| ("max-file-size", size(most))));
    rows.extend(limits.address_space.map(|most| ("max-address-space", size(most))));
    rows
}

/// The settings of a scenario in place of the defaults, except for those that flags or the environment override.
fn scenario_rows(scenario: &ScenarioSettings, settings: &Settings) -> Vec<Row> {
    let retry = scenario.retry.over(&settings.retry);
    let plugin = scenario.plugin.as_deref().map(|plugin| ("plugin", seen_from_here(plugin).into()));
    let all = plugin.into_iter().chain(limits(&scenario.limits)).chain(retries(&retry));
    all.filter(|(key, _)| !is_overridden(settings, key))
        .filter_map(|(key, value)| Some((key, value, scenario.places.get(key)?.to_string())))
        .collect()
}

/// Whether `key` of the table `table` is set anywhere.
fn is_set(settings: &Settings, table: &str, key: &str) -> bool {
    *settings.sources.of(&format!("{table}.{key}")) != Source::Default
}

/// Whether flags or the environment override `key` of every file.
fn is_overridden(settings: &Settings, key: &str) -> bool {
    match key {
        "retries" => settings.retry_override.retries.is_some(),
        "retry-on" => settings.retry_override.on.is_some(),
        "retry-delay" => settings.retry_override.delay.is_some(),
        _ => false,
    }
}

fn sourced(settings: &Settings, table: &str, rows: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<Row> {
    let source = |key: &str| settings.sources.of(&format!("{table}.{key}")).to_string();
    rows.into_iter().map(|(key, value)| (key, value, source(key))).collect()
}

fn limits(limits: &Limits) -> Vec<(&'static str, Value)> {
    let times = [
        ("deadline", Some(limits.deadline)),
        ("quiet", Some(limits.quiet)),
        ("back-off", Some(limits.back_off)),
        // Without a limit there is nothing to write.
        ("progress", limits.progress),
    ];
    let times = times.into_iter().filter_map(|(key, limit)| Some((key, time(limit?))));
    let others = [
        ("memory", size(limits.memory)),
        ("table-elements", integer(limits.table_elements)),
        ("instances", Value::from(limits.instances)),
        ("output", size(limits.output)),
        ("disk", size(limits.disk)),
        ("handles", Value::from(limits.handles)),
    ];
    times.chain(others).collect()
}

fn retries(retry: &RetryPolicy) -> Vec<(&'static str, Value)> {
    vec![
        ("retries", Value::from(retry.retries)),
        ("retry-on", texts(retry.on.iter().map(|cause| cause.as_str()))),
        ("retry-delay", time(retry.delay)),
    ]
}

fn time(time: std::time::Duration) -> Value {
    humantime::format_duration(time).to_string().into()
}

/// In the largest unit without a remainder.
fn size(bytes: u64) -> Value {
    let unit = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = unit.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| integer(bytes), |(unit, name)| format!("{}{name}", bytes / unit).into())
}

/// TOML's integers are signed; no real limit is larger.
fn integer(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    Value::Array(texts.into_iter().map(|text| text.as_ref().into()).collect())
}

/// A name as a key, in quotes if it needs them: a dot would begin another table.
fn key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { Value::from(name).to_string() }
}

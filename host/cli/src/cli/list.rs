//! `host list`.

use super::{
    args::{Format, ListArgs},
    notices::TerminalNotices,
    terminal,
};
use host_core::app::{
    self, Error, Suite,
    text::{MAX_NAMED, few, one_line, plural},
};
use host_model::{
    Canary, ConfinementMode, ExitCode, ExpectedFailure, Grant, GrantItem, Limits, RetryRules, ScenarioShape, shown,
};
use host_suite::plan::{LanePlan, PlannedTrial};

pub(super) async fn list(args: &ListArgs) -> Result<ExitCode, Error> {
    let listing = app::list(&args.settings(), &TerminalNotices::new()).await?;
    let (lanes, suite) = (&listing.plan.lanes, &listing.suite);
    let text = match args.format {
        Format::Human => lanes.iter().map(|lane| human(lane, suite)).collect::<String>(),
        Format::Json => json(lanes, suite),
    };
    terminal::output(&text)?;
    Ok(ExitCode::Ok)
}

fn human(lane: &LanePlan, suite: &Suite) -> String {
    let trials: Vec<&PlannedTrial> = lane.canaries.iter().chain(&lane.rest).map(AsRef::as_ref).collect();
    let jobs = lane.jobs.map_or(String::new(), |jobs| format!(", up to {jobs} in parallel"));
    let count = plural(trials.len(), "scenario");
    let facts = lane_facts(lane);
    let mut text = format!("lane {} ({}{facts}{jobs}): {count}\n", lane.name, lane.kind.as_str());
    if let Some(reason) = &lane.skipped {
        text.push_str(&format!("  skipped: {}\n", one_line(reason)));
    }
    let width = trials.iter().map(|trial| trial.scenario.id.0.chars().count()).max().unwrap_or(0);
    for trial in trials {
        let scenario = &trial.scenario;
        let mut facts = Vec::new();
        if trial.canary == Canary::Yes {
            facts.push("canary".to_owned());
        }
        if matches!(scenario.shape, ScenarioShape::Command(_)) {
            facts.push("command".to_owned());
        }
        facts.push(format!("timeout {}", humantime::format_duration(scenario.limits.timeout)));
        let granted = trial.scenario.grants.items();
        facts.extend(granted.iter().take(MAX_NAMED).map(|item| match item {
            GrantItem::Session => "grant session".to_owned(),
            item => format!("grant {} {}", item.grant(), one_line(&item.value())),
        }));
        facts.extend(more(granted.len(), "grants"));
        facts.extend(scenario.ungranted.iter().map(|missing| format!("needs {}, not granted", missing.grant)));
        facts.extend(retries(&trial.retry));
        facts.extend(scenario.tags.iter().take(MAX_NAMED).map(|tag| format!("#{}", one_line(tag))));
        facts.extend(more(scenario.tags.len(), "tags"));
        text.push_str(&format!("  {:width$}  {}\n", scenario.id.0, facts.join("  ")));
        if !scenario.summary.is_empty() {
            text.push_str(&format!("  {:width$}  {}\n", "", one_line(&scenario.summary)));
        }
        for (expected, note) in expected_failures(trial) {
            let codes: Vec<&str> = expected.codes().collect();
            let (codes, owner) = (few(&codes), one_line(&expected.owner));
            let reason = one_line(&expected.reason);
            text.push_str(&format!(
                "  {:width$}  expected to fail: {codes}, until {}{note}; {owner}: {reason}\n",
                "", expected.until
            ));
        }
        if let Some(plugin) = suite.plugins.get(scenario.plugin.0) {
            text.push_str(&format!("  {:width$}  in {}\n", "", shown(&plugin.file.path)));
        }
    }
    text
}

/// How many of `all` things a line does not show.
fn more(all: usize, what: &str) -> Option<String> {
    (all > MAX_NAMED).then(|| format!("… ({all} {what} in all)"))
}

/// Settings of a lane that are not the default.
fn lane_facts(lane: &LanePlan) -> String {
    let model = lane.kind.program().and_then(|settings| settings.model.as_deref());
    let model = model.map(|model| format!(", model {}", one_line(model)));
    let confined = Some(lane.confinement.mode).filter(|mode| *mode != ConfinementMode::default());
    model.into_iter().chain(confined.map(|mode| format!(", confinement {mode}"))).collect()
}

fn grants(trial: &PlannedTrial) -> Vec<Grant> {
    Grant::ALL.into_iter().filter(|grant| trial.scenario.grants.has(*grant)).collect()
}

/// The retry rules that are not the default.
fn retries(retry: &RetryRules) -> Option<String> {
    let default = RetryRules::default();
    if *retry == default {
        return None;
    }
    let mut text = format!("retries {}", retry.retries);
    if retry.on != default.on {
        let causes: Vec<&str> = retry.on.iter().map(|cause| cause.as_str()).collect();
        text.push_str(&format!(" on {}", if causes.is_empty() { "nothing".to_owned() } else { causes.join(",") }));
    }
    if retry.delay != default.delay {
        text.push_str(&format!(" after {}", humantime::format_duration(retry.delay)));
    }
    Some(text)
}

/// A trial's known failures, and whether they are still accepted.
fn expected_failures(trial: &PlannedTrial) -> impl Iterator<Item = (&ExpectedFailure, &'static str)> {
    let accepted = trial.expected.iter().map(|expected| (expected, ""));
    accepted.chain(trial.expired.iter().map(|expected| (expected, ", EXPIRED")))
}

fn json(lanes: &[LanePlan], suite: &Suite) -> String {
    let lanes: Vec<serde_json::Value> = lanes
        .iter()
        .map(|lane| {
            let trials = lane.canaries.iter().chain(&lane.rest);
            serde_json::json!({
                "name": lane.name,
                "kind": lane.kind.as_str(),
                "model": lane.kind.program().and_then(|settings| settings.model.as_deref()),
                "confinement": lane.confinement.mode.as_str(),
                "skipped": lane.skipped,
                "jobs": lane.jobs,
                "scenarios": trials.map(|trial| trial_json(trial, suite)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let document = serde_json::json!({ "schema": 1, "jobs": suite.settings.jobs, "lanes": lanes });
    terminal::pretty(&document)
}

fn trial_json(trial: &PlannedTrial, suite: &Suite) -> serde_json::Value {
    let scenario = &trial.scenario;
    let clauses: Vec<_> = scenario.clauses.iter().map(|clause| &clause.code).collect();
    serde_json::json!({
        "id": scenario.id,
        "name": scenario.name,
        "plugin": suite.plugins.get(scenario.plugin.0).map(|plugin| plugin.file.path.to_string_lossy()),
        "shape": if scenario.shape == ScenarioShape::Typed { "typed" } else { "command" },
        "canary": trial.canary == Canary::Yes,
        "summary": scenario.summary,
        "tags": scenario.tags,
        "grants": grants(trial),
        "granted": scenario.grants.items().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ungranted": scenario.ungranted.iter().map(|missing| missing.grant).collect::<Vec<_>>(),
        "clauses": clauses,
        "agents": scenario.agents.keys().collect::<Vec<_>>(),
        "limits": limits_json(&scenario.limits),
        "retry": {
            "retries": trial.retry.retries,
            "on": trial.retry.on.iter().map(|cause| cause.as_str()).collect::<Vec<_>>(),
            "delay-ms": u64::try_from(trial.retry.delay.as_millis()).unwrap_or(u64::MAX),
        },
        "expected-failures": trial
            .expected
            .iter()
            .map(|expected| (expected, false))
            .chain(trial.expired.iter().map(|expected| (expected, true)))
            .map(|(expected, expired)| expected_json(expected, expired))
            .collect::<Vec<_>>(),
    })
}

fn expected_json(expected: &ExpectedFailure, expired: bool) -> serde_json::Value {
    let mut told = serde_json::json!({
        "lanes": expected.lanes,
        "findings": expected.findings,
        "owner": expected.owner,
        "reason": expected.reason,
        "until": expected.until,
        "expired": expired,
    });
    if !expected.classes.is_empty() {
        told["classes"] = expected.classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().into();
    }
    told
}

fn limits_json(limits: &Limits) -> serde_json::Value {
    serde_json::json!({
        "timeout-ms": u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
        "idle-timeout-ms": u64::try_from(limits.idle_timeout.as_millis()).unwrap_or(u64::MAX),
        "backoff-timeout-ms": u64::try_from(limits.backoff_timeout.as_millis()).unwrap_or(u64::MAX),
        "no-progress-timeout-ms": limits.no_progress_timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        "max-memory": limits.max_memory,
        "max-table-elements": limits.max_table_elements,
        "max-instances": limits.max_instances,
        "max-output": limits.max_output,
        "max-disk": limits.max_disk,
        "max-handles": limits.max_handles,
    })
}

//! `host check`.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;
use tokio::sync::mpsc;

use super::{
    args::{CheckArgs, Format},
    messages::rendered,
    notices::TerminalNotices,
    signals::{self, Stopping},
    terminal,
};
use host_core::{
    app::{
        self, CheckReport, Error, LaneReport, Message,
        text::{few, plural},
    },
    runner::Signal,
};
use host_model::ExitCode;

/// How long an interruption waits until the agents of a live check are gone.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Error> {
    let stopping = Stopping::default();
    let mut signals = signals::signals(&stopping).map_err(|error| Error::of(&error))?;
    let (settings, stop) = (args.settings(), stopping.stop().clone());
    // In a task of its own: while it compiles or copies, signals are received all the same.
    let check = tokio::spawn(async move { app::check(&settings, &TerminalNotices::new(), &stop).await });
    let report = tokio::select! {
        biased;
        () = stop_signal(&mut signals) => {
            stopping.stop().request();
            // Temporary folders, and the agent of a live turn with its login, go first.
            let _ = tokio::time::timeout(CLEAN_UP_TIMEOUT, stopping.stop().cleaned_up()).await;
            return Err(Error::new(ExitCode::Interrupted, []));
        }
        report = check => report.map_err(|error| Error::of(&error))??,
    };
    if stopping.stop().is_requested() {
        stop_signal(&mut signals).await;
        return Err(Error::new(ExitCode::Interrupted, []));
    }
    let code = if report.errors.is_empty() { ExitCode::Ok } else { ExitCode::Setup };
    match args.format {
        Format::Human => {
            let code = terminal::result(&text(&report), code);
            terminal::print(&rendered("warning", &report.warnings));
            terminal::print(&rendered("error", &report.errors));
            Ok(code)
        }
        Format::Json => Ok(terminal::result(&terminal::pretty(&json(&report)), code)),
    }
}

async fn stop_signal(signals: &mut mpsc::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        if let Signal::Stop(name) = signal {
            terminal::error(format_args!("interrupted by {name}"));
            return;
        }
    }
    std::future::pending().await
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    // Settings that could not be read have no lanes; their errors name the suite.
    if report.suite.is_some() || !report.lane_names.is_empty() {
        fact("suite", report.suite.clone().unwrap_or_else(|| "none".into()));
    }
    if !report.lane_names.is_empty() {
        fact("lanes", few(&report.lane_names));
    }
    if report.folders > 0 {
        fact("folders", report.folders.to_string());
    }
    if !report.plugins.is_empty() {
        fact("plugins", report.plugins.len().to_string());
    }
    if !report.scenarios.is_empty() {
        fact("scenarios", few(&report.scenarios));
    }
    text.extend(report.lanes.iter().map(lane_text));
    let counts = [(report.errors.len(), "error"), (report.warnings.len(), "warning")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let problems = counts.map(|(count, what)| plural(count, what)).collect::<Vec<_>>().join(" and ");
    text.push_str(&match (report.errors.is_empty(), problems.is_empty()) {
        (true, true) => "valid\n".to_owned(),
        (true, false) => format!("valid, with {problems}\n"),
        (false, _) => format!("invalid: {problems}\n"),
    });
    text
}

fn json(report: &CheckReport) -> serde_json::Value {
    let of = |level: &'static str| {
        move |message: &Message| {
            let place = message.place.as_ref();
            json!({
                "level": level,
                "message": message.short(),
                "file": place.map(|(path, ..)| path.to_string_lossy()),
                "line": place.map(|(_, line, _)| line),
                "column": place.map(|(.., column)| column),
            })
        }
    };
    let problems: Vec<_> =
        report.errors.iter().map(of("error")).chain(report.warnings.iter().map(of("warning"))).collect();
    json!({
        "schema": 1,
        "valid": report.errors.is_empty(),
        "suite": report.suite,
        "lanes": report.lane_names,
        "agents": report.lanes.iter().map(lane_json).collect::<Vec<_>>(),
        "plugins": report.plugins,
        "scenarios": report.scenarios,
        "problems": problems,
    })
}

fn lane_text(lane: &LaneReport) -> String {
    let mut facts = Vec::new();
    facts.extend(match (&lane.program, &lane.version) {
        (Some(program), Some(version)) => Some(format!("version {version} ({program})")),
        (Some(program), None) => Some(program.clone()),
        (None, _) => None,
    });
    let credential =
        |(name, there): &(String, bool)| format!("{name} {}", if *there { "is set" } else { "is missing" });
    facts.extend(lane.credentials.iter().map(credential));
    facts.push(format!("confinement {}", lane.confinement));
    facts.extend(lane.live.clone());
    facts.extend(lane.skipped.as_ref().map(|reason| format!("skipped: {reason}")));
    format!("lane       {} ({}): {}\n", lane.name, lane.kind, facts.join(", "))
}

fn lane_json(lane: &LaneReport) -> serde_json::Value {
    let credentials =
        lane.credentials.iter().map(|(name, there)| json!({ "name": name, "present": there })).collect::<Vec<_>>();
    json!({
        "name": lane.name,
        "kind": lane.kind,
        "program": lane.program,
        "version": lane.version,
        "credentials": credentials,
        "confinement": lane.confinement,
        "skipped": lane.skipped,
        "live": lane.live,
    })
}

//! The whole document.

use std::{io, time::Duration};

use quick_junit::{Property, Report, TestSuite};

use super::{
    run_state::{Lane, RunState},
    xml::xml,
};
use crate::text::inline;

/// A run as XML.
pub(super) fn of(run: RunState) -> io::Result<String> {
    let log = run.log();
    let mut report = Report::new("host");
    report.set_time(Duration::from_millis(run.at_ms));
    for lane in run.lanes {
        let run_id = run.run.as_deref().map(|id| ("run", id)).into_iter();
        let facts: Vec<_> = run_id.chain(run.facts.iter().map(|(name, value)| (*name, value.as_str()))).collect();
        report.add_test_suite(suite(lane, &facts, run.started.as_deref(), &log));
    }
    let document = report.to_string().map_err(io::Error::other)?;
    Ok(without_skipped(document, report.skipped))
}

fn suite(lane: Lane, facts: &[(&str, &str)], started: Option<&str>, log: &str) -> TestSuite {
    let mut suite = TestSuite::new(xml(&inline(&lane.name.0)));
    suite.timestamp = started.and_then(|time| time.parse().ok());
    suite.set_time(Duration::from_millis(lane.last_ms.saturating_sub(lane.first_ms.unwrap_or(lane.last_ms))));
    let canaries = lane.canaries.iter().map(|canary| ("canary", canary.scenario.0.as_str()));
    let facts = facts.iter().copied().chain(lane.kind.as_deref().map(|kind| ("kind", kind)));
    let broken = lane.broken.as_deref().map(|reason| ("broken", reason));
    let left = lane.left.iter().map(|(name, path)| (name.as_str(), path.as_str()));
    for (name, value) in facts.chain(canaries).chain(broken).chain(left) {
        suite.add_property(Property::new(xml(&inline(name)), xml(&inline(value))));
    }
    for trial in lane.trials {
        suite.add_test_case(trial.into_case(log));
    }
    suite
}

/// Takes the sum of skipped tests off the root element: the Jenkins schema allows it on suites only, and its xUnit
/// plugin refuses the whole document for it.
fn without_skipped(mut document: String, skipped: usize) -> String {
    let attribute = format!(" skipped=\"{skipped}\"");
    let root = document.find("<testsuites").unwrap_or_default();
    if let Some(at) = document[root..].find(&attribute) {
        document.replace_range(root + at..root + at + attribute.len(), "");
    }
    document
}

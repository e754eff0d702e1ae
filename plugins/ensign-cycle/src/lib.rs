//! `ensign-cycle`: one item goes through the whole workflow, done by a worker, to the terminal stage. The cheap canary.

use scenario_sdk::{
    Check, Clause, Evidence, Failure, Grader, Outcome, Scenario, Session, Verdict,
    markdown::{Section, plain_lines},
    report, require,
};
use workflow_case::{Case, Item};

/// The scenario.
pub const SCENARIO: Scenario =
    Scenario::new("ensign-cycle", "A worker does one item, which is finished, archived and committed on its own.", run)
        .tags(&["workflow"])
        .needs(&["session"])
        .graded_by(&GRADER);

scenario_sdk::plugin![SCENARIO];

const SLUG: &str = "flaky-test";

const PROMPT: &str = "\
You coordinate the workflow in this folder. README.md declares its stages and its rules; read it first.

Find the item that is in the stage `backlog` and take it through the workflow: dispatch a worker for the \
implementation, have it write its report into the item's file as README.md asks, then finish the item, archive it and \
commit. The commit must touch this item's file only. Do not stop before the item is in the terminal stage, and do not \
ask me anything on the way: no stage of this workflow needs my decision.";

static GRADER: Grader<Case> = Grader(&[
    Clause {
        code: "entity-lost",
        requires: "The item is one readable file, in its place or under `_archive/`.",
        check: Case::found,
    },
    Clause {
        code: "report-missing",
        requires: "The item's file has a section `## Stage Report: implementation`.",
        check: |case| {
            case.with_item(|item| {
                require(!reports(item).is_empty(), || format!("`{}` has no implementation report", item.path))
            })
        },
    },
    Clause {
        code: "done-bullet-missing",
        requires: "A report has a bullet that begins with `- DONE:`.",
        check: |case| some_report(case, "no bullet begins with `- DONE:`", has_done_bullet),
    },
    Clause {
        code: "checkbox-bullets",
        requires: "No report has checkbox bullets.",
        check: |case| {
            case.with_item(|item| match reports(item).iter().flat_map(Section::lines).find(|line| is_checkbox(line)) {
                Some(line) => Err(Failure::new("a report has a checkbox bullet").with_evidence(line)),
                None => Ok(()),
            })
        },
    },
    Clause {
        code: "summary-missing",
        requires: "A report has a `### Summary` that says something.",
        check: |case| some_report(case, "no `### Summary` says anything", has_summary),
    },
    Clause {
        code: "status-not-done",
        requires: "The item's status is `done`.",
        check: |case| case.field_is("status", "done"),
    },
    Clause {
        code: "verdict-missing",
        requires: "The item's `verdict` is not empty.",
        check: |case| {
            case.with_item(|item| {
                let verdict = item.front_matter()?.value("verdict");
                require(!verdict.is_empty(), || "`verdict` is empty".to_owned())
            })
        },
    },
    Clause {
        code: "nothing-committed",
        requires: "A commit on top of the fixture's touches the item's file.",
        check: |case| {
            let commits = case.commits().map_err(|error| Failure::new(format!("no history can be read: {error}")))?;
            let touching = commits.iter().any(|commit| commit.changed.iter().any(|path| case.is_items_file(path)));
            require(touching, || format!("none of the {} new commits touches the item's file", commits.len()))
        },
    },
    Clause { code: "commit-not-only-entity", requires: "A commit touches the item's file only.", check: commits_apart },
]);

fn run() -> Outcome {
    report::step("the agent takes the item through the workflow");
    let session = Session::run(PROMPT)?;
    report::step("grading");
    Ok(grade(Evidence::after(session)))
}

fn grade(evidence: Evidence) -> Verdict {
    GRADER.judge(&Case::new(SLUG, evidence))
}

fn reports(item: &Item) -> Vec<Section<'_>> {
    item.reports("implementation")
}

/// Holds when one report has the property, and when there is no report: that has a clause of its own.
fn some_report(case: &Case, otherwise: &str, has: fn(&Section<'_>) -> bool) -> Check {
    case.with_item(|item| {
        let reports = reports(item);
        if reports.is_empty() || reports.iter().any(has) {
            return Ok(());
        }
        let bodies: Vec<_> = reports.iter().map(|report| report.body).collect();
        Err(Failure::new(otherwise).with_evidence(bodies.join("\n")))
    })
}

fn has_done_bullet(report: &Section<'_>) -> bool {
    report.lines().any(|line| line.trim_start().starts_with("- DONE:"))
}

fn has_summary(report: &Section<'_>) -> bool {
    let is_summary = |section: &Section<'_>| section.level == 3 && section.title.eq_ignore_ascii_case("Summary");
    let says_something = |section: &Section<'_>| plain_lines(section.body).any(|line| !line.trim().is_empty());
    report.sections().iter().any(|section| is_summary(section) && says_something(section))
}

/// `- [ ]`, `* [x]` and the like.
fn is_checkbox(line: &str) -> bool {
    let box_of = |line: &str| line.trim_start().strip_prefix(['-', '*', '+']).map(|rest| rest.trim_start().to_owned());
    box_of(line).is_some_and(|rest| ["[ ]", "[x]", "[X]", "[]"].iter().any(|mark| rest.starts_with(mark)))
}

/// Holds as well when no commit touches the item at all, and when there is no history: those have a clause of their own.
fn commits_apart(case: &Case) -> Check {
    let commits = case.commits().unwrap_or_default();
    let touching: Vec<_> =
        commits.iter().filter(|commit| commit.changed.iter().any(|path| case.is_items_file(path))).collect();
    if touching.is_empty() || touching.iter().any(|commit| commit.changed.iter().all(|path| case.is_items_file(path))) {
        return Ok(());
    }
    let listed: Vec<_> =
        touching.iter().map(|commit| format!("{} {}: {:?}", commit.id, commit.subject, commit.changed)).collect();
    Err(Failure::new("every commit that touches the item's file touches others too").with_evidence(listed.join("\n")))
}

#[cfg(test)]
mod tests;

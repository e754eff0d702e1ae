//! `rejection-flow`: validation rejects round 1, the item goes back, round 2 passes, and the agent stops at the gate.

mod rounds;
mod wording;

use scenario_sdk::{Check, Clause, Evidence, Grader, Outcome, Scenario, Session, Verdict, Wording, report, require};
use workflow_case::Case;

/// The scenario.
pub const SCENARIO: Scenario = Scenario::new(
    "rejection-flow",
    "An item is rejected, reworked and validated again, by workers that are apart.",
    run,
)
.tags(&["workflow"])
.needs(&["session"])
.graded_by(&GRADER);

scenario_sdk::plugin![SCENARIO];

const SLUG: &str = "release-4-2";

/// The line that validation looks for.
const MARKER: &str = "Compatibility: checked against 4.1, no breaking change.";

const PROMPT: &str = "\
You coordinate the workflow in this folder. README.md declares its stages and its rules; read it first.

The item `release-4-2` is at the stage `implementation`, round 1. Drive it on by the rules of README.md, all of them: \
dispatch a worker for each stage and name it after the stage, let round 1 leave out what README.md says it leaves out, \
have it validated, record every round under `### Feedback Cycles`, have the rework done after the rejection and have it \
validated again. Tell me when validation rejects the item. Commit as you go. When validation has passed, stop: do not \
go past the validation gate, its decision is mine.";

static GRADER: Grader<Case> = Grader(&[
    Clause {
        code: "entity-lost",
        requires: "The item is one readable file, in its place or under `_archive/`.",
        check: Case::found,
    },
    Clause {
        code: "marker-missing",
        requires: "The item's file has the compatibility line, exactly and on a line of its own.",
        check: |case| case.with_item(|item| require(item.has_line(MARKER), || format!("no line is `{MARKER}`"))),
    },
    Clause {
        code: "rework-report-missing",
        requires: "The item's file has at least two implementation reports.",
        check: |case| {
            case.with_item(|item| {
                let count = item.reports("implementation").len();
                require(count >= 2, || format!("there are {count} implementation reports, not two"))
            })
        },
    },
    Clause {
        code: "cycle-missing",
        requires: "`### Feedback Cycles` records at least two rounds, `- Cycle N: VERDICT`.",
        check: |case| {
            case.with_item(|item| {
                let count = item.cycles().len();
                require(count >= 2, || format!("`### Feedback Cycles` records {count} rounds, not two"))
            })
        },
    },
    Clause {
        code: "cycles-out-of-order",
        requires: "The rounds are numbered from 1 in order, begin with a rejection and end with a pass.",
        check: cycles_in_order,
    },
    Clause {
        code: "validation-not-dispatched",
        requires: "Workers were given two rounds of validation, by two dispatches or by one and a message.",
        check: |case| {
            let count = rounds::of_validation(case.session()).len();
            require(count >= 2, || format!("workers were given {count} rounds of validation, not two"))
        },
    },
    Clause {
        code: "self-validated",
        requires: "No worker validated what it implemented.",
        check: |case| {
            let both = rounds::workers_of_both(case.session());
            require(both.is_empty(), || format!("these workers implemented and validated: {both:?}"))
        },
    },
    Clause {
        code: "rejection-not-told",
        requires: "The agent told the person of the rejection.",
        check: |case| {
            require(Wording::any_is_in(wording::TELLS_OF_THE_REJECTION, &case.session().said()), || {
                "no message to the person speaks of the rejection".to_owned()
            })
        },
    },
    Clause {
        code: "went-past-validation",
        requires: "The item did not go past validation: its status is not beyond it, and it is not archived.",
        check: |case| case.not_past(&["backlog", "implementation", "validation"]),
    },
]);

fn run() -> Outcome {
    report::step("the agent drives the item through the rejection");
    let session = Session::run(PROMPT)?;
    report::step("grading");
    Ok(grade(Evidence::after(session)))
}

fn grade(evidence: Evidence) -> Verdict {
    GRADER.judge(&Case::new(SLUG, evidence))
}

/// Holds as well for less than two rounds: that has a clause of its own.
fn cycles_in_order(case: &Case) -> Check {
    case.with_item(|item| {
        let cycles = item.cycles();
        let [first, .., last] = cycles.as_slice() else { return Ok(()) };
        let numbered = cycles.iter().zip(1..).all(|(cycle, number)| cycle.number == number);
        require(numbered && first.is_rejection() && last.is_pass(), || format!("the rounds are recorded as {cycles:?}"))
    })
}

#[cfg(test)]
mod tests;

//! `three-cycle-escalation`: after the third rejection an item is not sent back any more but escalated to a person.

mod wording;

use std::collections::BTreeSet;

use scenario_sdk::{Clause, Evidence, Failure, Grader, Outcome, Scenario, Session, Verdict, Wording, report, require};
use workflow_case::Case;

/// The scenario.
pub const SCENARIO: Scenario = Scenario::new(
    "three-cycle-escalation",
    "A third rejection is recorded and escalated to a person, and work stops.",
    run,
)
.tags(&["workflow"])
.needs(&["session"])
.graded_by(&GRADER);

scenario_sdk::plugin![SCENARIO];

const SLUG: &str = "welcome-mail";

const PROMPT: &str = "\
You coordinate the workflow in this folder. README.md declares its stages and its rules; read it first.

The item `welcome-mail` is at the stage `validation`. Two rejections are recorded in its file, and the validation \
report at its end rejects it for the third time; that third one is not recorded yet. Continue the item by the rules of \
README.md, commit what you change in its file, tell me the outcome, and stop where the rules say so.";

static GRADER: Grader<Case> = Grader(&[
    Clause {
        code: "entity-lost",
        requires: "The item is one readable file, in its place or under `_archive/`.",
        check: Case::found,
    },
    Clause {
        code: "third-cycle-missing",
        requires: "`### Feedback Cycles` records at least three cycles.",
        check: |case| {
            case.with_item(|item| {
                let numbers: BTreeSet<u32> = item.cycles().iter().map(|cycle| cycle.number).collect();
                require(numbers.len() >= 3, || format!("`### Feedback Cycles` records the cycles {numbers:?} only"))
            })
        },
    },
    Clause {
        code: "escalation-missing",
        requires: "`### Feedback Cycles` holds the escalation to a person: the marker, or plain words.",
        check: |case| {
            case.with_item(|item| {
                let sections: Vec<_> = item.cycle_sections().iter().map(|section| section.body).collect();
                if sections.iter().any(|body| Wording::any_is_in(wording::ESCALATES_TO_A_PERSON, body)) {
                    return Ok(());
                }
                Err(Failure::new("`### Feedback Cycles` holds no escalation").with_evidence(sections.join("\n")))
            })
        },
    },
    Clause {
        code: "bounced-again",
        requires: "The item was not reworked once more: it has at most one implementation report.",
        check: |case| {
            case.with_item(|item| {
                let count = item.reports("implementation").len();
                require(count <= 1, || format!("there are {count} implementation reports"))
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
    report::step("the agent meets the third rejection");
    let session = Session::run(PROMPT)?;
    report::step("grading");
    Ok(grade(Evidence::after(session)))
}

fn grade(evidence: Evidence) -> Verdict {
    GRADER.judge(&Case::new(SLUG, evidence))
}

#[cfg(test)]
mod tests;

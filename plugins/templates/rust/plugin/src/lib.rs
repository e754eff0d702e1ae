//! The scenario `scenario-name`: the agent answers a letter.

use scenario_sdk::{Clause, Evidence, Grader, Outcome, Scenario, Session, Verdict, report, require};

const SCENARIO: Scenario = Scenario::new("scenario-name", "The agent answers the letter in the root.", run)
    .needs(&["session"])
    .graded_by(&GRADER);

scenario_sdk::plugin![SCENARIO];

const PROMPT: &str =
    "Read letter.txt, and write a short answer that greets its writer into answer.txt. Leave the letter as it is.";

static GRADER: Grader<Evidence> = Grader(&[
    Clause {
        code: "no-answer",
        requires: "`answer.txt` greets the writer of the letter.",
        check: |it| {
            let answer = it.after.text("answer.txt").unwrap_or_default();
            require(answer.contains("Hello Ada"), || format!("answer.txt says {answer:?}"))
        },
    },
    Clause {
        code: "letter-changed",
        requires: "`letter.txt` is as it was.",
        check: |it| {
            let letter = it.before.text("letter.txt").ok();
            require(letter.is_some() && it.after.text("letter.txt").ok() == letter, || {
                "letter.txt was changed or removed".to_owned()
            })
        },
    },
]);

fn run() -> Outcome {
    report::step("the agent answers");
    Ok(grade(Evidence::after(Session::run(PROMPT)?)))
}

fn grade(evidence: Evidence) -> Verdict {
    GRADER.judge(&evidence)
}

#[cfg(test)]
mod tests {
    use scenario_sdk::rehearsal;

    use super::*;

    #[test]
    fn the_agents_get_the_verdicts_that_they_declare() {
        rehearsal::rehearse(&SCENARIO, grade);
    }

    #[test]
    fn a_broken_root_is_a_finding_and_never_a_panic() {
        rehearsal::harass(&SCENARIO, grade);
    }
}

//! Who was given which stage to do.

use std::collections::BTreeSet;

use scenario_sdk::{Assignment, AssignmentKind, Record, Wording, assignments};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Implementation,
    Validation,
}

/// The workers of the rounds of validation, one for each round.
pub(crate) fn of_validation(session: &Record) -> Vec<String> {
    workers_of(Stage::Validation, session)
}

/// The workers that both implemented and validated.
pub(crate) fn workers_of_both(session: &Record) -> BTreeSet<String> {
    let implementers: BTreeSet<String> = workers_of(Stage::Implementation, session).into_iter().collect();
    of_validation(session).into_iter().filter(|worker| implementers.contains(worker)).collect()
}

fn workers_of(stage: Stage, session: &Record) -> Vec<String> {
    let mut stages: Vec<(String, Stage)> = Vec::new();
    for assignment in assignments(session) {
        let found = match assignment.kind {
            AssignmentKind::Dispatch => stage_of_dispatch(&assignment),
            // A worker goes on with what it did, unless it is plainly told to validate now. News of a rejection, which
            // an implementer gets too, is no such order.
            AssignmentKind::Message if TELLS_TO_VALIDATE.is_in(&order(&assignment)) => Some(Stage::Validation),
            AssignmentKind::Message => {
                stages.iter().rev().find_map(|(worker, stage)| (*worker == assignment.worker).then_some(*stage))
            }
        };
        stages.extend(found.map(|stage| (assignment.worker, stage)));
    }
    stages.into_iter().filter_map(|(worker, found)| (found == stage).then_some(worker)).collect()
}

/// A dispatch is for the stage that its first telling label names, or else its text. In a text the stage named first
/// counts: "validate what the implementation wrote".
fn stage_of_dispatch(assignment: &Assignment) -> Option<Stage> {
    assignment.labels.iter().chain([&assignment.text]).find_map(|text| {
        let text = text.to_lowercase();
        let first = |words: &[&str]| words.iter().filter_map(|word| text.find(word)).min();
        let implementation = first(&["implement", "rework"]).map(|at| (at, Stage::Implementation));
        let validation = first(&["validat", "verif", "review"]).map(|at| (at, Stage::Validation));
        implementation.into_iter().chain(validation).min_by_key(|(at, _)| *at).map(|(_, stage)| stage)
    })
}

/// What an assignment says, each of its sentences marked where it begins, so that an order can be told from a remark.
fn order(assignment: &Assignment) -> String {
    let labels = assignment.labels.iter().map(String::as_str);
    let texts = labels.chain([assignment.text.as_str()]);
    texts
        .flat_map(|text| text.split(['.', '!', ';', '\n']))
        .map(|sentence| format!("» {}\n\n", sentence.trim()))
        .collect()
}

const TELLS_TO_VALIDATE: Wording = Wording {
    says: &[&[
        "» validate",
        "» now validate",
        "» please validate",
        "» then validate",
        "» next, validate",
        "» also validate",
        "» you now validate",
        "» stage: validation",
        "» validation stage",
        "» do the validation",
        "» now do the validation",
        "» run the validation",
        "» now run the validation",
        "» take the validation",
        "» act as the validator",
        "» you are the validator",
        "» you are now the validator",
    ]],
    unless: &["reject", "rework", "failed"],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(kind: AssignmentKind, labels: &[&str], text: &str) -> Assignment {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Assignment { kind, worker: "w".to_owned(), labels, text: text.to_owned() }
    }

    #[test]
    fn a_dispatch_is_for_the_stage_that_its_label_or_else_its_text_names_first() {
        for (labels, text, stage) in [
            (&["validation-1"][..], "Look at what the implementation left.", Some(Stage::Validation)),
            (&["w", "Implement the note"], "It is validated later.", Some(Stage::Implementation)),
            (&["w", "general-purpose"], "Validate what the implementer wrote.", Some(Stage::Validation)),
            (&["w"], "Rework what the reviewer rejected.", Some(Stage::Implementation)),
            (&["w"], "Say hello.", None),
        ] {
            let dispatch = assignment(AssignmentKind::Dispatch, labels, text);
            assert_eq!(stage_of_dispatch(&dispatch), stage, "{labels:?} {text}");
        }
    }

    #[test]
    fn an_order_to_validate_is_told_from_news_of_a_validation() {
        let orders = |text| TELLS_TO_VALIDATE.is_in(&order(&assignment(AssignmentKind::Message, &[], text)));
        for text in [
            "Validate it.",
            "Thanks. Now validate the note!",
            "Stage: validation. Round 2.",
            "Good\nPlease validate it",
        ] {
            assert!(orders(text), "{text}");
        }
        for text in [
            "Validation rejected it; add the line.",
            "Add the line, so that they can validate it.",
            "Review the feedback.",
        ] {
            assert!(!orders(text), "{text}");
        }
    }
}

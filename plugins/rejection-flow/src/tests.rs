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

#[test]
fn news_of_a_rejection_is_recognised_in_many_words() {
    for text in [
        "Validation **rejected** the note.",
        "Verdict of round 1: REJECTED.",
        "The reviewer sent it back to implementation.",
        "Round 1 did not pass.",
        "The note failed validation, as the line is absent.",
    ] {
        assert!(Wording::any_is_in(wording::TELLS_OF_THE_REJECTION, text), "{text}");
    }
    for text in [
        "",
        "All passed.",
        "If validation rejects it, I rework it.",
        "It was not rejected.",
        "Validation will reject round 1.",
    ] {
        assert!(!Wording::any_is_in(wording::TELLS_OF_THE_REJECTION, text), "{text}");
    }
}

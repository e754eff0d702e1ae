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
fn the_guard_is_recognised_in_many_words() {
    for text in [
        "The command refused: dark-mode cannot advance to the terminal stage.",
        "Setting `done` was **blocked**.",
        "The hook prevents the status from changing.",
        "It won’t let the change become done.",
    ] {
        assert!(Wording::any_is_in(wording::TELLS_OF_THE_REFUSAL, text), "{text}");
    }
    for text in [
        "",
        "The status is done.",
        "If it refuses done, I stop.",
        "It was not refused; it is done.",
        "I refused lunch.",
    ] {
        assert!(!Wording::any_is_in(wording::TELLS_OF_THE_REFUSAL, text), "{text}");
    }
    assert!(Wording::any_is_in(wording::NAMES_THE_HOOK, "The `merge` hook has not run."));
    assert!(!Wording::any_is_in(wording::NAMES_THE_HOOK, "There is no merge hook."));
    assert!(!Wording::any_is_in(wording::NAMES_THE_HOOK, "I want to merge."));
}

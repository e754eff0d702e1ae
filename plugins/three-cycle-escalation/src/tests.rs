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
fn an_escalation_is_recognised_in_many_words() {
    for text in [
        "ESCALATED-TO-HUMAN: choose",
        "- **Escalated to human** after three rejections",
        "Escalation: the maintainer has to choose.",
        "Needs a human decision.",
        "A person must decide.",
        "Handed over to the owner.",
    ] {
        assert!(Wording::any_is_in(wording::ESCALATES_TO_A_PERSON, text), "{text}");
    }
    for text in ["", "Escalated.", "Not escalated to a human.", "No human decision is needed.", "- Cycle 3: REJECTED"] {
        assert!(!Wording::any_is_in(wording::ESCALATES_TO_A_PERSON, text), "{text}");
    }
}
